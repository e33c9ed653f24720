//! The store against a plain multiset; snapshots that stand still; bytes that come back.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{
    DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use datafusion::arrow::record_batch::RecordBatch;
use proptest::prelude::*;

use headwater_base::SpillStore;
use headwater_base::spill::MemoryStore;

use crate::{Applied, Layout, ViewSnapshot, ViewStore};

type Row = (String, i64, Option<i64>);

fn schema() -> SchemaRef {
    let timestamp = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Utf8, true),
        Field::new("v", DataType::Int64, true),
        Field::new("ts", timestamp, true),
    ]))
}

fn batch(rows: &[Row]) -> RecordBatch {
    let times = TimestampMicrosecondArray::from_iter(rows.iter().map(|r| r.2)).with_timezone("UTC");
    let keys = StringArray::from_iter_values(rows.iter().map(|r| &r.0));
    let values = Int64Array::from_iter_values(rows.iter().map(|r| r.1));
    RecordBatch::try_new(
        schema(),
        vec![Arc::new(keys), Arc::new(values), Arc::new(times)],
    )
    .unwrap()
}

fn rows_of(snapshot: &ViewSnapshot) -> Vec<Row> {
    let batches = snapshot.batches();
    let rows: Vec<Row> = batches.flat_map(|batch| rows_in(&batch.unwrap())).collect();
    assert_eq!(rows.len(), snapshot.rows());
    rows
}

fn rows_in(batch: &RecordBatch) -> Vec<Row> {
    let times = batch.column(2).as_primitive::<TimestampMicrosecondType>();
    let row = |row: usize| {
        let key = batch.column(0).as_string::<i32>().value(row).to_owned();
        let value = batch.column(1).as_primitive::<Int64Type>().value(row);
        (key, value, times.is_valid(row).then(|| times.value(row)))
    };
    (0..batch.num_rows()).map(row).collect()
}

/// Many keys, in and out of the store, in runs that are merged.
#[test]
fn a_large_view_is_read_by_key_without_reading_the_rest() {
    let files: Arc<dyn SpillStore> = Arc::new(MemoryStore::default());
    let mut store = ViewStore::new(schema(), Layout::Keyed { key: vec![0] });
    store.spill(&files).unwrap();
    let rows = |from: i64| -> Vec<Row> {
        (from..from + 5_000)
            .map(|n| row(&format!("{:06}", n * 7 % 100_000), n))
            .collect()
    };
    for step in 0..20 {
        store.apply(&batch(&rows(step * 5_000)), None).unwrap();
        if step % 3 == 0 {
            store.save_parts().unwrap();
        }
    }
    assert_eq!(store.rows(), 100_000);
    assert!(
        store.bytes() < 40_000_000 && store.parts().len() > 3,
        "{} bytes",
        store.bytes()
    );
    let snapshot = store.snapshot();
    assert_eq!(between(&snapshot, "050000", "050003").len(), 3);
    let key = batch(&[row("000007", 0)]).project(&[0]).unwrap();
    let found = store.get(&key).unwrap().unwrap();
    assert_eq!(found.column(1).as_primitive::<Int64Type>().value(0), 1);
    assert_eq!(
        snapshot
            .newest(5)
            .unwrap()
            .iter()
            .map(RecordBatch::num_rows)
            .sum::<usize>(),
        5
    );
}

fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort();
    rows
}

fn row(key: &str, value: i64) -> Row {
    (key.to_owned(), value, Some(value))
}

#[test]
fn keyed_changes_in_either_order() {
    let mut store = ViewStore::new(schema(), Layout::Keyed { key: vec![0] });
    store
        .apply(&batch(&[row("a", 1), row("b", 1)]), None)
        .unwrap();
    store
        .apply(&batch(&[row("a", 1), row("a", 2)]), Some(&[false, true]))
        .unwrap();
    store
        .apply(
            &batch(&[row("b", 2), row("b", 3), row("b", 2), row("b", 1)]),
            Some(&[true, true, false, false]),
        )
        .unwrap();
    assert_eq!(
        sorted(rows_of(&store.snapshot())),
        [row("a", 2), row("b", 3)]
    );
    let gone = store.apply(&batch(&[row("z", 1)]), Some(&[false])).unwrap();
    assert_eq!(
        gone,
        Applied {
            inserted: 0,
            deleted: 0,
            unmatched: 1
        }
    );
    let key = batch(&[row("b", 0)]).project(&[0]).unwrap();
    let found = store.get(&key).unwrap().unwrap();
    assert_eq!(found.column(1).as_primitive::<Int64Type>().value(0), 3);
}

#[test]
fn a_snapshot_stands_still() {
    let mut store = ViewStore::new(schema(), Layout::Upsert { key: vec![0] });
    store
        .apply(&batch(&[row("a", 1), row("b", 1)]), None)
        .unwrap();
    let before = store.snapshot();
    for value in 0..1000 {
        store.apply(&batch(&[row("a", value)]), None).unwrap();
    }
    store.apply(&batch(&[row("b", 0)]), Some(&[false])).unwrap();
    assert_eq!(rows_of(&before), [row("a", 1), row("b", 1)]);
    assert_eq!(rows_of(&store.snapshot()), [row("a", 999)]);
    assert!(
        store.chunks.len() < 20 && store.bytes() < 200_000,
        "{} chunks, {} bytes",
        store.chunks.len(),
        store.bytes()
    );
}

#[test]
fn rows_of_other_columns_are_refused() {
    let mut store = ViewStore::new(schema(), Layout::AppendOnly);
    let other = batch(&[row("a", 1)]).project(&[1, 0, 2]).unwrap();
    assert!(
        store
            .apply(&other, None)
            .unwrap_err()
            .to_string()
            .contains("the view has")
    );
}

#[test]
fn retention_lets_go_and_the_index_forgets() {
    let mut store = ViewStore::new(schema(), Layout::Keyed { key: vec![0] });
    let rows: Vec<Row> = (0..1000)
        .map(|i| (format!("k{i}"), i, (i % 10 != 0).then_some(i)))
        .collect();
    store.apply(&batch(&rows), None).unwrap();
    assert_eq!(store.retain(2, 500).unwrap(), 450);
    assert_eq!(store.retain(2, 500).unwrap(), 0);
    assert_eq!(store.rows(), 550);
    let back = store
        .apply(
            &batch(&[rows[1].clone(), rows[501].clone()]),
            Some(&[false, false]),
        )
        .unwrap();
    assert_eq!((back.deleted, back.unmatched), (1, 1));
    store.apply(&batch(&rows[1..2]), None).unwrap();
    assert_eq!(store.rows(), 550);
}

#[test]
fn chunks_stay_few_over_many_small_steps() {
    let mut store = ViewStore::new(schema(), Layout::AppendOnly);
    for step in 0..20_000 {
        store
            .apply(&batch(&[row("a", step), row("b", step)]), None)
            .unwrap();
    }
    assert!(store.chunks.len() < 60, "{} chunks", store.chunks.len());
    let rows = rows_of(&store.snapshot());
    assert!(rows.is_sorted_by_key(|row| row.1));
    let newest = store.snapshot().newest(3).unwrap();
    assert_eq!(newest.iter().map(RecordBatch::num_rows).sum::<usize>(), 3);
}

#[test]
fn large_batches_are_cut() {
    let mut store = ViewStore::new(schema(), Layout::Multiset);
    let rows: Vec<Row> = (0..100_000).map(|i| row("k", i)).collect();
    store.apply(&batch(&rows), None).unwrap();
    assert!(store.chunks.len() >= 6);
    let deleted = store
        .apply(&batch(&rows[10..]), Some(&vec![false; rows.len() - 10]))
        .unwrap();
    assert_eq!(deleted.deleted, rows.len() - 10);
    assert_eq!(rows_of(&store.snapshot()), rows[..10]);
    assert!(store.chunks.len() <= 2, "{}", store.chunks.len());
}

#[test]
fn a_snapshot_of_something_else_is_refused() {
    let store = ViewStore::new(schema(), Layout::AppendOnly);
    let mut bytes = Vec::new();
    store.write_to(&mut bytes).unwrap();
    let other = Arc::new(Schema::new(vec![Field::new("x", DataType::Int64, true)]));
    assert!(ViewStore::read_from(&mut bytes.as_slice(), other, Layout::AppendOnly, None).is_err());
    bytes[4] = 9;
    assert!(
        ViewStore::read_from(&mut bytes.as_slice(), schema(), Layout::AppendOnly, None).is_err()
    );
    assert!(ViewStore::read_from(&mut &b"HWVW"[..], schema(), Layout::AppendOnly, None).is_err());
}

/// Steps of changes that are a changelog: nothing is taken back that is not there.
fn steps() -> impl Strategy<Value = Vec<Vec<(bool, u8, i64)>>> {
    let change = (prop::bool::weighted(0.6), 0u8..12, 0i64..4);
    proptest::collection::vec(proptest::collection::vec(change, 0..40), 0..40)
}

#[derive(Default)]
struct Model(BTreeMap<Row, usize>);

impl Model {
    /// Applies what can be applied; the changes that were.
    fn step(&mut self, changes: &[(bool, u8, i64)]) -> (Vec<Row>, Vec<bool>) {
        let (mut rows, mut adds) = (Vec::new(), Vec::new());
        for (add, key, value) in changes {
            let row = row(&format!("key-{key}"), *value);
            let count = self.0.entry(row.clone()).or_default();
            if *add || *count > 0 {
                *count = if *add { *count + 1 } else { *count - 1 };
                rows.push(row);
                adds.push(*add);
            }
        }
        (rows, adds)
    }

    fn rows(&self) -> Vec<Row> {
        self.0
            .iter()
            .flat_map(|(row, count)| std::iter::repeat_n(row.clone(), *count))
            .collect()
    }
}

/// What of these rows is between two keys.
fn between(snapshot: &ViewSnapshot, from: &str, to: &str) -> Vec<Row> {
    let bound = |key: &str| -> Vec<ArrayRef> { vec![Arc::new(StringArray::from(vec![key]))] };
    let (from, to) = (bound(from), bound(to));
    let batches = snapshot.between(&[0], Bound::Included(&from), Bound::Excluded(&to));
    let batches: Vec<RecordBatch> = batches.unwrap().unwrap().map(Result::unwrap).collect();
    batches.iter().flat_map(rows_in).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// The rows go to a store at some time; before and after, there and back, it holds the same, and readers keep their picture.
    #[test]
    fn spilled_views_hold_what_a_multiset_holds(
        steps in steps(),
        layout in 0usize..3,
        (spill, restore, settle) in (any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<prop::sample::Index>()),
    ) {
        let layout = [Layout::Keyed { key: vec![0] }, Layout::Multiset, Layout::AppendOnly][layout].clone();
        let memory = Arc::new(MemoryStore::default());
        let files: Arc<dyn SpillStore> = Arc::clone(&memory) as _;
        let (mut store, mut model) = (ViewStore::new(schema(), layout.clone()), Model::default());
        let [spill, restore, settle] = [spill, restore, settle].map(|at| at.index(steps.len().max(1)));
        for (at, changes) in steps.iter().enumerate() {
            let changes: Vec<_> = changes.iter().map(|c| (c.0 || layout == Layout::AppendOnly, c.1, c.2)).collect();
            let (rows, adds) = model.step(&changes);
            let held = store.snapshot();
            let before = rows_of(&held);
            if at == spill {
                store.spill(&files).unwrap();
            }
            store.apply(&batch(&rows), Some(&adds)).unwrap();
            if at == settle {
                store.save_parts().unwrap();
            }
            prop_assert_eq!(rows_of(&held), before);
            let snapshot = store.snapshot();
            prop_assert_eq!(sorted(rows_of(&snapshot)), model.rows());
            prop_assert_eq!(store.rows(), snapshot.rows());
            if at >= spill && layout != Layout::AppendOnly {
                let (from, to) = ("key-1", "key-4");
                let wanted = |row: &Row| row.0.as_str() >= from && row.0.as_str() < to;
                if matches!(layout, Layout::Keyed { .. }) {
                    let expected: Vec<Row> = model.rows().into_iter().filter(wanted).collect();
                    prop_assert_eq!(sorted(between(&snapshot, from, to)), expected);
                }
            }
            if at == restore {
                let mut bytes = Vec::new();
                store.save_parts().unwrap();
                store.snapshot().write_to(&mut bytes).unwrap();
                store = ViewStore::read_from(&mut bytes.as_slice(), schema(), layout.clone(), Some(&files)).unwrap();
                prop_assert_eq!(sorted(rows_of(&store.snapshot())), model.rows());
            }
        }
        let bound = 2;
        store.retain(2, bound).unwrap();
        let kept: Vec<Row> = model.rows().into_iter().filter(|row| row.2.is_none_or(|time| time >= bound)).collect();
        prop_assert_eq!(sorted(rows_of(&store.snapshot())), kept);
        drop(store);
        prop_assert!(memory.is_empty(), "nobody reads what is left in the store");
    }

    #[test]
    fn holds_what_a_multiset_holds(steps in steps(), keyed in any::<bool>(), restore in any::<prop::sample::Index>()) {
        let layout = if keyed { Layout::Keyed { key: vec![0] } } else { Layout::Multiset };
        let (mut store, mut model) = (ViewStore::new(schema(), layout.clone()), Model::default());
        let restore = restore.index(steps.len().max(1));
        for (at, changes) in steps.iter().enumerate() {
            let (rows, adds) = model.step(changes);
            let held = store.snapshot();
            let before = rows_of(&held);
            let applied = store.apply(&batch(&rows), Some(&adds)).unwrap();
            prop_assert_eq!(applied.unmatched, 0);
            prop_assert_eq!(rows_of(&held), before);
            prop_assert_eq!(sorted(rows_of(&store.snapshot())), model.rows());
            if at == restore {
                let mut bytes = Vec::new();
                store.write_to(&mut bytes).unwrap();
                let back = ViewStore::read_from(&mut bytes.as_slice(), schema(), layout.clone(), None).unwrap();
                prop_assert_eq!(rows_of(&back.snapshot()), rows_of(&store.snapshot()));
                let mut again = Vec::new();
                back.write_to(&mut again).unwrap();
                prop_assert_eq!(&again, &bytes);
                store = back;
            }
        }
    }

    #[test]
    fn the_same_steps_give_the_same_order(steps in steps(), restore in any::<prop::sample::Index>()) {
        let (mut first, mut second) = (ViewStore::new(schema(), Layout::Multiset), ViewStore::new(schema(), Layout::Multiset));
        let mut model = Model::default();
        let restore = restore.index(steps.len().max(1));
        for (at, changes) in steps.iter().enumerate() {
            let (rows, adds) = model.step(changes);
            first.apply(&batch(&rows), Some(&adds)).unwrap();
            second.apply(&batch(&rows), Some(&adds)).unwrap();
            if at == restore {
                let mut bytes = Vec::new();
                second.write_to(&mut bytes).unwrap();
                second = ViewStore::read_from(&mut bytes.as_slice(), schema(), Layout::Multiset, None).unwrap();
            }
        }
        prop_assert_eq!(rows_of(&first.snapshot()), rows_of(&second.snapshot()));
    }

    #[test]
    fn upserts_hold_the_latest_row_of_each_key(steps in steps()) {
        let mut store = ViewStore::new(schema(), Layout::Upsert { key: vec![0] });
        let mut model: BTreeMap<String, Row> = BTreeMap::new();
        for changes in &steps {
            let rows: Vec<Row> = changes.iter().map(|(_, key, value)| row(&format!("key-{key}"), *value)).collect();
            let adds: Vec<bool> = changes.iter().map(|(add, ..)| *add).collect();
            for (row, add) in rows.iter().zip(&adds) {
                if *add { model.insert(row.0.clone(), row.clone()); } else { model.remove(&row.0); }
            }
            store.apply(&batch(&rows), Some(&adds)).unwrap();
            prop_assert_eq!(sorted(rows_of(&store.snapshot())), sorted(model.values().cloned().collect()));
            prop_assert_eq!(store.rows(), model.len());
        }
    }

    #[test]
    fn damaged_snapshots_never_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut store = ViewStore::new(schema(), Layout::Keyed { key: vec![0] });
        store.apply(&batch(&[row("a", 1), row("b", 2)]), None).unwrap();
        let mut bytes = Vec::new();
        store.write_to(&mut bytes).unwrap();
        let at = at.index(8);
        bytes[at] ^= byte;
        bytes.truncate(cut.index(bytes.len()) + 1);
        let _ = ViewStore::read_from(&mut bytes.as_slice(), schema(), Layout::Keyed { key: vec![0] }, None);
    }
}
