//! What is found by key is what a scan finds, whatever the condition, in memory and in a store; and no other row is read.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use datafusion::arrow::array::{Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::logical_expr::{col, lit};
use datafusion::prelude::SessionContext;

use super::*;
use crate::provider::{all_rows, view_table};
use crate::store::{Layout, ViewStore};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("v", DataType::Int64, true),
        Field::new("a", DataType::Utf8, true),
        Field::new("b", DataType::Int64, true),
    ]))
}

const KEY: [usize; 2] = [1, 2];

/// 400 rows, a quarter of them replaced by others of the same key, some keys NULL.
fn store() -> ViewStore {
    let mut store = ViewStore::new(schema(), Layout::Upsert { key: KEY.to_vec() });
    for round in 0..5_i64 {
        let from = if round < 4 { round * 100 } else { 50 };
        let numbers: Vec<i64> = (from..from + 100).collect();
        let a = numbers
            .iter()
            .map(|n| (n % 11 != 0).then(|| format!("a{}", n % 20)));
        let b = numbers.iter().map(|n| (n % 13 != 0).then_some(n / 20));
        let v = numbers.iter().map(|n| Some(n + 1_000 * round));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(v.collect::<Int64Array>()),
            Arc::new(a.collect::<StringArray>()),
            Arc::new(b.collect::<Int64Array>()),
        ];
        store
            .apply(&RecordBatch::try_new(schema(), columns).unwrap(), None)
            .unwrap();
    }
    store
}

const CONDITIONS: &[&str] = &[
    "a = 'a3'",
    "a = 'a3' AND b = 7",
    "7 = b AND 'a3' = a",
    "a = 'a3' AND b > 5",
    "a = 'a3' AND b BETWEEN 2 AND 4",
    "a IN ('a1', 'a2', 'a2', 'none') AND b <= 3 AND b >= 1",
    "(a = 'a1' OR a = 'a5') AND b IN (1, 2, 3, 4, 5, 6, 7)",
    "a > 'a3' AND a < 'a6' AND a <> 'a5'",
    "'a3' <= a AND a >= 'a4' AND v % 2 = 0",
    "a = 'nobody'",
    "a > 'b'",
    "b = 3",
    "v < 20",
    "a IS NULL",
    "a = 'a3' OR b = 2",
    "a = 'a3' AND b IS NULL",
    "a = 'a3' AND a = 'a4'",
];

async fn answers(
    table: Arc<dyn datafusion::catalog::TableProvider>,
    condition: &str,
) -> Vec<String> {
    let context = SessionContext::new();
    context.register_table("t", table).unwrap();
    let sql = format!("SELECT v, a, b FROM t WHERE {condition} ORDER BY v, a, b");
    let batches = context.sql(&sql).await.unwrap().collect().await.unwrap();
    let mut rows = Vec::new();
    for batch in batches {
        rows.extend(
            (0..batch.num_rows()).map(|row| format!("{:?}", batch.slice(row, 1).columns())),
        );
    }
    rows
}

#[tokio::test]
async fn a_look_up_finds_what_a_scan_finds() {
    let snapshot = store().snapshot();
    for condition in CONDITIONS {
        let scanned = answers(all_rows(Arc::clone(&snapshot)).unwrap(), condition).await;
        let keyed = view_table(Arc::clone(&snapshot), Some(KEY.to_vec())).unwrap();
        assert_eq!(answers(keyed, condition).await, scanned, "{condition}");
    }
}

#[test]
fn no_other_row_is_read() {
    let snapshot = store().snapshot();
    let read = |filters: &[Expr]| -> usize {
        let found = ranges(filters, &schema(), &KEY).unwrap();
        let rows = found.iter().flat_map(|range| {
            let (lower, upper) = range.edges().unwrap();
            let (lower, upper) = (
                crate::keyed::borrowed(&lower),
                crate::keyed::borrowed(&upper),
            );
            snapshot.between(&KEY, lower, upper).unwrap().unwrap()
        });
        rows.map(|batch| batch.unwrap().num_rows()).sum()
    };
    assert_eq!(read(&[col("a").eq(lit("a5")), col("b").eq(lit(7_i64))]), 1);
    assert_eq!(read(&[col("a").eq(lit("nobody"))]), 0);
    let of_a3 = read(&[col("a").eq(lit("a3"))]);
    assert!((15..=20).contains(&of_a3), "{of_a3}");
    assert_eq!(
        read(&[
            col("a").eq(lit("a3")),
            col("b").lt(lit(4_i64)),
            col("b").gt_eq(lit(2_i64))
        ]),
        2
    );
}

#[test]
fn conditions_that_name_no_range_read_everything() {
    for filter in [
        col("b").eq(lit(3_i64)),
        col("v").eq(lit(3_i64)),
        col("a").is_null(),
        col("a").eq(lit(ScalarValue::Utf8(None))),
    ] {
        assert_eq!(ranges(&[filter], &schema(), &KEY), None);
    }
}
