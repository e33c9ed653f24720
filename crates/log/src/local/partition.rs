//! One partition in memory: its extent, where its batches are, its cached tail.

use std::collections::VecDeque;

use bytes::Bytes;
use headwater_base::Offset;

use super::index::{APPENDED, Slice};
use crate::api::{BatchMeta, Bound, PartitionState};

pub(super) struct Partition {
    pub life: u64,
    /// Of the rewrites that are durable.
    pub generation: u64,
    /// Of those that are submitted. One can be under way: the next is refused until it is made from what this one left.
    pub submitted_generation: u64,
    pub start: Offset,
    pub durable_end: Offset,
    pub submitted_end: Offset,
    /// Bytes in `slices`, and of batches on their way.
    pub bytes: u64,
    /// Durable batches, in order of offsets.
    pub slices: VecDeque<Slice>,
    /// The newest batches, as far as cached; nothing is missing between the first of them and `submitted_end`.
    pub tail: VecDeque<TailBatch>,
    /// The last chunk in which an append to it was planned.
    pub planned_in: u64,
}

pub(super) struct TailBatch {
    pub first: Offset,
    pub last: Offset,
    pub bytes: Bytes,
}

/// Where the borders of a rewrite cut slices: bytes before them in the group of the slice that they lie in.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cut {
    pub below_from: u32,
    pub below_to: u32,
}

/// What a chunk has gained or lost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub chunk: u64,
    pub slices: i64,
    pub bytes: i64,
}

impl Change {
    pub fn gained(slice: &Slice) -> Self {
        Self {
            chunk: slice.chunk,
            slices: 1,
            bytes: i64::from(slice.bytes),
        }
    }

    pub fn lost(slice: &Slice) -> Self {
        Self {
            chunk: slice.chunk,
            slices: -1,
            bytes: -i64::from(slice.bytes),
        }
    }
}

impl Partition {
    /// `generation` is one that no partition has had.
    pub fn new(life: u64, generation: u64) -> Self {
        Self {
            life,
            generation,
            submitted_generation: generation,
            start: 0,
            durable_end: 0,
            submitted_end: 0,
            bytes: 0,
            slices: VecDeque::new(),
            tail: VecDeque::new(),
            planned_in: 0,
        }
    }

    pub fn end(&self, bound: Bound) -> Offset {
        match bound {
            Bound::Durable => self.durable_end,
            Bound::Submitted => self.submitted_end,
        }
    }

    /// The extent. Of a slice that is trimmed within, bytes are counted in proportion.
    pub fn state(&self) -> PartitionState {
        let cut = self
            .slices
            .front()
            .filter(|slice| slice.first < self.start)
            .map_or(0, |slice| {
                let records = (slice.last - slice.first + 1) as u128;
                (u128::from(slice.bytes) * (self.start - slice.first) as u128 / records) as u64
            });
        PartitionState {
            start: self.start,
            durable_end: self.durable_end,
            submitted_end: self.submitted_end,
            bytes: self.bytes - cut,
            generation: self.generation,
        }
    }

    /// An appended batch has been written and synced; `skipped` bytes of this partition were appended to the chunk before.
    pub fn durable(&mut self, chunk: u64, meta: &BatchMeta, skipped: u32) -> Change {
        self.durable_end = meta.last_offset + 1;
        let bytes = i64::from(meta.bytes);
        let open = |slice: &&mut Slice| slice.chunk == chunk && slice.group == APPENDED;
        let slices = match self.slices.back_mut().filter(open) {
            Some(slice) => {
                slice.extend(meta);
                0
            }
            None => {
                self.slices.push_back(Slice::of(chunk, meta, skipped));
                1
            }
        };
        Change {
            chunk,
            slices,
            bytes,
        }
    }

    /// The slice within which this offset lies, not at its front.
    pub fn cut_at(&self, offset: Offset) -> Option<&Slice> {
        let next = self.slices.partition_point(|slice| slice.last < offset);
        self.slices.get(next).filter(|slice| slice.first < offset)
    }

    /// A rewrite is durable: its slice takes over what it covers. Gives what chunks gained and lost.
    pub fn replace(&mut self, new: Slice, cut: Cut) -> Vec<Change> {
        let first = self.slices.partition_point(|slice| slice.last < new.first);
        let behind = self.slices.partition_point(|slice| slice.first <= new.last);
        let replaced: Vec<Slice> = self.slices.range(first..behind).copied().collect();
        let left = replaced.first().filter(|slice| slice.first < new.first);
        let left = left.map(|slice| Slice {
            last: new.first - 1,
            bytes: cut.below_from.saturating_sub(slice.skipped),
            ..*slice
        });
        let right = replaced.last().filter(|slice| slice.last > new.last);
        let right = right.map(|slice| Slice {
            first: new.last + 1,
            bytes: (slice.skipped + slice.bytes).saturating_sub(cut.below_to),
            skipped: cut.below_to,
            ..*slice
        });
        let start = self.start;
        let kept = [left, Some(new), right].into_iter().flatten();
        let kept: Vec<Slice> = kept.filter(|slice| slice.last >= start).collect();
        let mut changes: Vec<Change> = kept.iter().map(Change::gained).collect();
        changes.extend(replaced.iter().map(Change::lost));
        let bytes: i64 = changes.iter().map(|change| change.bytes).sum();
        self.bytes = self.bytes.saturating_add_signed(bytes);
        self.put_slices(first, replaced.len(), kept);
        // What is cached must go without a hole from its first batch to the end.
        while self
            .tail
            .front()
            .is_some_and(|batch| batch.first <= new.last)
        {
            self.tail.pop_front();
        }
        changes
    }

    /// Puts slices in the place of others, moving no more of the rest than it must: a partition may have very many.
    fn put_slices(&mut self, at: usize, replaced: usize, new: Vec<Slice>) {
        let in_place = replaced.min(new.len());
        for (i, slice) in new.iter().take(in_place).enumerate() {
            self.slices[at + i] = *slice;
        }
        self.slices.drain(at + in_place..at + replaced);
        for (i, slice) in new.into_iter().enumerate().skip(in_place) {
            self.slices.insert(at + i, slice);
        }
    }

    /// Moves the start up. Gives what chunks lost.
    pub fn trim(&mut self, start: Offset) -> Vec<Change> {
        self.start = self.start.max(start.min(self.durable_end));
        let mut released = Vec::new();
        while let Some(slice) = self.slices.front().filter(|slice| slice.last < self.start) {
            self.bytes -= u64::from(slice.bytes);
            released.push(Change::lost(slice));
            self.slices.pop_front();
        }
        released
    }

    /// Cached batches from the one that holds `from`; `None` when that one is not cached.
    pub fn cached(
        &self,
        from: Offset,
        end: Offset,
        max_bytes: usize,
        at_least_one: bool,
    ) -> Option<Vec<Bytes>> {
        if self.tail.front().is_none_or(|batch| from < batch.first) {
            return None;
        }
        let first = self.tail.partition_point(|batch| batch.last < from);
        let mut bytes = 0;
        let taken = self
            .tail
            .range(first..)
            .enumerate()
            .take_while(|(i, batch)| {
                bytes += batch.bytes.len();
                batch.last < end && (bytes <= max_bytes || (at_least_one && *i == 0))
            });
        Some(taken.map(|(_, batch)| batch.bytes.clone()).collect())
    }

    /// Lets go of cached batches up to this offset.
    pub fn forget_cached(&mut self, last: Offset) {
        while self.tail.front().is_some_and(|batch| batch.last <= last) {
            self.tail.pop_front();
        }
    }

    /// Whether a read from here needs no disk.
    pub fn in_memory(&self, from: Offset) -> bool {
        from >= self.durable_end
            || from < self.start
            || self.tail.front().is_some_and(|batch| batch.first <= from)
    }
}
