//! Internal partitions of the log: key-value records in, key-value records out at the next start.
//!
//! Knows bytes only; what they mean is the business of [`crate::catalog`] and [`crate::committed`].

use bytes::Bytes;
use headwater_base::{Offset, PartitionId, TopicId};
use headwater_log::{Bound, Log};
use headwater_record::{BatchBuilder, Codec, records};

use crate::error::OpenError;

/// The catalog's changes. Kafka reserves the same id for its metadata topic.
pub(crate) const METADATA: PartitionId = internal(1);
/// Committed offsets of consumer groups.
pub(crate) const COMMITTED: PartitionId = internal(2);
/// Membership of consumer groups.
pub(crate) const GROUPS: PartitionId = internal(6);
/// Transactional ids and what their open transactions will commit.
pub(crate) const TXNS: PartitionId = internal(4);
/// Aborted transactions, by partition.
pub(crate) const ABORTED: PartitionId = internal(5);

/// What cleaning has to remember: producers whose batches are gone, how far partitions are compacted.
pub(crate) const PRODUCERS: PartitionId = internal(3);

const READ_BYTES: usize = 4 * 1024 * 1024;

const fn internal(number: u8) -> PartitionId {
    PartitionId {
        topic: TopicId([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, number]),
        index: 0,
    }
}

/// Whether a partition is one of these, whatever keeps something in it.
pub(crate) fn is_internal(id: &PartitionId) -> bool {
    id.topic.0[..15].iter().all(|byte| *byte == 0)
}

/// One batch of records; `None` as value deletes the key.
pub(crate) fn batch<'a>(
    now_ms: i64,
    entries: impl IntoIterator<Item = (Option<&'a [u8]>, Option<&'a [u8]>)>,
) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    for (key, value) in entries {
        builder.push(now_ms, key, value);
    }
    builder.build()
}

/// Visits every record held, in order.
pub(crate) fn replay(
    log: &dyn Log,
    partition: PartitionId,
    mut visit: impl FnMut(Offset, Option<Bytes>, Option<Bytes>) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    let mut next = log.state(partition).start;
    loop {
        let out = log.read(partition, next, READ_BYTES, Bound::Durable)?;
        if out.batches.is_empty() {
            return Ok(());
        }
        for batch in &out.batches {
            for record in records(batch)? {
                let record = record?;
                if record.offset >= next {
                    next = record.offset + 1;
                    visit(record.offset, record.key, record.value)?;
                }
            }
        }
    }
}
