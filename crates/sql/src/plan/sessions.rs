//! An aggregate by session: its sessions need names only, not their bounds on every row.
//!
//! With its bounds on each of its rows, a session that grows by one row changes all of them. Where `GROUP BY` takes the session's own keys and
//! both bounds, and nothing else reads these, the rows get a label of their session that stays as the session grows; the aggregate
//! computes the bounds from the times of its rows.

use std::collections::HashSet;

use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;

use super::build::Built;
use super::lineage::{session_bound, session_gap};
use crate::graph::{Aggregate, Labels, NodeId, Op, Over, PhysExpr, SessionBounds};

pub(super) fn label(built: &mut Built) {
    for id in 0..built.graph.nodes.len() {
        let Some((over, labels, bounds)) = labelled(built, id) else {
            continue;
        };
        if let Op::Over(plan) = &mut built.graph.nodes[over].op {
            plan.labels = Some(labels);
        }
        if let Op::Aggregate(plan) = &mut built.graph.nodes[id].op {
            plan.session = Some(bounds);
        }
    }
}

fn labelled(built: &Built, id: NodeId) -> Option<(NodeId, Labels, SessionBounds)> {
    let Op::Aggregate(aggregate) = &built.graph.nodes[id].op else {
        return None;
    };
    let path = Path::below(built, id)?;
    let Op::Over(over) = &built.graph.nodes[path.over].op else {
        return None;
    };
    let labels = labels(built, &path, over)?;
    let bounds = bounds(aggregate, &path, over, labels)?;
    Some((path.over, labels, bounds))
}

/// The projections between an aggregate and window functions.
struct Path<'a> {
    /// The highest first.
    projections: Vec<&'a [PhysExpr]>,
    over: NodeId,
}

impl<'a> Path<'a> {
    fn below(built: &'a Built, id: NodeId) -> Option<Self> {
        let nodes = &built.graph.nodes;
        let users = |id: NodeId| {
            nodes
                .iter()
                .flat_map(|n| &n.inputs)
                .filter(move |i| **i == id)
        };
        let mut projections = Vec::new();
        let mut at = *nodes[id].inputs.first()?;
        loop {
            if users(at).count() != 1 {
                return None;
            }
            match &nodes[at].op {
                Op::Over(_) => {
                    return Some(Self {
                        projections,
                        over: at,
                    });
                }
                Op::Project { exprs } => projections.push(exprs.as_slice()),
                _ => return None,
            }
            at = *nodes[at].inputs.first()?;
        }
    }

    /// The column of the window functions' rows that an expression of the aggregate is.
    fn column(&self, expr: &PhysExpr) -> Option<usize> {
        let mut at = expr.downcast_ref::<Column>()?.index();
        for exprs in &self.projections {
            at = exprs.get(at)?.downcast_ref::<Column>()?.index();
        }
        Some(at)
    }

    /// The columns of the window functions' rows that an expression of the aggregate reads.
    fn read(&self, expr: &PhysExpr) -> HashSet<usize> {
        let columns = |expr: &PhysExpr| collect_columns(expr).into_iter().map(|c| c.index());
        let mut read: HashSet<usize> = columns(expr).collect();
        for exprs in &self.projections {
            let below = read.iter().filter_map(|at| exprs.get(*at));
            read = below.flat_map(columns).collect();
        }
        read
    }
}

/// The window functions are the two bounds of sessions, of rows that have no window yet.
fn labels(built: &Built, path: &Path<'_>, over: &Over) -> Option<Labels> {
    let nodes = &built.graph.nodes;
    let input = &nodes[*nodes[path.over].inputs.first()?];
    let [stage] = over.stages.as_slice() else {
        return None;
    };
    let [first, second] = stage.exprs.as_slice() else {
        return None;
    };
    let ((time, ends), (other, end)) = (session_bound(first)?, session_bound(second)?);
    let gap_us = session_gap(first)?;
    let width = input.schema.fields().len();
    let output = &nodes[path.over].schema;
    let typed = input.schema.field(time).data_type();
    let alike = [width, width + 1].map(|at| output.field(at).data_type() == typed);
    if time != other
        || ends == end
        || session_gap(second) != Some(gap_us)
        || input.props.window_end.is_some()
        || alike != [true, true]
    {
        return None;
    }
    let (start, end) = match ends {
        true => (width + 1, width),
        false => (width, width + 1),
    };
    Some(Labels {
        time,
        gap_us,
        start,
        end,
    })
}

/// The groups are the sessions, and no call reads a bound.
fn bounds(
    aggregate: &Aggregate,
    path: &Path<'_>,
    over: &Over,
    labels: Labels,
) -> Option<SessionBounds> {
    if aggregate.close.is_some() {
        return None;
    }
    let group: Vec<usize> = aggregate
        .group
        .iter()
        .map(|e| path.column(e))
        .collect::<Option<_>>()?;
    let place = |column: usize| group.iter().position(|c| *c == column);
    let keys: HashSet<usize> = over.partition.iter().copied().collect();
    let of_session: HashSet<usize> = group.iter().copied().collect();
    let (start, end) = (place(labels.start)?, place(labels.end)?);
    let exact = of_session.len() == group.len()
        && of_session.len() == keys.len() + 2
        && keys.is_subset(&of_session);
    let reads_bounds = |expr: &PhysExpr| {
        let read = path.read(expr);
        read.contains(&labels.start) || read.contains(&labels.end)
    };
    let mut exprs = aggregate
        .calls
        .iter()
        .flat_map(|c| c.arg.iter().chain(&c.filter));
    (exact && !exprs.any(reads_bounds)).then_some(SessionBounds {
        start,
        end,
        gap_us: labels.gap_us,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::graph::Op;
    use crate::plan::tests::plan;

    const OF_CARD: &str = "SESSION(payments PARTITION BY card, ts, INTERVAL '1 minute') GROUP BY card, window_start, window_end";

    fn labelled(query: &str) -> [bool; 2] {
        let nodes = plan(query).unwrap().graph.nodes;
        let over = nodes
            .iter()
            .any(|n| matches!(&n.op, Op::Over(over) if over.labels.is_some()));
        let grouped = nodes
            .iter()
            .any(|n| matches!(&n.op, Op::Aggregate(a) if a.session.is_some()));
        [over, grouped]
    }

    #[test]
    fn rows_of_sessions_that_are_only_grouped_get_labels() {
        for query in [
            format!("SELECT card, count(*) AS n, window_start, window_end FROM {OF_CARD}"),
            format!("SELECT window_end, max(amount + cents) AS m FROM {OF_CARD} HAVING count(*) > 1"),
            "SELECT count(*) AS n FROM SESSION(payments, ts, INTERVAL '1 minute') GROUP BY window_start, window_end".to_owned(),
        ] {
            assert_eq!(labelled(&query), [true, true], "{query}");
        }
    }

    #[test]
    fn bounds_that_somebody_reads_stay_on_the_rows() {
        let from = "FROM SESSION(payments PARTITION BY card, ts, INTERVAL '1 minute')";
        for query in [
            format!("SELECT id, window_start, window_end {from}"),
            format!("SELECT card, window_end, count(*) AS n {from} GROUP BY card, window_end"),
            format!("SELECT count(*) AS n {from} GROUP BY window_start, window_end"),
            format!("SELECT count(*) AS n {from} GROUP BY card, country, window_start, window_end"),
            format!(
                "SELECT count(*) AS n {from} WHERE amount > 1 AND window_start < ts GROUP BY card, window_start, window_end"
            ),
            format!("SELECT max(window_end) AS m FROM {OF_CARD}"),
            format!(
                "SELECT card, count(*) AS n, window_end, window_start FROM {OF_CARD} EMIT ON WINDOW CLOSE"
            ),
        ] {
            assert_eq!(labelled(&query), [false, false], "{query}");
        }
    }
}
