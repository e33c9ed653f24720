//! One partition in memory.

use std::collections::VecDeque;

use bytes::Bytes;
use headwater_base::Offset;

use headwater_record::{BatchError, BatchHeader, with_place};

use crate::api::{BatchMeta, Bound, PartitionState, ReadError, ReadOut, Rewrite};
use crate::rewrite::{NOT_DURABLE, SPLITS_A_BATCH};

pub(super) struct Partition {
    /// Tells a partition from an earlier one of the same id.
    pub life: u64,
    pub state: PartitionState,
    /// With the rewrites that are submitted; the state's generation counts the durable ones.
    pub generation: u64,
    batches: VecDeque<(BatchMeta, Bytes)>,
}

/// A rewrite that waits to become durable.
pub(super) struct Replacement {
    pub life: u64,
    pub generation: u64,
    from: Offset,
    to: Offset,
    batches: Vec<(BatchMeta, Bytes)>,
}

impl Replacement {
    pub fn new(life: u64, rewrite: Rewrite, headers: &[BatchHeader]) -> Self {
        let batches = rewrite.batches.into_iter().zip(headers);
        Self {
            life,
            generation: 0,
            from: rewrite.from,
            to: rewrite.to,
            batches: batches
                .map(|(batch, header)| {
                    let batch = with_place(batch.slice(..header.bytes), header.base_offset, 0);
                    (BatchMeta::from(header), batch)
                })
                .collect(),
        }
    }
}

impl Partition {
    pub fn new(life: u64, generation: u64) -> Self {
        let state = PartitionState {
            generation,
            ..PartitionState::default()
        };
        Self {
            life,
            state,
            generation,
            batches: VecDeque::new(),
        }
    }

    /// What is left of it after a crash that it survived up to `end`.
    pub fn crashed(&self, end: Offset) -> Self {
        let kept = self
            .batches
            .iter()
            .filter(|(meta, _)| meta.last_offset < end);
        let batches: VecDeque<(BatchMeta, Bytes)> = kept.cloned().collect();
        let bytes = batches.iter().map(|(meta, _)| u64::from(meta.bytes)).sum();
        Self {
            life: self.life,
            generation: self.state.generation,
            state: PartitionState {
                durable_end: end,
                submitted_end: end,
                bytes,
                ..self.state
            },
            batches,
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

    /// Whether a rewrite may replace this range.
    pub fn check_range(&self, from: Offset, to: Offset) -> Result<(), BatchError> {
        if to > self.state.durable_end {
            return Err(NOT_DURABLE);
        }
        let splits = |(meta, _): &(BatchMeta, Bytes)| {
            let inside = |offset| meta.base_offset < offset && offset <= meta.last_offset;
            inside(from) || inside(to)
        };
        if self.batches.iter().any(splits) {
            return Err(SPLITS_A_BATCH);
        }
        Ok(())
    }

    /// A rewrite has become durable.
    pub fn replace(&mut self, replacement: Replacement) {
        let Replacement { from, to, .. } = replacement;
        self.state.generation = replacement.generation;
        let below = |offset| {
            self.batches
                .partition_point(|(meta, _)| meta.base_offset < offset)
        };
        let (first, behind) = (below(from), below(to));
        let after = self.batches.split_off(behind);
        for (meta, _) in self.batches.drain(first..) {
            self.state.bytes -= u64::from(meta.bytes);
        }
        let start = self.state.start;
        let kept = |(meta, _): &(BatchMeta, Bytes)| meta.last_offset >= start;
        for (meta, batch) in replacement.batches.into_iter().filter(kept) {
            self.state.bytes += u64::from(meta.bytes);
            self.batches.push_back((meta, batch));
        }
        self.batches.extend(after);
    }

    pub fn max_timestamp(&self) -> Option<(i64, Offset)> {
        let best = self.durable().fold(None, |best: Option<&BatchMeta>, meta| {
            match best.is_none_or(|best| meta.max_timestamp > best.max_timestamp) {
                true => Some(meta),
                false => best,
            }
        });
        best.map(|meta| (meta.max_timestamp, meta.base_offset))
    }

    pub fn offset_for_bytes(&self, keep_bytes: u64) -> Offset {
        let mut bytes = 0;
        for meta in self.durable().collect::<Vec<_>>().into_iter().rev() {
            bytes += u64::from(meta.bytes);
            if bytes >= keep_bytes && meta.base_offset >= self.state.start {
                return meta.base_offset;
            }
        }
        self.state.start
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
