//! `GET /api/pipelines`.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PipelineState {
    #[default]
    Running,
    /// Working through what was there before it.
    CatchingUp,
    /// Stopped by a limit or a command; `reason` says which.
    Paused,
    /// Stopped by an error; `reason` says which.
    Failed,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Pipeline {
    pub name: String,
    pub state: PipelineState,
    pub reason: Option<String>,
    pub lag_records: u64,
    /// Source rows taken in.
    pub rows_total: u64,
    #[serde(default)]
    pub rows_per_s: Option<f64>,
    pub steps_total: u64,
    /// Duration of the last step.
    pub step_last_us: u64,
    pub state_bytes: u64,
    /// 0 when there is none.
    pub state_limit_bytes: u64,
    pub watermark_ms: Option<i64>,
    /// Inputs come before their users.
    pub operators: Vec<Operator>,
    pub sinks: Vec<Sink>,
}

/// A node of the pipeline's graph. Sinks and alerts are nodes too, so that the page needs no second kind of edge.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Operator {
    /// Unique in the pipeline, stable across restarts.
    pub id: String,
    /// `source`, `table`, `filter`, `project`, `unnest`, `aggregate`, `join`, `union`, `window`, `view`, `sink`, `alert`.
    pub kind: String,
    /// What to write on it: the relation's name, or a short form of the expression.
    pub label: String,
    /// The whole expression or query, `${VAR}` unexpanded; may be empty.
    pub detail: String,
    pub inputs: Vec<String>,
    /// The view, sink or alert that it works for.
    pub owner: Option<String>,
    /// Rows put out (insertions and retractions).
    pub rows_total: u64,
    #[serde(default)]
    pub rows_per_s: Option<f64>,
    pub state_bytes: u64,
    pub watermark_ms: Option<i64>,
    /// Dropped as late.
    pub late_rows_total: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SinkState {
    #[default]
    Running,
    /// The other side is away; tried again with a growing pause.
    Retrying,
    /// Past its byte limit: resumes from a snapshot of the view.
    Paused,
    /// Needs a person: fenced or refused.
    Failed,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sink {
    pub name: String,
    /// `topic`, `postgres`, ...
    pub connector: String,
    /// The view that it reads.
    pub from: String,
    /// Topic or table; never a password, `${VAR}` unexpanded.
    pub target: String,
    pub state: SinkState,
    /// Changes of the view that the other side does not have yet.
    pub lag_records: u64,
    pub error: Option<String>,
    pub rows_total: u64,
    #[serde(default)]
    pub rows_per_s: Option<f64>,
    /// Last time the other side took something.
    pub last_write_ms: Option<i64>,
}
