//! `GET /api/alerts`, `GET /api/dead-letters`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::payload::Payload;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Alerts {
    pub alerts: Vec<AlertInfo>,
    /// Newest first.
    pub firing: Vec<FiringAlert>,
    /// Newest first, bounded by the implementer.
    pub history: Vec<AlertEvent>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct AlertInfo {
    pub name: String,
    pub pipeline: String,
    pub severity: String,
    pub query: String,
    /// `webhook:${ALERT_URL}` and the like, unexpanded.
    pub notify: Vec<String>,
    pub firing: u64,
    pub fired_total: u64,
    /// Notifications not delivered yet.
    pub pending: u64,
    /// Why the last delivery failed.
    pub error: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct FiringAlert {
    pub alert: String,
    pub severity: String,
    /// The subject as text, such as `JFK`.
    pub key: String,
    pub since_ms: i64,
    /// The row that holds, column to value.
    pub row: Map<String, Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlertEventKind {
    Fired,
    Resolved,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AlertEvent {
    pub at_ms: i64,
    pub kind: AlertEventKind,
    pub alert: String,
    pub severity: String,
    pub key: String,
    pub row: Map<String, Value>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DeadLetters {
    pub total: u64,
    pub counts: Vec<DeadLetterCount>,
    /// Newest first.
    pub newest: Vec<DeadLetter>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DeadLetterCount {
    pub pipeline: String,
    /// Source or table that could not read the record.
    pub source: String,
    pub total: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DeadLetter {
    pub at_ms: i64,
    pub pipeline: String,
    pub source: String,
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub reason: String,
    pub key: Option<Payload>,
    pub value: Option<Payload>,
}
