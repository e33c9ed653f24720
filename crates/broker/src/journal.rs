//! Internal partitions of the log: key-value records in, key-value records out at the next start.
//!
//! Knows bytes only; what they mean is the business of [`crate::catalog`] and [`crate::committed`].

use bytes::Bytes;
use headwater_base::{Offset, PartitionId, TopicId};
use headwater_log::{Append, Bound, Commit, Durable, Log};
use headwater_record::{BatchBuilder, Codec, records};

use crate::error::{BrokerError, OpenError};

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
/// Keys and values in one batch of a rewrite.
const REWRITE_BYTES: usize = 4 * 1024 * 1024;

/// A record: key, and value; without one the key is deleted.
pub(crate) type Record = (Vec<u8>, Option<Vec<u8>>);

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

/// Records as one append.
pub(crate) fn append(partition: PartitionId, now_ms: i64, records: &[Record]) -> Append {
    let entries = records
        .iter()
        .map(|(key, value)| (Some(key.as_slice()), value.as_deref()));
    Append {
        partition,
        batch: batch(now_ms, entries),
    }
}

/// Writes what lives anew, in batches of bounded size; the last one lets go of everything before `end`. Cut off in between it
/// has only written some of it twice.
///
/// # Errors
/// The log takes nothing.
pub(crate) fn rewrite(
    log: &dyn Log,
    (partition, end): (PartitionId, Offset),
    now_ms: i64,
    live: impl Iterator<Item = Record>,
) -> Result<(), BrokerError> {
    let (mut records, mut bytes) = (Vec::new(), 0);
    for (key, value) in live {
        let size = key.len() + value.as_ref().map_or(0, Vec::len);
        if bytes > 0 && bytes + size > REWRITE_BYTES {
            log.submit(Commit {
                appends: vec![append(partition, now_ms, &records)],
                ..Commit::default()
            })?;
            records.clear();
            bytes = 0;
        }
        bytes += size;
        records.push((key, value));
    }
    let appends = match records.is_empty() {
        true => Vec::new(),
        false => vec![append(partition, now_ms, &records)],
    };
    log.submit(Commit {
        appends,
        trims: vec![(partition, end)],
        ..Commit::default()
    })?;
    Ok(())
}

/// Resolves when everything of the partition below `end` is durable; `None`: it is.
///
/// # Errors
/// The log takes nothing, so that nobody can say when that is.
pub(crate) fn durable_to(
    log: &dyn Log,
    partition: PartitionId,
    end: Offset,
) -> Result<Option<Durable>, BrokerError> {
    if log.state(partition).durable_end >= end {
        return Ok(None);
    }
    // An empty commit of the same shard follows what is waited for, and tells of a failing disk, too.
    let empty = Commit {
        trims: vec![(partition, 0)],
        ..Commit::default()
    };
    Ok(Some(log.submit(empty)?.durable))
}

/// Resolves when everything that was written to the partition so far is durable: nothing is told that a crash could take back.
///
/// # Errors
/// As [`durable_to`].
pub(crate) fn barrier(
    log: &dyn Log,
    partition: PartitionId,
) -> Result<Option<Durable>, BrokerError> {
    durable_to(log, partition, log.state(partition).submitted_end)
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
