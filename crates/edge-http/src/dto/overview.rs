//! `GET /api/overview`, `GET /api/live`, `GET /health`.

use serde::{Deserialize, Serialize};

use super::{FiringAlert, PipelineState};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Overview {
    /// The node's clock.
    pub at_ms: i64,
    pub node: NodeInfo,
    pub traffic: Traffic,
    pub lag: LagSummary,
    pub storage: Storage,
    pub memory: Memory,
    pub pipelines: Vec<PipelineSummary>,
    pub alerts_firing: u64,
    /// The newest of them, at most 100.
    pub alerts: Vec<FiringAlert>,
    pub dead_letters_total: u64,
    pub late_rows_total: u64,
    /// Oldest first, a second apart; filled in by this crate, and only in `GET /api/overview`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Sample>,
}

/// What the charts show of one second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    pub at_ms: i64,
    pub records_in_per_s: f64,
    pub records_out_per_s: f64,
    pub bytes_in_per_s: f64,
    pub bytes_out_per_s: f64,
    pub pipelines_lag: u64,
    pub groups_lag: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct NodeInfo {
    pub version: String,
    pub node_id: i32,
    pub cluster_id: String,
    /// Addresses as a client would write them, `host:port`.
    pub kafka: String,
    pub http: String,
    pub started_ms: i64,
}

/// Records and bytes that clients and the engine wrote (in) and that clients, the engine and sinks read (out).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Traffic {
    pub records_in_total: u64,
    pub bytes_in_total: u64,
    pub records_out_total: u64,
    pub bytes_out_total: u64,
    #[serde(default)]
    pub records_in_per_s: Option<f64>,
    #[serde(default)]
    pub bytes_in_per_s: Option<f64>,
    #[serde(default)]
    pub records_out_per_s: Option<f64>,
    #[serde(default)]
    pub bytes_out_per_s: Option<f64>,
}

/// Records acked and not yet taken in, summed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LagSummary {
    pub pipelines_records: u64,
    pub groups_records: u64,
    pub sinks_records: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Storage {
    pub topics: u64,
    pub partitions: u64,
    /// On disk, all of the log.
    pub log_bytes: u64,
    /// Clients connected to the Kafka listener.
    pub connections: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Memory {
    /// Resident set of the process.
    pub resident_bytes: u64,
    /// Views and operator state, as accounted.
    pub state_bytes: u64,
    /// Budget of `state_bytes`; 0 when there is none.
    pub state_limit_bytes: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PipelineSummary {
    pub name: String,
    pub state: PipelineState,
    pub reason: Option<String>,
    pub lag_records: u64,
    /// Source rows taken in.
    pub rows_total: u64,
    #[serde(default)]
    pub rows_per_s: Option<f64>,
    pub watermark_ms: Option<i64>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Health {
    pub status: HealthStatus,
    pub checks: Vec<Check>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealthStatus {
    /// 200.
    #[default]
    Ok,
    /// Serving, but something needs a look. 200.
    Degraded,
    /// Not serving (starting, stopping, no disk). 503.
    Unavailable,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Check {
    pub name: String,
    pub ok: bool,
    pub message: Option<String>,
}
