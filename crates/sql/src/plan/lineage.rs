//! What the planner knows of each node's output: changelog, key, and which columns carry event time and window bounds.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::ScalarValue;
use datafusion::physical_expr::ScalarFunctionExpr;
use datafusion::physical_expr::expressions::{CastExpr, Column, Literal};
use datafusion::physical_expr::window::{StandardWindowExpr, WindowExpr};
use datafusion::physical_plan::windows::WindowUDFExpr;

use super::PlannedView;
use super::build::Built;
use crate::functions::{calendar, session, window};
use crate::graph::{Changelog, Graph, Join, JoinKind, Node, Op, PhysExpr, Props, Rank, TopN};
use crate::model::Relation;

/// Where a column's values come from, as far as time goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lineage {
    Other,
    /// An event-time column that a watermark speaks of.
    EventTime,
    WindowStart,
    WindowEnd,
    /// The list of windows, or one of them, before its parts are read.
    Window,
}

pub(super) fn unknown() -> Props {
    Props {
        changelog: Changelog::AppendOnly,
        key: None,
        event_time: None,
        window_end: None,
    }
}

pub(super) fn column(schema: &Schema, index: usize) -> PhysExpr {
    Arc::new(Column::new(schema.field(index).name(), index))
}

/// Whether a projection changes nothing.
pub(super) fn is_identity(exprs: &[PhysExpr], input: &Schema, output: &Schema) -> bool {
    let same =
        |(i, e): (usize, &PhysExpr)| e.downcast_ref::<Column>().is_some_and(|c| c.index() == i);
    input.fields().len() == exprs.len() && input == output && exprs.iter().enumerate().all(same)
}

/// Lineage of each column of a node.
pub(super) fn lineage(
    graph: &Graph,
    leaves: &[Option<Relation>],
    node: &Node,
    leaf: Option<&Relation>,
) -> Vec<Lineage> {
    let of = |index: usize| {
        let input = &graph.nodes[node.inputs[index]];
        lineage(graph, leaves, input, leaves[input.id].as_ref())
    };
    let width = node.schema.fields().len();
    match &node.op {
        Op::Relation { .. } => {
            let time = leaf.and_then(|r| r.event_time);
            (0..width)
                .map(|i| {
                    if Some(i) == time {
                        Lineage::EventTime
                    } else {
                        Lineage::Other
                    }
                })
                .collect()
        }
        Op::Constant { .. } => vec![Lineage::Other; width],
        Op::Filter { .. } | Op::Unnest | Op::Gate(_) | Op::Temporal(_) => of(0),
        Op::Close { column } => {
            let mut columns = of(0);
            // A closed window's end is the event time of its row.
            columns[*column] = Lineage::EventTime;
            columns
        }
        Op::Project { exprs } => {
            let input = of(0);
            exprs.iter().map(|e| expr_lineage(e, &input)).collect()
        }
        Op::Aggregate(aggregate) => {
            let input = of(0);
            let mut columns: Vec<Lineage> = aggregate
                .group
                .iter()
                .map(|e| expr_lineage(e, &input))
                .collect();
            if let Some(close) = aggregate.close {
                // A closed window's end is the event time of its row.
                columns[close] = Lineage::EventTime;
            }
            columns.resize(width, Lineage::Other);
            columns
        }
        Op::Join(join) => {
            let mut columns = of(0);
            if !join.kind.only_left() {
                columns.extend(of(1));
            }
            columns.resize(width, Lineage::Other);
            columns
        }
        Op::Over(over) => {
            let mut columns = of(0);
            for expr in over.stages.iter().flat_map(|s| &s.exprs) {
                columns.push(session_lineage(expr, &columns));
            }
            columns.resize(width, Lineage::Other);
            columns
        }
        Op::TopN(_) => {
            let mut columns = of(0);
            columns.resize(width, Lineage::Other);
            columns
        }
        Op::Union | Op::SetOperation(_) => {
            let inputs: Vec<Vec<Lineage>> = (0..node.inputs.len()).map(of).collect();
            (0..width)
                .map(|i| common(inputs.iter().map(|input| input[i])))
                .collect()
        }
    }
}

fn common(mut all: impl Iterator<Item = Lineage>) -> Lineage {
    let first = all.next().unwrap_or(Lineage::Other);
    if all.all(|l| l == first) {
        first
    } else {
        Lineage::Other
    }
}

fn expr_lineage(expr: &PhysExpr, input: &[Lineage]) -> Lineage {
    if let Some(column) = expr.downcast_ref::<Column>() {
        return input.get(column.index()).copied().unwrap_or(Lineage::Other);
    }
    if let Some(cast) = expr.downcast_ref::<CastExpr>() {
        let is_time = matches!(cast.cast_type(), DataType::Timestamp(..));
        return if is_time {
            expr_lineage(cast.expr(), input)
        } else {
            Lineage::Other
        };
    }
    let Some(call) = expr.downcast_ref::<ScalarFunctionExpr>() else {
        return Lineage::Other;
    };
    let Some(of) = call.args().first().map(|arg| expr_lineage(arg, input)) else {
        return Lineage::Other;
    };
    match (call.fun().name(), of) {
        (window::START, Lineage::EventTime | Lineage::WindowEnd) => Lineage::WindowStart,
        (window::END, Lineage::EventTime | Lineage::WindowEnd) => Lineage::WindowEnd,
        (window::HOPS | calendar::LIST, Lineage::EventTime | Lineage::WindowEnd) => Lineage::Window,
        ("get_field", Lineage::Window) => match field_name(call) {
            Some(name) if name == window::WINDOW_START => Lineage::WindowStart,
            Some(name) if name == window::WINDOW_END => Lineage::WindowEnd,
            _ => Lineage::Other,
        },
        _ => Lineage::Other,
    }
}

/// The time column of a session's bound, and whether it is its end.
pub fn session_bound(expr: &Arc<dyn WindowExpr>) -> Option<(usize, bool)> {
    let (args, end) = session_call(expr)?;
    let time = args.first()?.downcast_ref::<Column>()?;
    Some((time.index(), end))
}

/// The gap of a session's bound, microseconds.
pub(super) fn session_gap(expr: &Arc<dyn WindowExpr>) -> Option<i64> {
    let (args, _) = session_call(expr)?;
    match args.get(1)?.downcast_ref::<Literal>()?.value() {
        ScalarValue::Int64(gap_us) => *gap_us,
        _ => None,
    }
}

/// The arguments of a session's bound, and whether it is its end.
fn session_call(expr: &Arc<dyn WindowExpr>) -> Option<(&[PhysExpr], bool)> {
    let standard = expr.as_any().downcast_ref::<StandardWindowExpr>()?;
    let call = standard
        .get_standard_func_expr()
        .as_any()
        .downcast_ref::<WindowUDFExpr>()?;
    let end = match call.fun().name() {
        session::SESSION_START => false,
        session::SESSION_END => true,
        _ => return None,
    };
    Some((call.args(), end))
}

fn session_lineage(expr: &Arc<dyn WindowExpr>, input: &[Lineage]) -> Lineage {
    match session_bound(expr) {
        Some((time, end))
            if matches!(
                input.get(time),
                Some(Lineage::EventTime | Lineage::WindowEnd)
            ) =>
        {
            if end {
                Lineage::WindowEnd
            } else {
                Lineage::WindowStart
            }
        }
        _ => Lineage::Other,
    }
}

fn field_name(call: &ScalarFunctionExpr) -> Option<&str> {
    let name = call.args().get(1)?.downcast_ref::<Literal>()?;
    match name.value() {
        ScalarValue::Utf8(Some(name)) | ScalarValue::Utf8View(Some(name)) => Some(name),
        _ => None,
    }
}

/// Props of a node whose inputs are in the graph already.
pub(super) fn infer_one(
    graph: &Graph,
    leaves: &[Option<Relation>],
    node: &Node,
    leaf: Option<&Relation>,
) -> Props {
    let columns = lineage(graph, leaves, node, leaf);
    let inputs: Vec<&Props> = node.inputs.iter().map(|i| &graph.nodes[*i].props).collect();
    let find = |wanted: Lineage| columns.iter().position(|l| *l == wanted);
    Props {
        changelog: changelog(node, &inputs, leaf),
        key: key(graph, node, &inputs, leaf),
        event_time: find(Lineage::EventTime),
        window_end: find(Lineage::WindowEnd),
    }
}

fn changelog(node: &Node, inputs: &[&Props], leaf: Option<&Relation>) -> Changelog {
    let appends = match &node.op {
        Op::Relation { .. } => leaf.is_some_and(|r| r.append_only),
        Op::Aggregate(aggregate) => aggregate.close.is_some(),
        Op::Temporal(temporal) if !temporal.until.is_empty() => false,
        Op::Over(_) | Op::TopN(_) => false,
        // A semi join whose sides both only grow never takes a row back; whatever speaks of a missing match may.
        Op::SetOperation(operation) if operation.except => false,
        // A new version takes rows of the one before it back.
        Op::Join(join) if join.as_of.is_some() => false,
        // Each left row is joined once and for all.
        Op::Join(join) if join.lookup => inputs
            .first()
            .is_some_and(|p| p.changelog == Changelog::AppendOnly),
        Op::Join(join) if !matches!(join.kind, JoinKind::Inner | JoinKind::Semi) => false,
        Op::Close { .. } => true,
        _ => inputs.iter().all(|p| p.changelog == Changelog::AppendOnly),
    };
    if appends {
        Changelog::AppendOnly
    } else {
        Changelog::Retracting
    }
}

fn key(
    graph: &Graph,
    node: &Node,
    inputs: &[&Props],
    leaf: Option<&Relation>,
) -> Option<Vec<usize>> {
    match &node.op {
        Op::Relation { .. } => leaf.and_then(|r| r.key.clone()),
        Op::Constant { rows } => (rows.num_rows() <= 1).then(Vec::new),
        Op::Filter { .. } | Op::Temporal(_) => inputs.first()?.key.clone(),
        Op::Project { exprs } => {
            let key = inputs.first()?.key.as_ref()?;
            key.iter()
                .map(|k| exprs.iter().position(|e| holds(e, *k)))
                .collect()
        }
        Op::Unnest => {
            let mut key = inputs.first()?.key.clone()?;
            key.push(node.schema.fields().len() - 1);
            Some(key)
        }
        Op::Aggregate(aggregate) => Some((0..aggregate.group.len()).collect()),
        Op::Join(join) => join_key(graph, node, join, inputs),
        Op::SetOperation(operation) => {
            let distinct = || (0..node.schema.fields().len()).collect();
            let left = inputs.first()?.key.clone();
            left.or_else(|| (!operation.all).then(distinct))
        }
        Op::Union => None,
        Op::Over(_) | Op::Gate(_) | Op::Close { .. } => inputs.first()?.key.clone(),
        Op::TopN(top) => top_key(node, top, inputs.first()?),
    }
}

/// One row a key: the key; else the key and the row's number.
fn top_key(node: &Node, top: &TopN, input: &Props) -> Option<Vec<usize>> {
    let mut key = top.partition.clone();
    match (top.rank, top.from == top.to, top.numbered) {
        (Rank::Row, true, _) => Some(key),
        (Rank::Row, false, true) if input.key.is_none() => {
            key.push(node.schema.fields().len() - 1);
            Some(key)
        }
        _ => input.key.clone(),
    }
}

/// Whether an expression's value tells the value of input column `index`: it is the column, or one bound of its window.
fn holds(expr: &PhysExpr, index: usize) -> bool {
    let is_column = |e: &PhysExpr| {
        e.downcast_ref::<Column>()
            .is_some_and(|c| c.index() == index)
    };
    let bound = |call: &ScalarFunctionExpr| {
        let of_window =
            call.fun().name() == "get_field" && call.args().first().is_some_and(is_column);
        of_window
            && matches!(
                field_name(call),
                Some(window::WINDOW_START | window::WINDOW_END)
            )
    };
    is_column(expr) || expr.downcast_ref::<ScalarFunctionExpr>().is_some_and(bound)
}

/// The key of the side whose rows meet at most one of the other side; else both keys together.
fn join_key(graph: &Graph, node: &Node, join: &Join, inputs: &[&Props]) -> Option<Vec<usize>> {
    let [left, right] = inputs else { return None };
    match join.kind {
        JoinKind::Semi | JoinKind::Anti | JoinKind::Mark => return left.key.clone(),
        // A row without a partner on the left has no left key.
        JoinKind::Full => return None,
        _ => {}
    }
    let width = graph.nodes[*node.inputs.first()?].schema.fields().len();
    let right_key = |key: &Vec<usize>| key.iter().map(|i| i + width).collect::<Vec<_>>();
    let covers = |key: &Option<Vec<usize>>, side: fn(&(PhysExpr, PhysExpr)) -> &PhysExpr| {
        let on: Vec<usize> = join
            .on
            .iter()
            .filter_map(|pair| side(pair).downcast_ref::<Column>().map(Column::index))
            .collect();
        key.as_ref()
            .is_some_and(|key| key.iter().all(|k| on.contains(k)))
    };
    if join.as_of.is_some() || covers(&right.key, |pair| &pair.1) {
        return left.key.clone();
    }
    if join.kind == JoinKind::Inner && covers(&left.key, |pair| &pair.0) {
        return right.key.as_ref().map(right_key);
    }
    let mut key = left.key.clone()?;
    key.extend(right_key(right.key.as_ref()?));
    Some(key)
}

/// Infers everything again, after a change in the graph.
pub(super) fn infer_all(built: &mut Built) {
    for id in 0..built.graph.nodes.len() {
        let props = infer_one(
            &built.graph,
            &built.leaves,
            &built.graph.nodes[id],
            built.leaves[id].as_ref(),
        );
        built.graph.nodes[id].props = props;
    }
}

pub(super) fn finish(built: Built) -> Option<PlannedView> {
    let root = built.graph.root()?;
    let (schema, props) = (Arc::clone(&root.schema), root.props.clone());
    Some(PlannedView {
        graph: built.graph,
        schema,
        props,
    })
}
