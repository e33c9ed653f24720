//! ListOffsets, v1-10.
//!
//! v2 adds the isolation level; v4 leader epochs; v6 is flexible; v7 the largest timestamp (-3, KIP-734); v8 the earliest local
//! offset (-4, KIP-405); v9 the latest tiered one (-5); v10 a timeout for remote reads.

use headwater_broker::{BrokerError, FoundOffset, LEADER_EPOCH, OffsetSpec, TopicRef};
use headwater_wire::Versions;
use headwater_wire::messages::list_offsets_request::ListOffsetsPartition;
use headwater_wire::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use headwater_wire::messages::{ListOffsetsRequestData, ListOffsetsResponseData};

use crate::call::{Call, Handle, plain};
use crate::codes::code_of;

/// `isolation.level=read_committed`
const READ_COMMITTED: i8 = 1;

impl Handle for ListOffsetsRequestData {
    const VERSIONS: Versions = Versions::new(1, 10);

    async fn answer(self, call: Call) -> ListOffsetsResponseData {
        let committed = self.isolation_level == READ_COMMITTED;
        let mut topics = Vec::with_capacity(self.topics.len());
        for topic in self.topics {
            let target = TopicRef::Name(plain(&topic.name));
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for partition in topic.partitions {
                let outcome = find(&call, &target, &partition, committed).await;
                partitions.push(respond(&call, partition.partition_index, &outcome));
            }
            topics.push(ListOffsetsTopicResponse {
                name: topic.name,
                partitions,
                ..Default::default()
            });
        }
        ListOffsetsResponseData {
            topics,
            ..Default::default()
        }
    }
}

async fn find(
    call: &Call,
    topic: &TopicRef,
    partition: &ListOffsetsPartition,
    committed: bool,
) -> Result<FoundOffset, BrokerError> {
    let spec = match partition.timestamp {
        -1 => OffsetSpec::Latest,
        // Everything is local here, so the earliest local offset is the earliest.
        -2 | -4 => OffsetSpec::Earliest,
        -3 => OffsetSpec::MaxTimestamp,
        -5 => {
            return Ok(FoundOffset {
                offset: -1,
                timestamp_ms: -1,
            });
        }
        timestamp @ 0.. => OffsetSpec::Time(timestamp),
        other => {
            return Err(BrokerError::InvalidRequest(format!(
                "{other} is no timestamp"
            )));
        }
    };
    call.broker()
        .list_offset(
            topic,
            partition.partition_index,
            partition.current_leader_epoch,
            spec,
            committed,
        )
        .await
}

fn respond(
    call: &Call,
    partition_index: i32,
    outcome: &Result<FoundOffset, BrokerError>,
) -> ListOffsetsPartitionResponse {
    let found = outcome.as_ref().ok().filter(|found| found.offset >= 0);
    ListOffsetsPartitionResponse {
        partition_index,
        error_code: code_of(outcome),
        timestamp: found.map_or(-1, |found| found.timestamp_ms),
        offset: found.map_or(-1, |found| found.offset),
        leader_epoch: if found.is_some() && call.version >= 4 {
            LEADER_EPOCH
        } else {
            -1
        },
        ..Default::default()
    }
}
