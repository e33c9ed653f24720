//! Where SQL leaves the order of rows open and a result depends on it, the order is made definite: by the rows' values. Views and ad-hoc
//! queries go through here alike, so that both give the same rows whatever the order in which rows come.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::functions_aggregate::first_last::first_value_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, Sort, WindowFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    Distinct, DistinctOn, Expr, ExprFunctionExt, ExprSchemable, Filter, Limit, LogicalPlan,
    LogicalPlanBuilder, Projection, SubqueryAlias, lit,
};

use crate::functions::aggregates;
use crate::over::TIES;
use crate::provider::RelationSource;

/// The plan with every order definite that a result depends on.
pub(crate) fn definite(plan: LogicalPlan) -> Result<LogicalPlan> {
    let definite = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Limit(limit) => limited(limit),
        LogicalPlan::Distinct(Distinct::On(on)) => distinct_on(on),
        node @ LogicalPlan::Aggregate(_) => aggregated(node),
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

/// Aggregates whose result depends on the order of rows, or on which of several rows is taken.
fn aggregated(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Aggregate(aggregate) = &plan else {
        return Ok(Transformed::no(plan));
    };
    let (time, schema) = (
        event_time(&aggregate.input),
        Arc::clone(aggregate.input.schema()),
    );
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let saved = names.save(&expr);
        let rewritten = expr.transform_up(|e| match e {
            Expr::AggregateFunction(call) => ordered(call, time.as_ref(), &schema),
            other => Ok(Transformed::no(other)),
        })?;
        Ok(rewritten.update_data(|expr| saved.restore(expr)))
    })
}

fn ordered(
    mut call: AggregateFunction,
    time: Option<&Column>,
    schema: &DFSchema,
) -> Result<Transformed<Expr>> {
    let params = &mut call.params;
    let Some(value) = params.args.first().cloned() else {
        return Ok(Transformed::no(Expr::AggregateFunction(call)));
    };
    let sortable = !value.get_type(schema)?.is_nested();
    let by_value = sortable.then(|| value.clone());
    match call.func.name() {
        "array_agg" | "string_agg" | "nth_value" => {
            params.order_by = extended(&params.order_by, by_value);
        }
        "first_value" | "last_value" => {
            let time = time.filter(|_| params.order_by.is_empty());
            let time = time.map(|t| Expr::Column(t.clone()));
            params.order_by = extended(&params.order_by, time.into_iter().chain(by_value));
        }
        "any_value" => {
            params.order_by = extended(&[], by_value);
            params.filter = Some(Box::new(with(params.filter.take(), value.is_not_null())));
            call.func = first_value_udaf();
        }
        name @ (aggregates::MAX_BY | aggregates::MIN_BY) => {
            let Some(by) = params.args.pop() else {
                return Ok(Transformed::no(Expr::AggregateFunction(call)));
            };
            let first = Sort::new(by.clone(), name == aggregates::MIN_BY, false);
            params.order_by = extended(&[first], by_value);
            params.filter = Some(Box::new(with(params.filter.take(), by.is_not_null())));
            call.func = first_value_udaf();
        }
        _ => return Ok(Transformed::no(Expr::AggregateFunction(call))),
    }
    Ok(Transformed::yes(Expr::AggregateFunction(call)))
}

fn with(filter: Option<Box<Expr>>, more: Expr) -> Expr {
    match filter {
        Some(filter) => filter.and(more),
        None => more,
    }
}

/// The column of a plan that a watermark speaks of, if it is one of its relations' own.
fn event_time(plan: &LogicalPlan) -> Option<Column> {
    let at = |index: usize| plan.schema().columns().into_iter().nth(index);
    match plan {
        LogicalPlan::TableScan(scan) => {
            let source = scan.source.downcast_ref::<RelationSource>()?;
            let name = source
                .relation
                .schema
                .field(source.relation.event_time?)
                .name();
            let mut columns = plan.schema().columns().into_iter();
            columns.find(|c| c.name == *name)
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let below = event_time(&alias.input)?;
            at(alias.input.schema().index_of_column(&below).ok()?)
        }
        LogicalPlan::Projection(projection) => {
            let below = Expr::Column(event_time(&projection.input)?);
            at(projection
                .expr
                .iter()
                .position(|e| e.clone().unalias_nested().data == below)?)
        }
        LogicalPlan::Join(join) => event_time(&join.left).or_else(|| event_time(&join.right)),
        LogicalPlan::Filter(_) | LogicalPlan::Window(_) | LogicalPlan::Unnest(_) => {
            event_time(plan.inputs().first()?)
        }
        _ => None,
    }
}
