//! Reading: from the tail cache under the lock, else from chunks outside it.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use headwater_base::{Offset, PartitionId};
use headwater_record::BatchHeader;

use super::ahead::World;
use super::chunk::Chunk;
use super::footer;
use super::index::{IndexEntry, Slice, StoredEntries, select};
use super::partition::Partition;
use super::state::{Shared, State};
use crate::api::{BatchMeta, Bound, PartitionState, ReadError, ReadOut};

/// When so many partitions have been read from a chunk, others will be, and it is read as a whole.
const READERS_MANY: u32 = 8;
/// Most rotten batches that are counted.
const ROT_MAX: usize = 100_000;
/// Most entries that are copied while the lock is held.
const BITE_ENTRIES_MAX: usize = 1024;

/// Whether the disk may be used for more than the first batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    Waits,
    TakesWhatIsThere,
}

/// The next piece of a read.
pub(super) enum Piece {
    Cached(Vec<Bytes>),
    /// Batches of a chunk whose index is in memory, and where to go on.
    Indexed(Arc<Chunk>, Vec<IndexEntry>, Option<Offset>),
    /// A slice of a sealed chunk: its index may have to be loaded.
    Sealed(Arc<Chunk>, Slice),
    End,
}

/// A read that has begun.
pub(super) struct Begun {
    world: World,
    extent: PartitionState,
    pub piece: Piece,
    progress: Progress,
}

/// How far a read has come.
pub(super) struct Progress {
    pub at: Offset,
    pub end: Offset,
    pub bytes_left: usize,
    pub out: Vec<Bytes>,
    /// Some of it is from windows.
    pub in_windows: bool,
    pub reader: Reader,
}

impl Shared {
    pub fn read(
        &self,
        id: PartitionId,
        from: Offset,
        max_bytes: usize,
        bound: Bound,
        reader: Reader,
    ) -> Result<ReadOut, ReadError> {
        let mut begun = {
            let state = self.state.lock();
            match state.begin(id, from, max_bytes, bound)? {
                Some(begun) => begun,
                None => return unknown(from),
            }
        };
        let (world, state) = (begun.world, begun.extent);
        if let Piece::Cached(batches) = begun.piece {
            return Ok(ReadOut { batches, state });
        }
        begun.progress.reader = reader;
        // What lies in windows is not waited for.
        let waits = self.ahead.is_ready(id, from) || !self.is_loaded(id, from);
        let taken = waits.then(|| self.ahead.take((id, from), world, max_bytes));
        let (batches, end) = match taken.flatten() {
            Some(taken) => (taken.batches, taken.end),
            None => {
                let Progress {
                    out: batches,
                    at,
                    in_windows,
                    ..
                } = self.follow(id, begun)?;
                if in_windows {
                    return Ok(ReadOut { batches, state });
                }
                (batches, at)
            }
        };
        if !batches.is_empty() && end < state.durable_end {
            let bytes = batches.iter().map(Bytes::len).sum();
            self.ahead.went_on((id, from), end, world, bytes);
        }
        Ok(ReadOut { batches, state })
    }

    /// Durable batches that are not in the cached tail, each with the offset behind it, and the partition's life and generation.
    /// None where windows serve its readers.
    pub fn read_stored(
        &self,
        id: PartitionId,
        from: Offset,
        max_bytes: usize,
    ) -> Result<(World, Vec<(Bytes, Offset)>), ReadError> {
        let begun = {
            let state = self.state.lock();
            state.begin(id, from, max_bytes, Bound::Durable)?
        };
        let Some(begun) = begun.filter(|begun| !matches!(begun.piece, Piece::Cached(_))) else {
            return Ok((World::default(), Vec::new()));
        };
        let world = begun.world;
        let progress = self.follow(id, begun)?;
        if progress.in_windows {
            return Ok((world, Vec::new()));
        }
        let with_end = progress.out.into_iter().map(|batch| {
            let end = BatchHeader::parse(&batch).map_or(from, |header| header.last_offset() + 1);
            (batch, end)
        });
        Ok((world, with_end.collect()))
    }

    /// Reads piece by piece until there is enough.
    fn follow(&self, id: PartitionId, begun: Begun) -> Result<Progress, ReadError> {
        let Begun {
            mut world,
            mut piece,
            mut progress,
            ..
        } = begun;
        while self.take(id, piece, &mut progress)? {
            let state = self.state.lock();
            // Dropped or rewritten meanwhile: what has been read is still an answer, but nothing of two worlds.
            let Some(partition) = state.partitions.get(&id) else {
                break;
            };
            let now = (partition.life, partition.generation);
            if now.0 != world.0 || (now != world && !progress.out.is_empty()) {
                break;
            }
            world = now;
            piece = state.piece(id, partition, &progress);
        }
        Ok(progress)
    }

    /// Adds a piece to what has been read. False when that was the last.
    fn take(
        &self,
        id: PartitionId,
        piece: Piece,
        progress: &mut Progress,
    ) -> Result<bool, ReadError> {
        match piece {
            Piece::End => Ok(false),
            Piece::Cached(batches) => {
                progress.out.extend(batches);
                Ok(false)
            }
            Piece::Indexed(chunk, entries, next) => {
                let whole = progress.load((self, id), &chunk, &entries)?;
                Ok(whole && progress.go_on(next))
            }
            Piece::Sealed(chunk, slice) => {
                let entries = self.entries(id, &chunk, &slice)?;
                let (chosen, next) = progress.choose(&slice, &entries);
                let whole = progress.load((self, id), &chunk, chosen)?;
                Ok(whole && progress.go_on(next))
            }
        }
    }

    /// Takes note of a batch that does not match its checksum; told once for each.
    pub fn rotten(&self, id: PartitionId, chunk: &Chunk, entry: &IndexEntry) -> ReadError {
        let (name, at) = (chunk.name(), entry.position);
        let (first, last) = (entry.meta.base_offset, entry.meta.last_offset);
        let mut rot = self.rot.lock();
        if rot.len() < ROT_MAX && rot.insert((chunk.number, at)) {
            tracing::error!(file = name, position = at, partition = %id, first, last,
                "rotten data: a batch does not match its checksum; restore the file from a copy");
        }
        ReadError::Corrupt(format!(
            "the batch of offset {first} at byte {at} of {name} does not match its checksum; restore the file from a copy"
        ))
    }

    /// Takes note of something else that is rotten.
    pub fn rotten_place(&self, chunk: &Chunk, position: u32, what: &str) {
        if self.rot.lock().insert((chunk.number, position)) {
            let file = chunk.name();
            tracing::error!(
                file,
                position,
                "rotten data: {what}; restore the file from a copy"
            );
        }
    }

    /// The index entries of a slice in a sealed chunk.
    pub fn entries(
        &self,
        id: PartitionId,
        chunk: &Chunk,
        slice: &Slice,
    ) -> Result<Arc<Vec<IndexEntry>>, ReadError> {
        let group = (chunk.number, id, slice.group);
        if let Some(entries) = self.indexes.get(group) {
            return Ok(entries);
        }
        let stored = slice
            .stored
            .ok_or_else(|| ReadError::Corrupt(format!("{} has no index", chunk.name())))?;
        let entries = Arc::new(footer::read_entries(chunk, &stored)?);
        self.indexes.put(group, Arc::clone(&entries));
        if chunk.readers.fetch_add(1, Ordering::Relaxed) == READERS_MANY {
            chunk.file.will_be_read();
        }
        Ok(entries)
    }

    pub fn find_time(
        &self,
        id: PartitionId,
        timestamp_ms: i64,
    ) -> Result<Option<Offset>, ReadError> {
        let mut found = None;
        let late_enough = |slice: &Slice| slice.max_timestamp >= timestamp_ms;
        self.walk(id, late_enough, |meta| {
            if found.is_none() && meta.max_timestamp >= timestamp_ms {
                found = Some(meta.base_offset);
            }
            found.is_none()
        })?;
        Ok(found)
    }

    pub fn max_timestamp(&self, id: PartitionId) -> Result<Option<(i64, Offset)>, ReadError> {
        'again: loop {
            let (start, mut slices) = self.slices(id);
            // The most promising first; of equals the older.
            slices.sort_by_key(|slice| (Reverse(slice.max_timestamp), slice.first));
            let mut best: Option<(i64, Offset)> = None;
            for slice in slices {
                if best.is_some_and(|(timestamp, _)| timestamp > slice.max_timestamp) {
                    break;
                }
                let gone = self.visit(id, &slice, slice.first, |meta| {
                    let better = best.is_none_or(|(timestamp, offset)| {
                        (meta.max_timestamp, offset) > (timestamp, meta.base_offset)
                    });
                    if meta.last_offset >= start && better {
                        best = Some((meta.max_timestamp, meta.base_offset));
                    }
                })?;
                if gone.is_some() {
                    continue 'again;
                }
            }
            return Ok(best);
        }
    }

    pub fn offset_for_bytes(&self, id: PartitionId, keep: u64) -> Result<Offset, ReadError> {
        'again: loop {
            let (start, slices) = self.slices(id);
            let mut behind = 0;
            for slice in slices.iter().rev() {
                if behind + u64::from(slice.bytes) < keep {
                    behind += u64::from(slice.bytes);
                    continue;
                }
                let mut batches = Vec::new();
                let gone = self.visit(id, slice, slice.first, |meta| {
                    batches.push((meta.base_offset, u64::from(meta.bytes)));
                })?;
                if gone.is_some() {
                    continue 'again;
                }
                for (base_offset, bytes) in batches.into_iter().rev() {
                    behind += bytes;
                    if behind >= keep && base_offset >= start {
                        return Ok(base_offset);
                    }
                }
            }
            return Ok(start);
        }
    }

    /// A partition's start and slices; none for an unknown one.
    fn slices(&self, id: PartitionId) -> (Offset, Vec<Slice>) {
        let state = self.state.lock();
        let found = state.partitions.get(&id);
        found.map_or((0, Vec::new()), |partition| {
            (partition.start, partition.slices.iter().copied().collect())
        })
    }

    pub fn scan(&self, visit: &mut dyn FnMut(PartitionId, &BatchMeta)) -> Result<(), ReadError> {
        let mut partitions: Vec<PartitionId> =
            self.state.lock().partitions.keys().copied().collect();
        // Always in the same order, so that a simulation can be repeated.
        partitions.sort_unstable();
        for id in partitions {
            let all = |_: &Slice| true;
            self.walk(id, all, |meta| {
                visit(id, meta);
                true
            })?;
        }
        Ok(())
    }

    /// Calls back for every readable batch of the wanted slices, in order, until told to stop. Slices may be moved or
    /// rewritten meanwhile: then it goes on in those that have taken over.
    fn walk(
        &self,
        id: PartitionId,
        wanted: impl Fn(&Slice) -> bool,
        mut visit: impl FnMut(&BatchMeta) -> bool,
    ) -> Result<(), ReadError> {
        let (mut at, mut life) = (0, None);
        let mut more = true;
        while more {
            let Some((slice, start)) = self.state.lock().next_slice(id, at, &mut life) else {
                break;
            };
            at = slice.last + 1;
            if !wanted(&slice) {
                continue;
            }
            let gone = self.visit(id, &slice, slice.first.max(start), |meta| {
                if more && meta.last_offset >= start {
                    more = visit(meta);
                }
            })?;
            at = gone.unwrap_or(at);
        }
        Ok(())
    }

    /// Calls back for every batch of a slice from an offset on. Where its chunk has been removed meanwhile it gives the offset
    /// that it had come to.
    pub fn visit(
        &self,
        id: PartitionId,
        slice: &Slice,
        mut at: Offset,
        mut visit: impl FnMut(&BatchMeta),
    ) -> Result<Option<Offset>, ReadError> {
        loop {
            let bite = self.state.lock().bite(id, slice, at);
            match bite {
                Bite::Open(entries) => {
                    entries.iter().for_each(|entry| visit(&entry.meta));
                    let Some(last) = entries.last() else {
                        return Ok(None);
                    };
                    at = last.meta.last_offset + 1;
                }
                Bite::Sealed(chunk, stored) => {
                    let entries = footer::read_entries(&chunk, &stored)?;
                    let within = slice.within(&entries, at);
                    within.iter().for_each(|entry| visit(&entry.meta));
                    return Ok(None);
                }
                Bite::Gone => return Ok(Some(at)),
            }
        }
    }
}

/// Some of the entries of a slice.
enum Bite {
    /// Of an open chunk, as many as the lock is to be held for; none behind the last.
    Open(Vec<IndexEntry>),
    /// Where to find them all.
    Sealed(Arc<Chunk>, StoredEntries),
    Gone,
}

fn unknown(from: Offset) -> Result<ReadOut, ReadError> {
    if from == 0 {
        return Ok(ReadOut::default());
    }
    Err(ReadError::OutOfRange {
        offset: from,
        state: PartitionState::default(),
    })
}

impl State {
    /// `None` for an unknown partition.
    pub fn begin(
        &self,
        id: PartitionId,
        from: Offset,
        max_bytes: usize,
        bound: Bound,
    ) -> Result<Option<Begun>, ReadError> {
        let Some(partition) = self.partitions.get(&id) else {
            return Ok(None);
        };
        let (extent, end) = (partition.state(), partition.end(bound));
        if from < partition.start || from > end {
            return Err(ReadError::OutOfRange {
                offset: from,
                state: extent,
            });
        }
        let progress = Progress {
            at: from,
            end,
            bytes_left: max_bytes,
            out: Vec::new(),
            in_windows: false,
            reader: Reader::Waits,
        };
        Ok(Some(Begun {
            world: (partition.life, partition.generation),
            extent,
            piece: self.piece(id, partition, &progress),
            progress,
        }))
    }

    fn piece(&self, id: PartitionId, partition: &Partition, progress: &Progress) -> Piece {
        let Progress {
            at,
            end,
            bytes_left,
            out,
            ..
        } = progress;
        if *at >= *end || (*bytes_left == 0 && !out.is_empty()) {
            return Piece::End;
        }
        if let Some(batches) = partition.cached(*at, *end, *bytes_left, out.is_empty()) {
            return Piece::Cached(batches);
        }
        let next = partition.slices.partition_point(|slice| slice.last < *at);
        let Some(slice) = partition.slices.get(next) else {
            return Piece::End;
        };
        let Some(found) = self.chunks.get(&slice.chunk) else {
            return Piece::End;
        };
        match &found.index {
            None => Piece::Sealed(Arc::clone(&found.chunk), *slice),
            Some(index) => {
                let groups = index.get(&id);
                let entries = groups.map_or(&[][..], |groups| groups.entries(slice.group));
                let (chosen, next) = progress.choose(slice, entries);
                Piece::Indexed(Arc::clone(&found.chunk), chosen.to_vec(), next)
            }
        }
    }

    /// The slice of this offset or the next, and the start, as long as the partition lives the life it had at first.
    fn next_slice(
        &self,
        id: PartitionId,
        at: Offset,
        life: &mut Option<u64>,
    ) -> Option<(Slice, Offset)> {
        let partition = self.partitions.get(&id)?;
        if *life.get_or_insert(partition.life) != partition.life {
            return None;
        }
        let next = partition.slices.partition_point(|slice| slice.last < at);
        let slice = partition.slices.get(next)?;
        // From where the walk has come to: a slice that has taken over may begin before.
        let from = partition.start.max(at);
        Some((*slice, from))
    }

    fn bite(&self, id: PartitionId, slice: &Slice, at: Offset) -> Bite {
        let Some(found) = self.chunks.get(&slice.chunk) else {
            return Bite::Gone;
        };
        if let Some(index) = &found.index {
            let groups = index.get(&id);
            let entries = groups.map_or(&[][..], |groups| groups.entries(slice.group));
            let within = slice.within(entries, at);
            return Bite::Open(within[..within.len().min(BITE_ENTRIES_MAX)].to_vec());
        }
        // Sealed after the slice was copied: look again.
        let sealed_since = || {
            let same = |other: &&Slice| other.chunk == slice.chunk && other.group == slice.group;
            let slices = &self.partitions.get(&id)?.slices;
            slices.iter().rev().find(same)?.stored
        };
        match slice.stored.or_else(sealed_since) {
            Some(stored) => Bite::Sealed(Arc::clone(&found.chunk), stored),
            None => Bite::Gone,
        }
    }
}

impl Progress {
    /// Those of the slice's batches that are still wanted, and where to go on behind them: `None` when that is enough.
    fn choose<'a>(
        &self,
        slice: &Slice,
        entries: &'a [IndexEntry],
    ) -> (&'a [IndexEntry], Option<Offset>) {
        let within = slice.within(entries, self.at);
        let chosen = select(within, self.end, self.bytes_left, self.out.is_empty());
        // A range that a rewrite has emptied at its end goes on with the next slice.
        let next = (chosen.len() == within.len()).then_some(slice.last + 1);
        (chosen, next)
    }

    fn go_on(&mut self, next: Option<Offset>) -> bool {
        self.at = next.unwrap_or(self.at);
        next.is_some()
    }
}
