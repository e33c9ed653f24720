//! What arrives: reading the partitions of a pipeline's topics, within the bounds of a step or exactly as a step recorded it.
//!
//! Knows batches and offsets, not what is in the records.

use bytes::Bytes;
use headwater_base::{Offset, PartitionId};
use headwater_connect::{StepLog, TopicInfo, Visibility};

use super::record::{Position, Range};
use super::watermark;
use crate::config::StepBounds;

/// One partition of an input and how far it has been taken in.
#[derive(Clone, Debug)]
pub struct Partition {
    pub id: PartitionId,
    pub index: i32,
    pub next: Offset,
    /// End of the partition when it was last read.
    pub end: Offset,
    pub watermark: i64,
    pub idle: bool,
    /// Since when (step clock, milliseconds) it has been read to its end.
    pub quiet_since_ms: Option<i64>,
}

impl Partition {
    pub fn new(topic: &TopicInfo, index: i32, next: Offset) -> Self {
        let id = topic.partition(index);
        Self {
            id,
            index,
            next,
            end: next,
            watermark: watermark::NONE,
            idle: false,
            quiet_since_ms: None,
        }
    }
}

/// Batches of one partition that a step takes in. Records outside `from..next` are not its own.
#[derive(Clone, Debug)]
pub struct Taken {
    pub range: Range,
    pub batches: Vec<Bytes>,
}

/// Which partition of which input.
pub struct Slot<'a> {
    pub input: u32,
    pub partition: &'a mut Partition,
}

/// Takes what has arrived, every partition its share of the bounds.
pub fn gather<'a>(
    log: &dyn StepLog,
    slots: impl Iterator<Item = Slot<'a>>,
    count: usize,
    bounds: &StepBounds,
) -> std::io::Result<Vec<Taken>> {
    let share_bytes = (bounds.bytes_max / count.max(1)).max(64 * 1024);
    let share_rows = i64::try_from((bounds.rows_max / count.max(1)).max(1_024)).unwrap_or(i64::MAX);
    let mut taken = Vec::new();
    for slot in slots {
        let from = slot.partition.next;
        let read =
            log.read_committed(slot.partition.id, from, share_bytes, Visibility::InFlight)?;
        slot.partition.end = read.end;
        let (batches, next) = within(read.batches, read.next, from, share_rows);
        if next > from {
            let range = Range {
                input: slot.input,
                partition: slot.partition.index,
                from,
                next,
            };
            taken.push(Taken { range, batches });
        }
    }
    Ok(taken)
}

/// The first batches that hold no more than `rows_max` offsets (at least one batch).
fn within(
    mut batches: Vec<Bytes>,
    read_next: Offset,
    from: Offset,
    rows_max: i64,
) -> (Vec<Bytes>, Offset) {
    let over = batches
        .iter()
        .skip(1)
        .position(|batch| last_offset(batch) - from >= rows_max);
    match over {
        None => (batches, read_next),
        Some(position) => {
            batches.truncate(position + 1);
            let next = batches.last().map_or(from, |batch| last_offset(batch) + 1);
            (batches, next)
        }
    }
}

/// Reads a recorded range again.
pub fn reread(
    log: &dyn StepLog,
    id: PartitionId,
    range: Range,
    bytes_max: usize,
) -> std::io::Result<Taken> {
    let mut batches = Vec::new();
    let mut next = range.from;
    while next < range.next {
        let read = log.read_committed(id, next, bytes_max, Visibility::InFlight)?;
        if read.start > next {
            tracing::warn!(partition = %id, from = next, start = read.start, "input of a step is no longer retained");
        }
        let fitting = read
            .batches
            .into_iter()
            .filter(|batch| base_offset(batch) < range.next);
        batches.extend(fitting);
        if read.next <= next {
            break;
        }
        next = read.next;
    }
    Ok(Taken { range, batches })
}

pub fn base_offset(batch: &[u8]) -> Offset {
    batch
        .first_chunk::<8>()
        .map_or(0, |bytes| i64::from_be_bytes(*bytes))
}

/// Offset of the batch's last record (`lastOffsetDelta` is at byte 23).
pub fn last_offset(batch: &[u8]) -> Offset {
    let delta = batch
        .get(23..27)
        .and_then(|bytes| bytes.first_chunk::<4>())
        .map_or(0, |b| i32::from_be_bytes(*b));
    base_offset(batch) + i64::from(delta)
}

/// Positions of all partitions of one input.
pub fn positions(input: u32, partitions: &[Partition]) -> impl Iterator<Item = Position> + '_ {
    partitions.iter().map(move |p| Position {
        input,
        partition: p.index,
        next: p.next,
    })
}
