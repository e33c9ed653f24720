//! The invented node: everything is a function of the time since its start, but for one view that really changes.

use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use headwater_base::{Clock, SystemClock};
use headwater_edge_http::dto::{
    Check, FiringAlert, Health, HealthStatus, LagSummary, Memory, NodeInfo, Overview,
    PipelineState, PipelineSummary, Storage, Traffic,
};
use headwater_edge_http::{Answer, Node};

use crate::table::Table;

pub struct World {
    started: Instant,
    started_ms: i64,
    http: String,
    pub table: Arc<Table>,
}

impl World {
    pub fn new(http: String) -> Self {
        Self {
            started: Instant::now(),
            started_ms: SystemClock.now_ms(),
            http,
            table: Arc::new(Table::new()),
        }
    }

    pub fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    pub fn now_ms(&self) -> i64 {
        SystemClock.now_ms()
    }

    /// Events since the start at about `rate` a second, with waves and a little unrest, never falling.
    pub fn total(&self, rate: f64, seed: f64) -> u64 {
        let t = self.seconds() + 40.0;
        let slow = 2.4 * (t / 9.0 + seed).sin();
        let waves = slow + 0.3 * (t / 2.3 + seed * 2.0).sin() + 0.015 * (t * 3.1 + seed).sin();
        (rate * (t + waves)).max(0.0) as u64
    }

    /// Something that goes up and down between 0 and `top`.
    pub fn level(&self, top: f64, seed: f64) -> u64 {
        let t = self.seconds();
        let wave = (t / 7.0 + seed).sin() * (t / 3.1 + seed * 3.0).cos();
        (top * wave.abs().powi(3)) as u64
    }

    /// Where the replayed year is.
    pub fn watermark_ms(&self) -> i64 {
        const NEW_YEAR_2013_MS: i64 = 1_357_016_400_000;
        NEW_YEAR_2013_MS + (self.seconds() * 3_600.0 * 1_000.0) as i64 % (365 * 86_400_000)
    }

    fn summary(&self) -> Vec<PipelineSummary> {
        let flights = PipelineSummary {
            name: "flights".into(),
            state: PipelineState::Running,
            reason: None,
            lag_records: self.level(900.0, 1.0),
            rows_total: self.total(15_200.0, 0.3),
            rows_per_s: None,
            watermark_ms: Some(self.watermark_ms()),
        };
        let paused = PipelineSummary {
            name: "clickstream".into(),
            state: PipelineState::Paused,
            reason: Some("view sessions_1m holds 256 MiB, its limit".into()),
            lag_records: self.total(40.0, 0.0),
            rows_total: 88_231,
            rows_per_s: None,
            watermark_ms: Some(self.started_ms - 120_000),
        };
        vec![flights, paused]
    }

    pub fn firing(&self) -> Vec<FiringAlert> {
        let now = self.now_ms();
        let alert = |key: &str, delay: f64, since_s: i64, severity: &str| FiringAlert {
            alert: "airport_delays".into(),
            severity: severity.into(),
            key: key.into(),
            since_ms: now - since_s * 1_000,
            row: [
                ("origin", key.into()),
                ("departures", 41.into()),
                ("avg_delay", delay.into()),
            ]
            .map(|(name, value): (&str, serde_json::Value)| (name.to_owned(), value))
            .into_iter()
            .collect(),
        };
        vec![
            alert("EWR", 48.25, 64, "page"),
            alert("JFK", 31.5, 760, "warn"),
        ]
    }

    fn overview_now(&self) -> Overview {
        Overview {
            at_ms: self.now_ms(),
            node: self.node_info(),
            traffic: Traffic {
                records_in_total: self.total(15_200.0, 0.3),
                bytes_in_total: self.total(15_200.0 * 246.0, 0.3),
                records_out_total: self.total(21_700.0, 1.7),
                bytes_out_total: self.total(21_700.0 * 190.0, 1.7),
                ..Traffic::default()
            },
            lag: LagSummary {
                pipelines_records: self.level(900.0, 1.0),
                groups_records: self.level(4_000.0, 2.0),
                sinks_records: self.level(120.0, 3.0),
            },
            storage: Storage {
                topics: 7,
                partitions: 19,
                log_bytes: self.total(3_900_000.0, 0.0),
                connections: 6,
            },
            memory: Memory {
                resident_bytes: 212 << 20,
                state_bytes: (61 << 20) + self.level(4e6, 0.4),
                state_limit_bytes: 512 << 20,
            },
            pipelines: self.summary(),
            alerts_firing: 2,
            alerts: self.firing(),
            dead_letters_total: 37,
            late_rows_total: 1_204,
            history: Vec::new(),
        }
    }

    fn node_info(&self) -> NodeInfo {
        NodeInfo {
            version: env!("CARGO_PKG_VERSION").into(),
            node_id: 1,
            cluster_id: "c5lqT0UdRc2eVZ6xq1y9hw".into(),
            kafka: "127.0.0.1:9092".into(),
            http: self.http.clone(),
            started_ms: self.started_ms,
        }
    }
}

impl Node for World {
    fn overview(&self) -> Answer<'_, Overview> {
        async { Ok(self.overview_now()) }.boxed()
    }

    fn metrics(&self) -> Answer<'_, String> {
        let text = format!(
            "# TYPE headwater_records_in counter\nheadwater_records_in {}\n",
            self.total(15_200.0, 0.3)
        );
        async { Ok(text) }.boxed()
    }

    fn health(&self) -> Answer<'_, Health> {
        let check = Check {
            name: "log".into(),
            ok: true,
            message: None,
        };
        async {
            Ok(Health {
                status: HealthStatus::Ok,
                checks: vec![check],
            })
        }
        .boxed()
    }
}
