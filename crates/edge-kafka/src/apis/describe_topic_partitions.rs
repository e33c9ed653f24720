//! DescribeTopicPartitions, v0 (KIP-966): topics in the order of their names, cut off with a cursor after so many partitions.

use headwater_broker::{LEADER_EPOCH, Topic, check_topic_name};
use headwater_wire::messages::describe_topic_partitions_request::Cursor as AskedCursor;
use headwater_wire::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use headwater_wire::messages::{
    DescribeTopicPartitionsRequestData, DescribeTopicPartitionsResponseData,
};
use headwater_wire::{ErrorCode, Versions, ids};

use crate::apis::shared::OPERATIONS_UNASKED;
use crate::authorize::{Operation, Resource};
use crate::call::{Call, Handle, plain, text};

/// Most partitions of one answer, whatever the client allows (Kafka's `max.request.partition.size.limit`).
const PARTITIONS_MAX: i32 = 2_000;

impl Handle for DescribeTopicPartitionsRequestData {
    const VERSIONS: Versions = Versions::new(0, 0);

    async fn answer(self, call: Call) -> DescribeTopicPartitionsResponseData {
        let catalog = call.broker().catalog();
        let all = self.topics.is_empty();
        let mut names: Vec<String> = match all {
            true => catalog
                .topics()
                .filter(|topic| !topic.is_internal())
                .filter(|topic| may_see(&call, &topic.name))
                .map(|topic| topic.name.clone())
                .collect(),
            false => self.topics.iter().map(|topic| plain(&topic.name)).collect(),
        };
        if let Some(cursor) = &self.cursor
            && !is_valid(cursor, all, &names)
        {
            let refuse = |name| refuse(name, ErrorCode::InvalidRequest, OPERATIONS_UNASKED);
            return DescribeTopicPartitionsResponseData {
                topics: names.into_iter().map(refuse).collect(),
                ..Default::default()
            };
        }
        names.sort_unstable();
        names.dedup();
        let (first, mut from) = match &self.cursor {
            Some(cursor) => (plain(&cursor.topic_name), cursor.partition_index.max(0)),
            None => (String::new(), 0),
        };
        let mut left = self.response_partition_limit.clamp(1, PARTITIONS_MAX);
        let mut out = DescribeTopicPartitionsResponseData::default();
        for name in names.into_iter().filter(|name| *name >= first) {
            let start = if name == first {
                std::mem::take(&mut from)
            } else {
                0
            };
            if left == 0 {
                out.next_cursor = Some(cursor(name, start));
                break;
            }
            if !may_see(&call, &name) {
                out.topics
                    .push(refuse(name, ErrorCode::TopicAuthorizationFailed, 0));
                continue;
            }
            let Some(topic) = catalog.topic(&name) else {
                let operations = call.operations(Resource::Topic(&name));
                let error = match check_topic_name(&name) {
                    Ok(()) => ErrorCode::UnknownTopicOrPartition,
                    Err(_) => ErrorCode::InvalidTopicException,
                };
                out.topics.push(refuse(name, error, operations));
                continue;
            };
            let end = topic.partitions.min(start.saturating_add(left));
            left -= (end - start).max(0);
            out.topics.push(describe(&call, topic, start..end));
            if end < topic.partitions {
                out.next_cursor = Some(cursor(name, end));
                break;
            }
        }
        out
    }
}

fn cursor(name: String, partition_index: i32) -> Box<Cursor> {
    Box::new(Cursor {
        topic_name: text(name),
        partition_index,
        ..Default::default()
    })
}

/// A list of names has to contain the one to go on with.
fn is_valid(cursor: &AskedCursor, all: bool, names: &[String]) -> bool {
    let listed = names.iter().any(|name| name == cursor.topic_name.as_str());
    cursor.partition_index >= 0 && (all || listed)
}

fn may_see(call: &Call, name: &str) -> bool {
    call.may(Operation::Describe, Resource::Topic(name))
}

fn refuse(
    name: String,
    error: ErrorCode,
    topic_authorized_operations: i32,
) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic {
        error_code: error.code(),
        name: Some(text(name)),
        topic_authorized_operations,
        ..Default::default()
    }
}

fn describe(
    call: &Call,
    topic: &Topic,
    indexes: std::ops::Range<i32>,
) -> DescribeTopicPartitionsResponseTopic {
    let node = call.node.id();
    let partition = |partition_index| DescribeTopicPartitionsResponsePartition {
        partition_index,
        leader_id: node,
        leader_epoch: LEADER_EPOCH,
        replica_nodes: vec![node],
        isr_nodes: vec![node],
        // Java's AdminClient takes null for a list and fails.
        eligible_leader_replicas: Some(Vec::new()),
        last_known_elr: Some(Vec::new()),
        ..Default::default()
    };
    DescribeTopicPartitionsResponseTopic {
        name: Some(text(topic.name.clone())),
        topic_id: ids::uuid(topic.id),
        is_internal: topic.is_internal(),
        partitions: indexes.map(partition).collect(),
        topic_authorized_operations: call.operations(Resource::Topic(&topic.name)),
        ..Default::default()
    }
}
