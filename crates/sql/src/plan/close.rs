//! `EMIT ON WINDOW CLOSE`: the view's last aggregate gives each window once, when the watermark has passed its end.

use super::Refused;
use super::build::Built;
use super::lineage::{self, Lineage};
use crate::graph::{NodeId, Op};

pub(super) fn close(mut built: Built) -> Result<Built, Refused> {
    let id = last_aggregate(&built)?;
    let node = &built.graph.nodes[id];
    let columns = lineage::lineage(&built.graph, &built.leaves, node, None);
    let Some(end) = columns.iter().position(|l| *l == Lineage::WindowEnd) else {
        return Err(no_window_end(&columns));
    };
    if let Op::Aggregate(aggregate) = &mut built.graph.nodes[id].op {
        aggregate.close = Some(end);
    }
    lineage::infer_all(&mut built);
    Ok(built)
}

/// The aggregate under the view's last projections and filters.
fn last_aggregate(built: &Built) -> Result<NodeId, Refused> {
    let mut id = built
        .graph
        .nodes
        .len()
        .checked_sub(1)
        .ok_or_else(no_aggregate)?;
    loop {
        let node = &built.graph.nodes[id];
        match (&node.op, node.inputs.first()) {
            (Op::Aggregate(_), _) => return Ok(id),
            (Op::Project { .. } | Op::Filter { .. }, Some(input)) => id = *input,
            (
                Op::Join(_)
                | Op::SetOperation(_)
                | Op::Union
                | Op::Unnest
                | Op::Over(_)
                | Op::TopN(_),
                _,
            ) => {
                let message =
                    "EMIT ON WINDOW CLOSE needs the windowed GROUP BY as the last step of the view";
                return Err(Refused::new(
                    message,
                    "make the GROUP BY a view of its own with EMIT ON WINDOW CLOSE, and read that",
                ));
            }
            _ => return Err(no_aggregate()),
        }
    }
}

fn no_aggregate() -> Refused {
    let message = "EMIT ON WINDOW CLOSE needs a GROUP BY over windows: there is no window to close";
    Refused::new(
        message,
        "leave it out, or GROUP BY window_end FROM TUMBLE(...) or HOP(...)",
    )
}

fn no_window_end(columns: &[Lineage]) -> Refused {
    if columns.contains(&Lineage::WindowStart) {
        return Refused::new(
            "EMIT ON WINDOW CLOSE needs window_end among the GROUP BY columns",
            "add window_end to the GROUP BY",
        );
    }
    let message =
        "EMIT ON WINDOW CLOSE needs a window over an event-time column that has a watermark";
    Refused::new(
        message,
        "GROUP BY window_end over TUMBLE or HOP, and declare WATERMARK FOR ts AS ts - INTERVAL '...' on the source",
    )
}
