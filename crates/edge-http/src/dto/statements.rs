//! `POST /api/sql` and `POST /api/apply`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Column;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SqlRequest {
    /// One statement or several, separated by `;`.
    pub sql: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SqlAnswer {
    /// One per statement, in order.
    pub results: Vec<SqlResult>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SqlResult {
    /// Empty for statements that return no rows.
    #[serde(default)]
    pub columns: Vec<Column>,
    #[serde(default)]
    pub rows: Vec<Vec<Value>>,
    /// Such as `created view spend_1m`.
    #[serde(default)]
    pub message: Option<String>,
    /// Records acked before the statement that the answer does not contain yet; 0 when it sees everything.
    #[serde(default)]
    pub behind: u64,
    /// Rows were left out because the answer would have been too large.
    #[serde(default)]
    pub truncated: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApplyRequest {
    /// Name of the pipeline: the folder's name unless told.
    pub pipeline: String,
    pub files: Vec<ApplyFile>,
    /// Take changed definitions instead of refusing them.
    #[serde(default)]
    pub replace: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApplyFile {
    /// Relative to the folder; shown in errors.
    pub name: String,
    pub text: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Applied {
    pub pipeline: String,
    pub changes: Vec<AppliedChange>,
    /// A summary in one line.
    pub message: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AppliedChange {
    pub name: String,
    /// `source`, `table`, `view`, `sink` or `alert`.
    pub kind: String,
    pub action: AppliedAction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AppliedAction {
    Created,
    Unchanged,
    Replaced,
    Dropped,
    /// In no file any more, but still there.
    Orphaned,
}
