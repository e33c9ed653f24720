//! DeleteRecords: a client moves the log start of a partition.
//!
//! A pipeline that may have to read some of the records again counts as a replica that lags: it is asked to let go, the client
//! waits for it as long as it likes to, and what is not deleted by then is as soon as it may be.

use headwater_base::{Offset, PartitionId};
use tokio::time::Instant;

use crate::Broker;
use crate::error::BrokerError;

impl Broker {
    /// Moves the log start offset up to `before` (-1: to the high watermark) and gives it back when durable. One below the start
    /// changes nothing.
    ///
    /// # Errors
    /// The partition is unknown or internal, its topic is not of the kind from which records are deleted, the offset is beyond the
    /// high watermark, a pipeline has needed some of the records `until` then, or the log takes nothing.
    pub async fn delete_records(
        &self,
        topic: &str,
        partition: i32,
        before: Offset,
        until: Instant,
    ) -> Result<Offset, BrokerError> {
        let id = self.deletable(topic, partition)?;
        let state = self.log.state(id);
        let before = match before {
            -1 => state.durable_end,
            other => other,
        };
        if before < 0 || before > state.durable_end {
            return Err(BrokerError::OffsetOutOfRange {
                offset: before,
                start: state.start,
                end: state.durable_end,
            });
        }
        loop {
            let changed = self.holds.changed.notified();
            let to = self.cleanable_to(id, before);
            if to > self.log.state(id).start {
                self.trim(vec![(id, to)], self.clock.now_ms()).await?;
            }
            if to >= before {
                return Ok(before.max(self.log.state(id).start));
            }
            if tokio::time::timeout_at(until, changed).await.is_err() {
                self.holds.postpone(id, before);
                return Err(BrokerError::RecordsInUse {
                    wanted: before,
                    needed: to,
                });
            }
        }
    }

    fn deletable(&self, topic: &str, partition: i32) -> Result<PartitionId, BrokerError> {
        let catalog = self.catalog.current();
        let topic = catalog
            .topic(topic)
            .ok_or(BrokerError::UnknownTopicOrPartition)?;
        if topic.is_internal() {
            return Err(BrokerError::InternalTopic(topic.name.clone()));
        }
        let id = topic
            .partition(partition)
            .ok_or(BrokerError::UnknownTopicOrPartition)?;
        if !topic.settings.cleanup.delete {
            let text = "records are deleted only where cleanup.policy includes delete";
            return Err(BrokerError::PolicyViolation(text.to_owned()));
        }
        Ok(id)
    }

    /// Deletions that nobody waits for any more, as far as pipelines let them: where starts have to move.
    pub(super) fn postponed_trims(&self) -> Vec<(PartitionId, Offset)> {
        let mut trims = Vec::new();
        for (id, before) in self.holds.postponed() {
            let state = self.log.state(id);
            // Of a deleted topic nothing is left.
            let start = match state.durable_end < before {
                true => before,
                false => state.start,
            };
            self.holds.done(id, start);
            let to = self.cleanable_to(id, before);
            trims.extend((start < before && to > start).then_some((id, to)));
        }
        trims
    }
}
