//! What arrives: reading the partitions of a pipeline's topics, within the bounds of a step or exactly as a step recorded it.
//!
//! Knows batches and offsets, not what is in the records.

use bytes::Bytes;
use headwater_base::{Offset, PartitionId};
use headwater_connect::{StepLog, TopicInfo, Visibility};

use super::record::{Position, Range};
use super::watermark;
use crate::config::StepBounds;

/// Bytes that the first read of a recorded range asks for, and how much more each further one does.
const REREAD_BYTES_FIRST: usize = 16 * 1024;
const REREAD_GROWTH: usize = 4;

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

/// Takes what has arrived: every partition its share of the bounds, and what some leave over goes to those that have more.
pub fn gather<'a>(
    log: &dyn StepLog,
    slots: impl Iterator<Item = Slot<'a>>,
    count: usize,
    bounds: &StepBounds,
) -> std::io::Result<Vec<Taken>> {
    let (mut bytes_left, mut rows_left) = (bounds.bytes_max, bounds.rows_max);
    let share_bytes = (bounds.bytes_max / count.max(1)).max(1);
    let share_rows = (bounds.rows_max / count.max(1)).max(1);
    let mut taken: Vec<Taken> = Vec::new();
    let mut more: Vec<(usize, PartitionId)> = Vec::new();
    for slot in slots {
        let from = slot.partition.next;
        let range = Range {
            input: slot.input,
            partition: slot.partition.index,
            from,
            next: from,
        };
        let mut one = Taken {
            range,
            batches: Vec::new(),
        };
        slot.partition.end = extend(log, slot.partition.id, &mut one, share_bytes, share_rows)?;
        if one.range.next > from {
            bytes_left = bytes_left.saturating_sub(one.batches.iter().map(Bytes::len).sum());
            rows_left =
                rows_left.saturating_sub(usize::try_from(one.range.next - from).unwrap_or(0));
            if one.range.next < slot.partition.end {
                more.push((taken.len(), slot.partition.id));
            }
            taken.push(one);
        }
    }
    for (index, id) in more {
        if bytes_left == 0 || rows_left == 0 {
            break;
        }
        let one = &mut taken[index];
        let (bytes, next) = (
            one.batches.iter().map(Bytes::len).sum::<usize>(),
            one.range.next,
        );
        extend(log, id, one, bytes_left, rows_left)?;
        bytes_left =
            bytes_left.saturating_sub(one.batches.iter().map(Bytes::len).sum::<usize>() - bytes);
        rows_left = rows_left.saturating_sub(usize::try_from(one.range.next - next).unwrap_or(0));
    }
    Ok(taken)
}

/// Reads on where `taken` ends; answers the end of the partition.
fn extend(
    log: &dyn StepLog,
    id: PartitionId,
    taken: &mut Taken,
    bytes_max: usize,
    rows_max: usize,
) -> std::io::Result<Offset> {
    let from = taken.range.next;
    let read = log.read_committed(id, from, bytes_max, Visibility::InFlight)?;
    let rows_max = i64::try_from(rows_max).unwrap_or(i64::MAX);
    let (batches, next) = within(read.batches, read.next, from, rows_max);
    // A batch that began before `from` is there already.
    let known = taken
        .batches
        .last()
        .map_or(i64::MIN, |batch| base_offset(batch));
    taken.batches.extend(
        batches
            .into_iter()
            .filter(|batch| base_offset(batch) > known),
    );
    taken.range.next = next.max(from);
    Ok(read.end)
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
    // Most recorded steps are small: reading far past their ends would make a replay slower than the run was.
    let mut reach = REREAD_BYTES_FIRST;
    while next < range.next {
        let read = log.read_committed(id, next, reach.min(bytes_max), Visibility::InFlight)?;
        reach = reach.saturating_mul(REREAD_GROWTH);
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
