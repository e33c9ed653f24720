//! Where SQL leaves the order of rows open and a result depends on it, the order is made definite: by the rows' values. Views and ad-hoc
//! queries go through here alike, so that both give the same rows whatever the order in which rows come.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result};
use datafusion::logical_expr::expr::{Sort, WindowFunction};
use datafusion::logical_expr::{
    Distinct, DistinctOn, Expr, ExprFunctionExt, Filter, Limit, LogicalPlan, LogicalPlanBuilder,
    Projection, SubqueryAlias, lit,
};

use crate::over::TIES;

/// The plan with every order definite that a result depends on.
pub(crate) fn definite(plan: LogicalPlan) -> Result<LogicalPlan> {
    let definite = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Limit(limit) => limited(limit),
        LogicalPlan::Distinct(Distinct::On(on)) => distinct_on(on),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(definite.data)
}

fn limited(limit: Limit) -> Result<Transformed<LogicalPlan>> {
    match with_ties(&limit.input)? {
        Some(input) => Ok(Transformed::yes(LogicalPlan::Limit(Limit {
            input: Arc::new(input),
            ..limit
        }))),
        None => Ok(Transformed::no(LogicalPlan::Limit(limit))),
    }
}

/// The ORDER BY of a limit goes on with all columns of its rows.
fn with_ties(plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    match plan {
        LogicalPlan::Sort(sort) => {
            let columns = sort.input.schema().columns();
            let sort = datafusion::logical_expr::Sort {
                expr: extended(&sort.expr, columns.into_iter().map(Expr::Column)),
                ..sort.clone()
            };
            Ok(Some(LogicalPlan::Sort(sort)))
        }
        LogicalPlan::Projection(projection) => match with_ties(&projection.input)? {
            Some(input) => Ok(Some(LogicalPlan::Projection(
                Projection::try_new_with_schema(
                    projection.expr.clone(),
                    Arc::new(input),
                    Arc::clone(&projection.schema),
                )?,
            ))),
            None => Ok(None),
        },
        LogicalPlan::SubqueryAlias(alias) => match with_ties(&alias.input)? {
            Some(input) => Ok(Some(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(
                Arc::new(input),
                alias.alias.clone(),
            )?))),
            None => Ok(None),
        },
        _ => Ok(None),
    }
}

/// An order that goes on with further expressions.
pub(crate) fn extended(order: &[Sort], more: impl IntoIterator<Item = Expr>) -> Vec<Sort> {
    let mut order = order.to_vec();
    for expr in more {
        if order.iter().all(|known| known.expr != expr) {
            order.push(Sort::new(expr, !TIES.descending, TIES.nulls_first));
        }
    }
    order
}

/// `DISTINCT ON (key) ... ORDER BY` as the row with `row_number() = 1`.
fn distinct_on(on: DistinctOn) -> Result<Transformed<LogicalPlan>> {
    let order = extended(
        on.sort_expr.as_deref().unwrap_or_default(),
        on.select_expr.iter().map(|e| e.clone().unalias()),
    );
    let number = Expr::WindowFunction(Box::new(WindowFunction::new(
        datafusion::functions_window::row_number::row_number_udwf(),
        Vec::new(),
    )))
    .partition_by(on.on_expr.clone())
    .order_by(order)
    .build()?;
    let name = number.schema_name().to_string();
    let numbered = LogicalPlanBuilder::from(on.input.as_ref().clone())
        .window(vec![number])?
        .build()?;
    let first = datafusion::logical_expr::col(Column::new_unqualified(name));
    let first = LogicalPlan::Filter(Filter::try_new(first.eq(lit(1_u64)), Arc::new(numbered))?);
    let fields = on.schema.iter();
    let exprs = on
        .select_expr
        .iter()
        .zip(fields)
        .map(|(e, (relation, field))| {
            e.clone()
                .unalias()
                .alias_qualified(relation.cloned(), field.name())
        });
    let projection = Projection::try_new(exprs.collect(), Arc::new(first))?;
    Ok(Transformed::yes(LogicalPlan::Projection(projection)))
}
