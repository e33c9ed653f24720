//! Top-N: a filter on `row_number`, `rank` or `dense_rank`, and ORDER BY with LIMIT, as an operator that keeps only what can be in the result.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{
    BinaryExpr, Expr, FetchType, Filter, Limit, LogicalPlan, Operator, Projection, SkipType, Sort,
    Window,
};

use super::build::{Builder, nullable};
use super::over::{Base, Place, function};
use super::{Refused, lineage};
use crate::graph::{NodeId, Op, Rank, TopN};

/// Most rows a key that LIMIT or a rank may keep.
const ROWS_MAX: u64 = 1_000_000;

/// A filter over a window function that numbers rows, with an upper bound. `numbered`: the number is read further on.
pub(super) fn filtered(
    builder: &mut Builder<'_>,
    filter: &Filter,
    numbered: bool,
) -> Result<Option<NodeId>, Refused> {
    let Some(Ranking {
        window,
        rank,
        number,
        picks,
    }) = ranking(&filter.input)?
    else {
        return Ok(None);
    };
    let (mut from, mut to, mut rest) = (1, u64::MAX, Vec::new());
    for part in split_conjunction(&filter.predicate) {
        match bounds(part, &number) {
            Some((low, high)) => (from, to) = (from.max(low), to.min(high)),
            None => rest.push(part.clone()),
        }
    }
    if to > ROWS_MAX || from > to {
        return Ok(None);
    }
    let (call, _) = function(&window.window_expr[0])?;
    let reads_number = rest.iter().any(|e| e.column_refs().contains(&number));
    let spec = Spec {
        rank,
        from,
        to,
        numbered: numbered || reads_number,
    };
    let params = &call.params;
    let of = Some(&window.schema);
    let (partition, order) = (&params.partition_by, &params.order_by);
    let mut node = build(builder, &window.input, partition, order, spec, of)?;
    for pick in picks.into_iter().rev() {
        node = builder.project(pick, node)?;
    }
    match conjunction(rest) {
        None => Ok(Some(node)),
        Some(rest) => {
            let schema = filter.input.schema();
            let predicate = builder.expr(&rest, schema, node)?;
            Ok(Some(builder.add(
                Op::Filter { predicate },
                vec![node],
                schema,
            )))
        }
    }
}

/// Whether a plan is a filter over a ranking, and the column of the number.
pub(super) fn number_column(plan: &LogicalPlan) -> Option<Column> {
    let LogicalPlan::Filter(filter) = plan else {
        return None;
    };
    ranking(&filter.input).ok()?.map(|ranking| ranking.number)
}

/// A window function that numbers rows, below projections that only pick columns.
struct Ranking<'a> {
    window: &'a Window,
    rank: Rank,
    /// The number's column as it is called above the projections.
    number: Column,
    /// The topmost first.
    picks: Vec<&'a Projection>,
}

fn ranking(plan: &LogicalPlan) -> Result<Option<Ranking<'_>>, Refused> {
    let (mut below, mut picks) = (plan, Vec::new());
    while let LogicalPlan::Projection(projection) = below {
        picks.push(projection);
        below = &projection.input;
    }
    let LogicalPlan::Window(window) = below else {
        return Ok(None);
    };
    let ([expr], Some(mut number)) = (window.window_expr.as_slice(), window.schema.columns().pop())
    else {
        return Ok(None);
    };
    for pick in picks.iter().rev() {
        let plain: Option<Vec<Column>> = pick.expr.iter().map(plain_column).collect();
        let place = plain.and_then(|columns| columns.iter().position(|c| *c == number));
        let Some(place) = place else {
            return Ok(None);
        };
        number = pick.schema.columns().swap_remove(place);
    }
    let (call, _) = function(expr)?;
    let rank = match call.fun.name() {
        "row_number" => Rank::Row,
        "rank" => Rank::Rank,
        "dense_rank" => Rank::Dense,
        _ => return Ok(None),
    };
    let ranking = Ranking {
        window,
        rank,
        number,
        picks,
    };
    Ok(call.params.filter.is_none().then_some(ranking))
}

fn plain_column(expr: &Expr) -> Option<Column> {
    match expr {
        Expr::Column(column) => Some(column.clone()),
        Expr::Alias(alias) => plain_column(&alias.expr),
        _ => None,
    }
}

/// The numbers that a condition allows: from, to. `None`: it is no bound of the number.
fn bounds(condition: &Expr, number: &Column) -> Option<(u64, u64)> {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (op, value) = match (is_number(left, number), is_number(right, number)) {
                (true, false) => (*op, whole(right)?),
                (false, true) => (op.swap()?, whole(left)?),
                _ => return None,
            };
            let up = |value: i128| u64::try_from(value.max(0)).unwrap_or(u64::MAX);
            match op {
                Operator::LtEq => Some((1, up(value))),
                Operator::Lt => Some((1, up(value - 1))),
                Operator::Eq => Some((up(value).max(1), up(value))),
                Operator::GtEq => Some((up(value).max(1), u64::MAX)),
                Operator::Gt => Some((up(value + 1).max(1), u64::MAX)),
                _ => None,
            }
        }
        Expr::Between(between) if !between.negated && is_number(&between.expr, number) => {
            let up = |value: i128| u64::try_from(value.max(0)).unwrap_or(u64::MAX);
            Some((up(whole(&between.low)?).max(1), up(whole(&between.high)?)))
        }
        _ => None,
    }
}

fn is_number(expr: &Expr, number: &Column) -> bool {
    match expr {
        Expr::Column(column) => column == number,
        Expr::Cast(cast) => is_number(&cast.expr, number),
        Expr::Alias(alias) => is_number(&alias.expr, number),
        _ => false,
    }
}

fn whole(expr: &Expr) -> Option<i128> {
    let value = match expr {
        Expr::Literal(value, _) => value.clone(),
        Expr::Cast(cast) => return whole(&cast.expr),
        _ => return None,
    };
    match value.cast_to(&DataType::Decimal128(38, 0)) {
        Ok(ScalarValue::Decimal128(Some(whole), _, _)) if value.data_type().is_integer() => {
            Some(whole)
        }
        _ => None,
    }
}

/// `ORDER BY ... LIMIT n [OFFSET m]`.
pub(super) fn limit(builder: &mut Builder<'_>, limit: &Limit) -> Result<NodeId, Refused> {
    let refused = || {
        Refused::new(
            "LIMIT in a view needs a number and an ORDER BY: which rows it keeps would depend on how they come",
            "write ORDER BY column LIMIT 10",
        )
    };
    let (SkipType::Literal(skip), FetchType::Literal(fetch)) =
        (limit.get_skip_type()?, limit.get_fetch_type()?)
    else {
        return Err(refused());
    };
    let Some(fetch) = fetch else {
        return Err(Refused::new(
            "OFFSET without LIMIT is not known in a view",
            "add a LIMIT",
        ));
    };
    let Some(sort) = sort_below(&limit.input) else {
        return Err(refused());
    };
    let (skip, fetch) = (skip as u64, fetch as u64);
    if skip.saturating_add(fetch) > ROWS_MAX {
        return Err(Refused::new(
            format!("LIMIT and OFFSET of a view may keep {ROWS_MAX} rows"),
            "keep fewer, or leave the LIMIT to an ad-hoc SELECT over the view",
        ));
    }
    let spec = Spec {
        rank: Rank::Row,
        from: skip + 1,
        to: skip + fetch,
        numbered: false,
    };
    let top = build(builder, &sort.input, &[], &sort.expr, spec, None)?;
    projected(builder, &limit.input, top)
}

/// The ORDER BY under a limit, below projections of its result.
pub(crate) fn sort_below(plan: &LogicalPlan) -> Option<&Sort> {
    match plan {
        LogicalPlan::Sort(sort) => Some(sort),
        LogicalPlan::Projection(projection) => sort_below(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => sort_below(&alias.input),
        _ => None,
    }
}

/// The projections between a limit and its ORDER BY, over the rows that are left.
fn projected(
    builder: &mut Builder<'_>,
    plan: &LogicalPlan,
    top: NodeId,
) -> Result<NodeId, Refused> {
    match plan {
        LogicalPlan::Projection(projection) => {
            let input = projected(builder, &projection.input, top)?;
            builder.project(projection, input)
        }
        LogicalPlan::SubqueryAlias(alias) => projected(builder, &alias.input, top),
        _ => Ok(top),
    }
}

struct Spec {
    rank: Rank,
    from: u64,
    to: u64,
    numbered: bool,
}

/// The operator over a plan. `schema`: of the plan's columns and the number; without, the number is dropped.
fn build(
    builder: &mut Builder<'_>,
    plan: &LogicalPlan,
    partition: &[Expr],
    order: &[datafusion::logical_expr::expr::Sort],
    spec: Spec,
    schema: Option<&datafusion::common::DFSchemaRef>,
) -> Result<NodeId, Refused> {
    let mut base = Base::of(builder, plan)?;
    let partition: Vec<Place> = partition
        .iter()
        .map(|e| base.place(e))
        .collect::<Result<_, _>>()?;
    let order = base.order(order)?;
    let input = base.finish(builder)?;
    let top = TopN {
        partition: partition.into_iter().map(|p| base.index(p)).collect(),
        order: order.into_iter().map(|(p, o)| (base.index(p), o)).collect(),
        rank: spec.rank,
        from: spec.from,
        to: spec.to,
        numbered: spec.numbered,
    };
    let columns = builder.schema_of(input);
    let mut fields: Vec<Arc<Field>> = columns.fields().iter().cloned().collect();
    let name = schema.map_or("__number", |s| s.field(s.fields().len() - 1).name());
    fields.push(Arc::new(Field::new(name, DataType::UInt64, true)));
    let width = fields.len();
    let node = builder.add_with(
        Op::TopN(top),
        vec![input],
        nullable(&Schema::new(fields)),
        None,
    );
    let mut kept: Vec<usize> = (0..base.width).collect();
    match schema {
        Some(schema) if base.width + 1 < width => {
            kept.push(width - 1);
            Ok(builder.pick(node, &kept, schema))
        }
        Some(_) => Ok(node),
        None => {
            let of = builder.schema_of(node);
            let exprs = kept.iter().map(|at| lineage::column(&of, *at)).collect();
            let schema = nullable(plan.schema().as_arrow());
            Ok(builder.add_with(Op::Project { exprs }, vec![node], schema, None))
        }
    }
}
