//! Window functions and first rows: keys that fail, division, retention, rows that are there twice.

#![allow(clippy::unwrap_used)]

use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use headwater_sql::graph::{Changelog, Graph, Node, Op, Props, Rank, TopN};
use headwater_sql::model::Emit;
use proptest::prelude::*;

use super::top::Top;
use crate::testing::*;
use crate::{Dataflow, Delta, Operator, StepContext};

const SECOND: i64 = 1_000_000;

fn top(
    partition: &[usize],
    rank: Rank,
    (from, to): (u64, u64),
    window_end: Option<usize>,
) -> Graph {
    let mut b = Builder::default();
    let l = b.relation("l", row_schema(), Changelog::Retracting);
    let mut fields: Vec<Field> = row_schema()
        .fields()
        .iter()
        .map(|f| f.as_ref().clone())
        .collect();
    fields.push(Field::new("n", DataType::UInt64, true));
    let order = vec![(
        2,
        SortOptions {
            descending: true,
            nulls_first: false,
        },
    )];
    b.0.push(Node {
        id: 1,
        key: "top-1".into(),
        op: Op::TopN(TopN {
            partition: partition.to_vec(),
            order,
            rank,
            from,
            to,
            numbered: true,
        }),
        inputs: vec![l],
        schema: std::sync::Arc::new(Schema::new(fields)),
        props: Props {
            changelog: Changelog::Retracting,
            key: None,
            event_time: None,
            window_end,
        },
    });
    b.graph()
}

fn operator(graph: &Graph, retracts: bool) -> Box<dyn Operator> {
    let Op::TopN(plan) = &graph.nodes[1].op else {
        panic!("not a top")
    };
    Box::new(Top::new(&graph.nodes[1], plan, &row_schema(), retracts).unwrap())
}

fn row(k: i64, f: f64) -> Row {
    (
        Some(k),
        Some(format!("{k}")),
        Some(f),
        None,
        Some(k * SECOND),
    )
}

fn after(op: &mut dyn Operator, changes: &[(Row, bool)]) -> View {
    let mut view = View::default();
    view.apply(&op.push(0, delta(changes), &mut context()).unwrap());
    view.apply(&op.finish(&mut context()).unwrap());
    view
}

#[test]
fn of_rows_that_only_come_those_that_matter_are_kept() {
    let mut op = operator(&top(&[0], Rank::Row, (1, 2), None), false);
    let many: Vec<(Row, bool)> = (0..1_000)
        .map(|n| (row(n % 10, (n * 7 % 1_000) as f64), true))
        .collect();
    let view = after(op.as_mut(), &many);
    assert_eq!((view.0.len(), op.state_rows()), (20, 20));
    let mut ranked = operator(&top(&[0], Rank::Rank, (1, 1), None), false);
    let peers = [
        (row(1, 5.), true),
        (row(1, 5.), true),
        (row(1, 4.), true),
        (row(1, 6.), true),
    ];
    after(ranked.as_mut(), &peers[..3]);
    assert_eq!(ranked.state_rows(), 2, "both peers");
    assert_eq!(
        after(
            &mut *operator(&top(&[0], Rank::Rank, (1, 1), None), false),
            &peers
        )
        .0
        .len(),
        1
    );
}

#[test]
fn divided_by_key_it_gives_the_same_rows() {
    let changes: Vec<(Row, bool)> = (0..200)
        .map(|n: i64| {
            (
                row(n % 60 % 13, (n % 60 * 7 % 11) as f64),
                n < 60 || n % 2 == 0 || n >= 180,
            )
        })
        .collect();
    let steps: Vec<(Delta, i64)> = changes.chunks(11).map(|c| (delta(c), i64::MIN)).collect();
    for (rank, bounds) in [
        (Rank::Row, (1, 2)),
        (Rank::Rank, (1, 3)),
        (Rank::Dense, (2, 2)),
    ] {
        let graph = top(&[0], rank, bounds, None);
        let make = || operator(&graph, true);
        let whole = divided(&make, &steps, usize::MAX);
        assert!(!whole.0.is_empty());
        for at in [0, 5, steps.len() - 1] {
            assert_eq!(divided(&make, &steps, at), whole, "{rank:?} at {at}");
        }
    }
}

#[test]
fn windows_that_are_gone_stay_gone() {
    let graph = top(&[4], Rank::Row, (1, 1), Some(4));
    let mut op = operator(&graph, false);
    after(op.as_mut(), &[(row(1, 1.), true), (row(9, 1.), true)]);
    op.retain(5 * SECOND).unwrap();
    assert_eq!(op.state_rows(), 1);
    let mut ctx = context();
    op.push(
        0,
        delta(&[(row(1, 9.), true), (row(9, 9.), true)]),
        &mut ctx,
    )
    .unwrap();
    assert_eq!(ctx.late.iter().map(|l| l.rows.num_rows()).sum::<usize>(), 1);
    assert_eq!(
        op.finish(&mut ctx)
            .unwrap()
            .iter()
            .map(Delta::len)
            .sum::<usize>(),
        2
    );
}

/// As if nobody had seen that the bounds of sessions are read by one aggregate only.
fn with_bounds(mut graph: Graph) -> Graph {
    for node in &mut graph.nodes {
        match &mut node.op {
            Op::Over(plan) => plan.labels = None,
            Op::Aggregate(plan) => plan.session = None,
            _ => {}
        }
    }
    graph
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// The watermark moves on by a second a step; rows come up to six seconds before and behind it.
    #[test]
    fn labelled_sessions_end_and_are_late_as_those_with_bounds(
        steps in prop::collection::vec(prop::collection::vec((0i64..16, -6i64..6), 0..5), 40..90),
    ) {
        let query = "SELECT k, window_start, window_end, count(*) AS n, max(f) AS m FROM \
            SESSION(l PARTITION BY k, t, INTERVAL '3 seconds') GROUP BY k, window_start, window_end";
        let graph = crate::law::planned(query, Emit::Changes, true);
        let mut running = [&graph, &with_bounds(graph.clone())].map(|g| Dataflow::new(g).unwrap());
        let mut views = [View::default(), View::default()];
        let mut most = [0, 0];
        for (now, step) in (0i64..).zip(&steps) {
            let row = |(k, t): &(i64, i64)| (Some(*k), None, Some(*t as f64), None, Some((now + t) * SECOND));
            let rows: Vec<(Row, bool)> = step.iter().map(|r| (row(r), true)).collect();
            let mut late = [0, 0];
            for (at, running) in running.iter_mut().enumerate() {
                let mut ctx = StepContext { watermark_us: now * SECOND, ..context() };
                views[at].apply(&running.step([("l", vec![delta(&rows)])], &mut ctx).unwrap());
                late[at] = ctx.late.iter().map(|l| l.rows.num_rows()).sum();
                most[at] = most[at].max(running.status().iter().map(|n| n.state_rows).sum());
            }
            prop_assert_eq!(&views[0], &views[1], "at {}", now);
            prop_assert_eq!(late[0], late[1], "late at {}", now);
        }
        // What ended is forgotten by both; a group as late as its label says, so a little more is there.
        prop_assert!(most[0] <= 2 * most[1], "{:?} rows", most);
    }
}
