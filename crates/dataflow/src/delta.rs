//! A piece of a changelog: Arrow rows, each with its kind and, as long as it is known, where it came from.

use std::sync::Arc;

use datafusion::arrow::record_batch::RecordBatch;

/// What a row of a changelog does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RowKind {
    Insert,
    /// The old row of a change; behaves as a delete.
    UpdateBefore,
    /// The new row of a change; behaves as an insert.
    UpdateAfter,
    Delete,
}

impl RowKind {
    pub fn adds(self) -> bool {
        matches!(self, Self::Insert | Self::UpdateAfter)
    }
}

#[derive(Clone, Debug)]
pub struct Delta {
    pub rows: RecordBatch,
    /// One a row; `None` means that all are inserts.
    pub kinds: Option<Arc<[RowKind]>>,
    /// One a row, while each row comes from exactly one source row.
    pub origin: Option<Origin>,
}

/// Where the rows of a delta came from: parallel arrays, one entry a row.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Which source relation of the pipeline (the runtime's numbering).
    pub source: u32,
    pub partition: Arc<[i32]>,
    pub offset: Arc<[i64]>,
    /// The watermark of the row's own partition just before the row, in microseconds; `i64::MIN` if there is none yet.
    pub watermark: Arc<[i64]>,
}
