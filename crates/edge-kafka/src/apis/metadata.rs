//! Metadata, v0-13.
//!
//! v1 tells "all topics" (null) from "none" (empty), which in v0 is all, and adds the controller; v2 the cluster id; v4 lets the
//! client forbid auto-creation; v5 offline replicas; v7 leader epochs; v8-10 authorized operations of the cluster; v9 is flexible;
//! v10 and v12 topic ids (KIP-516); v13 a top-level error.

use std::collections::HashMap;
use std::sync::Arc;

use headwater_broker::{BrokerError, LEADER_EPOCH, NewTopic, Topic};
use headwater_wire::messages::metadata_request::MetadataRequestTopic;
use headwater_wire::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use headwater_wire::messages::{MetadataRequestData, MetadataResponseData};
use headwater_wire::{ErrorCode, KafkaUuid, Versions, ids};

use crate::apis::shared::{CLUSTER_OPERATIONS, OPERATIONS_UNASKED, TOPIC_OPERATIONS};
use crate::call::{Call, Handle, text};
use crate::codes::Code;

impl Handle for MetadataRequestData {
    const VERSIONS: Versions = Versions::new(0, 13);

    async fn answer(self, call: Call) -> MetadataResponseData {
        let operations = if self.include_topic_authorized_operations {
            TOPIC_OPERATIONS
        } else {
            OPERATIONS_UNASKED
        };
        let topics = match self
            .topics
            .filter(|topics| call.version > 0 || !topics.is_empty())
        {
            Some(wanted) => {
                let create =
                    self.allow_auto_topic_creation && call.broker().config().auto_create_topics;
                named(&call, wanted, create, operations).await
            }
            None => {
                let catalog = call.broker().catalog();
                catalog
                    .topics()
                    .filter(|topic| !topic.is_internal())
                    .map(|topic| describe(&call, topic, operations))
                    .collect()
            }
        };
        let asked = self.include_cluster_authorized_operations && (8..=10).contains(&call.version);
        MetadataResponseData {
            brokers: vec![this_node(&call)],
            cluster_id: Some(text(call.broker().cluster_id())),
            controller_id: call.node.id(),
            topics,
            cluster_authorized_operations: if asked {
                CLUSTER_OPERATIONS
            } else {
                OPERATIONS_UNASKED
            },
            ..Default::default()
        }
    }
}

fn this_node(call: &Call) -> MetadataResponseBroker {
    let config = &call.node.config;
    let (host, port) = (
        text(config.advertised_host.clone()),
        config.advertised_port.into(),
    );
    MetadataResponseBroker {
        node_id: call.node.id(),
        host,
        port,
        rack: None,
        ..Default::default()
    }
}

async fn named(
    call: &Call,
    wanted: Vec<MetadataRequestTopic>,
    create: bool,
    operations: i32,
) -> Vec<MetadataResponseTopic> {
    let failed = if create {
        create_missing(call, &wanted).await
    } else {
        HashMap::new()
    };
    let catalog = call.broker().catalog();
    let one = |topic: MetadataRequestTopic| match topic.name {
        Some(name) => match catalog.topic(name.as_str()) {
            Some(found) => describe(call, found, operations),
            None => {
                let unknown = || ErrorCode::UnknownTopicOrPartition.code();
                let error_code = failed.get(name.as_str()).map_or_else(unknown, Code::code);
                MetadataResponseTopic {
                    error_code,
                    name: Some(name),
                    ..Default::default()
                }
            }
        },
        None => match catalog.topic_by_id(ids::topic_id(topic.topic_id)) {
            Some(found) => describe(call, found, operations),
            None => unknown_id(topic.topic_id),
        },
    };
    wanted.into_iter().map(one).collect()
}

/// Makes the topics that are asked for by name and not there, all at once; gives the reasons of those that could not be made.
async fn create_missing(
    call: &Call,
    wanted: &[MetadataRequestTopic],
) -> HashMap<String, BrokerError> {
    let catalog = call.broker().catalog();
    let names = wanted
        .iter()
        .filter_map(|topic| topic.name.as_ref())
        .map(|name| name.as_str());
    let mut missing: Vec<&str> = names.filter(|name| catalog.topic(name).is_none()).collect();
    missing.sort_unstable();
    missing.dedup();
    let new = |name: &&str| NewTopic {
        name: (*name).to_owned(),
        partitions: -1,
        replicas: -1,
        ..Default::default()
    };
    let outcomes = call
        .broker()
        .create_topics(missing.iter().map(new).collect(), false)
        .await;
    let failed = missing
        .into_iter()
        .zip(outcomes)
        .filter_map(|(name, outcome)| Some((name.to_owned(), outcome.err()?)));
    failed.collect()
}

fn unknown_id(topic_id: KafkaUuid) -> MetadataResponseTopic {
    MetadataResponseTopic {
        error_code: ErrorCode::UnknownTopicId.code(),
        topic_id,
        name: None,
        ..Default::default()
    }
}

fn describe(call: &Call, topic: &Arc<Topic>, operations: i32) -> MetadataResponseTopic {
    let node = call.node.id();
    let partition = |partition_index| MetadataResponsePartition {
        partition_index,
        leader_id: node,
        leader_epoch: LEADER_EPOCH,
        replica_nodes: vec![node],
        isr_nodes: vec![node],
        ..Default::default()
    };
    MetadataResponseTopic {
        error_code: 0,
        name: Some(text(topic.name.clone())),
        topic_id: ids::uuid(topic.id),
        is_internal: topic.is_internal(),
        partitions: (0..topic.partitions).map(partition).collect(),
        topic_authorized_operations: if call.version >= 8 {
            operations
        } else {
            OPERATIONS_UNASKED
        },
        ..Default::default()
    }
}
