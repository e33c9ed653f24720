//! A table whose rows may be more than memory: divided by the hash of the key into parts, each a [`TableState`] that is in memory or in the
//! spill store.

use std::hash::BuildHasher;
use std::io::{self, Read, Write};
use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, UInt32Array};
use datafusion::arrow::compute::take_record_batch;
use datafusion::arrow::datatypes::SchemaRef;
use foldhash::fast::FixedState;
use headwater_base::{PartId, SpillStore};
use headwater_dataflow::Spilled;
use headwater_dataflow::delta::Delta;

use super::table::{TableState, Upsert};
use crate::codec::{corrupt, get_bytes, get_u64, put_bytes, put_u64};

/// Halvings of the hashes after which a part is not divided again.
const DEPTH_MAX: u32 = 12;

/// See the module's description.
pub struct Table {
    schema: SchemaRef,
    /// Ascending by hash, without gaps.
    parts: Vec<Part>,
    part_bytes_max: usize,
    store: Arc<dyn SpillStore>,
    /// Bytes of memory that it may hold.
    allowed: usize,
    /// Counts calls, so that the longest unused part is known.
    now: u64,
}

/// The keys whose hash begins with `prefix`, `depth` bits of it.
struct Part {
    prefix: u32,
    depth: u32,
    /// `None`: spilled.
    live: Option<TableState>,
    /// Where the store holds exactly these rows.
    saved: Option<PartId>,
    saved_bytes: usize,
    bytes: usize,
    rows: usize,
    used: u64,
    loads: u64,
}

fn hash(key: &[u8]) -> u32 {
    let hash = FixedState::with_seed(29).hash_one(key);
    (hash >> 32) as u32
}

impl Part {
    fn new(prefix: u32, depth: u32, live: Option<TableState>) -> Self {
        let mut part = Self {
            prefix,
            depth,
            live,
            saved: None,
            saved_bytes: 0,
            bytes: 0,
            rows: 0,
            used: 0,
            loads: 0,
        };
        part.measure();
        part
    }

    fn has(&self, hash: u32) -> bool {
        self.depth == 0 || hash >> (32 - self.depth) == self.prefix
    }

    fn measure(&mut self) {
        if let Some(state) = &self.live {
            (self.bytes, self.rows) = (state.state_bytes(), state.rows());
        }
    }

    fn resident_bytes(&self) -> usize {
        if self.live.is_some() { self.bytes } else { 0 }
    }

    fn load(
        &mut self,
        schema: &SchemaRef,
        store: &Arc<dyn SpillStore>,
    ) -> io::Result<&mut TableState> {
        if self.live.is_none() {
            let id = self
                .saved
                .ok_or_else(|| corrupt("a part of a table is nowhere"))?;
            let mut state = TableState::new(Arc::clone(schema));
            state.restore(&mut store.get(id)?.as_slice())?;
            self.live = Some(state);
            self.loads += 1;
            self.measure();
        }
        self.live
            .as_mut()
            .ok_or_else(|| corrupt("a part of a table is nowhere"))
    }

    fn save(&mut self, store: &Arc<dyn SpillStore>) -> io::Result<()> {
        if let (Some(state), None) = (&self.live, self.saved) {
            let mut bytes = Vec::new();
            state.snapshot(&mut bytes)?;
            self.saved = Some(store.put(&bytes)?);
            self.saved_bytes = bytes.len();
        }
        Ok(())
    }

    fn spill(&mut self, store: &Arc<dyn SpillStore>) -> io::Result<()> {
        self.save(store)?;
        self.live = None;
        Ok(())
    }

    fn changed(&mut self, store: &Arc<dyn SpillStore>) {
        if let Some(id) = self.saved.take() {
            store.remove(id);
            self.saved_bytes = 0;
        }
        self.measure();
    }
}

impl Table {
    pub fn new(schema: SchemaRef, part_bytes_max: usize, store: Arc<dyn SpillStore>) -> Self {
        Self {
            parts: vec![Part::new(0, 0, Some(TableState::new(Arc::clone(&schema))))],
            schema,
            part_bytes_max,
            store,
            allowed: usize::MAX,
            now: 0,
        }
    }

    pub fn rows(&self) -> usize {
        self.parts.iter().map(|part| part.rows).sum()
    }

    pub fn state_bytes(&self) -> usize {
        self.parts.iter().map(Part::resident_bytes).sum()
    }

    /// Bytes of memory that it would hold if it might.
    pub fn wanted_bytes(&self) -> usize {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    pub fn spilled(&self) -> Spilled {
        let away = self.parts.iter().filter(|part| part.live.is_none());
        Spilled {
            bytes: away.map(|part| part.saved_bytes).sum(),
            loads: self.parts.iter().map(|part| part.loads).sum(),
            parts: self.parts.len(),
        }
    }

    /// Takes records, in order, and answers the net change: one row before and one after for each key.
    pub fn apply(&mut self, rows: &RecordBatch, records: Vec<Upsert>) -> io::Result<Vec<Delta>> {
        self.now += 1;
        let mut own: Vec<Vec<Upsert>> = self.parts.iter().map(|_| Vec::new()).collect();
        for record in records {
            let hash = hash(&record.key);
            let at = self.parts.iter().position(|part| part.has(hash));
            own[at.unwrap_or(0)].push(record);
        }
        let mut deltas = Vec::new();
        let mut more = Vec::new();
        // What is in memory first, so that what is loaded need not push it out.
        let mut order: Vec<usize> = (0..own.len()).filter(|at| !own[*at].is_empty()).collect();
        order.sort_by_key(|at| self.parts[*at].live.is_none());
        for at in order {
            let (rows, records) = taken(rows, std::mem::take(&mut own[at]))?;
            let part = &mut self.parts[at];
            let delta = part.load(&self.schema, &self.store)?.apply(&rows, records);
            deltas.extend(
                delta
                    .map_err(io::Error::other)?
                    .map(|delta| (part.prefix << (32 - part.depth.max(1)), delta)),
            );
            part.used = self.now;
            part.changed(&self.store);
            more.extend(self.divide(at)?);
            self.shrink()?;
        }
        self.parts.extend(more);
        self.parts
            .sort_by_key(|part| u64::from(part.prefix) << (32 - part.depth));
        self.shrink()?;
        deltas.sort_by_key(|(first, _)| *first);
        Ok(deltas.into_iter().map(|(_, delta)| delta).collect())
    }

    /// Halves a part until every piece is small; the pieces past the first.
    fn divide(&mut self, at: usize) -> io::Result<Vec<Part>> {
        let mut more = Vec::new();
        loop {
            let part = &mut self.parts[at];
            if part.bytes <= self.part_bytes_max || part.rows < 2 || part.depth >= DEPTH_MAX {
                return Ok(more);
            }
            let Some(state) = part.live.take() else {
                return Ok(more);
            };
            let mut bytes = Vec::new();
            state.snapshot(&mut bytes)?;
            drop(state);
            let depth = part.depth + 1;
            let half = |prefix: u32| -> io::Result<Part> {
                let mut state = TableState::new(Arc::clone(&self.schema));
                let wanted = |key: &[u8]| hash(key) >> (32 - depth) == prefix;
                state.restore_where(&mut bytes.as_slice(), &wanted)?;
                Ok(Part::new(prefix, depth, Some(state)))
            };
            let (mut lower, mut upper) = (half(part.prefix << 1)?, half(part.prefix << 1 | 1)?);
            (lower.used, upper.used, lower.loads) = (self.now, self.now, part.loads);
            *part = lower;
            more.push(upper);
        }
    }

    /// How many bytes of memory it may hold from now on; what is more is spilled.
    pub fn allow(&mut self, bytes: usize) -> io::Result<()> {
        self.allowed = bytes;
        self.shrink()
    }

    fn shrink(&mut self) -> io::Result<()> {
        while self.state_bytes() > self.allowed {
            let live = self
                .parts
                .iter_mut()
                .filter(|part| part.live.is_some() && part.rows > 0);
            let Some(oldest) = live.min_by_key(|part| part.used) else {
                return Ok(());
            };
            oldest.spill(&self.store)?;
        }
        Ok(())
    }

    /// Writes the parts that the store does not hold as they are. One that is small and whole goes into the snapshot itself.
    pub fn save_parts(&mut self) -> io::Result<()> {
        if self.parts.len() == 1 && self.parts[0].live.is_some() {
            return Ok(());
        }
        self.parts
            .iter_mut()
            .try_for_each(|part| part.save(&self.store))
    }

    pub fn saved_parts(&self) -> Vec<PartId> {
        self.parts.iter().filter_map(|part| part.saved).collect()
    }

    pub fn snapshot(&self, out: &mut dyn Write) -> io::Result<()> {
        put_u64(out, self.parts.len() as u64)?;
        for part in &self.parts {
            put_u64(out, u64::from(part.prefix))?;
            put_u64(out, u64::from(part.depth))?;
            match (part.saved, &part.live) {
                (Some(id), _) => {
                    put_u64(out, 1)?;
                    put_u64(out, id)?;
                    put_u64(out, part.saved_bytes as u64)?;
                    put_u64(out, part.bytes as u64)?;
                    put_u64(out, part.rows as u64)?;
                }
                (None, Some(state)) => {
                    put_u64(out, 0)?;
                    let mut bytes = Vec::new();
                    state.snapshot(&mut bytes)?;
                    put_bytes(out, &bytes)?;
                }
                (None, None) => return Err(corrupt("a part of a table is nowhere")),
            }
        }
        Ok(())
    }

    /// Takes what [`Table::snapshot`] wrote. What the store holds is read when it is needed.
    pub fn restore(&mut self, from: &mut dyn Read) -> io::Result<()> {
        let number =
            |from: &mut dyn Read| usize::try_from(get_u64(from)?).map_err(io::Error::other);
        self.parts.clear();
        for _ in 0..get_u64(from)? {
            let prefix = u32::try_from(get_u64(from)?).map_err(io::Error::other)?;
            let depth = u32::try_from(get_u64(from)?).map_err(io::Error::other)?;
            if depth > DEPTH_MAX {
                return Err(corrupt("a part of a table is nowhere"));
            }
            let mut part = Part::new(prefix, depth, None);
            if get_u64(from)? == 0 {
                let mut state = TableState::new(Arc::clone(&self.schema));
                state.restore(&mut get_bytes(from)?.as_slice())?;
                part.live = Some(state);
                part.measure();
            } else {
                let id = get_u64(from)?;
                self.store.adopt(id)?;
                part.saved = Some(id);
                part.saved_bytes = number(from)?;
                (part.bytes, part.rows) = (number(from)?, number(from)?);
            }
            self.parts.push(part);
        }
        let covered: u64 = self
            .parts
            .iter()
            .map(|part| 1u64 << (32 - part.depth))
            .sum();
        if covered == 1 << 32 {
            Ok(())
        } else {
            Err(corrupt("a part of a table is missing"))
        }
    }
}

/// The rows of these records alone, and the records with their new places.
fn taken(rows: &RecordBatch, mut records: Vec<Upsert>) -> io::Result<(RecordBatch, Vec<Upsert>)> {
    let mut places: Vec<u32> = Vec::new();
    for record in &mut records {
        if let Some(row) = &mut record.row {
            places.push(u32::try_from(*row).map_err(io::Error::other)?);
            *row = places.len() - 1;
        }
    }
    if places.len() == rows.num_rows() {
        let in_place = places
            .iter()
            .enumerate()
            .all(|(at, row)| at == *row as usize);
        if in_place {
            return Ok((rows.clone(), records));
        }
    }
    let rows = take_record_batch(rows, &UInt32Array::from(places)).map_err(io::Error::other)?;
    Ok((rows, records))
}

#[cfg(test)]
#[path = "tables_tests.rs"]
mod tests;
