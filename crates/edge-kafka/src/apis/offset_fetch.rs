//! OffsetFetch, v1-9.
//!
//! v2 takes null for all topics and adds a top-level error; v5 leader epochs; v6 is flexible; v7 stable offsets only (KIP-447:
//! none for which a transaction is open); v8 asks for several groups (KIP-709); v9 members of the consumer protocol.

use std::collections::BTreeSet;

use headwater_broker::{BrokerError, CommittedOffset, GroupOffsets, OffsetReader};
use headwater_wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use headwater_wire::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use headwater_wire::messages::{OffsetFetchRequestData, OffsetFetchResponseData};
use headwater_wire::{ErrorCode, Versions};

use crate::authorize::{Operation, Resource};
use crate::call::{Call, Handle, plain, plain_option, text};
use crate::codes::{Code, coordinator_code_of};

/// First version with an error for the whole group.
const GROUP_ERROR_FROM: i16 = 2;
/// First version in which members of the consumer protocol say who they are.
const MEMBERS_FROM: i16 = 9;
/// First version with several groups.
const BATCHED_FROM: i16 = 8;

impl Handle for OffsetFetchRequestData {
    const VERSIONS: Versions = Versions::new(1, 9);

    async fn answer(self, call: Call) -> OffsetFetchResponseData {
        if call.version >= BATCHED_FROM {
            let mut groups = Vec::with_capacity(self.groups.len());
            for group in self.groups {
                groups.push(one_group(&call, group, self.require_stable).await);
            }
            return OffsetFetchResponseData {
                groups,
                ..Default::default()
            };
        }
        let newer = |topic: OffsetFetchRequestTopic| {
            let (name, partition_indexes) = (topic.name, topic.partition_indexes);
            OffsetFetchRequestTopics {
                name,
                partition_indexes,
                ..Default::default()
            }
        };
        let topics = self
            .topics
            .map(|topics| topics.into_iter().map(newer).collect());
        let group = OffsetFetchRequestGroup {
            group_id: self.group_id,
            topics,
            ..Default::default()
        };
        let OffsetFetchResponseGroup {
            topics, error_code, ..
        } = one_group(&call, group, self.require_stable).await;
        OffsetFetchResponseData {
            topics: topics.into_iter().map(older).collect(),
            error_code,
            ..Default::default()
        }
    }
}

fn older(topic: OffsetFetchResponseTopics) -> OffsetFetchResponseTopic {
    let partition = |one: OffsetFetchResponsePartitions| OffsetFetchResponsePartition {
        partition_index: one.partition_index,
        committed_offset: one.committed_offset,
        committed_leader_epoch: one.committed_leader_epoch,
        metadata: one.metadata,
        error_code: one.error_code,
        ..Default::default()
    };
    let partitions = topic.partitions.into_iter().map(partition).collect();
    OffsetFetchResponseTopic {
        name: topic.name,
        partitions,
        ..Default::default()
    }
}

async fn one_group(
    call: &Call,
    group: OffsetFetchRequestGroup,
    require_stable: bool,
) -> OffsetFetchResponseGroup {
    let id = group.group_id.as_str();
    // Asked first: an offset that is committed meanwhile is one that is told.
    let unstable = match require_stable {
        true => call.broker().pending_offsets(id),
        false => BTreeSet::new(),
    };
    match offsets_of(call, id, &group).await {
        Ok(offsets) => {
            let topics = match group.topics {
                Some(topics) => topics
                    .into_iter()
                    .map(|topic| asked(call, &offsets, &unstable, topic))
                    .collect(),
                None => all(call, offsets, &unstable),
            };
            OffsetFetchResponseGroup {
                group_id: group.group_id,
                topics,
                ..Default::default()
            }
        }
        Err(error_code) => OffsetFetchResponseGroup {
            // Versions without an error for the group bear it in every partition.
            topics: match call.version < GROUP_ERROR_FROM {
                true => refused(group.topics.unwrap_or_default(), error_code),
                false => Vec::new(),
            },
            group_id: group.group_id,
            error_code,
            ..Default::default()
        },
    }
}

async fn offsets_of(
    call: &Call,
    id: &str,
    group: &OffsetFetchRequestGroup,
) -> Result<GroupOffsets, i16> {
    call.check(Operation::Describe, Resource::Group(id))
        .map_err(|code| code.code())?;
    if call.version >= MEMBERS_FROM {
        let reader = OffsetReader {
            member_id: plain_option(group.member_id.as_ref()),
            epoch: group.member_epoch,
        };
        call.broker()
            .check_offset_reader(id, &reader)
            .map_err(|refusal| refusal.code())?;
    }
    match call.broker().fetch_offsets(id).await {
        Ok(offsets) => Ok(offsets),
        // What is on its way to the disk cannot be waited for: to be asked again.
        Err(BrokerError::Retry(_)) => Err(ErrorCode::CoordinatorLoadInProgress.code()),
        Err(error) => Err(coordinator_code_of::<()>(&Err(error))),
    }
}

fn refused(topics: Vec<OffsetFetchRequestTopics>, code: i16) -> Vec<OffsetFetchResponseTopics> {
    let topic = |topic: OffsetFetchRequestTopics| OffsetFetchResponseTopics {
        partitions: topic
            .partition_indexes
            .into_iter()
            .map(|index| OffsetFetchResponsePartitions {
                error_code: code,
                ..respond(index, None)
            })
            .collect(),
        name: topic.name,
        ..Default::default()
    };
    topics.into_iter().map(topic).collect()
}

fn asked(
    call: &Call,
    offsets: &GroupOffsets,
    unstable: &BTreeSet<(String, i32)>,
    topic: OffsetFetchRequestTopics,
) -> OffsetFetchResponseTopics {
    let OffsetFetchRequestTopics {
        name,
        partition_indexes,
        ..
    } = topic;
    let found = call
        .check(Operation::Describe, Resource::Topic(name.as_str()))
        .map(|()| plain(&name));
    let partition = |index| match &found {
        Ok(name) => {
            let place = (name.clone(), index);
            match unstable.contains(&place) {
                true => not_stable(index),
                false => respond(index, offsets.get(&place)),
            }
        }
        Err(code) => OffsetFetchResponsePartitions {
            error_code: code.code(),
            ..respond(index, None)
        },
    };
    let partitions = partition_indexes.into_iter().map(partition).collect();
    OffsetFetchResponseTopics {
        name,
        partitions,
        ..Default::default()
    }
}

fn all(
    call: &Call,
    offsets: GroupOffsets,
    unstable: &BTreeSet<(String, i32)>,
) -> Vec<OffsetFetchResponseTopics> {
    let catalog = call.broker().catalog();
    let mut topics: Vec<OffsetFetchResponseTopics> = Vec::new();
    for ((name, index), committed) in offsets {
        let answer = match unstable.contains(&(name.clone(), index)) {
            true => not_stable(index),
            false => respond(index, Some(&committed)),
        };
        if catalog.topic(&name).is_none() || !call.may(Operation::Describe, Resource::Topic(&name))
        {
            continue;
        }
        if topics.last().is_none_or(|last| last.name.as_str() != name) {
            topics.push(OffsetFetchResponseTopics {
                name: text(name),
                ..Default::default()
            });
        }
        if let Some(last) = topics.last_mut() {
            last.partitions.push(answer);
        }
    }
    topics
}

/// A transaction is open that will commit another offset.
fn not_stable(index: i32) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        error_code: ErrorCode::UnstableOffsetCommit.code(),
        ..respond(index, None)
    }
}

fn respond(
    partition_index: i32,
    committed: Option<&CommittedOffset>,
) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: committed.map_or(-1, |committed| committed.offset),
        committed_leader_epoch: committed.map_or(-1, |committed| committed.leader_epoch),
        metadata: Some(text(
            committed.map_or("", |committed| committed.metadata.as_str()),
        )),
        ..Default::default()
    }
}
