//! A piece of a changelog: Arrow rows, each with its kind and, as long as it is known, where it came from.

use std::sync::Arc;

use datafusion::arrow::array::{BooleanArray, UInt32Array};
use datafusion::arrow::compute::{filter_record_batch, take_record_batch};
use datafusion::arrow::error::ArrowError;
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

    /// How the row changes the count of rows like it: 1 or -1.
    pub fn weight(self) -> i64 {
        if self.adds() { 1 } else { -1 }
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

impl Delta {
    /// Rows that are all added, from nowhere in particular.
    pub fn inserts(rows: RecordBatch) -> Self {
        Self {
            rows,
            kinds: None,
            origin: None,
        }
    }

    pub fn len(&self) -> usize {
        self.rows.num_rows()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn kind(&self, row: usize) -> RowKind {
        self.kinds
            .as_ref()
            .map_or(RowKind::Insert, |kinds| kinds[row])
    }

    /// One weight a row, or `None` if all are 1.
    pub fn weights(&self) -> Option<Vec<i64>> {
        let kinds = self.kinds.as_ref()?;
        kinds
            .iter()
            .any(|k| !k.adds())
            .then(|| kinds.iter().map(|k| k.weight()).collect())
    }

    /// The rows that `mask` holds for (NULL does not).
    pub fn filter(&self, mask: &BooleanArray) -> Result<Self, ArrowError> {
        let kept: Vec<u32> = (0..self.len())
            .filter(|i| is_true(mask, *i))
            .map(|i| i as u32)
            .collect();
        if kept.len() == self.len() {
            return Ok(self.clone());
        }
        Ok(Self {
            rows: filter_record_batch(&self.rows, mask)?,
            kinds: self.kinds.as_ref().map(|kinds| pick(kinds, &kept)),
            origin: self.origin.as_ref().map(|origin| origin.take(&kept)),
        })
    }

    /// The same rows, at most `rows_max` in each delta.
    pub fn pieces(self, rows_max: usize) -> Vec<Self> {
        if self.len() <= rows_max {
            return vec![self];
        }
        let piece = |from: usize| {
            let to = (from + rows_max).min(self.len());
            Self {
                rows: self.rows.slice(from, to - from),
                kinds: self.kinds.as_ref().map(|kinds| Arc::from(&kinds[from..to])),
                origin: self.origin.as_ref().map(|origin| Origin {
                    source: origin.source,
                    partition: Arc::from(&origin.partition[from..to]),
                    offset: Arc::from(&origin.offset[from..to]),
                    watermark: Arc::from(&origin.watermark[from..to]),
                }),
            }
        };
        (0..self.len())
            .step_by(rows_max.max(1))
            .map(piece)
            .collect()
    }

    /// The rows at `indices`, in their order.
    pub fn take(&self, indices: &[u32]) -> Result<Self, ArrowError> {
        Ok(Self {
            rows: take_record_batch(&self.rows, &UInt32Array::from(indices.to_vec()))?,
            kinds: self.kinds.as_ref().map(|kinds| pick(kinds, indices)),
            origin: self.origin.as_ref().map(|origin| origin.take(indices)),
        })
    }
}

impl Origin {
    pub fn take(&self, indices: &[u32]) -> Self {
        Self {
            source: self.source,
            partition: pick(&self.partition, indices),
            offset: pick(&self.offset, indices),
            watermark: pick(&self.watermark, indices),
        }
    }
}

pub(crate) fn pick<T: Copy>(values: &[T], indices: &[u32]) -> Arc<[T]> {
    indices.iter().map(|i| values[*i as usize]).collect()
}

pub(crate) fn is_true(mask: &BooleanArray, row: usize) -> bool {
    use datafusion::arrow::array::Array;
    mask.is_valid(row) && mask.value(row)
}
