//! ListOffsets: the ends of a partition, its largest timestamp, and the first record at or after a time.

use std::sync::Arc;

use headwater_base::{Offset, PartitionId};
use headwater_log::{Bound, Log};
use headwater_record::{NO_TIMESTAMP, records};

use crate::Broker;
use crate::error::BrokerError;
use crate::topics::{TopicRef, check_leader_epoch};

/// Which offset is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    Earliest,
    Latest,
    /// The first record with the largest timestamp (KIP-734).
    MaxTimestamp,
    /// The first record with at least this timestamp, in milliseconds.
    Time(i64),
}

/// An offset and the timestamp of its record, -1 where it has none or was not asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundOffset {
    pub offset: Offset,
    pub timestamp_ms: i64,
}

const NOWHERE: FoundOffset = FoundOffset {
    offset: -1,
    timestamp_ms: NO_TIMESTAMP,
};

impl Broker {
    /// With `committed` nothing at or above the last stable offset is found.
    ///
    /// # Errors
    /// The partition is unknown, the client's leader epoch does not fit, or the log cannot be read.
    pub async fn list_offset(
        &self,
        topic: &TopicRef,
        partition: i32,
        leader_epoch: i32,
        spec: OffsetSpec,
        committed: bool,
    ) -> Result<FoundOffset, BrokerError> {
        let catalog = self.catalog.current();
        let id = topic
            .find(&catalog)?
            .partition(partition)
            .ok_or(BrokerError::UnknownTopicOrPartition)?;
        check_leader_epoch(leader_epoch)?;
        let (state, stable) = self.producers.last_stable(&*self.log, id, Bound::Durable);
        let end = match committed {
            true => stable,
            false => state.durable_end,
        };
        let at = |offset| {
            Ok(FoundOffset {
                offset,
                timestamp_ms: NO_TIMESTAMP,
            })
        };
        let found = match spec {
            OffsetSpec::Earliest => return at(state.start),
            OffsetSpec::Latest => return at(end),
            OffsetSpec::MaxTimestamp => self.off_thread(move |log| max_timestamp(log, id)).await?,
            OffsetSpec::Time(timestamp_ms) => {
                self.off_thread(move |log| by_time(log, id, timestamp_ms))
                    .await?
            }
        };
        Ok(match committed && found.offset >= end {
            true => NOWHERE,
            false => found,
        })
    }

    /// Runs what may touch the disk away from the threads that serve sockets.
    pub(crate) async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Log) -> Result<T, BrokerError> + Send + 'static,
    ) -> Result<T, BrokerError> {
        let log = Arc::clone(&self.log);
        let done = self.world.off_thread(move || work(&*log)).await;
        done.unwrap_or_else(|error| {
            Err(BrokerError::Storage(format!(
                "reading the log failed: {error}"
            )))
        })
    }
}

/// The first record with at least this timestamp, exact to the record.
fn by_time(log: &dyn Log, id: PartitionId, timestamp_ms: i64) -> Result<FoundOffset, BrokerError> {
    let Some(base) = log.find_time(id, timestamp_ms)? else {
        return Ok(NOWHERE);
    };
    let start = log.state(id).start;
    let out = log.read(id, base.max(start), 1, Bound::Durable)?;
    for batch in &out.batches {
        let mut walk = records(batch)?;
        while let Some(record) = walk.next_ref() {
            let record = record?;
            if record.timestamp >= timestamp_ms && record.offset >= start {
                return Ok(FoundOffset {
                    offset: record.offset,
                    timestamp_ms: record.timestamp,
                });
            }
        }
    }
    Ok(NOWHERE)
}

/// Looks for the largest time for which [`by_time`] finds something, by halving.
fn max_timestamp(log: &dyn Log, id: PartitionId) -> Result<FoundOffset, BrokerError> {
    if log.find_time(id, 0)?.is_none() {
        return Ok(NOWHERE);
    }
    let (mut found, mut missing) = (0, i64::MAX);
    while missing - found > 1 {
        let middle = found + (missing - found) / 2;
        match log.find_time(id, middle)? {
            Some(_) => found = middle,
            None => missing = middle,
        }
    }
    by_time(log, id, found)
}
