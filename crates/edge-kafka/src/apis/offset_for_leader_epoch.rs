//! OffsetForLeaderEpoch, v2-4.
//!
//! v3 adds the replica id; v4 is flexible. There is one epoch, which ends where the partition ends.

use headwater_broker::{BrokerError, LEADER_EPOCH, OffsetSpec, Operation, TopicRef};
use headwater_wire::Versions;
use headwater_wire::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use headwater_wire::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use headwater_wire::messages::{OffsetForLeaderEpochRequestData, OffsetForLeaderEpochResponseData};

use crate::authorize::Resource;
use crate::call::{Call, Handle, plain};
use crate::codes::Code;

impl Handle for OffsetForLeaderEpochRequestData {
    const VERSIONS: Versions = Versions::new(2, 4);

    async fn answer(self, call: Call) -> OffsetForLeaderEpochResponseData {
        let mut topics = Vec::with_capacity(self.topics.len());
        for topic in self.topics {
            let target = TopicRef::Name(plain(&topic.topic));
            let named = Resource::Topic(topic.topic.as_str());
            let allowed = call.may(Operation::ClusterAction, Resource::Cluster)
                || call.may(Operation::Describe, named);
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for partition in &topic.partitions {
                let outcome = match allowed {
                    true => end_of(&call, &target, partition)
                        .await
                        .map_err(|error| error.error()),
                    false => Err(named.refusal()),
                };
                let (leader_epoch, end_offset) = *outcome.as_ref().unwrap_or(&(-1, -1));
                let error_code = outcome.err().map_or(0, |error| error.code());
                let partition = partition.partition;
                partitions.push(EpochEndOffset {
                    error_code,
                    partition,
                    leader_epoch,
                    end_offset,
                    ..Default::default()
                });
            }
            topics.push(OffsetForLeaderTopicResult {
                topic: topic.topic,
                partitions,
                ..Default::default()
            });
        }
        OffsetForLeaderEpochResponseData {
            topics,
            ..Default::default()
        }
    }
}

/// Epoch and its end; -1 and -1 for an epoch that never was.
async fn end_of(
    call: &Call,
    topic: &TopicRef,
    asked: &OffsetForLeaderPartition,
) -> Result<(i32, i64), BrokerError> {
    let latest = call
        .broker()
        .list_offset(
            topic,
            asked.partition,
            asked.current_leader_epoch,
            OffsetSpec::Latest,
            false,
        )
        .await?;
    Ok(if asked.leader_epoch == LEADER_EPOCH {
        (LEADER_EPOCH, latest.offset)
    } else {
        (-1, -1)
    })
}
