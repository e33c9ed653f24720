//! Reading batches that lie side by side, from shared windows or exactly, and checking them.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use headwater_base::{Offset, PartitionId};

use super::chunk::Chunk;
use super::frame::batch_is_intact;
use super::index::IndexEntry;
use super::pool::Pool;
use super::read::{Piece, Progress, Reader};
use super::state::Shared;
use super::windows::Run;
use crate::api::{Bound, ReadError};

/// Batches with no more than this between them are read at once, the gap included.
const GAP_BYTES_MAX: u64 = 16 * 1024;
/// Most bytes of one read call, unless a batch is larger.
const SPAN_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Most that is looked for at once in what is in memory.
const LOADED_SPAN_BYTES_MAX: u64 = 256 * 1024;

impl Shared {
    /// Whether the batch that holds this offset lies in a window that is in memory.
    pub fn is_loaded(&self, id: PartitionId, from: Offset) -> bool {
        let Some((chunk, Some(entry))) = self.find(id, from) else {
            return false;
        };
        let bytes = entry.meta.bytes as usize;
        self.windows.has(&chunk, entry.position.into(), bytes)
    }

    /// Where the batch that holds this offset lies in the log, in bytes from somewhere; where only its chunk is known without the
    /// disk, that one's beginning. Nothing when it is in the cached tail.
    pub fn place(&self, id: PartitionId, from: Offset) -> Option<u64> {
        let (chunk, entry) = self.find(id, from)?;
        let position = entry.map_or(0, |entry| entry.position);
        Some(chunk.number.saturating_mul(chunk.bytes) + u64::from(position))
    }

    fn find(&self, id: PartitionId, from: Offset) -> Option<(Arc<Chunk>, Option<IndexEntry>)> {
        let begun = self.state.lock().begin(id, from, 1, Bound::Durable);
        match begun.ok()??.piece {
            Piece::Indexed(chunk, entries, _) => Some((chunk, entries.first().copied())),
            Piece::Sealed(chunk, slice) => {
                let entries = self.indexes.get((chunk.number, id, slice.group));
                let first =
                    entries.and_then(|entries| slice.within(&entries, from).first().copied());
                Some((chunk, first))
            }
            Piece::Cached(_) | Piece::End => None,
        }
    }
}

impl Progress {
    /// Reads these batches. What comes before a rotten one is an answer; the next read begins with it and fails. False when that
    /// is all for now.
    pub fn load(
        &mut self,
        (shared, id): (&Shared, PartitionId),
        chunk: &Arc<Chunk>,
        entries: &[IndexEntry],
    ) -> Result<bool, ReadError> {
        let mut rest = entries;
        while !rest.is_empty() {
            let (span, after) = rest.split_at(self.next_span(rest));
            let (from, bytes) = extent(span);
            let Some(run) = self.run(shared, chunk, (from, bytes))? else {
                return Ok(false);
            };
            let wanted = span.iter().map(|entry| entry.meta.bytes as usize).sum();
            shared.windows.asked(chunk, from, bytes, wanted);
            for (entry, batch) in span.iter().zip(batches(&shared.pool, &run, span)) {
                let Some(batch) = batch else {
                    let rotten = shared.rotten(id, chunk, entry);
                    return if self.out.is_empty() {
                        Err(rotten)
                    } else {
                        Ok(false)
                    };
                };
                self.bytes_left = self.bytes_left.saturating_sub(batch.len());
                self.at = entry.meta.last_offset + 1;
                self.out.push(batch);
            }
            rest = after;
        }
        Ok(true)
    }

    /// How many entries to read at once. Who takes what is there does not look far.
    fn next_span(&self, entries: &[IndexEntry]) -> usize {
        match (self.reader, self.out.is_empty()) {
            (Reader::Waits, _) => span_length(entries),
            (Reader::TakesWhatIsThere, true) => 1,
            (Reader::TakesWhatIsThere, false) => span_within(entries, LOADED_SPAN_BYTES_MAX),
        }
    }

    /// The bytes; nothing where that is enough for a reader that takes what is there.
    fn run(
        &mut self,
        shared: &Shared,
        chunk: &Arc<Chunk>,
        (from, bytes): (u64, usize),
    ) -> io::Result<Option<Run>> {
        let has_some = self.reader == Reader::TakesWhatIsThere && !self.out.is_empty();
        let run = match shared.windows.loaded(chunk, from, bytes) {
            None if has_some => return Ok(None),
            None => shared.windows.read(chunk, from, bytes)?,
            Some(run) => run,
        };
        if run.is_shared() {
            self.in_windows = true;
            let end = from + bytes as u64;
            shared.ahead.windows(|| shared.windows.due(chunk, end));
        }
        Ok(Some(run))
    }
}

/// Reads neighbouring batches at once, from the disk; nothing for one that does not match its checksum.
pub(super) fn read_span(
    pool: &Arc<Pool>,
    chunk: &Chunk,
    span: &[IndexEntry],
) -> io::Result<Vec<Option<Bytes>>> {
    let (from, bytes) = extent(span);
    Ok(batches(pool, &Run::exact(chunk, from, bytes)?, span))
}

/// Where a span begins, and its length.
fn extent(span: &[IndexEntry]) -> (u64, usize) {
    let from = u64::from(span[0].position);
    (from, (end_of(&span[span.len() - 1]) - from) as usize)
}

/// The batches of a span that has been read; nothing for one that does not match its checksum.
fn batches(pool: &Arc<Pool>, run: &Run, span: &[IndexEntry]) -> Vec<Option<Bytes>> {
    let wanted: usize = span.iter().map(|entry| entry.meta.bytes as usize).sum();
    // Batches hold what lies between them in memory, too: where that is most of it and nobody else's, they are copied.
    let sparse = !run.is_shared() && wanted < extent(span).1 / 2;
    let batch = |entry: &IndexEntry| {
        let at = (entry.position - span[0].position) as usize;
        let batch = run.get(pool, at, entry.meta.bytes as usize);
        let intact = batch_is_intact(&batch, entry.meta.base_offset);
        intact.then(|| match sparse {
            true => Bytes::copy_from_slice(&batch),
            false => batch,
        })
    };
    span.iter().map(batch).collect()
}

fn end_of(entry: &IndexEntry) -> u64 {
    u64::from(entry.position) + u64::from(entry.meta.bytes)
}

/// How many entries to read at once, at least one.
pub(super) fn span_length(entries: &[IndexEntry]) -> usize {
    span_within(entries, SPAN_BYTES_MAX)
}

fn span_within(entries: &[IndexEntry], bytes_max: u64) -> usize {
    let from = u64::from(entries[0].position);
    let close = |pair: &&[IndexEntry]| {
        u64::from(pair[1].position) - end_of(&pair[0]) <= GAP_BYTES_MAX
            && end_of(&pair[1]) - from <= bytes_max
    };
    1 + entries.windows(2).take_while(close).count()
}
