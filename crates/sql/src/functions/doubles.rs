//! Where a NUMERIC meets a DOUBLE, both are DOUBLE, as in PostgreSQL.
//!
//! An analyzer rule that runs before DataFusion's coercion, which would make both NUMERIC: `f > 0.5` would fail for every large `f` and for
//! NaN, and `coalesce(f, 0.0)` would be no DOUBLE.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{Between, Case, InList, ScalarFunction};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Union, cast};
use datafusion::optimizer::AnalyzerRule;

use super::{quotient, rewrite};

#[derive(Debug)]
pub(crate) struct Doubles;

impl AnalyzerRule for Doubles {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let plan = rewrite::everywhere(plan, |expr, schema| {
            expr.transform_up(|expr| one(expr, schema))
        })?;
        Ok(plan.transform_up_with_subqueries(union)?.data)
    }

    fn name(&self) -> &'static str {
        "doubles"
    }
}

/// The columns of a UNION: where one of its inputs has a DOUBLE, the others have, too.
fn union(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Union(node) = &plan else {
        return Ok(Transformed::no(plan));
    };
    let width = node.schema.fields().len();
    let is = |at: usize, wanted: fn(&DataType) -> bool| {
        move |input: &Arc<LogicalPlan>| {
            let field = input.schema().fields().get(at);
            field.is_some_and(|field| wanted(field.data_type()))
        }
    };
    let mixed: Vec<bool> = (0..width)
        .map(|at| {
            let mut inputs = node.inputs.iter();
            inputs.clone().any(is(at, DataType::is_floating))
                && inputs.any(is(at, DataType::is_decimal))
        })
        .collect();
    if !mixed.contains(&true) {
        return Ok(Transformed::no(plan));
    }
    let input = |input: &Arc<LogicalPlan>| {
        let columns = input.schema().columns().into_iter().enumerate();
        let exprs = columns.map(|(at, column)| match mixed.get(at) {
            Some(true) if is(at, DataType::is_decimal)(input) => {
                let (relation, name) = (column.relation.clone(), column.name.clone());
                cast(Expr::Column(column), DataType::Float64).alias_qualified(relation, name)
            }
            _ => Expr::Column(column),
        });
        let exprs: Vec<Expr> = exprs.collect();
        let input = LogicalPlanBuilder::from(input.as_ref().clone());
        Ok(Arc::new(input.project(exprs)?.build()?))
    };
    let inputs = node.inputs.iter().map(input).collect::<Result<Vec<_>>>()?;
    let union = Union::try_new_with_loose_types(inputs)?;
    Ok(Transformed::yes(LogicalPlan::Union(union)))
}

/// Functions whose arguments are all of one type.
const OF_ONE_TYPE: [&str; 6] = ["coalesce", "nvl", "ifnull", "nullif", "greatest", "least"];

fn one(mut expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let changed = match &mut expr {
        Expr::BinaryExpr(binary) => {
            let widened = widen([&mut *binary.left, &mut *binary.right], schema)?;
            if let Some(quotient) = quotient::precise(binary, schema)? {
                return Ok(Transformed::yes(quotient));
            }
            widened
        }
        Expr::Between(Between {
            expr, low, high, ..
        }) => widen([&mut **expr, low, high], schema)?,
        Expr::InList(InList { expr, list, .. }) => {
            widen(std::iter::once(&mut **expr).chain(list), schema)?
        }
        Expr::Case(case) => widen_case(case, schema)?,
        Expr::ScalarFunction(ScalarFunction { func, args })
            if OF_ONE_TYPE.contains(&func.name()) =>
        {
            widen(args, schema)?
        }
        _ => false,
    };
    Ok(match changed {
        true => Transformed::yes(expr),
        false => Transformed::no(expr),
    })
}

/// `CASE x WHEN` compares `x`, and all results are of one type.
fn widen_case(case: &mut Case, schema: &DFSchema) -> Result<bool> {
    let mut changed = false;
    if let Some(subject) = &mut case.expr {
        let whens = case.when_then_expr.iter_mut().map(|(when, _)| &mut **when);
        changed |= widen(std::iter::once(&mut **subject).chain(whens), schema)?;
    }
    let thens = case.when_then_expr.iter_mut().map(|(_, then)| &mut **then);
    let results = thens.chain(case.else_expr.iter_mut().map(|e| &mut **e));
    Ok(changed | widen(results, schema)?)
}

/// Makes DOUBLE of what is NUMERIC if one of them is DOUBLE.
fn widen<'a>(exprs: impl IntoIterator<Item = &'a mut Expr>, schema: &DFSchema) -> Result<bool> {
    let exprs: Vec<&mut Expr> = exprs.into_iter().collect();
    // What has no type yet is told by the coercion that follows.
    let types: Vec<DataType> = exprs
        .iter()
        .map(|expr| expr.get_type(schema).unwrap_or(DataType::Null))
        .collect();
    if !types.iter().any(DataType::is_floating) {
        return Ok(false);
    }
    let mut changed = false;
    for (expr, _) in exprs
        .into_iter()
        .zip(&types)
        .filter(|(_, t)| t.is_decimal())
    {
        let decimal = std::mem::replace(expr, Expr::Literal(ScalarValue::Null, None));
        *expr = match decimal {
            Expr::Literal(value, about) => Expr::Literal(value.cast_to(&DataType::Float64)?, about),
            other => cast(other, DataType::Float64),
        };
        changed = true;
    }
    Ok(changed)
}
