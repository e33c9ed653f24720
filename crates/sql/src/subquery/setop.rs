//! INTERSECT and EXCEPT. DataFusion's binder writes them as semi and anti joins over all columns, which with ALL is not what SQL says: of
//! n and m equal rows INTERSECT ALL has min(n, m) and EXCEPT ALL n - m.

use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchemaRef, JoinType, NullEquality, Result};
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::{
    Distinct, Expr, ExprFunctionExt, Extension, Join, LogicalPlan, LogicalPlanBuilder,
    UserDefinedLogicalNodeCore,
};

/// A set operation as one node, for views.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Hash)]
pub(crate) struct SetOperation {
    pub except: bool,
    pub all: bool,
    pub left: LogicalPlan,
    pub right: LogicalPlan,
}

impl UserDefinedLogicalNodeCore for SetOperation {
    fn name(&self) -> &str {
        "SetOperation"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.left, &self.right]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.left.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let word = if self.except { "EXCEPT" } else { "INTERSECT" };
        write!(f, "{word}{}", if self.all { " ALL" } else { "" })
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let mut inputs = inputs.into_iter();
        let (Some(left), Some(right)) = (inputs.next(), inputs.next()) else {
            return datafusion::common::internal_err!("a set operation has two inputs");
        };
        Ok(Self {
            left,
            right,
            ..*self
        })
    }
}

/// Set operations as nodes of their own. For bound plans, before rules see them as joins.
pub(crate) fn for_views(plan: LogicalPlan) -> Result<LogicalPlan> {
    rewrite(plan, node)
}

/// Set operations as DataFusion's executor runs them rightly: equal rows are numbered on both sides.
pub(crate) fn for_batch(plan: LogicalPlan) -> Result<LogicalPlan> {
    rewrite(plan, numbered)
}

fn rewrite(plan: LogicalPlan, to: fn(&Join) -> Result<Option<LogicalPlan>>) -> Result<LogicalPlan> {
    let done = plan.transform_up_with_subqueries(|plan| match &plan {
        LogicalPlan::Join(join) if is_set_operation(join) => match to(join)? {
            Some(other) => Ok(Transformed::yes(other)),
            None => Ok(Transformed::no(plan)),
        },
        _ => Ok(Transformed::no(plan)),
    })?;
    Ok(done.data)
}

/// Only the binder of set operations makes such joins; conditions that people write are still filters.
fn is_set_operation(join: &Join) -> bool {
    join.null_equality == NullEquality::NullEqualsNull
        && matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti)
}

/// Both inputs with equal types, column by column.
fn sides(join: &Join) -> Result<[LogicalPlan; 2]> {
    let side = |input: &Arc<LogicalPlan>, exprs: Vec<&Expr>| {
        let columns = input.schema().columns();
        let plain =
            |(e, c): (&&Expr, &Column)| matches!(e, Expr::Column(known) if known.name == c.name);
        if exprs.iter().zip(&columns).all(plain) {
            return Ok(input.as_ref().clone());
        }
        let named = exprs.into_iter().zip(columns);
        let named = named.map(|(e, c)| e.clone().alias_qualified(c.relation, c.name));
        LogicalPlanBuilder::from(input.as_ref().clone())
            .project(named.collect::<Vec<_>>())?
            .build()
    };
    Ok([
        side(&join.left, join.on.iter().map(|on| &on.0).collect())?,
        side(&join.right, join.on.iter().map(|on| &on.1).collect())?,
    ])
}

fn is_distinct(plan: &LogicalPlan) -> Option<&LogicalPlan> {
    match plan {
        LogicalPlan::Distinct(Distinct::All(input)) => Some(input),
        _ => None,
    }
}

fn node(join: &Join) -> Result<Option<LogicalPlan>> {
    let [left, right] = sides(join)?;
    // Of distinct rows both meanings are one.
    let (left, all) = match is_distinct(&left) {
        Some(input) => (input.clone(), false),
        None => (left, true),
    };
    let casts = left.schema().fields() != join.left.schema().fields();
    let operation = SetOperation {
        except: join.join_type == JoinType::LeftAnti,
        all,
        left,
        right,
    };
    let plan = LogicalPlan::Extension(Extension {
        node: Arc::new(operation),
    });
    if !casts {
        return Ok(Some(plan));
    }
    let wanted = join.schema.iter();
    let exprs = plan.schema().columns().into_iter().zip(wanted);
    let exprs = exprs.map(|(column, (relation, field))| {
        datafusion::logical_expr::cast(Expr::Column(column), field.data_type().clone())
            .alias_qualified(relation.cloned(), field.name())
    });
    LogicalPlanBuilder::from(plan)
        .project(exprs.collect::<Vec<_>>())?
        .build()
        .map(Some)
}

/// Numbers equal rows.
const NUMBER: &str = "__number";

fn numbered(join: &Join) -> Result<Option<LogicalPlan>> {
    if is_distinct(&join.left).is_some() {
        return Ok(None);
    }
    let side = |input: &LogicalPlan| {
        let columns: Vec<Expr> = input
            .schema()
            .columns()
            .into_iter()
            .map(Expr::Column)
            .collect();
        let number = row_number().partition_by(columns.clone()).build()?;
        let number_name = number.schema_name().to_string();
        let plan = LogicalPlanBuilder::from(input.clone()).window(vec![number])?;
        let number = Expr::Column(Column::new_unqualified(number_name)).alias(NUMBER);
        plan.project(columns.into_iter().chain([number]))?.build()
    };
    let [left, right] = sides(join)?;
    let columns: Vec<Expr> = join
        .left
        .schema()
        .columns()
        .into_iter()
        .map(Expr::Column)
        .collect();
    let (left, right) = (side(&left)?, side(&right)?);
    let keys = (left.schema().columns(), right.schema().columns());
    LogicalPlanBuilder::from(left)
        .join_detailed(
            right,
            join.join_type,
            keys,
            None,
            NullEquality::NullEqualsNull,
        )?
        .project(columns)?
        .build()
        .map(Some)
}
