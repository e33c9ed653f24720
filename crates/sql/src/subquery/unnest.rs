//! `FROM t, UNNEST(t.list) AS u(x)`: what the binder makes a join with a subquery that speaks of the left side becomes rows of the left side,
//! each unnested. So does a LATERAL subquery without a FROM.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, JoinType, Result, ScalarValue, TableReference};
use datafusion::logical_expr::expr::Case;
use datafusion::logical_expr::{
    Expr, ExprSchemable, Filter, Join, LogicalPlan, LogicalPlanBuilder, Projection, Unnest, lit,
};

pub(super) fn rewrite(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Join(join) = &plan else {
        return Ok(Transformed::no(plan));
    };
    match lateral(join)? {
        Some(other) => Ok(Transformed::yes(other)),
        None => Ok(Transformed::no(plan)),
    }
}

fn lateral(join: &Join) -> Result<Option<LogicalPlan>> {
    let left_join = match join.join_type {
        JoinType::Inner => false,
        // What stays of a row without elements is known only if every element would do.
        JoinType::Left if join.filter.as_ref().is_none_or(is_true) => true,
        _ => return Ok(None),
    };
    let (subquery, alias) = match join.right.as_ref() {
        LogicalPlan::SubqueryAlias(a) => match a.input.as_ref() {
            LogicalPlan::Subquery(s) => (&s.subquery, Some(a.alias.clone())),
            _ => return Ok(None),
        },
        LogicalPlan::Subquery(s) => (&s.subquery, None),
        _ => return Ok(None),
    };
    let carried = Carried {
        left: &join.left,
        keep_empty: left_join,
    };
    if !is_unnesting(subquery) && !is_row(subquery) {
        return Ok(None);
    }
    let Some(plan) = carried.over(subquery)? else {
        return Ok(None);
    };
    let plan = carried.aliased(plan, subquery, alias)?;
    match &join.filter {
        Some(filter) if !left_join => {
            let filter = Filter::try_new(filter.clone(), Arc::new(plan))?;
            Ok(Some(LogicalPlan::Filter(filter)))
        }
        _ => Ok(Some(plan)),
    }
}

fn is_true(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::Boolean(Some(true)), _))
}

fn is_unnesting(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Unnest(_) => true,
        LogicalPlan::Projection(p) => is_unnesting(&p.input),
        LogicalPlan::SubqueryAlias(a) => is_unnesting(&a.input),
        LogicalPlan::Filter(f) => is_unnesting(&f.input),
        _ => false,
    }
}

/// Whether a plan computes one row of nothing but what is outside.
fn is_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::EmptyRelation(empty) => empty.produce_one_row,
        LogicalPlan::Projection(p) => is_row(&p.input),
        LogicalPlan::SubqueryAlias(a) => is_row(&a.input),
        LogicalPlan::Filter(f) => is_row(&f.input),
        _ => false,
    }
}

/// The left side's columns, carried through the steps of the subquery.
struct Carried<'a> {
    left: &'a Arc<LogicalPlan>,
    /// Whether a row with an empty list stays, with NULL.
    keep_empty: bool,
}

impl Carried<'_> {
    fn columns(&self) -> impl Iterator<Item = Expr> {
        self.left.schema().columns().into_iter().map(Expr::Column)
    }

    /// The steps over the left side instead of over one row.
    fn over(&self, plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
        match plan {
            LogicalPlan::EmptyRelation(empty) if empty.produce_one_row => {
                Ok(Some(self.left.as_ref().clone()))
            }
            LogicalPlan::Projection(p) => {
                let Some(input) = self.over(&p.input)? else {
                    return Ok(None);
                };
                let exprs = p.expr.iter().map(|e| inner(e.clone()));
                let exprs = exprs.collect::<Result<Vec<_>>>()?;
                let node =
                    Projection::try_new(self.columns().chain(exprs).collect(), Arc::new(input))?;
                Ok(Some(LogicalPlan::Projection(node)))
            }
            LogicalPlan::Filter(f) if !self.keep_empty => {
                let Some(input) = self.over(&f.input)? else {
                    return Ok(None);
                };
                let filter = Filter::try_new(inner(f.predicate.clone())?, Arc::new(input))?;
                Ok(Some(LogicalPlan::Filter(filter)))
            }
            LogicalPlan::SubqueryAlias(a) => {
                let Some(input) = self.over(&a.input)? else {
                    return Ok(None);
                };
                self.aliased(input, &a.input, Some(a.alias.clone()))
                    .map(Some)
            }
            LogicalPlan::Unnest(u) => self.unnest(u),
            _ => Ok(None),
        }
    }

    fn unnest(&self, node: &Unnest) -> Result<Option<LogicalPlan>> {
        let Some(mut input) = self.over(&node.input)? else {
            return Ok(None);
        };
        if self.keep_empty {
            input = self.never_empty(input, node)?;
        }
        LogicalPlanBuilder::from(input)
            .unnest_columns_with_options(node.exec_columns.clone(), node.options.clone())?
            .build()
            .map(Some)
    }

    /// Empty and missing lists as lists of one NULL.
    fn never_empty(&self, input: LogicalPlan, node: &Unnest) -> Result<LogicalPlan> {
        let schema = Arc::clone(input.schema());
        let mut exprs = Vec::new();
        for column in schema.columns() {
            let expr = Expr::Column(column.clone());
            if !node.exec_columns.contains(&column) {
                exprs.push(expr);
                continue;
            }
            let list = expr.get_type(schema.as_ref())?;
            let null =
                datafusion::functions_nested::make_array::make_array(vec![lit(ScalarValue::Null)]);
            let length = datafusion::functions_nested::expr_fn::array_length(expr.clone());
            let filled = Expr::Case(Case {
                expr: None,
                when_then_expr: vec![(Box::new(length.gt(lit(0_u64))), Box::new(expr))],
                else_expr: Some(Box::new(datafusion::logical_expr::cast(null, list))),
            });
            exprs.push(filled.alias_qualified(column.relation, column.name));
        }
        let node = Projection::try_new(exprs, Arc::new(input))?;
        Ok(LogicalPlan::Projection(node))
    }

    /// The columns that `inner` has, under a new relation name; the left side's stay as they are.
    fn aliased(
        &self,
        plan: LogicalPlan,
        inner: &LogicalPlan,
        alias: Option<TableReference>,
    ) -> Result<LogicalPlan> {
        let Some(alias) = alias else {
            return Ok(plan);
        };
        let renamed = inner.schema().columns().into_iter().map(|column| {
            let name = column.name.clone();
            Expr::Column(Column::new(column.relation, column.name))
                .alias_qualified(Some(alias.clone()), name)
        });
        let exprs = self.columns().chain(renamed).collect();
        Ok(LogicalPlan::Projection(Projection::try_new(
            exprs,
            Arc::new(plan),
        )?))
    }
}

/// What the subquery calls outer is at hand here.
fn inner(expr: Expr) -> Result<Expr> {
    let seen = expr.transform_up(|e| match e {
        Expr::OuterReferenceColumn(_, column) => Ok(Transformed::yes(Expr::Column(column))),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(seen.data)
}
