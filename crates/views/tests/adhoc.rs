//! Plain SELECTs over snapshots and lazily read batches: limits, timeouts, memory, cancellation.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use datafusion::arrow::array::{AsArray, Int64Array, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::prelude::SessionContext;
use headwater_views::{
    AdHoc, AdHocLimits, Answer, Layout, Query, QueryError, ViewStore, lazy_table, view_table,
};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Utf8, true),
        Field::new("v", DataType::Int64, true),
    ]))
}

fn batch(range: std::ops::Range<i64>) -> RecordBatch {
    let keys = StringArray::from_iter_values(range.clone().map(|i| format!("key-{i}")));
    RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(keys),
            Arc::new(Int64Array::from_iter_values(range)),
        ],
    )
    .unwrap()
}

fn store(rows: i64) -> ViewStore {
    let mut store = ViewStore::new(schema(), Layout::Upsert { key: vec![0] });
    store.apply(&batch(0..rows), None).unwrap();
    store
}

async fn select(
    adhoc: &AdHoc,
    session: SessionContext,
    sql: &str,
    rows_max: usize,
    timeout: Duration,
) -> Result<Answer, QueryError> {
    let plan = session.state().create_logical_plan(sql).await.unwrap();
    adhoc
        .run(Query {
            session,
            plan,
            rows_max,
            timeout,
        })
        .await
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn answers_over_one_moment() {
    let adhoc = AdHoc::new(AdHocLimits::default()).unwrap();
    let mut store = store(1000);
    let session = adhoc.session(&SessionContext::new().state());
    session
        .register_table("a", view_table(store.snapshot(), Some(vec![0])).unwrap())
        .unwrap();
    store.apply(&batch(0..999), Some(&[false; 999])).unwrap();
    session
        .register_table("b", view_table(store.snapshot(), Some(vec![0])).unwrap())
        .unwrap();
    let answer = select(
        &adhoc,
        session.clone(),
        "SELECT sum(a.v), count(b.v) FROM a LEFT JOIN b USING (k)",
        10,
        LONG,
    )
    .await
    .unwrap();
    let numbers: Vec<i64> = answer.batches[0]
        .columns()
        .iter()
        .map(|c| c.as_primitive::<Int64Type>().value(0))
        .collect();
    assert_eq!(numbers, [499_500, 1]);
    let some = select(
        &adhoc,
        session.clone(),
        "SELECT v FROM a WHERE v >= 10",
        7,
        LONG,
    )
    .await
    .unwrap();
    assert_eq!((some.rows, some.truncated), (7, true));
    let all = select(&adhoc, session, "SELECT v FROM a WHERE v >= 993", 7, LONG)
        .await
        .unwrap();
    assert_eq!((all.rows, all.truncated), (7, false));
}

#[tokio::test]
async fn slow_queries_end() {
    let adhoc = AdHoc::new(AdHocLimits::default()).unwrap();
    let session = adhoc.session(&SessionContext::new().state());
    let reads = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&reads);
    let endless = move || -> Box<dyn Iterator<Item = Result<RecordBatch, String>> + Send> {
        let counter = Arc::clone(&counter);
        Box::new(std::iter::repeat_with(move || {
            counter.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(1));
            Ok(batch(0..1000))
        }))
    };
    session
        .register_table("endless", lazy_table(schema(), endless).unwrap())
        .unwrap();
    let start = Instant::now();
    let error = select(
        &adhoc,
        session.clone(),
        "SELECT count(*) FROM endless",
        10,
        Duration::from_millis(100),
    )
    .await
    .unwrap_err();
    assert!(
        matches!(error, QueryError::Timeout(_)) && start.elapsed() < Duration::from_secs(20),
        "{error}"
    );
    let dropped = tokio::time::timeout(
        Duration::from_millis(100),
        select(&adhoc, session, "SELECT count(*) FROM endless", 10, LONG),
    )
    .await;
    assert!(dropped.is_err());
    tokio::time::sleep(Duration::from_millis(500)).await;
    let settled = reads.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(reads.load(Ordering::Relaxed), settled);
}

#[tokio::test]
async fn hungry_and_failing_queries_end() {
    let limits = AdHocLimits {
        memory_bytes: 1024 * 1024,
        ..AdHocLimits::default()
    };
    let adhoc = AdHoc::new(limits).unwrap();
    let session = adhoc.session(&SessionContext::new().state());
    session
        .register_table("a", view_table(store(200_000).snapshot(), None).unwrap())
        .unwrap();
    let failing = || -> Box<dyn Iterator<Item = Result<RecordBatch, String>> + Send> {
        Box::new(std::iter::once(Err("the log is away".into())))
    };
    session
        .register_table("bad", lazy_table(schema(), failing).unwrap())
        .unwrap();
    let error = select(
        &adhoc,
        session.clone(),
        "SELECT k, count(DISTINCT v) FROM a GROUP BY k",
        10,
        LONG,
    )
    .await
    .unwrap_err();
    assert!(matches!(error, QueryError::Memory(1_048_576)), "{error}");
    let sort = "SELECT max(r) FROM (SELECT row_number() OVER (ORDER BY k, v) AS r FROM a)";
    let error = select(&adhoc, session.clone(), sort, 10, LONG)
        .await
        .unwrap_err();
    assert!(matches!(error, QueryError::Memory(_)), "{error}");
    let error = select(&adhoc, session, "SELECT * FROM bad", 10, LONG)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("the log is away"), "{error}");
}
