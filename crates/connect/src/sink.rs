//! What a sink outside the log implements. It reads a view's durable changelog with its own cursor.

use std::future::Future;
use std::pin::Pin;

use headwater_base::Offset;

/// Column types that a sink can meet; the wire form of values is JSON (see [`Change`]).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum ColumnType {
    Bool,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    Decimal {
        precision: u8,
        scale: i8,
    },
    Text,
    Bytes,
    Date,
    /// Without time zone, microseconds.
    Timestamp,
    /// With time zone, an instant in microseconds.
    TimestampTz,
    /// Structs, lists and the like, as JSON.
    Json,
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SinkColumn {
    pub name: String,
    pub kind: ColumnType,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum ChangeKind {
    /// A row is there now: inserted, or replacing the row of the same key.
    Upsert,
    /// The row of this key is gone.
    Delete,
}

/// One change of a view. Values are JSON texts in column order: numbers as numbers, decimals and 64-bit integers exact,
/// timestamps RFC 3339 with up to microseconds, bytes base64, NULL as null.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Change {
    pub kind: ChangeKind,
    pub values: Vec<serde_json::Value>,
}

/// A place in a view's changelog: everything before `next` has been applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SinkPosition {
    pub next: Offset,
}

/// Consecutive changes, in order, together with the position after them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkBatch {
    pub changes: Vec<Change>,
    pub after: SinkPosition,
    /// The view was read as a whole (first start, or resumption from a snapshot): replace what is there.
    pub snapshot: bool,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum SinkError {
    /// The other side is away or refuses for now: retry with a growing pause, visibly lagging.
    #[error("{0}")]
    Unavailable(String),
    /// A newer process owns this sink: stop for good.
    #[error("fenced: {0}")]
    Fenced(String),
    /// Retrying cannot help: definition and target do not fit.
    #[error("{0}")]
    Rejected(String),
}

/// One sink that is running. Owned by one task; called in sequence.
pub trait Sink: Send {
    /// Connects, takes ownership (fences older owners), and says where it left off (`None` if never written).
    fn open(
        &mut self,
    ) -> Pin<Box<dyn Future<Output = Result<Option<SinkPosition>, SinkError>> + Send + '_>>;

    /// Applies a batch and its position. Returns when the other side has it for good.
    fn write(
        &mut self,
        batch: SinkBatch,
    ) -> Pin<Box<dyn Future<Output = Result<(), SinkError>> + Send + '_>>;
}
