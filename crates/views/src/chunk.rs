//! A chunk: immutable Arrow rows with ascending row ids, and a bitmap of those that are gone.
//!
//! The rows are never touched after the chunk is made; the bitmap is copied when it changes while a reader holds it. So a
//! clone of a chunk is a consistent picture for two reference counts.

use std::cmp::Ordering;
use std::ops::{Bound, Range};
use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::{
    Array, ArrayRef, BooleanArray, DynComparator, UInt32Array, make_comparator,
};
use datafusion::arrow::buffer::{BooleanBuffer, Buffer};
use datafusion::arrow::compute::{
    SortColumn, SortOptions, concat_batches, filter_record_batch, lexsort_to_indices,
    take_record_batch,
};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::record_batch::RecordBatch;

use crate::rowkey::RowKeys;

/// Identity of a row for life. Ids ascend in order of arrival and are never reused.
pub(crate) type RowId = u64;

/// Batches up to this many rows are copied on entry, so that a few rows never keep a large buffer alive.
const COPIED_ROWS_MAX: usize = 512;

#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    body: Arc<Body>,
    /// One bit a row; absent while none is gone.
    dead: Option<Arc<Vec<u64>>>,
    dead_rows: usize,
}

#[derive(Debug)]
struct Body {
    batch: RecordBatch,
    ids: RowIds,
    /// What the index compares; absent in views without index.
    keys: Option<RowKeys>,
    bytes: usize,
    /// Its rows by key, once somebody has asked for rows by key.
    by_key: OnceLock<UInt32Array>,
}

/// Of the rows of a key's range; those without a value come first.
const BY_KEY: SortOptions = SortOptions {
    descending: false,
    nulls_first: true,
};

#[derive(Debug)]
enum RowIds {
    /// `first`, `first + 1`, ...
    Dense(RowId),
    Sparse(Vec<RowId>),
}

impl Chunk {
    /// New rows, with consecutive ids from `first`. `key`: the columns that the view's index compares.
    pub fn new(
        batch: RecordBatch,
        first: RowId,
        key: Option<&[usize]>,
    ) -> Result<Self, ArrowError> {
        Self::build(owned(batch)?, RowIds::Dense(first), key)
    }

    /// The live rows of neighbouring chunks, in one.
    pub fn merge(chunks: &[Self], key: Option<&[usize]>) -> Result<Self, ArrowError> {
        let batches = chunks
            .iter()
            .map(Self::live_batch)
            .collect::<Result<Vec<_>, _>>()?;
        let schema = chunks
            .first()
            .map(|c| c.body.batch.schema())
            .ok_or_else(|| ArrowError::InvalidArgumentError("no chunks".into()))?;
        let mut ids = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
        for chunk in chunks {
            ids.extend(
                (0..chunk.rows())
                    .filter(|row| !chunk.is_dead(*row))
                    .map(|row| chunk.id(row)),
            );
        }
        let dense = ids
            .first()
            .zip(ids.last())
            .filter(|(first, last)| *last - *first + 1 == ids.len() as u64);
        let ids = match dense {
            Some((first, _)) => RowIds::Dense(*first),
            None => RowIds::Sparse(ids),
        };
        let batch = if let [one] = batches.as_slice() {
            one.clone()
        } else {
            concat_batches(&schema, &batches)?
        };
        Self::build(batch, ids, key)
    }

    fn build(batch: RecordBatch, ids: RowIds, key: Option<&[usize]>) -> Result<Self, ArrowError> {
        let keys = key
            .map(|columns| RowKeys::bind(&batch, columns))
            .transpose()?;
        let id_bytes = if let RowIds::Sparse(ids) = &ids {
            ids.len() * size_of::<RowId>()
        } else {
            0
        };
        let bytes = batch.get_array_memory_size() + id_bytes + size_of::<Body>();
        Ok(Self {
            body: Arc::new(Body {
                batch,
                ids,
                keys,
                bytes,
                by_key: OnceLock::new(),
            }),
            dead: None,
            dead_rows: 0,
        })
    }

    /// Rows, dead ones included.
    pub fn rows(&self) -> usize {
        self.body.batch.num_rows()
    }

    pub fn live_rows(&self) -> usize {
        self.rows() - self.dead_rows
    }

    pub fn dead_rows(&self) -> usize {
        self.dead_rows
    }

    pub fn bytes(&self) -> usize {
        self.body.bytes + self.dead.as_ref().map_or(0, |words| words.len() * 8)
    }

    /// Id of the first row.
    pub fn first_id(&self) -> RowId {
        self.id(0)
    }

    pub fn id(&self, row: usize) -> RowId {
        match &self.body.ids {
            RowIds::Dense(first) => first + row as RowId,
            RowIds::Sparse(ids) => ids.get(row).copied().unwrap_or(RowId::MAX),
        }
    }

    pub fn row_of(&self, id: RowId) -> Option<usize> {
        let row = match &self.body.ids {
            RowIds::Dense(first) => usize::try_from(id.checked_sub(*first)?).ok()?,
            RowIds::Sparse(ids) => ids.binary_search(&id).ok()?,
        };
        (row < self.rows()).then_some(row)
    }

    pub fn is_dead(&self, row: usize) -> bool {
        self.dead
            .as_ref()
            .is_some_and(|words| words[row / 64] >> (row % 64) & 1 == 1)
    }

    /// `false` if it was dead already.
    pub fn kill(&mut self, row: usize) -> bool {
        if self.is_dead(row) {
            return false;
        }
        let words = self.rows().div_ceil(64);
        let dead = self.dead.get_or_insert_with(|| Arc::new(vec![0; words]));
        Arc::make_mut(dead)[row / 64] |= 1 << (row % 64);
        self.dead_rows += 1;
        true
    }

    /// The rows that are there whose first key columns lie between the bounds. `key`: the same columns at every call.
    pub fn between(
        &self,
        key: &[usize],
        lower: Bound<&[ArrayRef]>,
        upper: Bound<&[ArrayRef]>,
    ) -> Result<RecordBatch, ArrowError> {
        let order = match self.body.by_key.get() {
            Some(order) => order,
            None => {
                let order = self.order_by(key)?;
                self.body.by_key.get_or_init(|| order)
            }
        };
        let Range { start, end } = self.range(order, key, lower, upper)?;
        let found = order.values().get(start..end).unwrap_or_default();
        let there = found.iter().filter(|row| !self.is_dead(**row as usize));
        take_record_batch(
            &self.body.batch,
            &UInt32Array::from_iter_values(there.copied()),
        )
    }

    fn order_by(&self, key: &[usize]) -> Result<UInt32Array, ArrowError> {
        let columns = key.iter().map(|column| SortColumn {
            values: Arc::clone(self.body.batch.column(*column)),
            options: Some(BY_KEY),
        });
        lexsort_to_indices(&columns.collect::<Vec<_>>(), None)
    }

    /// Places in the order by key.
    fn range(
        &self,
        order: &UInt32Array,
        key: &[usize],
        lower: Bound<&[ArrayRef]>,
        upper: Bound<&[ArrayRef]>,
    ) -> Result<Range<usize>, ArrowError> {
        // How many rows come before the bound; `through`: those that are equal to it as well.
        let before = |values: &[ArrayRef], through: bool| -> Result<usize, ArrowError> {
            let columns = key.iter().zip(values);
            let compare = columns
                .map(|(column, value)| {
                    make_comparator(self.body.batch.column(*column), value, BY_KEY)
                })
                .collect::<Result<Vec<DynComparator>, _>>()?;
            let to_bound = |row: usize| {
                let each = compare.iter().map(|compare| compare(row, 0));
                each.fold(Ordering::Equal, Ordering::then)
            };
            Ok(order.values().partition_point(|row| {
                let there = to_bound(*row as usize);
                there == Ordering::Less || (through && there == Ordering::Equal)
            }))
        };
        let start = match lower {
            Bound::Unbounded => 0,
            Bound::Included(values) => before(values, false)?,
            Bound::Excluded(values) => before(values, true)?,
        };
        let end = match upper {
            Bound::Unbounded => order.len(),
            Bound::Included(values) => before(values, true)?,
            Bound::Excluded(values) => before(values, false)?,
        };
        Ok(start..end.max(start))
    }

    /// All rows, dead ones included.
    pub fn batch(&self) -> &RecordBatch {
        &self.body.batch
    }

    pub fn keys(&self) -> Option<&RowKeys> {
        self.body.keys.as_ref()
    }

    /// Only the rows that are there.
    pub fn live_batch(&self) -> Result<RecordBatch, ArrowError> {
        match &self.dead {
            Some(words) if self.dead_rows > 0 => {
                let inverted: Vec<u64> = words.iter().map(|word| !word).collect();
                let live = BooleanBuffer::new(Buffer::from_vec(inverted), 0, self.rows());
                filter_record_batch(&self.body.batch, &BooleanArray::new(live, None))
            }
            _ => Ok(self.body.batch.clone()),
        }
    }
}

/// The batch itself, or a copy if it is a small part of larger buffers.
fn owned(batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
    let rows = batch.num_rows();
    let sliced = || -> Result<bool, ArrowError> {
        let held = batch.get_array_memory_size();
        let mut used = 0;
        for column in batch.columns() {
            used += column.to_data().get_slice_memory_size()?;
        }
        Ok(held > used * 2)
    };
    if rows > COPIED_ROWS_MAX && !sliced()? {
        return Ok(batch);
    }
    let all = UInt32Array::from_iter_values(0..u32::try_from(rows).unwrap_or(u32::MAX));
    take_record_batch(&batch, &all)
}
