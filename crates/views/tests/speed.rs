//! What a writer's step costs, printed: `cargo test --release -p headwater-views --test speed -- --nocapture`.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Instant;

use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use headwater_views::{Layout, ViewStore};

const COLUMNS: usize = 10;

fn schema() -> SchemaRef {
    let mut fields = vec![Field::new("k", DataType::Utf8, true)];
    fields.extend((1..COLUMNS).map(|i| Field::new(format!("v{i}"), DataType::Int64, true)));
    Arc::new(Schema::new(fields))
}

fn batch(keys: &[u64], value: i64) -> RecordBatch {
    let mut columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from_iter_values(
        keys.iter().map(|k| format!("key-{k}")),
    ))];
    columns.extend(
        (1..COLUMNS).map(|_| Arc::new(Int64Array::from(vec![value; keys.len()])) as ArrayRef),
    );
    RecordBatch::try_new(schema(), columns).unwrap()
}

#[test]
fn small_steps_over_a_large_view() {
    const KEYS: u64 = 500_000;
    const STEPS: usize = 5000;
    let mut store = ViewStore::new(schema(), Layout::Upsert { key: vec![0] });
    let load = Instant::now();
    for first in (0..KEYS).step_by(8192) {
        store
            .apply(
                &batch(&(first..(first + 8192).min(KEYS)).collect::<Vec<_>>(), 0),
                None,
            )
            .unwrap();
    }
    let load = load.elapsed();
    let steps: Vec<RecordBatch> = (0..STEPS as u64)
        .map(|step| {
            batch(
                &(0..5)
                    .map(|i| (step * 7919 + i * 104_729) % KEYS)
                    .collect::<Vec<_>>(),
                step as i64,
            )
        })
        .collect();
    let (mut costs, mut held) = (Vec::new(), store.snapshot());
    for step in &steps {
        let start = Instant::now();
        store.apply(step, None).unwrap();
        held = store.snapshot();
        costs.push(start.elapsed());
    }
    costs.sort();
    let total: std::time::Duration = costs.iter().sum();
    println!(
        "load {:.0} rows/s; 5-row step with snapshot: mean {:?}, p50 {:?}, p99 {:?}, max {:?}; {} rows, {} bytes a row",
        KEYS as f64 / load.as_secs_f64(),
        total / STEPS as u32,
        costs[STEPS / 2],
        costs[STEPS * 99 / 100],
        costs[STEPS - 1],
        held.rows(),
        store.bytes() / store.rows()
    );
    assert_eq!(held.rows(), KEYS as usize);
}
