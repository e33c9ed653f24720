//! One partition in memory.

use std::collections::VecDeque;

use bytes::Bytes;
use headwater_base::Offset;

use crate::api::{BatchMeta, Bound, PartitionState, ReadError, ReadOut};

pub(super) struct Partition {
    /// Tells a partition from an earlier one of the same id.
    pub life: u64,
    pub state: PartitionState,
    batches: VecDeque<(BatchMeta, Bytes)>,
}

impl Partition {
    pub fn new(life: u64) -> Self {
        Self {
            life,
            state: PartitionState::default(),
            batches: VecDeque::new(),
        }
    }

    pub fn push(&mut self, meta: BatchMeta, batch: Bytes) {
        self.state.submitted_end = meta.last_offset + 1;
        self.state.bytes += batch.len() as u64;
        self.batches.push_back((meta, batch));
    }

    pub fn trim(&mut self, offset: Offset) {
        self.state.start = self.state.start.max(offset.min(self.state.durable_end));
        while let Some((meta, _)) = self
            .batches
            .front()
            .filter(|(meta, _)| meta.last_offset < self.state.start)
        {
            self.state.bytes -= u64::from(meta.bytes);
            self.batches.pop_front();
        }
    }

    pub fn read(&self, from: Offset, max_bytes: usize, bound: Bound) -> Result<ReadOut, ReadError> {
        let end = match bound {
            Bound::Durable => self.state.durable_end,
            Bound::Submitted => self.state.submitted_end,
        };
        if from < self.state.start || from > end {
            return Err(ReadError::OutOfRange {
                offset: from,
                state: self.state,
            });
        }
        let first = self
            .batches
            .partition_point(|(meta, _)| meta.last_offset < from);
        let mut out = ReadOut {
            batches: Vec::new(),
            state: self.state,
        };
        let mut bytes = 0;
        for (meta, batch) in self.batches.range(first..) {
            if meta.last_offset >= end || (bytes > 0 && bytes + batch.len() > max_bytes) {
                break;
            }
            bytes += batch.len();
            out.batches.push(batch.clone());
        }
        Ok(out)
    }

    /// The batches below the durable end.
    pub fn durable(&self) -> impl Iterator<Item = &BatchMeta> {
        self.batches
            .iter()
            .map(|(meta, _)| meta)
            .take_while(|meta| meta.last_offset < self.state.durable_end)
    }

    pub fn find_time(&self, timestamp_ms: i64) -> Option<Offset> {
        self.durable()
            .find(|meta| meta.max_timestamp >= timestamp_ms)
            .map(|meta| meta.base_offset)
    }
}
