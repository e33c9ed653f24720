//! A table's rows: the latest of each key of its topic, turned into a retracting changelog.
//!
//! Rows sit in Arrow chunks; a key's slot says where. Chunks of similar size are merged, so that many small steps cost
//! `n log n` in all and rows that were replaced do not stay for ever.

use std::io::{self, Read, Write};
use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, UInt64Array};
use datafusion::arrow::compute::{interleave_record_batch, take_record_batch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use headwater_dataflow::delta::{Delta, RowKind};

use crate::codec;

/// Of one key in two partitions the last by (timestamp, partition, offset) counts, in one the last by offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordAt {
    pub timestamp_ms: i64,
    pub partition: i32,
    pub offset: i64,
}

impl RecordAt {
    /// In one partition the later offset counts, whatever clocks say.
    fn follows(self, other: Self) -> bool {
        if self.partition == other.partition {
            self.offset > other.offset
        } else {
            self > other
        }
    }
}

/// One decoded record of a table's topic.
pub struct Upsert {
    pub key: Vec<u8>,
    /// Row of the batch that came along; `None` deletes.
    pub row: Option<usize>,
    pub at: RecordAt,
}

type Place = (u32, u32);

struct Slot {
    place: Option<Place>,
    at: RecordAt,
}

struct Chunk {
    rows: RecordBatch,
    /// The slot of each row.
    owner: Vec<u32>,
    bytes: usize,
}

/// See the module's description.
pub struct TableState {
    schema: SchemaRef,
    slots: Vec<Slot>,
    by_key: HashMap<Box<[u8]>, u32, FixedState>,
    chunks: Vec<Chunk>,
    key_bytes: usize,
    live: usize,
}

impl TableState {
    pub fn new(schema: SchemaRef) -> Self {
        let by_key = HashMap::with_hasher(FixedState::with_seed(17));
        Self {
            schema,
            slots: Vec::new(),
            by_key,
            chunks: Vec::new(),
            key_bytes: 0,
            live: 0,
        }
    }

    pub fn rows(&self) -> usize {
        self.live
    }

    pub fn state_bytes(&self) -> usize {
        let chunks: usize = self.chunks.iter().map(|chunk| chunk.bytes).sum();
        chunks + self.key_bytes + self.slots.len() * size_of::<Slot>() + self.by_key.capacity() * 24
    }

    /// Takes the records of a step, in order, and answers the net change: one row before and one after for each key.
    pub fn apply(
        &mut self,
        rows: &RecordBatch,
        records: Vec<Upsert>,
    ) -> Result<Option<Delta>, ArrowError> {
        let mut touched: Vec<(u32, Option<Place>)> = Vec::new();
        let mut seen: HashMap<u32, (), FixedState> = HashMap::with_hasher(FixedState::with_seed(3));
        let chunk = self.push_chunk(rows);
        for record in records {
            let (slot, known) = self.slot_of(record.key, record.at);
            if known && !record.at.follows(self.slots[slot as usize].at) {
                continue;
            }
            let entry = &mut self.slots[slot as usize];
            if seen.insert(slot, ()).is_none() {
                touched.push((slot, entry.place));
            }
            entry.at = record.at;
            entry.place = record
                .row
                .map(|row| (chunk, u32::try_from(row).unwrap_or(u32::MAX)));
            if let Some((_, row)) = entry.place {
                self.chunks[chunk as usize].owner[row as usize] = slot;
            }
        }
        let delta = self.net(&touched)?;
        self.merge()?;
        Ok(delta)
    }

    /// All rows, oldest chunk first.
    pub fn all(&self) -> Result<RecordBatch, ArrowError> {
        let places: Vec<Place> = self.live_places().map(|(_, place)| place).collect();
        self.take(&places)
    }

    fn push_chunk(&mut self, rows: &RecordBatch) -> u32 {
        let bytes = rows.get_array_memory_size();
        self.chunks.push(Chunk {
            rows: rows.clone(),
            owner: vec![u32::MAX; rows.num_rows()],
            bytes,
        });
        u32::try_from(self.chunks.len() - 1).unwrap_or(u32::MAX)
    }

    fn slot_of(&mut self, key: Vec<u8>, at: RecordAt) -> (u32, bool) {
        if let Some(slot) = self.by_key.get(key.as_slice()) {
            return (*slot, true);
        }
        let slot = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.key_bytes += key.len() + 16;
        self.by_key.insert(key.into_boxed_slice(), slot);
        self.slots.push(Slot { place: None, at });
        (slot, false)
    }

    fn net(&mut self, touched: &[(u32, Option<Place>)]) -> Result<Option<Delta>, ArrowError> {
        let mut places = Vec::with_capacity(touched.len() * 2);
        let mut kinds = Vec::with_capacity(touched.len() * 2);
        for (slot, old) in touched {
            let new = self.slots[*slot as usize].place;
            match (old, new) {
                (Some(old), Some(new)) => {
                    places.extend([*old, new]);
                    kinds.extend([RowKind::UpdateBefore, RowKind::UpdateAfter]);
                }
                (Some(old), None) => {
                    places.push(*old);
                    kinds.push(RowKind::Delete);
                    self.live -= 1;
                }
                (None, Some(new)) => {
                    places.push(new);
                    kinds.push(RowKind::Insert);
                    self.live += 1;
                }
                (None, None) => {}
            }
        }
        if places.is_empty() {
            return Ok(None);
        }
        Ok(Some(Delta {
            rows: self.take(&places)?,
            kinds: Some(Arc::from(kinds)),
            origin: None,
        }))
    }

    fn take(&self, places: &[Place]) -> Result<RecordBatch, ArrowError> {
        if places.is_empty() {
            return Ok(RecordBatch::new_empty(self.schema.clone()));
        }
        let batches: Vec<&RecordBatch> = self.chunks.iter().map(|chunk| &chunk.rows).collect();
        let indices: Vec<(usize, usize)> = places
            .iter()
            .map(|(c, r)| (*c as usize, *r as usize))
            .collect();
        interleave_record_batch(&batches, &indices)
    }

    fn is_live(&self, chunk: usize, row: usize) -> Option<u32> {
        let slot = self.chunks[chunk].owner[row];
        let place = self.slots.get(slot as usize)?.place?;
        (place == (u32::try_from(chunk).ok()?, u32::try_from(row).ok()?)).then_some(slot)
    }

    fn live_places(&self) -> impl Iterator<Item = (u32, Place)> + '_ {
        self.chunks.iter().enumerate().flat_map(move |(c, chunk)| {
            (0..chunk.owner.len()).filter_map(move |r| {
                let slot = self.is_live(c, r)?;
                Some((slot, (u32::try_from(c).ok()?, u32::try_from(r).ok()?)))
            })
        })
    }

    /// Merges the newest chunks as long as the one before is not much larger than the last.
    fn merge(&mut self) -> Result<(), ArrowError> {
        while self.chunks.len() > 1 {
            let last = self.chunks.len() - 1;
            if self.chunks[last - 1].owner.len() > 2 * self.chunks[last].owner.len() {
                break;
            }
            let mut places = Vec::new();
            let mut owner = Vec::new();
            for c in [last - 1, last] {
                for r in 0..self.chunks[c].owner.len() {
                    if let Some(slot) = self.is_live(c, r) {
                        places.push((u32::try_from(c).unwrap_or(0), u32::try_from(r).unwrap_or(0)));
                        owner.push(slot);
                    }
                }
            }
            let rows = self.take(&places)?;
            self.chunks.truncate(last - 1);
            let position = u32::try_from(last - 1).unwrap_or(0);
            for (row, slot) in owner.iter().enumerate() {
                self.slots[*slot as usize].place =
                    Some((position, u32::try_from(row).unwrap_or(0)));
            }
            let bytes = rows.get_array_memory_size();
            self.chunks.push(Chunk { rows, owner, bytes });
        }
        Ok(())
    }

    /// Layout: slot count; per slot key, timestamp, partition, offset, row + 1 in the batch (0: deleted); the batch.
    pub fn snapshot(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut row_of = vec![0u64; self.slots.len()];
        let mut places = Vec::with_capacity(self.live);
        for (slot, place) in self.live_places() {
            places.push(place);
            row_of[slot as usize] = places.len() as u64;
        }
        let mut keys: Vec<&[u8]> = vec![&[]; self.slots.len()];
        for (key, slot) in &self.by_key {
            keys[*slot as usize] = key;
        }
        codec::put_u64(out, self.slots.len() as u64)?;
        for (index, slot) in self.slots.iter().enumerate() {
            codec::put_bytes(out, keys[index])?;
            codec::put_i64(out, slot.at.timestamp_ms)?;
            codec::put_i64(out, i64::from(slot.at.partition))?;
            codec::put_i64(out, slot.at.offset)?;
            codec::put_u64(out, row_of[index])?;
        }
        codec::put_batch(out, &self.take(&places).map_err(io::Error::other)?)
    }

    pub fn restore(&mut self, from: &mut dyn Read) -> io::Result<()> {
        self.restore_where(from, &|_| true)
    }

    /// Takes the wanted keys of what was written.
    pub fn restore_where(
        &mut self,
        from: &mut dyn Read,
        wanted: &dyn Fn(&[u8]) -> bool,
    ) -> io::Result<()> {
        let mut fresh = Self::new(self.schema.clone());
        // Of each slot the row in what was written, past 0.
        let mut rows_of = Vec::new();
        for _ in 0..codec::get_u64(from)? {
            let key = codec::get_bytes(from)?;
            let timestamp_ms = codec::get_i64(from)?;
            let partition = i32::try_from(codec::get_i64(from)?).map_err(io::Error::other)?;
            let at = RecordAt {
                timestamp_ms,
                partition,
                offset: codec::get_i64(from)?,
            };
            let row = codec::get_u64(from)?;
            if wanted(&key) {
                fresh.slot_of(key, at);
                rows_of.push(row);
            }
        }
        let rows = codec::get_batch(from)?;
        let live = (0u32..).zip(&rows_of).filter(|(_, row)| **row > 0);
        let (slots, places): (Vec<u32>, Vec<u64>) = live.map(|(slot, row)| (slot, row - 1)).unzip();
        if places.iter().any(|row| *row >= rows.num_rows() as u64) {
            return Err(codec::corrupt("row of a key"));
        }
        let places: UInt64Array = places.into();
        fresh.push_chunk(&take_record_batch(&rows, &places).map_err(io::Error::other)?);
        for (row, slot) in (0u32..).zip(&slots) {
            fresh.slots[*slot as usize].place = Some((0, row));
        }
        fresh.live = slots.len();
        fresh.chunks[0].owner = slots;
        *self = fresh;
        Ok(())
    }
}
