//! `EMIT ON WINDOW CLOSE`: each window's rows once, when the watermark has passed its end.
//!
//! A windowed GROUP BY as the last step closes by itself. Anything else, a join of windows, their top-N, sessions, windows over windows, gets a gate
//! against late rows where rows get their windows, and gives its rows out at the end.

use datafusion::arrow::datatypes::DataType;

use super::Refused;
use super::build::{Built, fresh_key};
use super::lineage::{self, Lineage, session_bound};
use crate::catalog::VERSIONS;
use crate::graph::{Gate, Node, NodeId, Op};
use crate::model::{Relation, RelationKind};
use crate::types::ident;

pub(super) fn close(mut built: Built) -> Result<Built, Refused> {
    if let Some(id) = last_aggregate(&built) {
        let node = &built.graph.nodes[id];
        let columns = lineage::lineage(&built.graph, &built.leaves, node, None);
        let group = match &node.op {
            Op::Aggregate(aggregate) => aggregate.group.len(),
            _ => 0,
        };
        let end = columns
            .iter()
            .take(group)
            .position(|l| *l == Lineage::WindowEnd);
        let Some(end) = end else {
            return Err(no_window_end(&columns, &built));
        };
        if is_simple(&built, id) {
            if let Op::Aggregate(aggregate) = &mut built.graph.nodes[id].op {
                aggregate.close = Some(end);
            }
            lineage::infer_all(&mut built);
            return Ok(built);
        }
    }
    let (place, column) = last_window(&built)?;
    insert_after(&mut built, place, Op::Close { column });
    add_gates(&mut built);
    lineage::infer_all(&mut built);
    Ok(built)
}

/// The aggregate under the view's last projections and filters, if there is one.
fn last_aggregate(built: &Built) -> Option<NodeId> {
    let mut id = built.graph.nodes.len().checked_sub(1)?;
    loop {
        let node = &built.graph.nodes[id];
        match (&node.op, node.inputs.first()) {
            (Op::Aggregate(_), _) => return Some(id),
            (Op::Project { .. } | Op::Filter { .. } | Op::Temporal(_), Some(input)) => id = *input,
            _ => return None,
        }
    }
}

/// Whether nothing below an aggregate computes again what it has given: then its own windows can close.
fn is_simple(built: &Built, id: NodeId) -> bool {
    built.graph.nodes[id].inputs.iter().all(|input| {
        let again = matches!(
            built.graph.nodes[*input].op,
            Op::Aggregate(_) | Op::Over(_) | Op::TopN(_)
        );
        !again && is_simple(built, *input)
    })
}

fn lineage_of(built: &Built, id: NodeId) -> Vec<Lineage> {
    let node = &built.graph.nodes[id];
    lineage::lineage(&built.graph, &built.leaves, node, built.leaves[id].as_ref())
}

/// The last node, from the result on through projections and filters, that still has the end of a window; and the column.
fn last_window(built: &Built) -> Result<(NodeId, usize), Refused> {
    let last = built
        .graph
        .nodes
        .len()
        .checked_sub(1)
        .ok_or_else(no_window)?;
    let mut id = last;
    loop {
        let columns = lineage_of(built, id);
        if let Some(column) = columns.iter().position(|l| *l == Lineage::WindowEnd) {
            return Ok((id, column));
        }
        let node = &built.graph.nodes[id];
        match (&node.op, node.inputs.first()) {
            (Op::Project { .. } | Op::Filter { .. } | Op::Temporal(_), Some(input)) => id = *input,
            (
                Op::Over(_)
                | Op::TopN(_)
                | Op::Join(_)
                | Op::SetOperation(_)
                | Op::Union
                | Op::Aggregate(_),
                _,
            ) => {
                return Err(no_window_end(&columns, built));
            }
            _ => return Err(no_window()),
        }
    }
}

/// A gate wherever rows get a window, before the first operator that keeps them.
fn add_gates(built: &mut Built) {
    let mut id = 0;
    while id < built.graph.nodes.len() {
        let node = &built.graph.nodes[id];
        let has = |columns: &[Lineage]| columns.iter().position(|l| *l == Lineage::WindowEnd);
        let given = node
            .inputs
            .iter()
            .any(|input| has(&lineage_of(built, *input)).is_some());
        if let Some(column) = has(&lineage_of(built, id)).filter(|_| !given) {
            let session = match &node.op {
                Op::Over(over) => over
                    .stages
                    .iter()
                    .flat_map(|s| &s.exprs)
                    .find_map(session_bound),
                _ => None,
            };
            let inputs = node.inputs.clone();
            match (session, inputs.as_slice()) {
                (Some((time, _)), [input]) => {
                    let gate = Gate {
                        column: time,
                        session: true,
                    };
                    insert_after(built, *input, Op::Gate(gate));
                }
                _ => insert_after(
                    built,
                    id,
                    Op::Gate(Gate {
                        column,
                        session: false,
                    }),
                ),
            }
            id += 1;
        }
        id += 1;
    }
}

/// Puts a node with the columns of another between that one and those that read it.
fn insert_after(built: &mut Built, place: NodeId, op: Op) {
    let moved = |id: NodeId| if id > place { id + 1 } else { id };
    for node in &mut built.graph.nodes {
        node.id = moved(node.id);
        for input in &mut node.inputs {
            *input = if *input == place {
                place + 1
            } else {
                moved(*input)
            };
        }
    }
    let node = Node {
        id: place + 1,
        key: fresh_key(&built.graph.nodes, &op),
        inputs: vec![place],
        schema: built.graph.nodes[place].schema.clone(),
        props: lineage::unknown(),
        op,
    };
    built.graph.nodes.insert(place + 1, node);
    built.leaves.insert(place + 1, None);
}

fn no_window() -> Refused {
    let message = "EMIT ON WINDOW CLOSE needs a window: there is no window to close";
    Refused::new(
        message,
        "leave it out, or read FROM TUMBLE(...), HOP(...), CUMULATE(...) or SESSION(...) and GROUP BY window_end",
    )
}

fn no_window_end(columns: &[Lineage], built: &Built) -> Refused {
    if columns.contains(&Lineage::WindowStart) {
        return Refused::new(
            "EMIT ON WINDOW CLOSE needs window_end among the GROUP BY columns",
            "add window_end to the GROUP BY",
        );
    }
    let message =
        "EMIT ON WINDOW CLOSE needs a window over an event-time column that has a watermark";
    let read = built.leaves.iter().flatten();
    let missing = read.filter_map(missing_watermark).next();
    let declare = missing.unwrap_or_else(|| {
        "declare WATERMARK FOR ts AS ts - INTERVAL '...' on the source".to_owned()
    });
    Refused::new(
        message,
        format!("GROUP BY window_end over TUMBLE or HOP, and {declare}"),
    )
}

/// What to add to a source that has times and no watermark: how late its rows may be is nothing that could be guessed.
pub(super) fn missing_watermark(relation: &Relation) -> Option<String> {
    let source = relation.kind == RelationKind::Source
        && relation.event_time.is_none()
        && !relation.name.ends_with(VERSIONS);
    let fields = relation.schema.fields().iter().filter(|_| source);
    let times = fields.filter(|f| matches!(f.data_type(), DataType::Timestamp(..)));
    let time = ident(times.into_iter().next()?.name());
    let name = ident(&relation.name);
    Some(format!(
        "add to CREATE SOURCE {name}: WATERMARK FOR {time} AS {time} - INTERVAL '5 seconds'"
    ))
}
