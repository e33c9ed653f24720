//! State divided by key holds what whole state holds, is divided when it grows and not for ever, and comes back.

#![allow(clippy::unwrap_used)]
use std::sync::Arc;

use datafusion::arrow::array::{Int64Array, RecordBatch};
use headwater_sql::graph::{Changelog, Graph, JoinKind};

use crate::spill::{Division, MemoryStore, SpillStore};
use crate::testing::*;
use crate::{Dataflow, Delta, StepContext};

const CALLS: &[&str] = &["count|", "max|f"];

fn counts() -> Graph {
    let mut b = Builder::default();
    let l = b.relation("l", row_schema(), Changelog::Retracting);
    b.aggregate(l, &["k"], CALLS, None);
    b.graph()
}

fn many(keys: std::ops::Range<i64>) -> Delta {
    let rows: Vec<(Row, bool)> = keys
        .map(|k| ((Some(k), None, Some(k as f64), None, None), true))
        .collect();
    delta(&rows)
}

fn division(part_bytes_max: usize, store: &Arc<MemoryStore>) -> Division {
    Division {
        part_bytes_max,
        threads_max: 2,
        parallel_rows_min: 1,
        store: Some(Arc::clone(store) as Arc<dyn SpillStore>),
    }
}

fn step(running: &mut Dataflow, rows: Vec<Delta>) -> Vec<Delta> {
    running
        .step([("l", rows)], &mut StepContext { ..context() })
        .unwrap()
}

fn rows(deltas: &[Delta]) -> usize {
    deltas.iter().map(Delta::len).sum()
}

#[test]
fn a_large_state_is_divided_and_stays_within_what_is_allowed() {
    let store = Arc::new(MemoryStore::default());
    let mut running = Dataflow::with(&counts(), &division(64 * 1024, &store)).unwrap();
    let allowed = 1024 * 1024;
    running.allow(allowed).unwrap();
    for round in 0..20 {
        let out = step(&mut running, vec![many(round * 5_000..(round + 1) * 5_000)]);
        assert_eq!(rows(&out), 5_000);
        running.allow(allowed).unwrap();
        assert!(
            running.state_bytes() <= allowed,
            "{}",
            running.state_bytes()
        );
    }
    let spilled = running.spilled();
    assert!(spilled.parts > 40 && spilled.bytes > 0, "{spilled:?}");
    assert_eq!(running.status()[1].state_rows, 100_000);
    // Each key is still there: its change takes the old row back.
    let out = step(&mut running, vec![many(0..100_000)]);
    assert_eq!(rows(&out), 200_000);
    running.allow(usize::MAX).unwrap();
    assert_eq!(running.status()[1].state_rows, 100_000);
}

#[test]
fn a_half_takes_half_the_memory() {
    let store = Arc::new(MemoryStore::default());
    let mut whole = Dataflow::with(&counts(), &division(usize::MAX, &store)).unwrap();
    step(&mut whole, vec![many(0..100_000)]);
    let bytes = whole.state_bytes();
    let mut parts = Dataflow::with(&counts(), &division(bytes / 16, &store)).unwrap();
    step(&mut parts, vec![many(0..100_000)]);
    assert!(parts.spilled().parts <= 40, "{:?}", parts.spilled());
    assert!(
        parts.state_bytes() < bytes * 3 / 2,
        "{} in parts, {bytes} as a whole",
        parts.state_bytes()
    );
}

#[test]
fn what_has_not_changed_is_not_written_again() {
    let store = Arc::new(MemoryStore::default());
    let mut running = Dataflow::with(&counts(), &division(16 * 1024, &store)).unwrap();
    step(&mut running, vec![many(0..20_000)]);
    running.save_parts().unwrap();
    let first = running.saved_parts();
    assert!(first.len() > 10);
    step(&mut running, vec![many(7..8)]);
    running.save_parts().unwrap();
    let second = running.saved_parts();
    let same = second.iter().filter(|id| first.contains(id)).count();
    assert_eq!(same, first.len() - 1);
    assert_eq!(store.len(), second.len(), "what was replaced is gone");
}

#[test]
fn a_part_that_is_lost_is_an_error_and_names_the_operator() {
    let store = Arc::new(MemoryStore::default());
    let mut running = Dataflow::with(&counts(), &division(16 * 1024, &store)).unwrap();
    step(&mut running, vec![many(0..20_000)]);
    running.allow(0).unwrap();
    let parts = running.saved_parts();
    parts.iter().for_each(|id| store.remove(*id));
    let failed = running.step([("l", vec![many(0..20_000)])], &mut context());
    let failed = failed.unwrap_err();
    assert_eq!(failed.operator, "node-1");
    assert!(failed.reason.contains("no part"), "{failed}");
}

/// Windows that close while their part is away, and rows that are late for them when it comes back.
#[test]
fn a_spilled_part_wakes_for_its_windows() {
    let graph = || {
        let mut b = Builder::default();
        let l = b.relation("l", row_schema(), Changelog::AppendOnly);
        b.aggregate(l, &["k", "t"], CALLS, Some(1));
        b.graph()
    };
    let store = Arc::new(MemoryStore::default());
    let mut torn = Dataflow::with(&graph(), &division(1, &store)).unwrap();
    let mut whole = Dataflow::new(&graph()).unwrap();
    let row = |k: i64, second: i64| -> (Row, bool) {
        ((Some(k), None, None, None, Some(second * 1_000_000)), true)
    };
    let fill: Vec<(Row, bool)> = (0..400).map(|k| row(k, k % 7)).collect();
    let late: Vec<(Row, bool)> = (0..50).map(|k| row(k, k % 9)).collect();
    let steps: [(&[(Row, bool)], i64); 5] = [
        (&fill, 0),
        (&[], 3),
        (&fill[..3], 4),
        (&late, 4),
        (&[], 100),
    ];
    for (rows, watermark) in steps {
        let mut views = [View::default(), View::default()];
        let mut lates = [0, 0];
        for (at, running) in [&mut torn, &mut whole].into_iter().enumerate() {
            running.allow(0).unwrap();
            let mut ctx = StepContext {
                watermark_us: watermark * 1_000_000,
                ..context()
            };
            views[at].apply(&running.step([("l", vec![delta(rows)])], &mut ctx).unwrap());
            lates[at] = ctx.late.iter().map(|late| late.rows.num_rows()).sum();
        }
        assert_eq!(views[0], views[1], "at {watermark}");
        assert_eq!(lates[0], lates[1], "late at {watermark}");
    }
    assert_eq!(torn.status()[1].state_rows, 0);
}

fn joined(changelog: Changelog) -> Graph {
    let mut b = Builder::default();
    let sides = ["l", "r"].map(|name| b.relation(name, row_schema(), changelog));
    b.join(JoinKind::Inner, sides, &[("k", "k")], None);
    b.graph()
}

#[test]
fn a_large_join_is_divided_and_spilled() {
    let graph = joined(Changelog::AppendOnly);
    let store = Arc::new(MemoryStore::default());
    let mut running = Dataflow::with(&graph, &division(64 * 1024, &store)).unwrap();
    let allowed = 1024 * 1024;
    running.allow(allowed).unwrap();
    for round in 0..10 {
        let keys = round * 5_000..(round + 1) * 5_000;
        for side in ["l", "r"] {
            let out = running.step([(side, vec![many(keys.clone())])], &mut context());
            assert_eq!(rows(&out.unwrap()), if side == "l" { 0 } else { 5_000 });
        }
        running.allow(allowed).unwrap();
        assert!(
            running.state_bytes() <= allowed,
            "{}",
            running.state_bytes()
        );
    }
    let spilled = running.spilled();
    assert!(spilled.parts > 20 && spilled.bytes > 0, "{spilled:?}");
}

#[test]
fn few_keys_of_any_size_are_not_divided_for_ever() {
    let graph = joined(Changelog::Retracting);
    let store = Arc::new(MemoryStore::default());
    let mut running = Dataflow::with(&graph, &division(4 * 1024, &store)).unwrap();
    let rows: Vec<(Row, bool)> = (0..5_000)
        .map(|n| ((Some(1), None, Some(f64::from(n)), None, None), true))
        .collect();
    for piece in rows.chunks(100) {
        step(&mut running, vec![delta(piece)]);
    }
    // One try, and an empty half, for each doubling of the state.
    let parts = running.spilled().parts;
    assert!(parts <= 10, "{parts}");
    let batch: RecordBatch = delta(&rows[..1]).rows;
    assert_eq!(
        batch.column(0).as_ref(),
        &Int64Array::from(vec![1]) as &dyn datafusion::arrow::array::Array
    );
}
