//! Operators that keep rows for ever: what a person should know before a query has run for a month.

use std::fmt::Write;

use crate::graph::{Graph, Node, Op};

/// One warning for each operator whose state grows with every new key or row of a stream and nothing ever makes it smaller, with the way out.
/// `is_stream`: whether a relation's rows come without end (a table's keys are taken to be finitely many).
pub fn unbounded(graph: &Graph, is_stream: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut grows: Vec<bool> = Vec::with_capacity(graph.nodes.len());
    let mut warnings = Vec::new();
    for node in &graph.nodes {
        let inputs: Vec<bool> = node
            .inputs
            .iter()
            .map(|input| grows.get(*input).copied().unwrap_or(false))
            .collect();
        let any = inputs.contains(&true);
        let kept = match &node.op {
            Op::Relation { .. } | Op::Filter { .. } | Op::Project { .. } => None,
            Op::Unnest | Op::Union | Op::Temporal(_) => None,
            Op::Aggregate(plan) => {
                (any && !plan.group.is_empty() && node.props.window_end.is_none())
                    .then_some("a row for every key that ever came")
            }
            Op::Join(join) if join.lookup => inputs
                .last()
                .is_some_and(|grows| *grows)
                .then_some("every row of what is looked up"),
            Op::Join(join)
                if join
                    .as_of
                    .as_ref()
                    .is_some_and(|plan| plan.slack_us.is_some()) =>
            {
                None
            }
            Op::Join(_) => inputs
                .iter()
                .all(|grows| *grows)
                .then_some("every row of both streams"),
            _ => (any && node.props.window_end.is_none())
                .then_some("rows of every key that ever came"),
        };
        if let Some(kept) = kept {
            warnings.push(warning(node, kept));
        }
        grows.push(match &node.op {
            Op::Relation { name } => is_stream(name),
            Op::Temporal(temporal) => any && temporal.until.is_empty(),
            Op::Aggregate(plan) => any && !plan.group.is_empty(),
            _ => any,
        });
    }
    warnings
}

fn warning(node: &Node, kept: &str) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "{} keeps {kept}, for ever; WITH (ttl = '7 days') after the view's name lets go of what came from older rows, as do a window, and \
         WHERE with a comparison of the event time with now() - INTERVAL '7 days'",
        node.key
    );
    text
}
