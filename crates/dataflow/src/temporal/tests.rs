//! A temporal filter against the condition itself, over random rows, steps, clocks and restarts.
#![allow(clippy::unwrap_used)]

use headwater_sql::graph::Graph;
use headwater_sql::model::Emit;
use proptest::prelude::*;

use crate::law::planned;
use crate::testing::*;
use crate::{Dataflow, StepContext};

const SECOND: i64 = 1_000_000;

/// What a row's condition says at a time, for the SQL beside it. `t` is the row's time, both in microseconds.
type Holds = fn(i64, i64) -> bool;

const CONDITIONS: [(&str, Holds); 9] = [
    ("t > now() - INTERVAL '5 seconds'", |t, now| {
        t > now - 5 * SECOND
    }),
    ("t >= now() - INTERVAL '5 seconds'", |t, now| {
        t >= now - 5 * SECOND
    }),
    ("now() > t", |t, now| now > t),
    ("t + INTERVAL '3 seconds' <= now()", |t, now| {
        t + 3 * SECOND <= now
    }),
    (
        "t BETWEEN now() - INTERVAL '4 seconds' AND now() + INTERVAL '1 second'",
        |t, now| (now - 4 * SECOND..=now + SECOND).contains(&t),
    ),
    ("now() - t < INTERVAL '2 seconds' AND k > 0", |t, now| {
        now - t < 2 * SECOND
    }),
    ("t >= date_trunc('minute', now())", |t, now| {
        t >= now - now.rem_euclid(60 * SECOND)
    }),
    (
        "t < date_trunc('minute', now()) - INTERVAL '1 second'",
        |t, now| t < now - now.rem_euclid(60 * SECOND) - SECOND,
    ),
    ("CAST(t AS DATE) = current_date", |t, now| {
        t.div_euclid(86_400 * SECOND) == now.div_euclid(86_400 * SECOND)
    }),
];

fn graph(condition: &str) -> Graph {
    let text = format!("SELECT * FROM l WHERE {condition}");
    planned(&text, Emit::Changes, false)
}

#[derive(Clone, Debug)]
struct Step {
    changes: Vec<(i64, i64, Option<usize>)>,
    wait_us: i64,
    restart: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let change = (
        0i64..3,
        50 * SECOND..75 * SECOND,
        proptest::option::weighted(0.3, 0usize..100),
    );
    let step = (
        prop::collection::vec(change, 0..6),
        -SECOND..6 * SECOND,
        prop::bool::weighted(0.2),
    )
        .prop_map(|(changes, wait_us, restart)| Step {
            changes,
            wait_us,
            restart,
        });
    prop::collection::vec(step, 1..14)
}

fn check(condition: &str, holds: Holds, steps: &[Step]) {
    let graph = graph(condition);
    let mut running = Dataflow::new(&graph).unwrap();
    let (mut live, mut view): (Vec<Row>, View) = (Vec::new(), View::default());
    let (mut clock, mut latest) = (55 * SECOND, i64::MIN);
    for step in steps {
        if step.restart {
            running = reborn(&graph, &running);
        }
        let mut changes = Vec::new();
        for (k, t, goes) in &step.changes {
            match goes {
                Some(pick) if !live.is_empty() => {
                    changes.push((live.swap_remove(pick % live.len()), false))
                }
                _ => {
                    let row: Row = (Some(*k), None, None, None, Some(*t));
                    live.push(row.clone());
                    changes.push((row, true));
                }
            }
        }
        clock += step.wait_us;
        latest = latest.max(clock);
        let mut ctx = StepContext {
            now_us: clock,
            ..context()
        };
        let deltas = if changes.is_empty() {
            vec![]
        } else {
            vec![("l", vec![delta(&changes)])]
        };
        view.apply(&running.step(deltas, &mut ctx).unwrap());
        let wanted: Vec<Row> = live
            .iter()
            .filter(|row| {
                holds(row.4.unwrap(), latest) && (!condition.contains("k > 0") || row.0 > Some(0))
            })
            .cloned()
            .collect();
        assert_eq!(view, View::of(&[rows(&wanted)]), "{condition} at {latest}");
        assert!(
            running.due().clock_us.is_none_or(|due| due > latest),
            "due in the past"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn rows_are_there_while_their_condition_holds(steps in steps()) {
        for (condition, holds) in CONDITIONS {
            check(condition, holds, &steps);
        }
    }
}

#[test]
fn it_is_due_when_the_first_row_turns() {
    let graph = graph("t > now() - INTERVAL '5 seconds'");
    let mut running = Dataflow::new(&graph).unwrap();
    assert_eq!(running.due().clock_us, None);
    let row: Row = (Some(1), None, None, None, Some(60 * SECOND));
    let mut ctx = StepContext {
        now_us: 61 * SECOND,
        ..context()
    };
    running
        .step([("l", vec![delta(&[(row, true)])])], &mut ctx)
        .unwrap();
    assert_eq!(running.due().clock_us, Some(65 * SECOND));
}
