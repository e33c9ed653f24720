//! The scrub: a slow walk over the sealed chunks that reads every batch somebody still needs and checks it, so that rot is
//! noticed while a copy may still be had.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::vec::IntoIter;

use headwater_base::PartitionId;

use super::chunk::Chunk;
use super::footer;
use super::index::{IndexEntry, Slice};
use super::spans::{read_span, span_length};
use super::state::Shared;

/// Bytes read in one step, unless a batch is larger.
const STEP_BYTES: usize = 256 * 1024;

/// Where the walk has come to.
#[derive(Default)]
pub(super) struct Scrub {
    /// Chunks up to this number are done.
    done: u64,
    at: Option<At>,
}

/// Within a chunk.
struct At {
    chunk: Arc<Chunk>,
    lines: IntoIter<(PartitionId, Slice)>,
    /// The line at hand: whose batches, which are left.
    group: Option<(PartitionId, u32, Vec<IndexEntry>)>,
}

impl Scrub {
    /// Checks a few batches; gives the bytes read, `None` at the end of the walk. The next step begins another one.
    pub fn step(&mut self, shared: &Shared) -> Option<usize> {
        let Some(at) = &mut self.at else {
            let Some(chunk) = shared.sealed_behind(self.done) else {
                self.done = 0;
                shared.counters.scrubs.fetch_add(1, Ordering::Relaxed);
                return None;
            };
            self.done = chunk.number;
            self.at = begin(shared, chunk);
            return Some(0);
        };
        let bytes = at.step(shared);
        match bytes {
            Some(bytes) => {
                let scrubbed = &shared.counters.scrubbed_bytes;
                scrubbed.fetch_add(bytes as u64, Ordering::Relaxed);
            }
            None => {
                shared.forget_if_cold(&at.chunk);
                self.at = None;
            }
        }
        Some(bytes.unwrap_or(0))
    }
}

fn begin(shared: &Shared, chunk: Arc<Chunk>) -> Option<At> {
    match footer::read(&chunk) {
        Ok(Some(sealed)) => Some(At {
            chunk,
            lines: sealed.slices.into_iter(),
            group: None,
        }),
        Ok(None) => {
            shared.rotten_place(
                &chunk,
                (chunk.bytes - 1) as u32,
                "its footer does not match its checksum",
            );
            None
        }
        Err(error) => {
            tracing::error!(file = chunk.name(), %error, "cannot read a footer");
            None
        }
    }
}

impl At {
    fn step(&mut self, shared: &Shared) -> Option<usize> {
        let Some((id, group, entries)) = &mut self.group else {
            let (id, slice) = self.lines.next()?;
            let stored = slice.stored?;
            match footer::read_entries(&self.chunk, &stored) {
                Ok(entries) => self.group = Some((id, slice.group, entries)),
                Err(error) => shared.rotten_place(&self.chunk, stored.position, &error.to_string()),
            }
            return Some(stored.count as usize * footer::ENTRY_BYTES);
        };
        let mut bytes = 0;
        let mut done = 0;
        while done < entries.len() && bytes < STEP_BYTES {
            let rest = &entries[done..];
            let span = &rest[..span_length(rest).min(SPAN_BATCHES_MAX)];
            bytes += span
                .iter()
                .map(|entry| entry.meta.bytes as usize)
                .sum::<usize>();
            check(shared, *id, *group, &self.chunk, span);
            done += span.len();
        }
        entries.drain(..done);
        if entries.is_empty() {
            self.group = None;
        }
        Some(bytes)
    }
}

/// Most batches of one read: bounds a step where batches are small.
const SPAN_BATCHES_MAX: usize = 256;

fn check(shared: &Shared, id: PartitionId, group: u32, chunk: &Chunk, span: &[IndexEntry]) {
    let batches = match read_span(&shared.pool, chunk, span) {
        Ok(batches) => batches,
        Err(error) => {
            tracing::error!(file = chunk.name(), %error, "cannot read batches at rest");
            span.iter().map(|_| None).collect()
        }
    };
    for (entry, batch) in span.iter().zip(batches) {
        if batch.is_none() && shared.is_needed(id, group, chunk.number, entry) {
            shared.rotten(id, chunk, entry);
        }
    }
}

impl Shared {
    /// The first sealed chunk behind this number.
    fn sealed_behind(&self, number: u64) -> Option<Arc<Chunk>> {
        let state = self.state.lock();
        let mut behind = state.chunks.range(number + 1..);
        let found = behind.find(|(_, found)| found.index.is_none())?;
        Some(Arc::clone(&found.1.chunk))
    }

    /// Whether readers may still come to this batch.
    fn is_needed(&self, id: PartitionId, group: u32, chunk: u64, entry: &IndexEntry) -> bool {
        let state = self.state.lock();
        let Some(partition) = state.partitions.get(&id) else {
            return false;
        };
        let last = entry.meta.last_offset;
        let at = partition.slices.partition_point(|slice| slice.last < last);
        let owner = partition.slices.get(at);
        owner.is_some_and(|slice| {
            slice.chunk == chunk && slice.group == group && slice.first <= last
        }) && last >= partition.start
    }
}
