//! What of a compacted partition may be compacted, and whether it is worth a run.
//!
//! Reads the log's indexes, no records but the header of the newest batch. Knows no producers and no transactions: how far
//! everything is decided is given.

use headwater_base::{Offset, PartitionId};
use headwater_log::{Bound, Log, PartitionState};
use headwater_meta::configs::Cleanup;
use headwater_record::BatchHeader;

use super::journal::Clean;
use crate::error::BrokerError;

/// A partition that may need a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub id: PartitionId,
    pub cleanup: Cleanup,
    pub clean: Clean,
    /// Everything below is committed, aborted or outside of any transaction.
    pub last_stable: Offset,
}

/// What a run would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// First offset that was never compacted.
    pub from: Offset,
    /// Where compaction has to stop.
    pub to: Offset,
    /// Dirty bytes in a million of those that may be compacted.
    pub dirty_ppm: u64,
}

/// The extent of a run, if one is due. Dirty bytes are estimated by offsets.
pub(crate) fn due(
    log: &dyn Log,
    candidate: &Candidate,
    now_ms: i64,
) -> Result<Option<Due>, BrokerError> {
    let Candidate {
        id, cleanup, clean, ..
    } = candidate;
    let state = log.state(*id);
    let from = clean.to.clamp(state.start, state.durable_end);
    let horizon_passed = clean.horizon_ms <= now_ms && from > state.start;
    let to = cleanable_end(log, candidate, &state, now_ms)?.max(from);
    if to == from {
        return Ok(horizon_passed.then_some(Due {
            from,
            to,
            dirty_ppm: 0,
        }));
    }
    let dirty_ppm = dirty_ppm(&state, clean, from, to);
    let due = horizon_passed
        || dirty_ppm > u64::from(cleanup.min_dirty_ppm)
        || waited_too_long(log, *id, cleanup, from, now_ms)?;
    Ok(due.then_some(Due {
        from,
        to,
        dirty_ppm,
    }))
}

fn dirty_ppm(state: &PartitionState, clean: &Clean, from: Offset, to: Offset) -> u64 {
    let clean_bytes = match from > state.start {
        true => u128::from(clean.bytes.min(state.bytes)),
        false => 0,
    };
    let behind = u128::from(state.bytes) - clean_bytes;
    let (part, whole) = (to - from, state.durable_end - from);
    let dirty = behind * part.unsigned_abs() as u128 / u128::from(whole.unsigned_abs().max(1));
    (dirty * 1_000_000 / (dirty + clean_bytes).max(1)) as u64
}

/// Whether something dirty is older than `max.compaction.lag.ms`.
fn waited_too_long(
    log: &dyn Log,
    id: PartitionId,
    cleanup: &Cleanup,
    from: Offset,
    now_ms: i64,
) -> Result<bool, BrokerError> {
    if cleanup.max_compaction_lag_ms == i64::MAX {
        return Ok(false);
    }
    let youngest_old = now_ms.saturating_sub(cleanup.max_compaction_lag_ms);
    let young = log.find_time(id, youngest_old)?;
    Ok(young.is_none_or(|young| young > from))
}

/// Where compaction has to stop: at what is open, at what is too young, and at the part at the end that a segment file would
/// still grow into. The newest batch stays in any case, so that readers always find a next batch.
fn cleanable_end(
    log: &dyn Log,
    candidate: &Candidate,
    state: &PartitionState,
    now_ms: i64,
) -> Result<Offset, BrokerError> {
    let Candidate { id, cleanup, .. } = candidate;
    if state.durable_end <= state.start {
        return Ok(state.start);
    }
    // The first batch younger than this many milliseconds.
    let younger = |ms: i64| -> Result<Offset, BrokerError> {
        let first = log.find_time(*id, now_ms.saturating_sub(ms).saturating_add(1))?;
        Ok(first.unwrap_or(state.durable_end))
    };
    let roll_ms = cleanup.segment_ms.min(cleanup.max_compaction_lag_ms);
    let rolled = younger(roll_ms)?.max(log.offset_for_bytes(*id, cleanup.segment_bytes)?);
    let lagging = match cleanup.min_compaction_lag_ms {
        0 => state.durable_end,
        ms => younger(ms)?,
    };
    let newest = log.read(*id, state.durable_end - 1, 1, Bound::Durable)?;
    let newest = match newest.batches.first() {
        Some(batch) => BatchHeader::parse(batch)?.base_offset,
        None => state.start,
    };
    Ok(rolled
        .min(lagging)
        .min(candidate.last_stable)
        .min(newest)
        .max(state.start))
}
