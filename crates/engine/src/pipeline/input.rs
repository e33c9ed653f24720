//! What arrives: reading the partitions of a pipeline's topics, within the bounds of a step or exactly as a step recorded it.
//!
//! Knows batches and offsets, not what is in the records.

use std::sync::Arc;

use bytes::Bytes;
use headwater_base::{Offset, PartitionId};
use headwater_connect::{StepLog, TopicInfo, Visibility};

use super::decoders::{Decoded, Decoders};
use super::record::{Position, Range};
use super::watermark;
use crate::config::StepBounds;

/// Bytes that the first read of a recorded range asks for, and how much more each further one does.
const REREAD_BYTES_FIRST: usize = 16 * 1024;
const REREAD_GROWTH: usize = 4;

/// How many times larger compressed records are taken to be once they are unfolded.
const COMPRESSION: usize = 8;

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
    /// Its rows, if somebody has decoded it already (sources only).
    pub decoded: Option<Decoded>,
}

impl Taken {
    /// Of a range, without batches yet.
    pub fn new(range: Range) -> Self {
        Self {
            range,
            batches: Vec::new(),
            decoded: None,
        }
    }

    /// The same from an offset within the range on.
    pub fn from(&self, from: Offset) -> Self {
        let range = Range { from, ..self.range };
        Self {
            range,
            batches: self.batches.clone(),
            decoded: self.decoded.as_ref().map(|decoded| decoded.from(from)),
        }
    }

    pub fn bytes(&self) -> usize {
        self.batches.iter().map(Bytes::len).sum()
    }
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
    decoders: &[Option<Arc<Decoders>>],
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
        let mut one = Taken::new(range);
        let id = slot.partition.id;
        let own = decoders.get(slot.input as usize).and_then(Option::as_ref);
        match own.filter(|decoders| decoders.is_shared()) {
            None => slot.partition.end = extend(log, id, &mut one, share_bytes, share_rows)?,
            Some(decoders) => {
                (one, slot.partition.end) =
                    decoders.read(log, (range, id), share_bytes, share_rows)?;
            }
        }
        if one.range.next > from {
            bytes_left = bytes_left.saturating_sub(unfolded(&one.batches));
            rows_left =
                rows_left.saturating_sub(usize::try_from(one.range.next - from).unwrap_or(0));
            if one.range.next < slot.partition.end && one.decoded.is_none() {
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
        let (bytes, next) = (unfolded(&one.batches), one.range.next);
        extend(log, id, one, bytes_left, rows_left)?;
        bytes_left = bytes_left.saturating_sub(unfolded(&one.batches) - bytes);
        rows_left = rows_left.saturating_sub(usize::try_from(one.range.next - next).unwrap_or(0));
    }
    Ok(taken)
}

/// Reads on where `taken` ends; answers the end of the partition.
pub(super) fn extend(
    log: &dyn StepLog,
    id: PartitionId,
    taken: &mut Taken,
    bytes_max: usize,
    rows_max: usize,
) -> std::io::Result<Offset> {
    let from = taken.range.next;
    let read = log.read_committed(id, from, bytes_max, Visibility::InFlight)?;
    let rows_max = i64::try_from(rows_max).unwrap_or(i64::MAX);
    let (batches, next) = within(read.batches, read.next, from, (rows_max, bytes_max));
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

/// The first batches that hold no more than so many offsets and bytes when unfolded (at least one batch).
fn within(
    mut batches: Vec<Bytes>,
    read_next: Offset,
    from: Offset,
    (rows_max, bytes_max): (i64, usize),
) -> (Vec<Bytes>, Offset) {
    let mut bytes = batches.first().map_or(0, |batch| unfolded_bytes(batch));
    let over = batches.iter().skip(1).position(|batch| {
        bytes += unfolded_bytes(batch);
        last_offset(batch) - from >= rows_max || bytes > bytes_max
    });
    match over {
        None => (batches, read_next),
        Some(position) => {
            batches.truncate(position + 1);
            let next = batches.last().map_or(from, |batch| last_offset(batch) + 1);
            (batches, next)
        }
    }
}

/// About how large a batch is once it is unfolded (the codec is in the low bits of the attributes, at byte 21).
fn unfolded_bytes(batch: &[u8]) -> usize {
    let compressed = batch.get(22).is_some_and(|attributes| attributes & 7 != 0);
    batch.len() * if compressed { COMPRESSION } else { 1 }
}

fn unfolded(batches: &[Bytes]) -> usize {
    batches.iter().map(|batch| unfolded_bytes(batch)).sum()
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
    Ok(Taken {
        batches,
        ..Taken::new(range)
    })
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use headwater_record::{BatchBuilder, Codec};

    use super::*;

    fn batch(codec: Codec, bytes: usize) -> Bytes {
        let mut batch = BatchBuilder::new(codec);
        // Nothing that a codec could make smaller than it is taken for.
        let value: Vec<u8> = (0..bytes).map(|i| (i * i / 7) as u8).collect();
        batch.push(1, None, Some(&value));
        batch.build()
    }

    #[test]
    fn a_step_is_bounded_by_what_its_input_unfolds_to() {
        let plain = vec![batch(Codec::None, 1_000); 4];
        let most =
            |batches: &Vec<Bytes>, bytes| within(batches.clone(), 4, 0, (100, bytes)).0.len();
        assert_eq!(most(&plain, 3_500), 3);
        assert_eq!(most(&plain, 10_000), 4);
        let folded = vec![batch(Codec::Gzip, 1_000); 4];
        let one = folded[0].len();
        assert_eq!(most(&folded, one * 4), 1, "at least one");
        assert_eq!(most(&folded, one * COMPRESSION * 2), 2);
    }
}
