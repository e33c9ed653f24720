//! What people see of an engine: states, figures, graphs. Plain data for JSON.

use serde::Serialize;

use crate::alerts::AlertEvent;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "reason", rename_all = "snake_case")]
pub enum PipelineState {
    /// Recovering: rebuilding its state from snapshot and log.
    Starting,
    CatchingUp,
    Running,
    /// Out of room (memory, disk); goes on by itself when there is some.
    Paused(String),
    Failed(String),
    Stopped,
}

impl PipelineState {
    /// In a word, and why.
    pub fn words(&self) -> (&'static str, Option<String>) {
        match self {
            Self::Starting => ("starting", None),
            Self::CatchingUp => ("catching up", None),
            Self::Running => ("running", None),
            Self::Paused(reason) => ("paused", Some(reason.clone())),
            Self::Failed(reason) => ("failed", Some(reason.clone())),
            Self::Stopped => ("stopped", None),
        }
    }
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct EngineStatus {
    pub pipelines: Vec<PipelineStatus>,
    pub views: Vec<ViewStatus>,
    pub sinks: Vec<SinkStatus>,
    pub alerts: Vec<AlertStatus>,
    pub dead_letters: u64,
    pub late_rows: u64,
    pub errors: u64,
    /// Firing transitions since the engine started.
    pub alerts_fired: u64,
    pub state_bytes: u64,
    pub dead_letter_counts: Vec<DeadLetterCount>,
}

#[derive(Clone, Debug, Serialize)]
pub struct DeadLetterCount {
    pub pipeline: String,
    /// The source or table whose records they are.
    pub source: String,
    pub total: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct PipelineStatus {
    pub name: String,
    #[serde(flatten)]
    pub state: PipelineState,
    /// Names of the objects that it consists of.
    pub objects: Vec<String>,
    pub step: u64,
    /// Duration of the last step, from reading to commit.
    pub step_last_us: u64,
    pub rows_in: u64,
    pub rows_per_s: f64,
    pub state_bytes: u64,
    /// The smallest watermark of its sources, microseconds since the epoch.
    pub watermark_us: Option<i64>,
    pub dead_letters: u64,
    pub late_rows: u64,
    pub errors: u64,
    pub inputs: Vec<InputStatus>,
    pub operators: Vec<OperatorStatus>,
}

#[derive(Clone, Debug, Serialize)]
pub struct InputStatus {
    pub name: String,
    pub topic: String,
    pub partitions: usize,
    /// Durable records that no visible result contains yet.
    pub lag_records: i64,
    pub watermark_us: Option<i64>,
    pub rows: u64,
}

/// A node of the pipeline's drawing.
#[derive(Clone, Debug, Default, Serialize)]
pub struct OperatorStatus {
    /// Unique in the pipeline: `view/operator-n`, or the input's name.
    pub id: String,
    pub view: Option<String>,
    pub kind: String,
    /// What to write on it.
    pub label: String,
    /// The whole expression; may be empty.
    pub detail: String,
    pub late_rows: u64,
    /// Ids of the nodes that feed it.
    pub inputs: Vec<String>,
    pub rows_in: u64,
    pub rows_out: u64,
    pub rows_per_s: f64,
    pub state_bytes: u64,
    pub state_rows: u64,
    /// Time spent in it since it was started.
    pub busy_us: u64,
    /// Bytes of state that are on disk only.
    pub spilled_bytes: u64,
    /// Times that a part of the state was read back since the start.
    pub state_loads: u64,
    pub watermark_us: Option<i64>,
}

#[derive(Clone, Debug, Serialize)]
pub struct ViewStatus {
    pub name: String,
    /// `view`, `table` or `alert`.
    pub kind: String,
    pub pipeline: String,
    pub rows: u64,
    pub bytes: u64,
    pub key: Vec<String>,
    /// Column names and SQL types.
    pub columns: Vec<(String, String)>,
    pub append_only: bool,
    /// The text as written.
    pub query: String,
    pub emit_on_close: bool,
    pub retention_ms: Option<i64>,
    pub watermark_us: Option<i64>,
    /// Rows added and taken back, ever.
    pub changes: u64,
    /// Rows withheld because computing them fails.
    pub error_rows: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SinkPhase {
    Starting,
    Running,
    /// The other side is away: retried with a growing pause.
    Retrying,
    /// Too far behind: starts over from a snapshot of its view when the other side is back.
    Paused,
    /// Will not get better by itself.
    Failed,
}

#[derive(Clone, Debug, Serialize)]
pub struct SinkStatus {
    pub name: String,
    pub connector: String,
    pub from: String,
    pub pipeline: String,
    pub state: SinkPhase,
    pub lag_records: i64,
    pub written: u64,
    /// Topic or table, `${VAR}` unexpanded.
    pub target: String,
    pub last_write_ms: Option<i64>,
    pub last_error: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct AlertStatus {
    pub name: String,
    pub severity: String,
    pub pipeline: String,
    pub query: String,
    /// Targets, `${VAR}` unexpanded.
    pub notify: Vec<String>,
    pub firing: Vec<Firing>,
    /// Newest first.
    pub history: Vec<AlertEvent>,
    pub fired: u64,
    /// Events that some target has not taken yet.
    pub undelivered: i64,
    pub last_error: Option<String>,
}

/// A subject whose condition holds.
#[derive(Clone, Debug, Serialize)]
pub struct Firing {
    pub key: serde_json::Map<String, serde_json::Value>,
    pub row: serde_json::Map<String, serde_json::Value>,
    pub since_ms: i64,
}
