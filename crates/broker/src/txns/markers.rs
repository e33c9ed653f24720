//! WriteTxnMarkers: ending by hand what hangs, whatever the coordinator knows.

use headwater_coord::txns::{Ending, Producer};
use headwater_log::{Append, Commit, Durable};
use headwater_record::{ControlType, control_batch};

use super::codec::AbortedEntry;
use crate::Broker;
use crate::error::BrokerError;
use crate::producers::Placed;
use crate::topics::TopicRef;

/// The end of what a producer has open.
#[derive(Clone, Copy, Debug)]
pub struct Marker {
    pub producer: Producer,
    pub coordinator_epoch: i32,
    pub ending: Ending,
}

impl Broker {
    /// Writes a marker into a partition. Resolves when it is durable.
    ///
    /// # Errors
    /// The partition is unknown, the epoch of the producer or of the coordinator is older than one seen, or the log takes nothing.
    pub async fn write_txn_marker(
        &self,
        marker: &Marker,
        topic: &TopicRef,
        partition: i32,
    ) -> Result<(), BrokerError> {
        Ok(self.append_marker(marker, topic, partition)?.await?)
    }

    pub(super) fn append_marker(
        &self,
        marker: &Marker,
        topic: &TopicRef,
        partition: i32,
    ) -> Result<Durable, BrokerError> {
        let catalog = self.catalog.hold();
        let id = topic.find(&catalog)?.partition(partition);
        let id = id.ok_or(BrokerError::UnknownTopicOrPartition)?;
        let Producer {
            id: producer_id,
            epoch,
        } = marker.producer;
        let held = self.producers.of(id);
        let mut producers = held.lock();
        producers.check_marker(producer_id, epoch, marker.coordinator_epoch)?;
        let (kind, now_ms) = (control(marker.ending), self.clock.now_ms());
        let by = (producer_id, epoch);
        let mut appends = vec![Append {
            partition: id,
            batch: control_batch(kind, by, marker.coordinator_epoch, now_ms),
        }];
        let first = producers
            .txn_first(producer_id)
            .filter(|_| marker.ending == Ending::Abort);
        if let Some(first) = first {
            let intent = AbortedEntry {
                partition: id,
                producer_id,
                first,
                last: None,
            };
            let append = self.aborted.encode(&[intent]);
            // In another shard it comes first. It does no harm without the marker.
            match self.log.shard_of(append.partition) == self.log.shard_of(id) {
                true => appends.push(append),
                false => drop(self.submit_one(append)?),
            }
        }
        let submitted = self.log.submit(Commit {
            appends,
            ..Commit::default()
        })?;
        let offset = submitted.base_offsets.first().copied().unwrap_or_default();
        let placed = Placed {
            base_offset: offset,
            last_offset: offset,
            now_ms,
        };
        let durable_end = self.log.state(id).durable_end;
        let range = producers.ended(by, marker.coordinator_epoch, placed, durable_end);
        if let Some(range) = range.filter(|_| marker.ending == Ending::Abort) {
            producers.stable_mut().abort(range);
            self.aborted.complete(&[AbortedEntry {
                partition: id,
                producer_id,
                first: range.first,
                last: Some(range.last),
            }]);
        }
        Ok(submitted.durable)
    }
}

fn control(ending: Ending) -> ControlType {
    match ending {
        Ending::Commit => ControlType::Commit,
        Ending::Abort => ControlType::Abort,
    }
}
