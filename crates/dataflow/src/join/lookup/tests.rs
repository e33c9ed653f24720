//! Joined rows are as they were when their left row came.

#![allow(clippy::unwrap_used)]

use headwater_sql::graph::{Changelog, Graph, JoinKind, Op};

use crate::testing::*;
use crate::{Dataflow, Delta};

fn looked_up(kind: JoinKind, filter: Option<&str>) -> Graph {
    let mut b = Builder::default();
    let l = b.relation("l", row_schema(), Changelog::AppendOnly);
    let r = b.relation("r", row_schema(), Changelog::Retracting);
    let join = b.join(kind, [l, r], &[("k", "k")], filter);
    b.project(join, &[("k", "k"), ("s", "s"), ("s_r", "t")]);
    let mut graph = b.graph();
    for node in &mut graph.nodes {
        if let Op::Join(join) = &mut node.op {
            join.lookup = true;
        }
    }
    graph
}

fn row(k: i64, s: &str) -> Row {
    (Some(k), Some(s.into()), None, None, None)
}

fn step(dataflow: &mut Dataflow, inputs: &[(&str, Vec<(Row, bool)>)]) -> Vec<String> {
    let inputs = inputs.iter().map(|(name, rows)| (*name, vec![delta(rows)]));
    let out = dataflow
        .step(inputs.collect::<Vec<_>>(), &mut context())
        .unwrap();
    let lines = |d: &Delta| {
        assert!(d.weights().is_none(), "rows are only added");
        texts(&d.rows)
    };
    out.iter().flat_map(lines).collect()
}

#[test]
fn a_row_meets_what_is_there_at_the_end_of_its_step_and_keeps_it() {
    let mut dataflow = Dataflow::new(&looked_up(JoinKind::Left, None)).unwrap();
    assert_eq!(
        step(&mut dataflow, &[("l", vec![(row(1, "x"), true)])]),
        ["1|x|NULL"]
    );
    // Whichever input of the step comes first.
    let both = [
        ("l", vec![(row(1, "y"), true)]),
        ("r", vec![(row(1, "a"), true)]),
    ];
    assert_eq!(step(&mut dataflow, &both), ["1|y|a"]);
    let change = vec![(row(1, "a"), false), (row(1, "b"), true)];
    assert_eq!(step(&mut dataflow, &[("r", change)]), Vec::<String>::new());
    let twice = vec![
        (row(1, "x"), true),
        (row(1, "x"), true),
        (row(2, "z"), true),
    ];
    assert_eq!(
        step(&mut dataflow, &[("l", twice)]),
        ["1|x|b", "1|x|b", "2|z|NULL"]
    );
    assert_eq!(dataflow.status()[2].state_rows, 1, "no left row is kept");
    step(&mut dataflow, &[("r", vec![(row(1, "b"), false)])]);
    assert_eq!(dataflow.status()[2].state_rows, 0);
}

#[test]
fn an_inner_look_up_drops_what_meets_nothing_and_its_condition_counts() {
    let mut dataflow = Dataflow::new(&looked_up(JoinKind::Inner, Some("s <> s_r"))).unwrap();
    step(
        &mut dataflow,
        &[("r", vec![(row(1, "a"), true), (row(1, "b"), true)])],
    );
    let rows = vec![(row(1, "a"), true), (row(3, "c"), true)];
    assert_eq!(step(&mut dataflow, &[("l", rows)]), ["1|a|b"]);
}

#[test]
fn a_restored_state_goes_on_as_the_one_it_was_made_from() {
    let graph = looked_up(JoinKind::Left, None);
    let mut first = Dataflow::new(&graph).unwrap();
    let both = [
        ("r", vec![(row(1, "a"), true)]),
        ("l", vec![(row(1, "x"), true)]),
    ];
    step(&mut first, &both);
    let mut bytes = Vec::new();
    first.snapshot(&mut bytes).unwrap();
    let mut second = Dataflow::new(&graph).unwrap();
    second.restore(&mut bytes.as_slice()).unwrap();
    let next = [
        ("l", vec![(row(1, "y"), true)]),
        ("r", vec![(row(1, "a"), false)]),
    ];
    assert_eq!(step(&mut first, &next), step(&mut second, &next));
    assert_eq!(second.status()[2].state_rows, 0);
}
