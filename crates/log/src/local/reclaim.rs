//! Getting space back: of a chunk that is mostly dead, what still lives is written anew by rewrites of the same batches,
//! in small commits among everybody's; then the file is dead as a whole and is removed.
//!
//! A partition that is rewritten or dropped meanwhile refuses its piece as stale, so nothing comes back that a
//! compaction took out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use headwater_base::PartitionId;

use super::chunk::Chunk;
use super::footer;
use super::index::{IndexEntry, Slice};
use super::spans::{read_span, span_length};
use super::state::{Shared, State};
use crate::api::{Commit, Durable, ReadError, Rewrite, SubmitError};

/// Bytes of batches in one commit: keeps the wait of those who share its fdatasync short.
const PIECE_BYTES: usize = 1024 * 1024;
/// Most partitions of one commit.
const PIECE_PARTITIONS_MAX: usize = 1000;

/// What a step came to.
pub(super) enum Moved {
    /// No chunk is worth it.
    Nothing,
    /// So many bytes are on their way.
    Bytes(usize),
    /// The commit before is not durable yet.
    Waits,
    /// The log is busy or full.
    Refused,
}

#[derive(Default)]
pub(super) struct Reclaim {
    moving: Option<Moving>,
    /// Chunks that cannot be read.
    left_alone: BTreeSet<u64>,
}

struct Moving {
    chunk: Arc<Chunk>,
    /// Partitions that may have something in it.
    partitions: Vec<PartitionId>,
    pending: Option<Durable>,
}

impl Reclaim {
    /// Submits the next piece.
    pub fn step(&mut self, shared: &Shared) -> Moved {
        let Some(moving) = &mut self.moving else {
            self.moving = self.begin(shared);
            return match self.moving {
                Some(_) => Moved::Bytes(0),
                None => Moved::Nothing,
            };
        };
        if moving.is_pending() {
            return Moved::Waits;
        }
        match moving.submit(shared) {
            Ok(Some(bytes)) => Moved::Bytes(bytes),
            Ok(None) => {
                self.moving = None;
                Moved::Bytes(0)
            }
            Err(SubmitError::Busy { .. } | SubmitError::Full(_) | SubmitError::Stale { .. }) => {
                Moved::Refused
            }
            Err(error) => {
                let chunk = moving.chunk.number;
                tracing::warn!(chunk, %error, "cannot move what is still needed out of a file");
                self.left_alone.insert(chunk);
                self.moving = None;
                Moved::Bytes(0)
            }
        }
    }

    /// Takes on the chunk with the least in it.
    fn begin(&mut self, shared: &Shared) -> Option<Moving> {
        let percent = u64::from(shared.config.reclaim_live_percent_max);
        let chunk = shared.state.lock().mostly_dead(percent, &self.left_alone)?;
        let sealed = match footer::read(&chunk) {
            Ok(Some(sealed)) => sealed,
            _ => {
                self.left_alone.insert(chunk.number);
                return None;
            }
        };
        let mut partitions: Vec<PartitionId> = sealed.slices.iter().map(|(id, _)| *id).collect();
        partitions.dedup();
        Some(Moving {
            chunk,
            partitions,
            pending: None,
        })
    }
}

impl State {
    /// The sealed chunk with the least that is needed, if that is little. The newest sealed one has to stay anyway.
    fn mostly_dead(&self, percent: u64, left_alone: &BTreeSet<u64>) -> Option<Arc<Chunk>> {
        let sealed = self
            .chunks
            .iter()
            .filter(|(_, found)| found.index.is_none());
        let (newest, _) = sealed.clone().next_back()?;
        let little = sealed.filter(|(number, found)| {
            let needed = found.live_bytes.saturating_mul(100) <= found.chunk.bytes * percent;
            needed && found.live > 0 && *number != newest && !left_alone.contains(number)
        });
        let least = little.min_by_key(|(_, found)| found.live_bytes)?;
        Some(Arc::clone(&least.1.chunk))
    }
}

impl Moving {
    fn is_pending(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        match &mut self.pending {
            Some(durable) => match durable.as_mut().poll(&mut context) {
                Poll::Pending => true,
                Poll::Ready(_) => {
                    self.pending = None;
                    false
                }
            },
            None => false,
        }
    }

    /// Submits what fits into one commit: of each partition the first slice that is left. `None` when all is moved.
    fn submit(&mut self, shared: &Shared) -> Result<Option<usize>, SubmitError> {
        let mut commit = Commit::default();
        let (mut bytes, mut at) = (0, 0);
        while at < self.partitions.len().min(PIECE_PARTITIONS_MAX) && bytes < PIECE_BYTES {
            let id = self.partitions[at];
            let Some((slice, generation)) = first_slice(shared, id, self.chunk.number) else {
                self.partitions.swap_remove(at);
                continue;
            };
            let rewrite = self.rewrite(shared, id, &slice, generation, PIECE_BYTES - bytes)?;
            bytes += rewrite.batches.iter().map(Bytes::len).sum::<usize>();
            commit.rewrites.push(rewrite);
            at += 1;
        }
        if commit.rewrites.is_empty() {
            return Ok(None);
        }
        self.pending = Some(shared.submit(commit)?.durable);
        let moved = &shared.counters.moved_bytes;
        moved.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(Some(bytes))
    }

    /// The same batches again, as many as fit, at least one.
    fn rewrite(
        &self,
        shared: &Shared,
        id: PartitionId,
        slice: &Slice,
        generation: u64,
        bytes_max: usize,
    ) -> Result<Rewrite, SubmitError> {
        let unreadable = |error: ReadError| SubmitError::Unreadable(error.to_string());
        let entries = shared.entries(id, &self.chunk, slice).map_err(unreadable)?;
        let within = slice.within(&entries, slice.first);
        let mut bytes = 0;
        let fits = within.iter().enumerate().take_while(|(i, entry)| {
            bytes += entry.meta.bytes as usize;
            *i == 0 || bytes <= bytes_max
        });
        let chosen = &within[..fits.count()];
        let to = match chosen.last() {
            Some(last) if chosen.len() < within.len() => last.meta.last_offset + 1,
            _ => slice.last + 1,
        };
        let batches = self.read(shared, id, chosen).map_err(unreadable)?;
        Ok(Rewrite {
            partition: id,
            from: slice.first,
            to,
            generation,
            batches,
        })
    }

    fn read(
        &self,
        shared: &Shared,
        id: PartitionId,
        entries: &[IndexEntry],
    ) -> Result<Vec<Bytes>, ReadError> {
        let mut batches = Vec::with_capacity(entries.len());
        let mut rest = entries;
        while !rest.is_empty() {
            let (span, after) = rest.split_at(span_length(rest));
            for (entry, batch) in span.iter().zip(read_span(&shared.pool, &self.chunk, span)?) {
                batches.push(batch.ok_or_else(|| shared.rotten(id, &self.chunk, entry))?);
            }
            rest = after;
        }
        Ok(batches)
    }
}

/// A partition's first slice in a chunk, and its generation.
fn first_slice(shared: &Shared, id: PartitionId, chunk: u64) -> Option<(Slice, u64)> {
    let state = shared.state.lock();
    let partition = state.partitions.get(&id)?;
    let slice = partition.slices.iter().find(|slice| slice.chunk == chunk)?;
    Some((*slice, partition.generation))
}
