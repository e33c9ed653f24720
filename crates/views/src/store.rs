//! [`ViewStore`]: the materialized rows of one view. One writer owns it; readers get [`ViewSnapshot`]s.
//!
//! Every step adds a chunk of the rows that it inserts. Neighbouring small chunks are merged in tiers (as in a log-structured
//! tree), so that a row is copied a few times in its life however small the steps are. Row ids ascend, chunks are in their
//! order, so the index survives every merge.

use std::ops::Bound;
use std::sync::Arc;

use datafusion::arrow::array::{BooleanArray, UInt32Array};
use datafusion::arrow::compute::{filter_record_batch, take_record_batch};
use datafusion::arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use headwater_base::{PartId, SpillStore};

use crate::chunk::{Chunk, RowId};
use crate::cold::ColdChunk;
use crate::error::ViewError;
use crate::index::Index;
use crate::rowkey::{RowKeys, hash_key};
use crate::snapshot::ViewSnapshot;
use crate::sorted::Sorted;

/// Largest chunk that comes out of a merge, in rows. Bounds the copy of a bitmap (2 KiB) and the pause of a merge.
pub(crate) const CHUNK_ROWS_MAX: usize = 16_384;

/// How a view's changes speak of its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Rows are only added. No index is kept.
    AppendOnly,
    /// Rows are added and taken back with all their columns; `key` (column indexes) finds them fast.
    Keyed { key: Vec<usize> },
    /// An added row replaces the row of its key; a deletion needs only the key's columns.
    Upsert { key: Vec<usize> },
    /// Rows are added and taken back with all their columns; the same row may be there several times.
    Multiset,
}

/// What a call of [`ViewStore::apply`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    pub inserted: usize,
    pub deleted: usize,
    /// Deletions of rows that were not there (let go by retention, or a changelog that is not one).
    pub unmatched: usize,
}

#[derive(Debug)]
pub struct ViewStore {
    schema: SchemaRef,
    layout: Layout,
    /// Columns that the index compares.
    key: Option<Vec<usize>>,
    pub(crate) chunks: Vec<Chunk>,
    index: Option<Index>,
    next_id: RowId,
    rows: usize,
    scratch: Scratch,
    pub(crate) away: Away,
}

/// Rows that are not in memory.
#[derive(Clone, Debug, Default)]
pub(crate) enum Away {
    #[default]
    None,
    /// The oldest rows of a view that only grows.
    Oldest(Vec<ColdChunk>),
    /// All rows.
    All(Box<Sorted>),
}

/// Buffers for row bytes, kept between calls.
#[derive(Debug, Default)]
struct Scratch {
    key: Vec<u8>,
    whole: Vec<u8>,
}

impl ViewStore {
    /// `NOT NULL` of the schema is not kept: it speaks of what a plan promises, and rows are taken as they come.
    pub fn new(schema: SchemaRef, layout: Layout) -> Self {
        let nullable = |field: &FieldRef| field.as_ref().clone().with_nullable(true);
        let schema = Arc::new(Schema::new(
            schema.fields().iter().map(nullable).collect::<Vec<_>>(),
        ));
        let key = match &layout {
            Layout::AppendOnly => None,
            Layout::Keyed { key } | Layout::Upsert { key } => Some(key.clone()),
            Layout::Multiset => Some((0..schema.fields().len()).collect()),
        };
        let index = key.is_some().then(Index::new);
        Self {
            schema,
            layout,
            key,
            chunks: Vec::new(),
            index,
            next_id: 0,
            rows: 0,
            scratch: Scratch::default(),
            away: Away::None,
        }
    }

    /// Applies changes in order. `adds[i]` says whether row `i` is added or taken back; `None`: all are added.
    pub fn apply(
        &mut self,
        rows: &RecordBatch,
        adds: Option<&[bool]>,
    ) -> Result<Applied, ViewError> {
        self.check_columns(rows)?;
        let adds = adds.filter(|adds| adds.iter().any(|add| !add));
        if let Away::All(sorted) = &mut self.away {
            sorted.apply(rows, adds)?;
            let deleted = adds.map_or(0, |adds| adds.iter().filter(|add| !**add).count());
            return Ok(Applied {
                inserted: rows.num_rows() - deleted,
                deleted,
                unmatched: 0,
            });
        }
        let mut applied = Applied::default();
        let first = self.next_id;
        match adds {
            None => self.append(rows.clone())?,
            Some(adds) => self.append(filter_record_batch(
                rows,
                &BooleanArray::from(adds.to_vec()),
            )?)?,
        }
        applied.inserted = usize::try_from(self.next_id - first).unwrap_or(usize::MAX);
        self.rows += applied.inserted;
        if let Some(key) = self.key.clone() {
            self.index_changes(rows, adds, &key, first, &mut applied)?;
        } else if let Some(adds) = adds {
            applied.unmatched = adds.iter().filter(|add| !**add).count();
        }
        self.rows -= applied.deleted;
        self.tidy(applied.inserted + applied.deleted)?;
        Ok(applied)
    }

    fn check_columns(&self, rows: &RecordBatch) -> Result<(), ViewError> {
        let types = |schema: &SchemaRef| -> Vec<String> {
            schema
                .fields()
                .iter()
                .map(|f| f.data_type().to_string())
                .collect()
        };
        let found = rows.schema();
        let same = self.schema.fields().len() == found.fields().len()
            && self
                .schema
                .fields()
                .iter()
                .zip(found.fields())
                .all(|(a, b)| a.data_type().equals_datatype(b.data_type()));
        if same {
            return Ok(());
        }
        Err(ViewError::Columns {
            expected: types(&self.schema).join(", "),
            found: types(&found).join(", "),
        })
    }

    /// Rows into new chunks, under the view's own schema. Not yet indexed.
    pub(crate) fn append(&mut self, rows: RecordBatch) -> Result<(), ViewError> {
        let mut at = 0;
        while at < rows.num_rows() {
            let len = (rows.num_rows() - at).min(CHUNK_ROWS_MAX);
            let part = RecordBatch::try_new(
                Arc::clone(&self.schema),
                rows.slice(at, len).columns().to_vec(),
            )?;
            self.chunks
                .push(Chunk::new(part, self.next_id, self.key.as_deref())?);
            self.next_id += len as RowId;
            at += len;
        }
        Ok(())
    }

    fn index_changes(
        &mut self,
        rows: &RecordBatch,
        adds: Option<&[bool]>,
        key: &[usize],
        first: RowId,
        applied: &mut Applied,
    ) -> Result<(), ViewError> {
        let keys = RowKeys::bind(rows, key)?;
        let whole = match (&self.layout, adds) {
            (Layout::Keyed { .. }, Some(_)) => Some(RowKeys::of_arrays(rows.columns())?),
            _ => None,
        };
        let mut next = first;
        let mut scratch = std::mem::take(&mut self.scratch);
        for row in 0..rows.num_rows() {
            scratch.key.clear();
            keys.write(row, &mut scratch.key);
            let hash = hash_key(&scratch.key);
            if adds.is_none_or(|adds| adds[row]) {
                if matches!(self.layout, Layout::Upsert { .. }) {
                    applied.deleted += usize::from(self.delete(hash, &mut scratch, None));
                }
                self.insert(hash, next, &scratch.key);
                next += 1;
            } else if self.delete(hash, &mut scratch, whole.as_ref().map(|whole| (whole, row))) {
                applied.deleted += 1;
            } else {
                applied.unmatched += 1;
            }
        }
        self.scratch = scratch;
        Ok(())
    }

    fn insert(&mut self, hash: u64, id: RowId, key: &[u8]) {
        let chunks = &self.chunks;
        if let Some(index) = &mut self.index {
            index.push(hash, id, |row| has_key(chunks, row, key));
        }
    }

    /// Takes out the newest row of the key; of several, the newest that equals `whole` in all columns.
    fn delete(
        &mut self,
        hash: u64,
        scratch: &mut Scratch,
        whole: Option<(&RowKeys, usize)>,
    ) -> bool {
        let (chunks, Some(index)) = (&self.chunks, &self.index) else {
            return false;
        };
        let Some(newest) = index.newest(hash, |row| has_key(chunks, row, &scratch.key)) else {
            return false;
        };
        let (mut newer, mut row) = (None, newest);
        // With one row of the key there is nothing to tell apart.
        if let (Some((whole, at)), Some(_)) = (whole, index.older(newest)) {
            scratch.whole.clear();
            whole.write(at, &mut scratch.whole);
            while !is_row(chunks, row, &scratch.whole) {
                newer = Some(row);
                let Some(older) = index.older(row) else {
                    return false;
                };
                row = older;
            }
        }
        if let Some(index) = &mut self.index {
            index.remove(hash, row, newer);
        }
        self.kill(row)
    }

    fn kill(&mut self, id: RowId) -> bool {
        match locate(&self.chunks, id) {
            Some((chunk, row)) => self.chunks[chunk].kill(row),
            None => false,
        }
    }

    /// Drops the rows whose value in `column` (microseconds) is below `bound_us`; NULLs stay. How many were dropped.
    pub fn retain(&mut self, column: usize, bound_us: i64) -> Result<usize, ViewError> {
        let mut dropped = 0;
        match &mut self.away {
            Away::None => {}
            Away::All(sorted) => return sorted.retain(column, bound_us),
            Away::Oldest(chunks) => {
                let before: usize = chunks.iter().map(ColdChunk::rows).sum();
                let kept = chunks
                    .iter_mut()
                    .map(|chunk| chunk.retain(column, bound_us));
                *chunks = kept
                    .filter_map(Result::transpose)
                    .collect::<Result<_, _>>()?;
                let after: usize = chunks.iter().map(ColdChunk::rows).sum();
                dropped += before - after;
            }
        }
        for chunk in 0..self.chunks.len() {
            for row in crate::retention::expired(&self.chunks[chunk], column, bound_us) {
                self.unindex(chunk, row);
                dropped += usize::from(self.chunks[chunk].kill(row));
            }
        }
        self.rows -= dropped;
        if dropped > 0 {
            self.tidy(dropped)?;
        }
        Ok(dropped)
    }

    fn unindex(&mut self, chunk: usize, row: usize) {
        let (Some(index), Some(keys)) = (&mut self.index, self.chunks[chunk].keys()) else {
            return;
        };
        let (chunks, id) = (&self.chunks, self.chunks[chunk].id(row));
        let mut key = std::mem::take(&mut self.scratch.key);
        key.clear();
        keys.write(row, &mut key);
        let hash = hash_key(&key);
        let mut newer = None;
        let mut at = index.newest(hash, |row| has_key(chunks, row, &key));
        while let Some(here) = at.filter(|here| *here != id) {
            newer = Some(here);
            at = index.older(here);
        }
        if at.is_some() {
            index.remove(hash, id, newer);
        }
        self.scratch.key = key;
    }

    /// Puts rows into the store: of a view that only grows all but the newest, else all. They are read from there from now on.
    pub fn spill(&mut self, store: &Arc<dyn SpillStore>) -> Result<(), ViewError> {
        match (&self.layout, &mut self.away) {
            (_, Away::All(sorted)) => sorted.settle(),
            (Layout::Upsert { .. }, _) => Ok(()),
            (Layout::AppendOnly, away) => {
                let mut cold = match std::mem::take(away) {
                    Away::Oldest(cold) => cold,
                    _ => Vec::new(),
                };
                for chunk in self.chunks.drain(..) {
                    cold.push(ColdChunk::new(store, &chunk.live_batch()?)?);
                }
                *away = Away::Oldest(cold);
                Ok(())
            }
            (Layout::Keyed { .. } | Layout::Multiset, _) => {
                let key = match &self.layout {
                    Layout::Keyed { key } => key.clone(),
                    _ => Vec::new(),
                };
                let mut sorted = Sorted::new(&self.schema, &key, store)?;
                for chunk in std::mem::take(&mut self.chunks) {
                    sorted.apply(&chunk.live_batch()?, None)?;
                    sorted.tidy()?;
                }
                (self.index, self.rows) = (None, 0);
                self.away = Away::All(Box::new(sorted));
                Ok(())
            }
        }
    }

    /// A copy that shares its rows with this one, for the only writer to merge or spill while others read; then it takes this one's place.
    /// Without an index: rows may be applied to it only once it has been spilled.
    pub fn fork(&self) -> Self {
        Self {
            schema: Arc::clone(&self.schema),
            layout: self.layout.clone(),
            key: self.key.clone(),
            chunks: self.chunks.clone(),
            index: None,
            next_id: self.next_id,
            rows: self.rows,
            scratch: Scratch::default(),
            away: self.away.clone(),
        }
    }

    /// Whether [`ViewStore::spill`] does something for it.
    pub fn can_spill(&self) -> bool {
        !matches!(self.layout, Layout::Upsert { .. })
    }

    /// Merges what the last changes left in the store in many pieces.
    pub fn tidy_spilled(&mut self) -> Result<(), ViewError> {
        match &mut self.away {
            Away::All(sorted) => sorted.tidy(),
            _ => Ok(()),
        }
    }

    /// Whether some rows are in a store.
    pub fn is_spilled(&self) -> bool {
        !matches!(self.away, Away::None)
    }

    /// The parts that the store holds for it.
    pub fn parts(&self) -> Vec<PartId> {
        match &self.away {
            Away::None => Vec::new(),
            Away::Oldest(chunks) => chunks.iter().map(ColdChunk::id).collect(),
            Away::All(sorted) => sorted.parts(),
        }
    }

    /// The row of a key, as a batch of one row. `key`: the key's columns, in the key's order, one row.
    pub fn get(&self, key: &RecordBatch) -> Result<Option<RecordBatch>, ViewError> {
        if let Away::All(sorted) = &self.away {
            let bound = Bound::Included(key.columns());
            let mut rows = sorted.between(bound, bound)?;
            return Ok(rows
                .next()
                .transpose()?
                .filter(|batch| batch.num_rows() > 0));
        }
        let mut bytes = Vec::new();
        RowKeys::of_arrays(key.columns())?.write(0, &mut bytes);
        let newest = self
            .index
            .as_ref()
            .and_then(|i| i.newest(hash_key(&bytes), |row| has_key(&self.chunks, row, &bytes)));
        let Some((chunk, row)) = newest.and_then(|id| locate(&self.chunks, id)) else {
            return Ok(None);
        };
        let at = UInt32Array::from_iter_values(u32::try_from(row));
        Ok(Some(take_record_batch(self.chunks[chunk].batch(), &at)?))
    }

    /// A picture of the rows as they are now. Costs two reference counts a chunk; the writer goes on undisturbed.
    pub fn snapshot(&self) -> Arc<ViewSnapshot> {
        Arc::new(ViewSnapshot::new(
            Arc::clone(&self.schema),
            self.chunks.clone(),
            self.rows(),
            self.away.clone(),
        ))
    }

    /// Rows that are there.
    pub fn rows(&self) -> usize {
        match &self.away {
            Away::All(sorted) => sorted.rows(),
            _ => self.rows,
        }
    }

    /// Bytes of memory held, the index included; not what readers of old snapshots still hold.
    pub fn bytes(&self) -> usize {
        let chunks: usize = self.chunks.iter().map(Chunk::bytes).sum();
        let away = match &self.away {
            Away::None => 0,
            Away::Oldest(chunks) => chunks.len() * (size_of::<ColdChunk>() + 48),
            Away::All(sorted) => sorted.bytes(),
        };
        away + chunks + self.index.as_ref().map_or(0, Index::bytes)
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Merges what has become small or mostly dead.
    fn tidy(&mut self, changed: usize) -> Result<(), ViewError> {
        Ok(crate::tidy::tidy(
            &mut self.chunks,
            self.key.as_deref(),
            changed,
        )?)
    }

    /// Indexes all rows, after they were read from a snapshot.
    pub(crate) fn rebuild(&mut self) {
        self.rows = self.chunks.iter().map(Chunk::live_rows).sum();
        if let Away::Oldest(chunks) = &self.away {
            self.rows += chunks.iter().map(ColdChunk::rows).sum::<usize>();
        }
        let mut key = Vec::new();
        for chunk in 0..self.chunks.len() {
            for row in 0..self.chunks[chunk].rows() {
                let Some(keys) = self.chunks[chunk].keys() else {
                    return;
                };
                key.clear();
                keys.write(row, &mut key);
                let id = self.chunks[chunk].id(row);
                self.insert(hash_key(&key), id, &key);
            }
        }
    }
}

/// Chunk and row of a row id.
fn locate(chunks: &[Chunk], id: RowId) -> Option<(usize, usize)> {
    let chunk = chunks
        .partition_point(|chunk| chunk.first_id() <= id)
        .checked_sub(1)?;
    Some((chunk, chunks[chunk].row_of(id)?))
}

fn has_key(chunks: &[Chunk], id: RowId, key: &[u8]) -> bool {
    let Some((chunk, row)) = locate(chunks, id) else {
        return false;
    };
    chunks[chunk].keys().is_some_and(|keys| {
        let mut found = Vec::with_capacity(key.len());
        keys.write(row, &mut found);
        found == key
    })
}

fn is_row(chunks: &[Chunk], id: RowId, whole: &[u8]) -> bool {
    let Some((chunk, row)) = locate(chunks, id) else {
        return false;
    };
    RowKeys::of_arrays(chunks[chunk].batch().columns()).is_ok_and(|keys| {
        let mut found = Vec::with_capacity(whole.len());
        keys.write(row, &mut found);
        found == whole
    })
}
