//! Ad-hoc queries run over tables in memory, with our functions and types.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use datafusion::arrow::array::{Int64Array, RecordBatch, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;

use crate::model::{Catalog, Relation, RelationKind};
use crate::types::timestamptz;
use crate::{Planner, SqlError, parse_query, runtime_error, source::Source};

struct OneTable(Relation);

impl Catalog for OneTable {
    fn relation(&self, name: &str) -> Option<Relation> {
        (name == self.0.name).then(|| self.0.clone())
    }

    fn names(&self) -> Vec<String> {
        vec![self.0.name.clone()]
    }
}

const MINUTE: i64 = 60_000_000;

fn rows() -> RecordBatch {
    let schema = Arc::new(Schema::new(vec![
        Field::new("a", DataType::Int64, true),
        Field::new("ts", timestamptz(), true),
    ]));
    let a = Int64Array::from(vec![Some(i64::MAX), Some(i64::MAX), Some(1), None]);
    let ts = TimestampMicrosecondArray::from(vec![Some(0), Some(MINUTE + 1), Some(-1), None])
        .with_timezone("UTC");
    RecordBatch::try_new(schema, vec![Arc::new(a), Arc::new(ts)]).unwrap()
}

/// The rows of a query over `t(a, ts)`, columns joined by spaces.
fn run(text: &str) -> Result<Vec<String>, SqlError> {
    let schema = rows().schema();
    let relation = Relation {
        name: "t".to_owned(),
        schema: schema.clone(),
        kind: RelationKind::Source,
        key: None,
        event_time: Some(1),
        append_only: true,
    };
    let catalog = OneTable(relation);
    let planner = Planner::new(&catalog);
    planner.clock().set_us(90 * MINUTE);
    let query = planner.ad_hoc(&parse_query(Source::new(None, text))?)?;
    let table: Arc<dyn TableProvider> =
        Arc::new(MemTable::try_new(schema, vec![vec![rows()]]).unwrap());
    let plan = query.bind(&|name| (name == "t").then(|| Arc::clone(&table)))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let context = planner.session().context();
    let batches = runtime
        .block_on(async { context.execute_logical_plan(plan).await?.collect().await })
        .map_err(|e| runtime_error(&e))?;
    let row = |batch: &RecordBatch, i: usize| {
        let cells = batch
            .columns()
            .iter()
            .map(|column| array_value_to_string(column, i).unwrap());
        cells.collect::<Vec<_>>().join(" ")
    };
    Ok(batches
        .iter()
        .flat_map(|b| (0..b.num_rows()).map(|i| row(b, i)).collect::<Vec<_>>())
        .collect())
}

#[test]
fn integers_are_summed_exactly_and_never_wrap() {
    assert_eq!(
        run("SELECT sum(a) FROM t").unwrap(),
        ["18446744073709551615"]
    );
    for text in [
        "SELECT a + 1 FROM t",
        "SELECT a * 2 FROM t",
        "SELECT -2 - a FROM t WHERE a > 1",
        "SELECT sum(a + a) FROM t",
    ] {
        let error = run(text).unwrap_err();
        assert!(
            error.message.to_lowercase().contains("overflow"),
            "{text}: {error}"
        );
    }
    assert!(
        run("SELECT 1 / (a - a) FROM t")
            .unwrap_err()
            .message
            .to_lowercase()
            .contains("divide by zero")
    );
}

#[test]
fn windows_of_times() {
    let tumble = "SELECT a, window_start, window_end FROM TUMBLE(t, ts, INTERVAL '1 minute') ORDER BY window_start";
    let expected = [
        "1 1969-12-31T23:59:00Z 1970-01-01T00:00:00Z",
        "9223372036854775807 1970-01-01T00:00:00Z 1970-01-01T00:01:00Z",
        "9223372036854775807 1970-01-01T00:01:00Z 1970-01-01T00:02:00Z",
    ];
    assert_eq!(run(tumble).unwrap(), expected);
    let hop = "SELECT window_end, count(*) FROM HOP((SELECT * FROM t), ts, INTERVAL '1 minute', INTERVAL '2 minutes') GROUP BY 1 ORDER BY 1";
    let expected = [
        "1970-01-01T00:00:00Z 1",
        "1970-01-01T00:01:00Z 2",
        "1970-01-01T00:02:00Z 2",
        "1970-01-01T00:03:00Z 1",
    ];
    assert_eq!(run(hop).unwrap(), expected);
}

#[test]
fn the_clock_is_the_steps() {
    assert_eq!(
        run("SELECT now(), current_date LIMIT 1").unwrap(),
        ["1970-01-01T01:30:00Z 1970-01-01"]
    );
    assert_eq!(
        run("SELECT a FROM t WHERE ts < now() - INTERVAL '90 minutes'").unwrap(),
        ["1"]
    );
}

#[test]
fn whatever_a_view_may_not_do_works_here() {
    let text = "SELECT a, row_number() OVER (ORDER BY ts) AS r FROM t WHERE a IN (SELECT a FROM t) ORDER BY r DESC LIMIT 1";
    assert_eq!(run(text).unwrap(), ["9223372036854775807 3"]);
}
