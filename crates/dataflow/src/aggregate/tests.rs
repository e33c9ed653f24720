//! Groups under insertions and retractions: values, windows that close, overflow, snapshots.

#![allow(clippy::unwrap_used)]

use headwater_sql::graph::{Changelog, Graph, Op};

use super::Aggregate;
use crate::testing::*;
use crate::{Dataflow, Delta, ErrorAt, Operator, RowKind, StepContext};

const SECOND: i64 = 1_000_000;

fn grouped(group: &[&str], calls: &[&str], close: Option<usize>, changelog: Changelog) -> Graph {
    let mut b = Builder::default();
    let l = b.relation("l", row_schema(), changelog);
    b.aggregate(l, group, calls, close);
    b.graph()
}

fn k(k: i64, f: f64) -> Row {
    (Some(k), None, Some(f), None, None)
}

fn at(second: i64, text: &str) -> Row {
    (None, Some(text.into()), None, None, Some(second * SECOND))
}

fn step(dataflow: &mut Dataflow, changes: &[(Row, bool)]) -> Vec<Delta> {
    dataflow
        .step([("l", vec![delta(changes)])], &mut context())
        .unwrap()
}

/// `kind text` of every row.
fn shown(deltas: &[Delta]) -> Vec<String> {
    let of = |d: &Delta| {
        let lines = texts(&d.rows).into_iter().enumerate();
        lines
            .map(|(row, text)| format!("{:?} {text}", d.kind(row)))
            .collect::<Vec<_>>()
    };
    deltas.iter().flat_map(of).collect()
}

#[test]
fn a_step_gives_net_changes() {
    let mut dataflow =
        Dataflow::new(&grouped(&["k"], &["count|"], None, Changelog::Retracting)).unwrap();
    assert_eq!(
        shown(&step(
            &mut dataflow,
            &[(k(1, 0.), true), (k(2, 0.), true), (k(1, 0.), true)]
        )),
        ["Insert 1|2", "Insert 2|1"]
    );
    let mixed = [
        (k(2, 0.), false),
        (k(1, 0.), true),
        (k(3, 0.), true),
        (k(3, 0.), false),
    ];
    assert_eq!(
        shown(&step(&mut dataflow, &mixed)),
        ["Delete 2|1", "UpdateBefore 1|2", "UpdateAfter 1|3"]
    );
    assert_eq!(
        shown(&step(&mut dataflow, &[(k(1, 0.), true), (k(1, 0.), false)])),
        Vec::<String>::new()
    );
    assert_eq!(
        dataflow.status()[1].state_rows,
        1,
        "groups without rows are gone"
    );
}

#[test]
fn ids_of_gone_groups_start_afresh() {
    let calls = ["count|", "sum|f", "min|f", "count|f|distinct", "sum|d"];
    let mut dataflow =
        Dataflow::new(&grouped(&["k"], &calls, None, Changelog::Retracting)).unwrap();
    for key in 0..50 {
        step(&mut dataflow, &[(k(key, 5.0), true)]);
        step(&mut dataflow, &[(k(key, 5.0), false)]);
    }
    assert_eq!(
        shown(&step(&mut dataflow, &[(k(99, 1.0), true)])),
        ["Insert 99|1|1.0|1.0|1|NULL"]
    );
    assert!(
        dataflow.state_bytes() < 20_000,
        "{}",
        dataflow.state_bytes()
    );
}

#[test]
fn a_global_aggregate_always_has_its_row() {
    let mut dataflow = Dataflow::new(&grouped(
        &[],
        &["count|", "sum|f"],
        None,
        Changelog::Retracting,
    ))
    .unwrap();
    assert_eq!(shown(&step(&mut dataflow, &[])), ["Insert 0|NULL"]);
    assert_eq!(shown(&step(&mut dataflow, &[])), Vec::<String>::new());
    assert_eq!(
        shown(&step(&mut dataflow, &[(k(1, 2.0), true)])),
        ["UpdateBefore 0|NULL", "UpdateAfter 1|2.0"]
    );
    assert_eq!(
        shown(&step(&mut dataflow, &[(k(1, 2.0), false)])),
        ["UpdateBefore 1|2.0", "UpdateAfter 0|NULL"]
    );
}

#[test]
fn float_sums_forget_what_was_taken_back() {
    let mut dataflow = Dataflow::new(&grouped(
        &[],
        &["sum|f", "avg|f"],
        None,
        Changelog::Retracting,
    ))
    .unwrap();
    let mut last = |value: f64, comes: bool| {
        shown(&step(&mut dataflow, &[(k(1, value), comes)]))
            .pop()
            .unwrap_or_default()
    };
    last(0.1, true);
    last(1e300, true);
    last(1e16, true);
    last(1e300, false);
    assert_eq!(last(1e16, false), "UpdateAfter 0.1|0.1");
    assert_eq!(last(f64::NAN, true), "UpdateAfter NaN|NaN");
    assert_eq!(last(f64::INFINITY, true), "", "still NaN");
    assert_eq!(last(f64::NAN, false), "UpdateAfter inf|inf");
    assert_eq!(last(f64::NEG_INFINITY, true), "UpdateAfter NaN|NaN");
    last(f64::INFINITY, false);
    assert_eq!(last(f64::NEG_INFINITY, false), "UpdateAfter 0.1|0.1");
    last(f64::MAX, true);
    assert_eq!(last(f64::MAX, true), "UpdateAfter inf|inf");
    assert_eq!(
        last(f64::MAX, false),
        "UpdateAfter 1.7976931348623157e308|8.988465674311579e307"
    );
}

#[test]
fn a_sum_that_does_not_fit_withholds_its_group_while_it_lasts() {
    let calls = [
        "sum|cast(d as decimal(38, 2)) * cast('1000000000000000000000000000000' as decimal(38, 0))",
    ];
    let mut dataflow =
        Dataflow::new(&grouped(&["k"], &calls, None, Changelog::Retracting)).unwrap();
    let big = |d: i128| (Some(1), None, None, Some(d), None);
    let mut run = |row: Row, comes: bool| {
        let mut ctx = context();
        let out = dataflow
            .step([("l", vec![delta(&[(row, comes)])])], &mut ctx)
            .unwrap();
        (shown(&out).len(), ctx.errors)
    };
    assert_eq!(run(big(60_000_000), true).0, 1);
    let (rows, errors) = run(big(60_000_000), true);
    assert_eq!(rows, 1, "the row is taken back");
    assert!(
        matches!(&errors[..], [e] if matches!(&e.at, ErrorAt::Withheld { key, holds: true } if key == "g0=1")),
        "{errors:?}"
    );
    assert!(run(big(90_000_000), true).1.is_empty(), "told once");
    assert_eq!(run(big(90_000_000), false).0, 0);
    let (rows, errors) = run(big(60_000_000), false);
    assert_eq!(rows, 1, "it is back");
    assert!(matches!(&errors[..], [e] if matches!(&e.at, ErrorAt::Withheld { holds: false, .. })));
}

#[test]
fn failing_arguments_leave_their_rows_out() {
    let mut dataflow = Dataflow::new(&grouped(
        &["s"],
        &["sum|cast(10 / k as decimal(38, 0))||k < 100", "count|"],
        None,
        Changelog::AppendOnly,
    ))
    .unwrap();
    let row = |k: i64| ((Some(k), Some("a".to_owned()), None, None, None), true);
    let mut one = delta(&[row(1), row(0), row(5), row(0)]);
    one.origin = Some(origin(4, 100, i64::MIN));
    let mut ctx = context();
    let out = dataflow.step([("l", vec![one])], &mut ctx).unwrap();
    assert_eq!(shown(&out), ["Insert a|12|2"]);
    let offsets: Vec<i64> = ctx
        .errors
        .iter()
        .map(|e| match e.at {
            ErrorAt::Row { offset, .. } => offset,
            ErrorAt::Withheld { .. } => -1,
        })
        .collect();
    assert_eq!(offsets, [101, 103]);
}

#[test]
fn a_filter_shields_its_argument() {
    let graph = grouped(
        &[],
        &["count|10 / k||k <> 0", "count|"],
        None,
        Changelog::AppendOnly,
    );
    let mut dataflow = Dataflow::new(&graph).unwrap();
    let mut ctx = context();
    let rows = delta(&[(k(0, 0.), true), (k(2, 0.), true)]);
    let out = dataflow.step([("l", vec![rows])], &mut ctx).unwrap();
    assert_eq!(
        (shown(&out), ctx.errors.len()),
        (vec!["Insert 1|2".to_owned()], 0)
    );
}

fn closing() -> Dataflow {
    Dataflow::new(&grouped(
        &["s", "t"],
        &["count|", "count|s|distinct"],
        Some(1),
        Changelog::AppendOnly,
    ))
    .unwrap()
}

/// One step of rows from a partition whose watermark is `own`; the step's is `all`.
fn close_step(
    dataflow: &mut Dataflow,
    rows: &[Row],
    own: i64,
    all: i64,
) -> (Vec<String>, StepContext) {
    let changes: Vec<(Row, bool)> = rows.iter().map(|r| (r.clone(), true)).collect();
    let mut delta = delta(&changes);
    delta.origin = Some(origin(rows.len(), 0, own));
    let mut ctx = StepContext {
        watermark_us: all,
        ..context()
    };
    let out = dataflow.step([("l", vec![delta])], &mut ctx).unwrap();
    (
        shown(&out)
            .iter()
            .map(|s| s.replace("1970-01-01T00:00:", ""))
            .collect(),
        ctx,
    )
}

#[test]
fn windows_are_emitted_once_when_they_close() {
    let mut dataflow = closing();
    let rows = [at(20, "b"), at(10, "b"), at(10, "a"), at(10, "b")];
    assert!(
        close_step(&mut dataflow, &rows, i64::MIN, 10 * SECOND - 1)
            .0
            .is_empty(),
        "not before its end"
    );
    assert_eq!(
        close_step(&mut dataflow, &[], i64::MIN, 10 * SECOND).0,
        ["Insert a|10Z|1|1", "Insert b|10Z|2|1"]
    );
    assert_eq!(
        dataflow.status()[1].state_rows,
        1,
        "emitted groups are forgotten"
    );
    assert!(
        close_step(&mut dataflow, &[], i64::MIN, 10 * SECOND)
            .0
            .is_empty()
    );
    assert_eq!(
        close_step(&mut dataflow, &[at(30, "c")], i64::MIN, i64::MAX).0,
        ["Insert b|20Z|1|1", "Insert c|30Z|1|1"]
    );
    assert_eq!(dataflow.status()[1].state_rows, 0);
}

#[test]
fn rows_of_closed_windows_are_late() {
    let mut dataflow = closing();
    let (_, ctx) = close_step(
        &mut dataflow,
        &[at(10, "a"), at(11, "b")],
        10 * SECOND,
        5 * SECOND,
    );
    assert_eq!(
        texts(&ctx.late[0].rows),
        [texts(&rows(&[at(10, "a")]))[0].clone()],
        "its own partition is past the window"
    );
    assert_eq!(ctx.late[0].origin.as_ref().unwrap().offset[0], 0);
    // The partition was idle: the window closed without it.
    close_step(&mut dataflow, &[], 0, 15 * SECOND);
    let mut again = {
        let mut bytes = Vec::new();
        dataflow.snapshot(&mut bytes).unwrap();
        let mut fresh = closing();
        fresh.restore(&mut bytes.as_slice()).unwrap();
        fresh
    };
    let (_, ctx) = close_step(
        &mut again,
        &[at(15, "x"), at(16, "y")],
        i64::MIN,
        15 * SECOND,
    );
    assert_eq!(
        ctx.late.iter().map(|l| l.rows.num_rows()).sum::<usize>(),
        1,
        "what has closed survives a restart"
    );
    assert_eq!(
        close_step(&mut again, &[], 0, i64::MAX).0,
        ["Insert y|16Z|1|1"]
    );
}

#[test]
fn retention_forgets_old_groups_in_silence() {
    let mut graph = grouped(
        &["s", "t"],
        &["count|", "min|s"],
        None,
        Changelog::Retracting,
    );
    graph.nodes[1].props.window_end = Some(1);
    let mut dataflow = Dataflow::new(&graph).unwrap();
    step(&mut dataflow, &[(at(10, "a"), true), (at(20, "a"), true)]);
    dataflow.retain(10 * SECOND).unwrap();
    assert_eq!(
        dataflow.status()[1].state_rows,
        2,
        "as views: the bound itself stays"
    );
    dataflow.retain(10 * SECOND + 1).unwrap();
    assert_eq!(dataflow.status()[1].state_rows, 1);
    assert!(step(&mut dataflow, &[]).is_empty());
    let out = step(&mut dataflow, &[(at(20, "a"), true)]);
    assert_eq!(out[0].kind(0), RowKind::UpdateBefore);
    // It would come back with a part of its rows.
    let mut bytes = Vec::new();
    dataflow.snapshot(&mut bytes).unwrap();
    let mut again = Dataflow::new(&graph).unwrap();
    again.restore(&mut bytes.as_slice()).unwrap();
    for dataflow in [&mut dataflow, &mut again] {
        assert!(step(dataflow, &[(at(10, "b"), true), (at(10, "a"), false)]).is_empty());
        assert_eq!(dataflow.status()[1].state_rows, 1);
    }
}

#[test]
fn another_version_of_the_state_is_refused() {
    let dataflow = closing();
    let mut bytes = Vec::new();
    dataflow.snapshot(&mut bytes).unwrap();
    assert!(closing().restore(&mut &bytes[..bytes.len() - 1]).is_err());
    bytes[0] = 9;
    assert!(
        closing()
            .restore(&mut bytes.as_slice())
            .unwrap_err()
            .to_string()
            .contains("version 9")
    );
}

/// An operator of its own: the last node of a graph of two.
fn operator(graph: &Graph) -> Box<dyn Operator> {
    let Op::Aggregate(plan) = &graph.nodes[1].op else {
        panic!("not an aggregate")
    };
    Box::new(Aggregate::new(&graph.nodes[1], plan, &row_schema(), true).unwrap())
}

#[test]
fn divided_by_key_it_gives_the_same_rows() {
    let calls = ["count|", "sum|f", "min|s", "count|s|distinct", "sum|d"];
    let changes: Vec<(Row, bool)> = (0..240)
        .map(|n: i64| {
            let of = n % 60;
            let key = (of % 7 != 0).then_some(of % 13);
            let text = format!("t{}", of % 5);
            let row = (
                key,
                Some(text),
                Some(of as f64),
                Some(i128::from(of)),
                Some(of % 4 * SECOND),
            );
            (row, n < 60 || n % 2 == 0 || n >= 180)
        })
        .collect();
    for (group, close) in [
        (&["k"][..], None),
        (&["k", "s"], None),
        (&["s", "t"], Some(1)),
    ] {
        let changes: Vec<(Row, bool)> = changes
            .iter()
            .filter(|c| close.is_none() || c.1)
            .cloned()
            .collect();
        let graph = grouped(group, &calls, close, Changelog::Retracting);
        let steps: Vec<(Delta, i64)> = changes
            .chunks(11)
            .map(|c| (delta(c), i64::MIN))
            .chain([(delta(&[]), 2 * SECOND), (delta(&[]), i64::MAX)])
            .collect();
        let whole = divided(&|| operator(&graph), &steps, usize::MAX);
        assert!(!whole.0.is_empty());
        for at in [0, 3, 9, steps.len() - 1] {
            assert_eq!(
                divided(&|| operator(&graph), &steps, at),
                whole,
                "{group:?} at {at}"
            );
        }
    }
}

#[test]
fn closing_windows_say_when_they_are_due() {
    let graph = grouped(&["s", "t"], &["count|"], Some(1), Changelog::AppendOnly);
    let mut op = operator(&graph);
    assert_eq!(op.due().watermark_us, None);
    op.push(
        0,
        delta(&[(at(7, "a"), true), (at(4, "b"), true)]),
        &mut context(),
    )
    .unwrap();
    assert_eq!(op.due().watermark_us, Some(4 * SECOND));
    op.finish(&mut StepContext {
        watermark_us: 5 * SECOND,
        ..context()
    })
    .unwrap();
    assert_eq!(op.due().watermark_us, Some(7 * SECOND));
}
