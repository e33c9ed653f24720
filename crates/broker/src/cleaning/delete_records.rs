//! DeleteRecords: a client moves the log start of a partition.

use headwater_base::Offset;

use crate::Broker;
use crate::error::BrokerError;

impl Broker {
    /// Moves the log start offset up to `before` (-1: to the high watermark) and gives it back when durable. One below the start
    /// changes nothing.
    ///
    /// # Errors
    /// The partition is unknown or internal, its topic is not of the kind from which records are deleted, the offset is beyond the
    /// high watermark, or the log takes nothing.
    pub async fn delete_records(
        &self,
        topic: &str,
        partition: i32,
        before: Offset,
    ) -> Result<Offset, BrokerError> {
        let id = {
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
            id
        };
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
        if before > state.start {
            self.trim(vec![(id, before)], self.clock.now_ms()).await?;
        }
        Ok(before.max(state.start))
    }
}
