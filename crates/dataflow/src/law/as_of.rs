//! The law for `FOR SYSTEM_TIME AS OF` a time, over rows that come out of order, with restarts, in parts, and with a watermark that lets versions go.

use super::joins::{DISORDER_US, Streams, streamed};
use super::*;
use headwater_sql::graph::Op;

const QUERIES: &[&str] = &[
    "SELECT l.k, l.t, r.f AS rf FROM l JOIN r FOR SYSTEM_TIME AS OF l.t AS r ON l.k = r.k",
    "SELECT l.k, l.t, r.f AS rf, r.t AS rt FROM l LEFT JOIN r FOR SYSTEM_TIME AS OF l.t AS r ON l.k = r.k",
    "SELECT l.s, l.t, r.k AS rk, r.t AS rt FROM l LEFT JOIN r FOR SYSTEM_TIME AS OF l.t - INTERVAL '1 second' AS r ON l.s = r.s AND r.f > l.f",
    "SELECT l.k, r.s AS rs FROM l JOIN r FOR SYSTEM_TIME AS OF l.t AS r ON r.k = l.k AND r.s = l.s AND r.k > 0",
    "SELECT l.k, r.s AS rs FROM l JOIN r FOR SYSTEM_TIME AS OF l.t AS r ON r.k = l.k WHERE r.f > 0 OR l.f > r.f",
    "SELECT l.k, l.t, r.f AS rf FROM l LEFT JOIN r FOR SYSTEM_TIME AS OF l.t AS r ON l.k = r.k AND r.f > 0",
    "SELECT r.k, sum(l.f) AS total, count(r.s) AS n FROM l LEFT JOIN r FOR SYSTEM_TIME AS OF l.t AS r ON l.k = r.k GROUP BY r.k",
    "SELECT l.k, a.f AS af, b.f AS bf FROM l JOIN r FOR SYSTEM_TIME AS OF l.t AS a ON a.k = l.k \
        LEFT JOIN r FOR SYSTEM_TIME AS OF l.t AS b ON b.k = l.k AND b.f < a.f",
];

fn graph_of(text: &str) -> Graph {
    let planned = Planner::new(&Streams).plan_query(&query(text), Emit::Changes);
    planned.unwrap().graph
}

fn kept(running: &Dataflow) -> usize {
    let joins = running.status().into_iter().filter(|n| n.kind == "join");
    joins.map(|n| n.state_rows).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn each_row_has_the_version_of_its_time(
        which in 0..QUERIES.len(),
        (events, step_rows, restart_at) in (streamed(), prop_oneof![Just(1usize), Just(7), Just(1000)], 0usize..20),
        watermarks in any::<bool>(),
    ) {
        let text = QUERIES[which];
        let graph = graph_of(text);
        let mut as_of = graph.nodes.iter().filter_map(|n| match &n.op {
            Op::Join(join) => Some(join.as_of.as_ref().is_some_and(|plan| plan.slack_us.is_some())),
            _ => None,
        });
        prop_assert_eq!(as_of.next(), Some(true), "{}", headwater_sql::explain::graph(&graph));
        let (changes, live) = play(&events);
        let mut running = Dataflow::new(&graph).unwrap();
        let mut torn = Torn::new(&graph);
        let (mut view, mut most) = (View::default(), 0);
        for (number, step) in changes.chunks(step_rows).chain(std::iter::once(&changes[..0])).enumerate() {
            if number == restart_at {
                running = reborn(&graph, &running);
                torn.restart(&graph);
            }
            let done = ((number + 1) * step_rows).min(changes.len()) as i64;
            let mut ctx = context();
            ctx.watermark_us = match (step.is_empty(), watermarks) {
                (true, _) => i64::MAX,
                (false, true) => done * 300_000 - DISORDER_US,
                (false, false) => i64::MIN,
            };
            view.apply(&running.step(deltas(step), &mut ctx).unwrap());
            torn.step(deltas(step), ctx.watermark_us);
            prop_assert_eq!(&view, &torn.view, "the same in parts");
            prop_assert!(ctx.late.is_empty(), "no row here is late");
            most = most.max(kept(&running));
        }
        prop_assert!(which == QUERIES.len() - 1 || kept(&running) == 0, "all let go in the end");
        if watermarks && step_rows < 100 && changes.len() > 120 && which < 2 {
            prop_assert!(most < changes.len() / 2, "{} rows of {} held", most, changes.len());
        }
        let tables: [(&str, RecordBatch); 2] = [("l", rows(&live[0])), ("r", rows(&live[1]))];
        prop_assert_eq!(view, ad_hoc_of(&Streams, text, &tables));
    }
}

/// One step of one row: rows that came out, and late rows.
struct Steps(Dataflow);

impl Steps {
    fn step(&mut self, name: &str, at_s: i64, value: f64, watermark_s: i64) -> (usize, usize) {
        let row = (Some(1), None, Some(value), None, Some(at_s * 1_000_000));
        let mut ctx = context();
        ctx.watermark_us = watermark_s * 1_000_000;
        let out = self.0.step([(name, vec![delta(&[(row, true)])])], &mut ctx);
        let rows = out.unwrap().iter().map(Delta::len).sum();
        (rows, ctx.late.len())
    }
}

#[test]
fn a_version_touches_the_rows_of_its_interval_only() {
    let mut steps = Steps(Dataflow::new(&graph_of(QUERIES[1])).unwrap());
    for at in 0..20 {
        assert_eq!(steps.step("l", at, 0.0, -100), (1, 0));
    }
    assert_eq!(steps.step("r", 15, 1.0, -100), (10, 0), "five rows changed");
    assert_eq!(steps.step("r", 10, 2.0, -100), (10, 0), "the five before");
    assert_eq!(steps.step("r", 14, 3.0, -100), (2, 0), "one");
    assert_eq!(
        steps.step("r", 14, 2.0, -100),
        (0, 0),
        "of one time the last"
    );
    assert_eq!(steps.step("r", 30, 4.0, -100), (0, 0));
}

#[test]
fn the_newest_version_before_the_watermark_stays() {
    let mut steps = Steps(Dataflow::new(&graph_of(QUERIES[0])).unwrap());
    for at in 0..10 {
        steps.step("r", at * 10, at as f64, -100);
        steps.step("l", at * 10 + 1, 0.0, -100);
    }
    assert_eq!(kept(&steps.0), 20);
    assert_eq!(steps.step("l", 200, 0.0, 76), (1, 0));
    assert_eq!(
        kept(&steps.0),
        3 + 2 + 1,
        "versions of 70, 80, 90; rows of 81, 91, 200"
    );
    assert_eq!(
        steps.step("l", 76, 0.0, 76),
        (1, 0),
        "has the version of 70"
    );
    assert_eq!(steps.step("l", 75, 0.0, 76), (0, 1), "late");
    assert_eq!(steps.step("r", 75, 0.0, 76), (0, 1), "late");
    assert_eq!(
        steps.step("r", 76, 0.5, 500),
        (2, 0),
        "corrects the row of 76"
    );
    assert_eq!(kept(&steps.0), 1, "the newest version");
}
