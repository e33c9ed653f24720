//! The invented pipeline: the graph of the flights demo, more or less.

use headwater_edge_http::dto::{Operator, Pipeline, PipelineState, Sink, SinkState};

use crate::world::World;

/// Id, kind, label, inputs, rows a second, state in KiB.
type Part = (
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
    f64,
    u64,
);

const PARTS: [Part; 20] = [
    ("flights", "source", "flights", &[], 13_900.0, 0),
    ("weather", "source", "weather", &[], 1_090.0, 0),
    ("planes", "table", "planes", &[], 0.0, 410),
    ("airlines", "table", "airlines", &[], 0.0, 8),
    (
        "delayed-f",
        "filter",
        "dep_delay > 60",
        &["flights"],
        1_320.0,
        0,
    ),
    (
        "delayed",
        "view",
        "delayed_flights",
        &["delayed-f"],
        1_320.0,
        9_200,
    ),
    (
        "hourly-a",
        "aggregate",
        "count(*), avg(dep_delay)",
        &["flights"],
        840.0,
        2_300,
    ),
    (
        "hourly",
        "view",
        "hourly_by_airport",
        &["hourly-a"],
        840.0,
        3_100,
    ),
    (
        "hop-a",
        "aggregate",
        "count(*), max(dep_delay)",
        &["flights"],
        2_100.0,
        8_800,
    ),
    (
        "hop",
        "view",
        "rolling_by_carrier",
        &["hop-a"],
        2_100.0,
        6_400,
    ),
    (
        "join-plane",
        "join",
        "left: tailnum = tailnum",
        &["flights", "planes"],
        13_900.0,
        14_000,
    ),
    (
        "join-air",
        "join",
        "left: carrier = carrier",
        &["join-plane", "airlines"],
        13_900.0,
        11_000,
    ),
    (
        "join-wx",
        "join",
        "left: origin, hour",
        &["join-air", "weather"],
        14_200.0,
        12_500,
    ),
    (
        "enriched",
        "view",
        "flights_enriched",
        &["join-wx"],
        14_200.0,
        22_000,
    ),
    (
        "wind-a",
        "aggregate",
        "avg(dep_delay) by wind",
        &["enriched"],
        60.0,
        40,
    ),
    ("wind", "view", "delay_by_wind", &["wind-a"], 60.0, 12),
    ("to-pg", "sink", "hourly_pg", &["hourly"], 840.0, 0),
    ("to-topic", "sink", "late.flights", &["delayed"], 1_320.0, 0),
    (
        "alert-f",
        "filter",
        "departures > 20 AND avg_delay > 30",
        &["hourly"],
        14.0,
        0,
    ),
    ("alert", "alert", "airport_delays", &["alert-f"], 14.0, 4),
];

impl World {
    fn operator(&self, part: &Part) -> Operator {
        let (id, kind, label, inputs, rate, state_kib) = *part;
        Operator {
            id: id.into(),
            kind: kind.into(),
            label: label.into(),
            detail: format!("{kind}: {label}"),
            inputs: inputs.iter().map(|&input| input.into()).collect(),
            owner: None,
            rows_total: if rate > 0.0 {
                self.total(rate, state_kib as f64)
            } else {
                3_322
            },
            rows_per_s: None,
            state_bytes: state_kib << 10,
            watermark_ms: (kind != "table").then(|| self.watermark_ms()),
            late_rows_total: if id == "hourly-a" { 1_204 } else { 0 },
        }
    }

    fn sinks(&self) -> Vec<Sink> {
        let postgres = Sink {
            name: "hourly_pg".into(),
            connector: "postgres".into(),
            from: "hourly_by_airport".into(),
            target: "${PG_URL} hourly".into(),
            state: SinkState::Retrying,
            lag_records: self.total(840.0, 1.0),
            error: Some("connection refused (127.0.0.1:5432); next try in 8 s".into()),
            rows_total: 12_000,
            rows_per_s: None,
            last_write_ms: Some(self.now_ms() - 95_000),
        };
        let topic = Sink {
            name: "late.flights".into(),
            connector: "topic".into(),
            from: "delayed_flights".into(),
            target: "late.flights".into(),
            state: SinkState::Running,
            lag_records: 0,
            error: None,
            rows_total: self.total(1_320.0, 0.0),
            rows_per_s: None,
            last_write_ms: Some(self.now_ms()),
        };
        vec![postgres, topic]
    }

    pub fn pipelines_now(&self) -> Vec<Pipeline> {
        let flights = Pipeline {
            name: "flights".into(),
            state: PipelineState::Running,
            lag_records: self.level(900.0, 1.0),
            rows_total: self.total(15_200.0, 0.3),
            steps_total: self.total(310.0, 0.0),
            step_last_us: 2_100 + self.level(3_000.0, 1.0),
            state_bytes: 61 << 20,
            state_limit_bytes: 512 << 20,
            watermark_ms: Some(self.watermark_ms()),
            operators: PARTS.iter().map(|part| self.operator(part)).collect(),
            sinks: self.sinks(),
            ..Pipeline::default()
        };
        let clicks = Pipeline {
            name: "clickstream".into(),
            state: PipelineState::Paused,
            reason: Some("view sessions_1m holds 256 MiB, its limit".into()),
            lag_records: self.total(40.0, 0.0),
            rows_total: 88_231,
            state_bytes: 256 << 20,
            state_limit_bytes: 256 << 20,
            operators: [
                ("clicks", "source", "clicks", &[] as &[&str], 0.0, 0),
                (
                    "sessions-a",
                    "aggregate",
                    "count(distinct page)",
                    &["clicks"],
                    0.0,
                    120_000,
                ),
                (
                    "sessions",
                    "view",
                    "sessions_1m",
                    &["sessions-a"],
                    0.0,
                    136_000,
                ),
            ]
            .iter()
            .map(|part| self.operator(part))
            .collect(),
            ..Pipeline::default()
        };
        vec![flights, clicks]
    }
}
