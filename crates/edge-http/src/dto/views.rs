//! `GET /api/views`, `/api/views/{v}/rows`, `/api/views/{v}/changes`. Values are as JSON out writes them: 64-bit integers and
//! decimals as exact numbers, timestamps RFC 3339, bytes base64, NULL null.

use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    /// As SQL writes it, such as `BIGINT`.
    #[serde(rename = "type")]
    pub data_type: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ViewColumn {
    pub name: String,
    #[serde(rename = "type")]
    pub data_type: String,
    /// Part of what identifies a row.
    pub key: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ViewKind {
    #[default]
    View,
    Table,
    /// The condition of an alert.
    Alert,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct View {
    pub name: String,
    pub kind: ViewKind,
    pub pipeline: String,
    /// The text as written, `${VAR}` unexpanded.
    pub query: String,
    pub columns: Vec<ViewColumn>,
    pub append_only: bool,
    /// `EMIT ON WINDOW CLOSE`: each window once, final.
    pub emit_on_close: bool,
    pub rows: u64,
    /// Memory held.
    pub bytes: u64,
    pub retention_ms: Option<i64>,
    pub watermark_ms: Option<i64>,
    /// Insertions and deletions of rows, ever.
    pub changes_total: u64,
    #[serde(default)]
    pub changes_per_s: Option<f64>,
    /// Rows withheld because computing them fails.
    pub error_rows: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowsQuery {
    /// 1 to [`crate::limits::ROWS_MAX`].
    pub limit: usize,
    /// A column of the view; any order when `None`.
    pub order_by: Option<String>,
    pub descending: bool,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ViewRows {
    pub columns: Vec<ViewColumn>,
    pub rows: Vec<Vec<Value>>,
    /// Rows in the view, of which `rows` may be the first part.
    pub total: u64,
    /// The commit that this is the state after; changes with a higher one follow it.
    pub commit: u64,
}

/// All changes of a view in one commit, in order: an update is a deletion and an insertion.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChangeBatch {
    pub commit: u64,
    pub changes: Vec<RowChange>,
    /// Changes of the commit that are not among `changes`, because there were too many; a page is told to reload.
    #[serde(skip)]
    pub left_out: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeOp {
    Insert,
    Delete,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowChange {
    pub op: ChangeOp,
    /// All columns, in order.
    pub row: Vec<Value>,
}
