//! Joined rows follow both sides, whichever came first.

#![allow(clippy::unwrap_used)]

use headwater_sql::graph::{Changelog, Graph, JoinKind};

use crate::testing::*;
use crate::{Dataflow, Delta, RowKind, consolidate};

fn joined(kind: JoinKind, filter: Option<&str>) -> Graph {
    over(Changelog::AppendOnly, kind, filter)
}

fn over(left: Changelog, kind: JoinKind, filter: Option<&str>) -> Graph {
    let mut b = Builder::default();
    let l = b.relation("l", row_schema(), left);
    let r = b.relation("r", row_schema(), Changelog::Retracting);
    let j = b.join(kind, [l, r], &[("k", "k")], filter);
    b.project(j, &[("k", "k"), ("s", "s"), ("s_r", "t")]);
    b.graph()
}

fn row(k: Option<i64>, s: &str) -> Row {
    (k, Some(s.into()), None, None, None)
}

fn step(dataflow: &mut Dataflow, relation: &str, changes: &[(Row, bool)]) -> Vec<String> {
    let out = dataflow
        .step([(relation, vec![delta(changes)])], &mut context())
        .unwrap();
    shown(&out)
}

fn shown(deltas: &[Delta]) -> Vec<String> {
    let sign = |kind: RowKind| if kind.adds() { '+' } else { '-' };
    let of = |d: &Delta| {
        let lines = texts(&d.rows).into_iter().enumerate();
        lines
            .map(|(row, text)| format!("{}{text}", sign(d.kind(row))))
            .collect::<Vec<_>>()
    };
    deltas.iter().flat_map(of).collect()
}

#[test]
fn a_left_row_waits_for_its_match_with_nulls() {
    let mut dataflow = Dataflow::new(&joined(JoinKind::Left, None)).unwrap();
    assert_eq!(
        step(&mut dataflow, "l", &[(row(Some(1), "x"), true)]),
        ["+1|x|NULL"]
    );
    assert_eq!(
        step(&mut dataflow, "r", &[(row(Some(1), "a"), true)]),
        ["-1|x|NULL", "+1|x|a"]
    );
    let change = [(row(Some(1), "a"), false), (row(Some(1), "b"), true)];
    assert_eq!(
        step(&mut dataflow, "r", &change),
        ["-1|x|a", "+1|x|b"],
        "no detour over NULL"
    );
    assert_eq!(
        step(&mut dataflow, "r", &[(row(Some(1), "b"), false)]),
        ["-1|x|b", "+1|x|NULL"]
    );
    assert_eq!(
        step(&mut dataflow, "l", &[(row(Some(1), "x"), false)]),
        ["-1|x|NULL"]
    );
    assert_eq!(dataflow.status()[2].state_rows, 0);
}

#[test]
fn null_keys_match_nothing() {
    let mut dataflow = Dataflow::new(&joined(JoinKind::Left, None)).unwrap();
    assert!(step(&mut dataflow, "r", &[(row(None, "a"), true)]).is_empty());
    assert_eq!(
        step(&mut dataflow, "l", &[(row(None, "x"), true)]),
        ["+NULL|x|NULL"]
    );
    assert_eq!(
        step(&mut dataflow, "l", &[(row(None, "x"), false)]),
        ["-NULL|x|NULL"]
    );
    let mut inner = Dataflow::new(&joined(JoinKind::Inner, None)).unwrap();
    assert!(step(&mut inner, "l", &[(row(None, "x"), true)]).is_empty());
}

#[test]
fn the_residual_condition_decides_what_matches() {
    let mut dataflow = Dataflow::new(&joined(JoinKind::Left, Some("s <> s_r"))).unwrap();
    step(
        &mut dataflow,
        "l",
        &[(row(Some(1), "x"), true), (row(Some(1), "y"), true)],
    );
    assert_eq!(
        step(&mut dataflow, "r", &[(row(Some(1), "x"), true)]),
        ["-1|y|NULL", "+1|y|x"]
    );
    assert_eq!(
        step(&mut dataflow, "l", &[(row(Some(1), "x"), true)]),
        ["+1|x|NULL"]
    );
    let mut out = step(&mut dataflow, "r", &[(row(Some(1), "z"), true)]);
    out.sort();
    assert_eq!(
        out,
        ["+1|x|z", "+1|x|z", "+1|y|z", "-1|x|NULL", "-1|x|NULL"]
    );
    assert_eq!(
        step(&mut dataflow, "r", &[(row(Some(1), "x"), false)]),
        ["-1|y|x"]
    );
}

#[test]
fn equal_rows_are_counted() {
    let mut dataflow = Dataflow::new(&over(Changelog::Retracting, JoinKind::Inner, None)).unwrap();
    step(
        &mut dataflow,
        "l",
        &[(row(Some(1), "x"), true), (row(Some(1), "x"), true)],
    );
    assert_eq!(dataflow.status()[2].state_rows, 1);
    assert_eq!(
        step(&mut dataflow, "r", &[(row(Some(1), "a"), true)]),
        ["+1|x|a", "+1|x|a"]
    );
    assert_eq!(
        step(&mut dataflow, "l", &[(row(Some(1), "x"), false)]),
        ["-1|x|a"]
    );
    assert_eq!(
        step(
            &mut dataflow,
            "r",
            &[(row(Some(1), "a"), true), (row(Some(1), "a"), false)]
        ),
        Vec::<String>::new()
    );
}

#[test]
fn what_the_stream_drives_keeps_its_origin() {
    let graph = joined(JoinKind::Left, None);
    let mut dataflow = Dataflow::new(&graph).unwrap();
    let mut left = delta(&[(row(Some(1), "x"), true), (row(Some(2), "y"), true)]);
    left.origin = Some(origin(2, 40, 7));
    let mut right = delta(&[(row(Some(2), "a"), true), (row(Some(2), "b"), true)]);
    right.origin = Some(origin(2, 90, 7));
    dataflow.push("r", right.clone(), &mut context()).unwrap();
    let out = dataflow.step([("l", vec![left])], &mut context()).unwrap();
    assert_eq!(
        out[0].origin.as_ref().unwrap().offset.as_ref(),
        [41, 41, 40]
    );
    let out = dataflow.step([("r", vec![right])], &mut context()).unwrap();
    assert!(
        out.iter().all(|d| d.origin.is_none()),
        "a table's change speaks of many rows"
    );
}

#[test]
fn consolidation_pairs_the_old_and_the_new_row_of_a_key() {
    let mut dataflow = Dataflow::new(&joined(JoinKind::Left, None)).unwrap();
    let mut ctx = context();
    let mut out = dataflow
        .step(
            [(
                "l",
                vec![delta(&[
                    (row(Some(1), "x"), true),
                    (row(Some(2), "y"), true),
                ])],
            )],
            &mut ctx,
        )
        .unwrap();
    let first = consolidate(&out, Some(&[0])).unwrap().unwrap();
    assert!(first.kinds.is_none());
    out = dataflow
        .step([("r", vec![delta(&[(row(Some(1), "a"), true)])])], &mut ctx)
        .unwrap();
    let second = consolidate(&out, Some(&[0])).unwrap().unwrap();
    assert_eq!(
        second.kinds.as_deref(),
        Some(&[RowKind::UpdateBefore, RowKind::UpdateAfter][..])
    );
    assert_eq!(texts(&second.rows), ["1|x|NULL", "1|x|a"]);
    let there_and_back = [
        delta(&[(row(Some(5), "p"), true)]),
        delta(&[(row(Some(5), "p"), false)]),
    ];
    assert!(consolidate(&there_and_back, None).unwrap().is_none());
}

#[test]
fn space_of_rows_that_left_is_used_again() {
    let mut dataflow = Dataflow::new(&joined(JoinKind::Inner, None)).unwrap();
    let mut most = 0;
    for round in 0..60 {
        let rows: Vec<Row> = (0..500)
            .map(|n| row(Some(n + round * 1000), "some text that takes its space"))
            .collect();
        step(
            &mut dataflow,
            "l",
            &rows.iter().map(|r| (r.clone(), true)).collect::<Vec<_>>(),
        );
        if round == 2 {
            most = dataflow.state_bytes();
        }
        step(
            &mut dataflow,
            "l",
            &rows.iter().map(|r| (r.clone(), false)).collect::<Vec<_>>(),
        );
    }
    assert_eq!(dataflow.status()[2].state_rows, 0);
    assert!(
        dataflow.state_bytes() <= most * 2,
        "{} of {most}",
        dataflow.state_bytes()
    );
}
