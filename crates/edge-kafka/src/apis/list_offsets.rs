//! ListOffsets, v1-10.
//!
//! v2 adds the isolation level; v4 leader epochs; v6 is flexible; v7 the largest timestamp (-3, KIP-734); v8 the earliest local
//! offset (-4, KIP-405); v9 the latest tiered one (-5); v10 a timeout for remote reads.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use headwater_broker::{BrokerError, FoundOffset, LEADER_EPOCH, OffsetSpec, Operation, TopicRef};
use headwater_wire::messages::list_offsets_request::ListOffsetsPartition;
use headwater_wire::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use headwater_wire::messages::{ListOffsetsRequestData, ListOffsetsResponseData};
use headwater_wire::{ErrorCode, Versions};

use crate::authorize::Resource;
use crate::call::{Call, Handle, plain};
use crate::codes::{Code, code_of};

/// `isolation.level=read_committed`
const READ_COMMITTED: i8 = 1;
/// First versions in which a time of -3, -4, -5 has its meaning.
const MAX_TIMESTAMP_FROM: i16 = 7;
const EARLIEST_LOCAL_FROM: i16 = 8;
const LATEST_TIERED_FROM: i16 = 9;

impl Handle for ListOffsetsRequestData {
    const VERSIONS: Versions = Versions::new(1, 10);

    async fn answer(self, call: Call) -> ListOffsetsResponseData {
        let committed = self.isolation_level == READ_COMMITTED;
        let mut topics = Vec::with_capacity(self.topics.len());
        for topic in self.topics {
            let target = TopicRef::Name(plain(&topic.name));
            let allowed = call.may(Operation::Describe, Resource::Topic(topic.name.as_str()));
            let asked = by_index(topic.partitions);
            let mut partitions = Vec::with_capacity(asked.len());
            for (index, partition) in asked {
                let outcome = match partition {
                    _ if !allowed => Err(Refusal::Forbidden),
                    Some(partition) => find(&call, &target, &partition, committed).await,
                    None => Err(Refusal::Twice),
                };
                partitions.push(respond(&call, index, &outcome));
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

/// Why there is no answer for a partition.
enum Refusal {
    Broker(BrokerError),
    Forbidden,
    /// A time with a meaning that this version has not got.
    Version,
    /// The partition stands twice in the request.
    Twice,
}

impl Code for Refusal {
    fn error(&self) -> ErrorCode {
        match self {
            Self::Broker(error) => error.error(),
            Self::Forbidden => ErrorCode::TopicAuthorizationFailed,
            Self::Version => ErrorCode::UnsupportedVersion,
            Self::Twice => ErrorCode::InvalidRequest,
        }
    }
}

/// Each partition once, in the order of the request; none for one that was asked for twice, as by Kafka.
fn by_index(asked: Vec<ListOffsetsPartition>) -> Vec<(i32, Option<ListOffsetsPartition>)> {
    let mut places = HashMap::with_capacity(asked.len());
    let mut partitions: Vec<(i32, Option<ListOffsetsPartition>)> = Vec::with_capacity(asked.len());
    for partition in asked {
        let index = partition.partition_index;
        match places.entry(index) {
            Entry::Vacant(place) => {
                place.insert(partitions.len());
                partitions.push((index, Some(partition)));
            }
            Entry::Occupied(place) => partitions[*place.get()].1 = None,
        }
    }
    partitions
}

/// What a time stands for, none for "nothing is tiered here".
fn meaning(timestamp: i64, version: i16) -> Result<Option<OffsetSpec>, Refusal> {
    match timestamp {
        -1 => Ok(Some(OffsetSpec::Latest)),
        -2 => Ok(Some(OffsetSpec::Earliest)),
        -3 if version >= MAX_TIMESTAMP_FROM => Ok(Some(OffsetSpec::MaxTimestamp)),
        // Everything is local here, so the earliest local offset is the earliest.
        -4 if version >= EARLIEST_LOCAL_FROM => Ok(Some(OffsetSpec::Earliest)),
        -5 if version >= LATEST_TIERED_FROM => Ok(None),
        0.. => Ok(Some(OffsetSpec::Time(timestamp))),
        _ => Err(Refusal::Version),
    }
}

async fn find(
    call: &Call,
    topic: &TopicRef,
    partition: &ListOffsetsPartition,
    committed: bool,
) -> Result<FoundOffset, Refusal> {
    let Some(spec) = meaning(partition.timestamp, call.version)? else {
        return Ok(FoundOffset {
            offset: -1,
            timestamp_ms: -1,
        });
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
        .map_err(Refusal::Broker)
}

fn respond(
    call: &Call,
    partition_index: i32,
    outcome: &Result<FoundOffset, Refusal>,
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
