//! DescribeQuorum, v0-2 (KIP-595): a quorum of one. v1 adds times; v2 directories and nodes (KIP-853).

use headwater_wire::messages::describe_quorum_request as asked;
use headwater_wire::messages::describe_quorum_response::{
    Listener, Node, PartitionData, ReplicaState, TopicData,
};
use headwater_wire::messages::{DescribeQuorumRequestData, DescribeQuorumResponseData};
use headwater_wire::{ErrorCode, Versions};

use crate::authorize::{Operation, Resource};
use crate::call::{Call, Handle, text};
use crate::codes::{code_of, message_of};

/// The only topic that has a quorum.
const METADATA_TOPIC: &str = "__cluster_metadata";
/// The leader never changes.
const EPOCH: i32 = 1;

impl Handle for DescribeQuorumRequestData {
    const VERSIONS: Versions = Versions::new(0, 2);

    async fn answer(self, call: Call) -> DescribeQuorumResponseData {
        let permit = call.permit(Operation::Describe, Resource::Cluster);
        if permit.is_err() {
            return DescribeQuorumResponseData {
                error_code: code_of(&permit),
                error_message: message_of(&permit),
                ..Default::default()
            };
        }
        let mut known = false;
        let topics = self.topics.into_iter().map(|topic| {
            let metadata = topic.topic_name.as_str() == METADATA_TOPIC;
            let partition = |one: &asked::PartitionData| match one.partition_index {
                0 if metadata => describe(&call),
                index => unknown(&call, index),
            };
            known |= metadata && topic.partitions.iter().any(|one| one.partition_index == 0);
            TopicData {
                partitions: topic.partitions.iter().map(partition).collect(),
                topic_name: topic.topic_name,
                ..Default::default()
            }
        });
        let topics = topics.collect();
        DescribeQuorumResponseData {
            error_message: Some(text("")).filter(|_| call.version >= 2),
            topics,
            nodes: match known && call.version >= 2 {
                true => vec![node(&call)],
                false => Vec::new(),
            },
            ..Default::default()
        }
    }
}

fn describe(call: &Call) -> PartitionData {
    let end = call.broker().metadata_end();
    let now_ms = call.broker().now_ms();
    PartitionData {
        partition_index: 0,
        error_message: Some(text("")).filter(|_| call.version >= 2),
        leader_id: call.node.id(),
        leader_epoch: EPOCH,
        high_watermark: end,
        current_voters: vec![ReplicaState {
            replica_id: call.node.id(),
            log_end_offset: end,
            last_fetch_timestamp: if call.version >= 1 { now_ms } else { -1 },
            last_caught_up_timestamp: if call.version >= 1 { now_ms } else { -1 },
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn unknown(call: &Call, partition_index: i32) -> PartitionData {
    PartitionData {
        partition_index,
        error_code: ErrorCode::UnknownTopicOrPartition.code(),
        error_message: Some(text("This server does not host this topic-partition."))
            .filter(|_| call.version >= 2),
        ..Default::default()
    }
}

fn node(call: &Call) -> Node {
    let config = &call.node.config;
    Node {
        node_id: call.node.id(),
        listeners: vec![Listener {
            name: text("PLAINTEXT"),
            host: text(config.advertised_host.clone()),
            port: config.advertised_port,
            ..Default::default()
        }],
        ..Default::default()
    }
}
