//! One partition in memory: its extent, where its batches are, its cached tail.

use std::collections::VecDeque;

use bytes::Bytes;
use headwater_base::Offset;

use super::index::Slice;
use crate::api::{BatchMeta, Bound, PartitionState};

pub(super) struct Partition {
    pub life: u64,
    pub start: Offset,
    pub durable_end: Offset,
    pub submitted_end: Offset,
    /// Bytes in `slices`, and of batches on their way.
    pub bytes: u64,
    /// Durable batches by chunk, in order.
    pub slices: VecDeque<Slice>,
    /// The newest batches, as far as cached; nothing is missing between the first of them and `submitted_end`.
    pub tail: VecDeque<TailBatch>,
    /// The last chunk in which something of it was planned.
    pub planned_in: u64,
}

pub(super) struct TailBatch {
    pub first: Offset,
    pub last: Offset,
    pub bytes: Bytes,
}

impl Partition {
    pub fn new(life: u64) -> Self {
        Self {
            life,
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
            generation: self.life,
        }
    }

    /// A batch has been written and synced. True when it is the partition's first in this chunk.
    pub fn durable(&mut self, chunk: u64, meta: &BatchMeta) -> bool {
        self.durable_end = meta.last_offset + 1;
        if let Some(slice) = self.slices.back_mut().filter(|slice| slice.chunk == chunk) {
            slice.extend(meta);
            return false;
        }
        self.slices.push_back(Slice::of(chunk, meta));
        true
    }

    /// Moves the start up and gives the chunks it no longer needs.
    pub fn trim(&mut self, start: Offset) -> Vec<u64> {
        self.start = self.start.max(start.min(self.durable_end));
        let mut released = Vec::new();
        while let Some(slice) = self.slices.front().filter(|slice| slice.last < self.start) {
            self.bytes -= slice.bytes;
            released.push(slice.chunk);
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

    /// Whether a read from here needs no disk.
    pub fn in_memory(&self, from: Offset) -> bool {
        from >= self.durable_end
            || from < self.start
            || self.tail.front().is_some_and(|batch| batch.first <= from)
    }
}
