//! One keyed view whose rows really change, so that reading and following it can be tried together.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use headwater_edge_http::ChangeStream;
use headwater_edge_http::dto::{ChangeBatch, ChangeOp, RowChange, RowsQuery, ViewColumn, ViewRows};
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

pub const NAME: &str = "hourly_by_airport";
pub const QUERY: &str = "SELECT origin, window_start, count(*) AS departures, avg(dep_delay) AS avg_delay,\n       \
    max(dep_delay) AS worst, sum(distance) AS miles, max(note) AS note\n  \
    FROM TUMBLE(flights, ts, INTERVAL '1 hour')\n GROUP BY origin, window_start";

pub fn columns() -> Vec<ViewColumn> {
    let column = |name: &str, kind: &str| ViewColumn {
        name: name.into(),
        data_type: kind.into(),
        key: matches!(name, "origin" | "window_start"),
    };
    vec![
        column("origin", "TEXT"),
        column("window_start", "TIMESTAMPTZ"),
        column("departures", "BIGINT"),
        column("avg_delay", "DOUBLE"),
        column("worst", "BIGINT"),
        column("miles", "DECIMAL(38,0)"),
        column("note", "TEXT"),
    ]
}

type Key = (usize, u64);

pub struct Table {
    rows: Mutex<(u64, BTreeMap<Key, Vec<Value>>)>,
    changes: broadcast::Sender<ChangeBatch>,
}

impl Table {
    pub fn new() -> Self {
        let rows = (0..120_u64).map(|n| {
            (
                (n as usize % 3, n / 3),
                row(n as usize % 3, n / 3, n * 5 % 47),
            )
        });
        Self {
            rows: Mutex::new((1, rows.collect())),
            changes: broadcast::Sender::new(64),
        }
    }

    pub fn len(&self) -> u64 {
        self.rows
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .1
            .len() as u64
    }

    pub fn rows(&self, query: &RowsQuery) -> ViewRows {
        let held = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rows: Vec<Vec<Value>> = held.1.values().cloned().collect();
        let column = query
            .order_by
            .as_ref()
            .and_then(|name| columns().iter().position(|c| &c.name == name));
        if let Some(column) = column {
            rows.sort_by(|a, b| compare(&a[column], &b[column]));
        }
        if query.descending {
            rows.reverse();
        }
        rows.truncate(query.limit);
        ViewRows {
            columns: columns(),
            rows,
            total: held.1.len() as u64,
            commit: held.0,
        }
    }

    pub fn changes(&self) -> ChangeStream {
        let changes = BroadcastStream::new(self.changes.subscribe());
        Box::pin(
            changes
                .take_while(|change| std::future::ready(change.is_ok()))
                .filter_map(|c| async { c.ok() }),
        )
    }

    fn step(&self, tick: u64) {
        let mut held = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let key: Key = ((tick * 7 % 3) as usize, tick / 3 % 3 + 37 + tick / 90);
        let new = row(key.0, key.1, tick % 50);
        let old = held.1.insert(key, new.clone());
        held.0 += 1;
        let deleted = old.map(|row| RowChange {
            op: ChangeOp::Delete,
            row,
        });
        let inserted = RowChange {
            op: ChangeOp::Insert,
            row: new,
        };
        let changes = deleted.into_iter().chain([inserted]).collect();
        // Nobody need be listening.
        drop(self.changes.send(ChangeBatch {
            commit: held.0,
            changes,
            left_out: 0,
        }));
    }
}

fn row(airport: usize, hour: u64, seed: u64) -> Vec<Value> {
    let note = match (hour + airport as u64) % 4 {
        0 => json!("<b onmouseover='window.__xss=1'>storm</b>"),
        1 => json!("de-icing"),
        _ => Value::Null,
    };
    // Past what a double can hold, to show that numbers stay exact.
    let miles: Value =
        serde_json::from_str(&format!("900719925474099{:02}", seed + 10)).unwrap_or_default();
    let (day, hour) = (hour / 24 + 1, hour % 24);
    vec![
        json!(["EWR", "JFK", "LGA"][airport]),
        json!(format!("2013-01-{day:02}T{hour:02}:00:00Z")),
        json!(12 + seed),
        json!(seed as f64 * 0.73 - 4.0),
        if seed.is_multiple_of(11) {
            Value::Null
        } else {
            json!(seed * 4)
        },
        miles,
        note,
    ]
}

fn compare(a: &Value, b: &Value) -> Ordering {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => a.to_string().cmp(&b.to_string()),
    }
}

pub async fn keep_changing(table: Arc<Table>) {
    for tick in 0.. {
        table.step(tick);
        tokio::time::sleep(Duration::from_millis(120)).await;
    }
}
