//! A node in memory: log, engine, records in, rows out.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use headwater_connect::{Step, StepLog, Visibility};
use headwater_engine::config::{SnapshotPolicy, StepBounds};
use headwater_engine::testing::MemoryStepLog;
use headwater_engine::{Engine, EngineConfig, SinkFactory};
use headwater_record::{BatchBuilder, Codec, records};
use serde_json::{Value, json};
use tempfile::TempDir;

pub const PIPELINE: &str = "
CREATE MATERIALIZED VIEW by_country AS SELECT country, count(*) AS n, sum(qty) AS total FROM joined GROUP BY country;
CREATE SINK big_out INTO topic FROM big_orders WITH (topic = 'big-out');
CREATE SINK country_out INTO topic FROM by_country WITH (topic = 'country-out');
CREATE SOURCE orders (id BIGINT, customer TEXT, amount DOUBLE, qty INT, ts TIMESTAMPTZ, big BOOLEAN AS amount > 50,
  WATERMARK FOR ts AS ts - INTERVAL '10 seconds') WITH (topic = 'orders', format = 'json');
CREATE TABLE customers (customer TEXT PRIMARY KEY, country TEXT) WITH (topic = 'customers', format = 'json');
CREATE MATERIALIZED VIEW big_orders AS SELECT id, customer, amount FROM orders WHERE big;
CREATE MATERIALIZED VIEW per_minute AS SELECT customer, window_start, window_end, count(*) AS n, sum(qty) AS total,
  min(amount) AS lo, max(amount) AS hi FROM TUMBLE(orders, ts, INTERVAL '1 minute') GROUP BY customer, window_start, window_end;
CREATE MATERIALIZED VIEW hops AS SELECT window_start, count(*) AS n, count(DISTINCT customer) AS customers
  FROM HOP(orders, ts, INTERVAL '30 seconds', INTERVAL '1 minute') GROUP BY window_start, window_end;
CREATE MATERIALIZED VIEW joined AS SELECT o.id, o.qty, o.customer, c.country FROM orders o LEFT JOIN customers c ON o.customer = c.customer;
CREATE MATERIALIZED VIEW closed AS SELECT customer, window_end, count(*) AS n FROM TUMBLE(orders, ts, INTERVAL '1 minute')
  GROUP BY customer, window_start, window_end EMIT ON WINDOW CLOSE;
CREATE MATERIALIZED VIEW both AS SELECT id, customer FROM orders WHERE qty = 1 UNION ALL SELECT id, customer FROM big_orders;
CREATE ALERT busy AS SELECT customer, window_start, window_end, n FROM per_minute WHERE n > 3 WITH (severity = 'page');
";

/// Each view, and the same as a query over what came in.
pub const VIEWS: [(&str, &str); 7] = [
    ("big_orders", "SELECT id, customer, amount FROM orders WHERE big"),
    (
        "per_minute",
        "SELECT customer, window_start, window_end, count(*) AS n, sum(qty) AS total, min(amount) AS lo, max(amount) AS hi
         FROM TUMBLE(orders, ts, INTERVAL '1 minute') GROUP BY customer, window_start, window_end",
    ),
    (
        "hops",
        "SELECT window_start, count(*) AS n, count(DISTINCT customer) AS customers
         FROM HOP(orders, ts, INTERVAL '30 seconds', INTERVAL '1 minute') GROUP BY window_start, window_end",
    ),
    ("joined", "SELECT o.id, o.qty, o.customer, c.country FROM orders o LEFT JOIN customers c ON o.customer = c.customer"),
    (
        "by_country",
        "SELECT c.country, count(*) AS n, sum(o.qty) AS total FROM orders o LEFT JOIN customers c ON o.customer = c.customer
         GROUP BY c.country",
    ),
    (
        "closed",
        "SELECT customer, window_end, count(*) AS n FROM TUMBLE(orders, ts, INTERVAL '1 minute')
         GROUP BY customer, window_start, window_end",
    ),
    (
        "both",
        "SELECT id, customer FROM orders WHERE qty = 1 UNION ALL SELECT id, customer FROM orders WHERE big",
    ),
];

pub struct Node {
    pub log: Arc<MemoryStepLog>,
    pub engine: Engine,
    pub dir: TempDir,
}

pub fn config(dir: &Path) -> EngineConfig {
    let mut config = EngineConfig::new(dir);
    config.query_wait = Duration::from_secs(20);
    config.topic_partitions = 2;
    config
}

/// Snapshots and steps as small as they can be.
pub fn eager(dir: &Path, rows_max: usize, steps_max: u64) -> EngineConfig {
    let mut config = config(dir);
    config.steps = StepBounds {
        rows_max,
        bytes_max: 1,
        parallel_rows_min: 1,
        ..StepBounds::default()
    };
    config.snapshots = SnapshotPolicy {
        input_bytes_min: u64::MAX,
        growth: 0.0,
        steps_max,
    };
    config
}

impl Node {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        Self::on(MemoryStepLog::new(), dir, config, None).await
    }

    pub async fn on(
        log: Arc<MemoryStepLog>,
        dir: TempDir,
        config: EngineConfig,
        sinks: Option<SinkFactory>,
    ) -> Self {
        let engine = Engine::start(config, log.clone(), sinks, None)
            .await
            .unwrap();
        Self { log, engine, dir }
    }

    pub async fn apply(&self) {
        self.engine
            .apply("shop", vec![("all.sql".into(), PIPELINE.into())], false)
            .await
            .unwrap();
    }

    pub async fn sql(&self, text: &str) -> Vec<Vec<Value>> {
        let results = self.engine.execute(text, None).await.unwrap();
        let last = results.into_iter().next_back().unwrap();
        assert_eq!(last.behind, 0, "{text}");
        last.rows
    }

    /// Rows as sorted texts.
    pub async fn rows(&self, text: &str) -> Vec<String> {
        sorted(self.sql(text).await)
    }

    /// What comes of the clock, or of a pipeline behind the view that was asked: within ten seconds.
    pub async fn eventually(&self, text: &str, wanted: &[&str]) {
        for _ in 0..400 {
            if self.rows(text).await == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        assert_eq!(self.rows(text).await, wanted, "{text}");
    }

    pub async fn settle(&self) {
        self.engine.end_of_input("shop").await.unwrap();
        while !self.engine.settled("shop") {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Each view holds what the same SQL gives over what came in.
    pub async fn check_law(&self) {
        for (view, query) in VIEWS {
            let live = self.rows(&format!("SELECT * FROM {view}")).await;
            let batch = self.rows(query).await;
            assert_eq!(live, batch, "view {view}");
        }
    }
}

pub fn sorted(rows: Vec<Vec<Value>>) -> Vec<String> {
    let mut rows: Vec<String> = rows
        .into_iter()
        .map(|row| Value::Array(row).to_string())
        .collect();
    rows.sort();
    rows
}

pub type Input = (String, i32, Option<String>, Option<String>);

pub async fn produce(log: &Arc<MemoryStepLog>, inputs: &[Input]) {
    for (topic, partition, key, value) in inputs {
        let info = log.ensure_topic(topic, 2).await.unwrap();
        let mut batch = BatchBuilder::new(Codec::None);
        batch.push(
            1_000,
            key.as_deref().map(str::as_bytes),
            value.as_deref().map(str::as_bytes),
        );
        let step = Step {
            appends: vec![(info.partition(*partition), batch.build())],
            trims: Vec::new(),
        };
        let (_, durable) = log.commit(step).unwrap();
        durable.await.unwrap();
    }
}

/// Orders out of order by less than their watermark allows, some of them broken; customers that come, move and go.
pub fn inputs(count: usize, mut random: u64) -> Vec<Input> {
    let mut next = move |below: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let mut all = Vec::new();
    for id in 0..count {
        let customer = format!("c{}", next(5));
        if next(6) == 0 {
            let value =
                (next(4) > 0).then(|| json!({"country": format!("L{}", next(3))}).to_string());
            // One customer's records stay in one partition, so that their order is one.
            let partition = i32::from(customer.as_bytes()[1] % 2);
            all.push(("customers".to_owned(), partition, Some(customer), value));
        } else if next(25) == 0 {
            all.push((
                "orders".to_owned(),
                0,
                None,
                Some("{\"id\": \"no number\"}".to_owned()),
            ));
        } else {
            let ts =
                1_700_000_000_000_i64 + i64::try_from(id as u64 * 1_500 + next(9_000)).unwrap();
            let value = json!({"id": id, "customer": customer, "amount": next(100) as f64, "qty": next(3), "ts": ts});
            all.push((
                "orders".to_owned(),
                i32::try_from(next(2)).unwrap(),
                None,
                Some(value.to_string()),
            ));
        }
    }
    all
}

/// Keys and values of a topic, partition by partition.
pub fn contents(log: &Arc<MemoryStepLog>, topic: &str) -> Vec<(Option<String>, Option<Value>)> {
    let Some(info) = log.topic(topic) else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for index in 0..info.partitions {
        let read = log
            .read_committed(info.partition(index), 0, usize::MAX, Visibility::Durable)
            .unwrap();
        for record in read
            .batches
            .iter()
            .flat_map(|batch| records(batch).unwrap())
        {
            let record = record.unwrap();
            let text = |bytes: bytes::Bytes| String::from_utf8(bytes.to_vec()).unwrap();
            let value = record
                .value
                .map(|value| serde_json::from_slice(&value).unwrap());
            all.push((record.key.map(text), value));
        }
    }
    all
}
