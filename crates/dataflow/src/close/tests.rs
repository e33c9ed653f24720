//! Late rows at the gate, windows that are given out once, division.

#![allow(clippy::unwrap_used)]

use headwater_sql::graph::{Changelog, Gate as Plan, Node, Op, Props};

use super::gate::Gate;
use super::hold::Hold;
use crate::testing::*;
use crate::{Delta, Operator, StepContext};

const SECOND: i64 = 1_000_000;

fn node(op: Op) -> Node {
    Node {
        id: 1,
        key: "node-1".into(),
        op,
        inputs: vec![0],
        schema: row_schema(),
        props: Props {
            changelog: Changelog::AppendOnly,
            key: None,
            event_time: None,
            window_end: None,
        },
    }
}

fn at(second: i64) -> Row {
    (Some(second), None, None, None, Some(second * SECOND))
}

fn up_to(second: i64) -> StepContext {
    StepContext {
        watermark_us: second * SECOND,
        ..context()
    }
}

#[test]
fn late_rows_do_not_pass() {
    for (session, expect) in [(false, 2), (true, 1)] {
        let plan = Plan { column: 4, session };
        let mut gate = Gate::new(&node(Op::Gate(plan.clone())), &plan);
        let rows = delta(&[(at(3), true), (at(5), true), (at(7), true)]);
        assert_eq!(
            gate.push(0, rows.clone(), &mut context()).unwrap()[0].len(),
            3
        );
        gate.finish(&mut up_to(5)).unwrap();
        let mut ctx = context();
        let passed = gate.push(0, rows.clone(), &mut ctx).unwrap();
        assert_eq!(passed[0].len(), 3 - expect);
        assert_eq!(ctx.late[0].rows.num_rows(), expect);
        // Late for their own partition.
        let own = Delta {
            origin: Some(origin(3, 0, 8 * SECOND)),
            ..rows
        };
        assert!(gate.push(0, own, &mut context()).unwrap()[0].is_empty());
    }
}

#[test]
fn a_window_is_given_out_once_when_it_closes() {
    let mut hold = Hold::new(&node(Op::Close { column: 4 }), 4).unwrap();
    let rows = [
        (at(3), true),
        (at(3), true),
        (at(5), true),
        (at(4), true),
        (at(4), false),
    ];
    hold.push(0, delta(&rows), &mut context()).unwrap();
    assert_eq!(hold.due().watermark_us, Some(3 * SECOND));
    assert!(hold.finish(&mut up_to(2)).unwrap().is_empty());
    let given: Vec<Delta> = hold.finish(&mut up_to(4)).unwrap();
    assert_eq!(given.iter().map(Delta::len).sum::<usize>(), 2);
    hold.push(0, delta(&[(at(3), false), (at(4), true)]), &mut context())
        .unwrap();
    assert_eq!(hold.state_rows(), 1, "what was given out stays");
    assert_eq!(hold.finish(&mut up_to(9)).unwrap()[0].len(), 1);
    assert_eq!(hold.state_bytes(), 0);
}

#[test]
fn divided_it_gives_the_same_rows() {
    let make =
        || -> Box<dyn Operator> { Box::new(Hold::new(&node(Op::Close { column: 4 }), 4).unwrap()) };
    let changes: Vec<(Row, bool)> = (0..40).map(|n| (at(n % 17), true)).collect();
    let mut steps: Vec<(Delta, i64)> = changes.chunks(7).map(|c| (delta(c), i64::MIN)).collect();
    steps.extend([(delta(&[]), 9 * SECOND), (delta(&[]), i64::MAX)]);
    let whole = divided(&make, &steps, usize::MAX);
    assert_eq!(whole.0.values().sum::<i64>(), 40);
    assert_eq!(divided(&make, &steps, 3), whole);
}
