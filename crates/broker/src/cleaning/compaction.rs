//! One compaction of one partition, a piece at a time: first the newest offset of every key in what is dirty, then, from the
//! start on, whatever is superseded leaves its batch.
//!
//! Reads and plans only: whoever drives it commits each piece before asking for the next, so that a marker or a tombstone goes
//! only when everything older has gone for good. A run that ends in the middle has lost nothing; the next begins anew.

use bytes::Bytes;
use headwater_base::{Offset, PartitionId};
use headwater_log::{Bound, Log, ReadError, ReadOut, Rewrite};
use headwater_record::{BatchHeader, ControlType, Horizon, Retained, control_type, retain};

use super::journal::Clean;
use super::offset_map::OffsetMap;
use super::transactions::{Aborted, WithData};
use crate::error::BrokerError;
use crate::stable::AbortedRange;

/// One batch of so many that changes makes one rewrite of a piece, those in between included.
const ONE_REWRITE_FROM: usize = 4;

/// What a run goes by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub id: PartitionId,
    /// First offset that was never compacted.
    pub dirty_from: Offset,
    pub to: Offset,
    pub now_ms: i64,
    pub delete_retention_ms: i64,
    /// Bytes that one step reads.
    pub piece_bytes: usize,
}

/// A run. [`Run::map`] until it says that it is done, then [`Run::plan`] until it gives nothing, each followed by
/// [`Run::advance`].
#[derive(Debug)]
pub(crate) struct Run {
    extent: Extent,
    aborted: Aborted,
    map: OffsetMap,
    at: Offset,
    with_data: WithData,
    /// Bytes that stay below `at`, and the first horizon among them.
    kept_bytes: u64,
    horizon_ms: i64,
}

/// One batch that was read, and what is put in its place.
#[derive(Debug)]
struct Part {
    from: Offset,
    to: Offset,
    batches: Vec<Bytes>,
    changed: bool,
}

/// What one step changes.
#[derive(Debug)]
pub(crate) struct Piece {
    parts: Vec<Part>,
    pub rewrites: Vec<Rewrite>,
    /// Batches of producers that go as a whole.
    pub gone: Vec<BatchHeader>,
    /// Aborted transactions of which nothing is left when the piece is done.
    pub forgotten: Vec<AbortedRange>,
    pub read_bytes: u64,
    kept_bytes: u64,
    horizon_ms: i64,
    with_data: WithData,
    next: Offset,
}

impl Piece {
    pub fn removed_bytes(&self) -> u64 {
        self.read_bytes.saturating_sub(self.kept_bytes)
    }

    /// What one batch becomes.
    fn put(&mut self, header: &BatchHeader, batches: Vec<Bytes>, changed: bool) {
        self.kept_bytes += batches.iter().map(|batch| batch.len() as u64).sum::<u64>();
        self.parts.push(Part {
            from: header.base_offset,
            to: header.last_offset() + 1,
            batches,
            changed,
        });
    }

    /// Makes rewrites of what changes. Where that is much of the piece, one for all of it: the log remembers each of them.
    fn close(&mut self, partition: PartitionId, generation: u64) {
        let mut parts = std::mem::take(&mut self.parts);
        let changed = parts.iter().filter(|part| part.changed).count();
        if changed * ONE_REWRITE_FROM >= parts.len() {
            let last = parts.iter().rposition(|part| part.changed);
            parts.truncate(last.map_or(0, |last| last + 1));
            let first = parts.iter().position(|part| part.changed);
            parts.drain(..first.unwrap_or(parts.len()));
            parts.iter_mut().for_each(|part| part.changed = true);
        }
        let mut follows = false;
        for part in parts {
            let Part {
                from, to, batches, ..
            } = part;
            match self.rewrites.last_mut() {
                Some(last) if part.changed && follows => {
                    last.to = to;
                    last.batches.extend(batches);
                }
                _ if part.changed => self.rewrites.push(Rewrite {
                    partition,
                    from,
                    to,
                    generation,
                    batches,
                }),
                _ => {}
            }
            follows = part.changed;
        }
    }
}

impl Run {
    pub fn new(extent: Extent, start: Offset, aborted: Aborted, map_bytes_max: usize) -> Self {
        Self {
            at: extent.dirty_from.max(start),
            extent,
            aborted,
            map: OffsetMap::new(map_bytes_max),
            with_data: WithData::default(),
            kept_bytes: 0,
            horizon_ms: i64::MAX,
        }
    }

    /// Reads a piece of what is dirty and notes its keys. True when all of it is noted, or as much as fits in the map: then the
    /// run ends there, and another one begins there. Gives the bytes read, too.
    pub fn map(&mut self, log: &dyn Log) -> Result<(bool, u64), BrokerError> {
        let Some(out) = read(log, &self.extent, self.at)? else {
            return Ok((true, 0));
        };
        let mut bytes = 0;
        for batch in &out.batches {
            let header = BatchHeader::parse(batch)?;
            if header.base_offset >= self.extent.to {
                return Ok((true, bytes));
            }
            // The first batch meets an empty map and is noted whole, so that every run gets on.
            if self.map.is_full() {
                self.extent.to = header.base_offset;
                return Ok((true, bytes));
            }
            if !header.is_control() && !self.aborted.covers(&header) {
                self.note(batch)?;
            }
            bytes += batch.len() as u64;
            self.at = header.last_offset() + 1;
        }
        Ok((self.at >= self.extent.to, bytes))
    }

    fn note(&mut self, batch: &Bytes) -> Result<(), BrokerError> {
        let mut walk = headwater_record::records(batch)?;
        while let Some(record) = walk.next_ref() {
            let record = record?;
            if let Some(key) = record.key.filter(|_| record.offset >= self.at) {
                self.map.note(key, record.offset);
            }
        }
        Ok(())
    }

    /// To be called once between the two phases.
    pub fn rewind(&mut self, start: Offset) {
        self.at = start;
    }

    /// When it is done: what is clean, and where the run ended.
    pub fn result(&self) -> (Clean, Offset) {
        let clean = Clean {
            to: self.extent.to,
            bytes: self.kept_bytes,
            horizon_ms: self.horizon_ms,
        };
        (clean, self.extent.to)
    }

    /// What the next piece becomes; none at the end.
    pub fn plan(&self, log: &dyn Log) -> Result<Option<Piece>, BrokerError> {
        let Some(out) = read(log, &self.extent, self.at)? else {
            return Ok(None);
        };
        let mut piece = Piece {
            parts: Vec::new(),
            rewrites: Vec::new(),
            gone: Vec::new(),
            forgotten: Vec::new(),
            read_bytes: 0,
            kept_bytes: 0,
            horizon_ms: i64::MAX,
            with_data: self.with_data.clone(),
            next: self.at,
        };
        for batch in &out.batches {
            let header = BatchHeader::parse(batch)?;
            if header.base_offset >= self.extent.to {
                break;
            }
            piece.next = header.last_offset() + 1;
            piece.read_bytes += batch.len() as u64;
            self.judge(&mut piece, batch, &header)?;
        }
        piece.close(self.extent.id, out.state.generation);
        Ok((piece.read_bytes > 0).then_some(piece))
    }

    /// The piece is durable.
    pub fn advance(&mut self, piece: Piece) {
        self.at = piece.next;
        self.with_data = piece.with_data;
        self.kept_bytes += piece.kept_bytes;
        self.horizon_ms = self.horizon_ms.min(piece.horizon_ms);
    }

    fn judge(
        &self,
        piece: &mut Piece,
        batch: &Bytes,
        header: &BatchHeader,
    ) -> Result<(), BrokerError> {
        let left = match header.is_control() {
            true => self.judge_marker(piece, batch, header)?,
            false => self.judge_data(piece, batch, header)?,
        };
        let horizon = |batch: &Bytes| {
            let header = BatchHeader::parse(batch).ok();
            header.and_then(|header| header.delete_horizon_ms())
        };
        let horizon_ms = match left {
            Retained::All => {
                piece.put(header, vec![batch.clone()], false);
                horizon(batch)
            }
            Retained::Some(less) => {
                let set = horizon(&less);
                piece.put(header, vec![less], true);
                set
            }
            Retained::Nothing => {
                piece.gone.extend(header.has_producer().then_some(*header));
                piece.put(header, Vec::new(), true);
                None
            }
        };
        // A horizon that has passed did its work just now.
        let ahead = horizon_ms.filter(|at| *at > self.extent.now_ms);
        piece.horizon_ms = piece.horizon_ms.min(ahead.unwrap_or(i64::MAX));
        Ok(())
    }

    fn judge_data(
        &self,
        piece: &mut Piece,
        batch: &Bytes,
        header: &BatchHeader,
    ) -> Result<Retained, BrokerError> {
        if self.aborted.covers(header) {
            return Ok(Retained::Nothing);
        }
        let forget_tombstones = self.has_passed(header);
        let left = retain(batch, Horizon::OfTombstones(self.horizon()), |record| {
            // Without a key (the topic was not always compacted) nobody could ever replace it: Kafka lets it go, too.
            let Some(key) = record.key else { return false };
            let expired = forget_tombstones && record.value.is_none();
            !expired && !self.map.supersedes(key, record.offset)
        })?;
        if left != Retained::Nothing {
            piece.with_data.data_stays(header);
        }
        Ok(left)
    }

    fn judge_marker(
        &self,
        piece: &mut Piece,
        batch: &Bytes,
        header: &BatchHeader,
    ) -> Result<Retained, BrokerError> {
        let ends = matches!(
            control_type(batch)?,
            Some(ControlType::Abort | ControlType::Commit)
        );
        let has_data = ends && piece.with_data.marker(header);
        if !ends || has_data {
            return Ok(Retained::All);
        }
        if self.has_passed(header) {
            piece.forgotten.extend(self.aborted.ended_by(header));
            return Ok(Retained::Nothing);
        }
        Ok(retain(batch, Horizon::Set(self.horizon()), |_| true)?)
    }

    fn has_passed(&self, header: &BatchHeader) -> bool {
        header
            .delete_horizon_ms()
            .is_some_and(|at| at <= self.extent.now_ms)
    }

    fn horizon(&self) -> i64 {
        self.extent
            .now_ms
            .saturating_add(self.extent.delete_retention_ms)
    }
}

/// Batches from `at` on; none at the end. What was trimmed meanwhile is passed over.
fn read(log: &dyn Log, extent: &Extent, at: Offset) -> Result<Option<ReadOut>, BrokerError> {
    let Extent {
        id,
        to,
        piece_bytes,
        ..
    } = *extent;
    let from = at.max(log.state(id).start);
    if from >= to {
        return Ok(None);
    }
    let out = match log.read(id, from, piece_bytes, Bound::Durable) {
        Err(ReadError::OutOfRange { state, .. }) if state.start > from && state.start < to => {
            log.read(id, state.start, piece_bytes, Bound::Durable)?
        }
        Err(ReadError::OutOfRange { .. }) => return Ok(None),
        other => other?,
    };
    Ok((!out.batches.is_empty()).then_some(out))
}

#[cfg(test)]
mod tests;
