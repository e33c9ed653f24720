//! Several runs read as one: equal rows added up, in order, block by block.

use std::cmp::Ordering;
use std::ops::Bound;
use std::sync::Arc;

use datafusion::arrow::array::{Int64Array, RecordBatch};
use datafusion::arrow::compute::interleave_record_batch;

use super::order::{Order, weights};
use super::run::{Block, Run};
use crate::error::ViewError;
use crate::store::CHUNK_ROWS_MAX;

/// Where reading begins and ends, by how the bytes of a row begin.
pub(crate) type Range = (Bound<Vec<u8>>, Bound<Vec<u8>>);

pub(crate) const ALL: Range = (Bound::Unbounded, Bound::Unbounded);

/// See the module's description. Gives batches of stored columns.
pub(crate) struct Merge {
    order: Arc<Order>,
    cursors: Vec<Cursor>,
    /// Indexes of cursors that have rows, the smallest row first (a binary heap).
    heap: Vec<usize>,
    upper: Bound<Vec<u8>>,
    /// Rows that are there less than once are left out; otherwise only those that cancel out.
    present_only: bool,
    started: bool,
    lower: Bound<Vec<u8>>,
}

struct Cursor {
    run: Arc<Run>,
    /// The block that comes next.
    next: usize,
    block: Option<Arc<Block>>,
    row: usize,
    /// Place of the block in the output that is being made.
    used: Option<usize>,
}

impl Cursor {
    fn key(&self) -> &[u8] {
        self.block.as_ref().map_or(&[], |block| block.key(self.row))
    }

    /// Goes to the next block; `false` at the end.
    fn load(&mut self, order: &Order) -> Result<bool, ViewError> {
        (self.block, self.row, self.used) = (None, 0, None);
        if let Some(place) = self.run.blocks.get(self.next) {
            self.block = Some(place.block(order)?);
            self.next += 1;
        }
        Ok(self.block.is_some())
    }

    /// `false` at the end.
    fn advance(&mut self, order: &Order) -> Result<bool, ViewError> {
        self.row += 1;
        match &self.block {
            Some(block) if self.row < block.batch.num_rows() => Ok(true),
            _ => self.load(order),
        }
    }

    /// Goes to the first row that is not before the bound; `false` if there is none.
    fn seek(&mut self, lower: &Bound<Vec<u8>>, order: &Order) -> Result<bool, ViewError> {
        let before = |key: &[u8]| is_before(key, lower);
        let later = self
            .run
            .blocks
            .partition_point(|place| before(place.first()));
        self.next = later.saturating_sub(1);
        while self.load(order)? {
            let Some(block) = &self.block else {
                break;
            };
            let rows = block.batch.num_rows();
            let (mut from, mut to) = (0, rows);
            while from < to {
                let middle = from.midpoint(to);
                if before(block.key(middle)) {
                    from = middle + 1;
                } else {
                    to = middle;
                }
            }
            if from < rows {
                self.row = from;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// How a row's bytes lie to those that a bound says all wanted rows begin with.
fn to_prefix(key: &[u8], prefix: &[u8]) -> Ordering {
    key[..key.len().min(prefix.len())].cmp(prefix)
}

fn is_before(key: &[u8], lower: &Bound<Vec<u8>>) -> bool {
    match lower {
        Bound::Unbounded => false,
        Bound::Included(prefix) => to_prefix(key, prefix).is_lt(),
        Bound::Excluded(prefix) => to_prefix(key, prefix).is_le(),
    }
}

fn is_past(key: &[u8], upper: &Bound<Vec<u8>>) -> bool {
    match upper {
        Bound::Unbounded => false,
        Bound::Included(prefix) => to_prefix(key, prefix).is_gt(),
        Bound::Excluded(prefix) => to_prefix(key, prefix).is_ge(),
    }
}

impl Merge {
    pub fn new(
        order: &Arc<Order>,
        runs: &[Arc<Run>],
        (lower, upper): Range,
        present_only: bool,
    ) -> Self {
        let cursor = |run: &Arc<Run>| Cursor {
            run: Arc::clone(run),
            next: 0,
            block: None,
            row: 0,
            used: None,
        };
        Self {
            order: Arc::clone(order),
            cursors: runs.iter().map(cursor).collect(),
            heap: Vec::new(),
            upper,
            present_only,
            started: false,
            lower,
        }
    }

    fn start(&mut self) -> Result<(), ViewError> {
        self.started = true;
        for at in 0..self.cursors.len() {
            if self.cursors[at].seek(&self.lower, &self.order)? {
                self.heap.push(at);
                self.up(self.heap.len() - 1);
            }
        }
        Ok(())
    }

    fn is_less(&self, a: usize, b: usize) -> bool {
        self.cursors[self.heap[a]].key() < self.cursors[self.heap[b]].key()
    }

    fn up(&mut self, mut at: usize) {
        while at > 0 && self.is_less(at, (at - 1) / 2) {
            self.heap.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
    }

    fn down(&mut self, mut at: usize) {
        loop {
            let mut least = at;
            for child in [2 * at + 1, 2 * at + 2] {
                if child < self.heap.len() && self.is_less(child, least) {
                    least = child;
                }
            }
            if least == at {
                return;
            }
            self.heap.swap(at, least);
            at = least;
        }
    }

    /// Moves the first cursor of the heap on.
    fn advance(&mut self) -> Result<(), ViewError> {
        let first = self.heap[0];
        if !self.cursors[first].advance(&self.order)? {
            self.heap.swap_remove(0);
        }
        self.down(0);
        Ok(())
    }

    /// The next batch of at most [`CHUNK_ROWS_MAX`] rows.
    fn batch(&mut self) -> Result<Option<RecordBatch>, ViewError> {
        if !self.started {
            self.start()?;
        }
        let (mut blocks, mut counts): (Vec<Arc<Block>>, Vec<i64>) = Default::default();
        let mut rows: Vec<(usize, usize)> = Vec::new();
        self.cursors
            .iter_mut()
            .for_each(|cursor| cursor.used = None);
        while let Some(first) = self
            .heap
            .first()
            .copied()
            .filter(|_| rows.len() < CHUNK_ROWS_MAX)
        {
            let cursor = &mut self.cursors[first];
            let Some(block) = cursor.block.clone() else {
                break;
            };
            let row = cursor.row;
            if is_past(block.key(row), &self.upper) {
                self.heap.clear();
                break;
            }
            let used = *cursor.used.get_or_insert_with(|| {
                blocks.push(Arc::clone(&block));
                blocks.len() - 1
            });
            let count = self.add_up(&block, row)?;
            if count > 0 || (count < 0 && !self.present_only) {
                rows.push((used, row));
                counts.push(count);
            }
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let sources: Vec<&RecordBatch> = blocks.iter().map(|block| &block.batch).collect();
        let merged = interleave_record_batch(&sources, &rows)?;
        Ok(Some(self.order.with_weights(
            merged.columns().to_vec(),
            Int64Array::from(counts),
        )?))
    }

    /// How often the row is there in all runs; all of them are moved past it.
    fn add_up(&mut self, block: &Arc<Block>, row: usize) -> Result<i64, ViewError> {
        let mut count = 0;
        while let Some(first) = self.heap.first() {
            let cursor = &self.cursors[*first];
            if cursor.key() != block.key(row) {
                break;
            }
            if let Some(own) = &cursor.block {
                count += weights(&own.batch).value(cursor.row);
            }
            self.advance()?;
        }
        Ok(count)
    }
}

impl Iterator for Merge {
    type Item = Result<RecordBatch, ViewError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batch().transpose();
        if matches!(batch, Some(Err(_))) {
            self.heap.clear();
            self.cursors.clear();
        }
        batch
    }
}
