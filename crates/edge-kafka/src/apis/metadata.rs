//! Metadata, v0-13.
//!
//! v1 tells "all topics" (null) from "none" (empty), which in v0 is all, and adds the controller; v2 the cluster id; v4 lets the
//! client forbid auto-creation; v5 offline replicas; v7 leader epochs; v8-10 authorized operations of the cluster; v9 is flexible;
//! v10 and v12 topic ids (KIP-516); v13 a top-level error.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use headwater_broker::{BrokerError, LEADER_EPOCH, NewTopic, Topic, check_topic_name};
use headwater_wire::messages::metadata_request::MetadataRequestTopic;
use headwater_wire::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use headwater_wire::messages::{MetadataRequestData, MetadataResponseData};
use headwater_wire::{ErrorCode, KafkaString, KafkaUuid, Versions, ids};

use crate::apis::shared::OPERATIONS_UNASKED;
use crate::authorize::{Operation, Resource};
use crate::call::{Call, Handle, text};
use crate::codes::Code;

/// Most topics that one request makes; the others are unknown until the client asks again, as it does.
const CREATED_MAX: usize = 1_000;

impl Handle for MetadataRequestData {
    const VERSIONS: Versions = Versions::new(0, 13);

    async fn answer(self, call: Call) -> MetadataResponseData {
        let operations = self.include_topic_authorized_operations;
        let topics = match self
            .topics
            .filter(|topics| call.version > 0 || !topics.is_empty())
        {
            Some(wanted) => {
                let create =
                    self.allow_auto_topic_creation && call.broker().config().auto_create_topics;
                named(&call, only_ids(wanted), create, operations).await
            }
            None => {
                let catalog = call.broker().catalog();
                catalog
                    .topics()
                    .filter(|topic| !topic.is_internal())
                    .filter(|topic| may(&call, Operation::Describe, &topic.name))
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
                call.cluster_operations()
            } else {
                OPERATIONS_UNASKED
            },
            ..Default::default()
        }
    }
}

fn may(call: &Call, operation: Operation, topic: &str) -> bool {
    call.may(operation, Resource::Topic(topic))
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
    operations: bool,
) -> Vec<MetadataResponseTopic> {
    // From before: as with Kafka, whose nodes first have to learn of it, a topic that this request makes is there for the next one.
    let catalog = call.broker().catalog();
    let failed = if create {
        create_missing(call, &wanted).await
    } else {
        HashMap::new()
    };
    let by_name = |name: KafkaString| {
        let error = match catalog.topic(name.as_str()) {
            // Nobody learns whether a topic exists that they may not see.
            _ if !may(call, Operation::Describe, name.as_str()) => {
                ErrorCode::TopicAuthorizationFailed
            }
            Some(found) => return describe(call, found, operations),
            None => match failed.get(name.as_str()) {
                Some(error) => *error,
                None if check_topic_name(name.as_str()).is_err() => {
                    ErrorCode::InvalidTopicException
                }
                None => ErrorCode::UnknownTopicOrPartition,
            },
        };
        MetadataResponseTopic {
            error_code: error.code(),
            name: Some(name),
            ..Default::default()
        }
    };
    let by_id = |id: KafkaUuid| match catalog.topic_by_id(ids::topic_id(id)) {
        Some(found) if may(call, Operation::Describe, &found.name) => {
            describe(call, found, operations)
        }
        _ => unknown_id(id),
    };
    // A topic that is asked for twice is told once.
    let mut seen = HashSet::new();
    let one = |topic: MetadataRequestTopic| {
        let told = (
            topic.topic_id,
            topic.name.as_ref().map(|name| name.as_str().to_owned()),
        );
        seen.insert(told).then(|| match topic.name {
            Some(name) => by_name(name),
            None => by_id(topic.topic_id),
        })
    };
    wanted.into_iter().filter_map(one).collect()
}

/// Where one topic is asked for by id, all are: Kafka's own clients send an empty name with the id.
fn only_ids(mut wanted: Vec<MetadataRequestTopic>) -> Vec<MetadataRequestTopic> {
    let by_id = |topic: &MetadataRequestTopic| topic.topic_id != KafkaUuid::default();
    if wanted.iter().any(by_id) {
        wanted.retain(by_id);
        wanted.iter_mut().for_each(|topic| topic.name = None);
    }
    wanted
}

/// Makes the topics that are asked for by name and not there, all at once; gives the reasons of those that could not be made.
async fn create_missing(
    call: &Call,
    wanted: &[MetadataRequestTopic],
) -> HashMap<String, ErrorCode> {
    let catalog = call.broker().catalog();
    let names = wanted
        .iter()
        .filter_map(|topic| topic.name.as_ref())
        .map(|name| name.as_str());
    let visible = names.filter(|name| may(call, Operation::Describe, name));
    let missing: BTreeSet<&str> = visible
        .filter(|name| catalog.topic(name).is_none())
        .collect();
    let may_create = |name: &&str| {
        call.may(Operation::Create, Resource::Cluster) || may(call, Operation::Create, name)
    };
    let (missing, refused): (Vec<&str>, Vec<&str>) = missing.into_iter().partition(may_create);
    let made = &missing[..missing.len().min(CREATED_MAX)];
    let new = |name: &&str| NewTopic {
        name: (*name).to_owned(),
        partitions: -1,
        replicas: -1,
        ..Default::default()
    };
    let outcomes = call
        .broker()
        .create_topics(made.iter().map(new).collect(), false)
        .await;
    let reason = |(name, outcome): (&&str, Result<Arc<Topic>, BrokerError>)| {
        Some(((*name).to_owned(), outcome.err()?.error()))
    };
    let failed = made.iter().zip(outcomes).filter_map(reason);
    let refused = refused
        .into_iter()
        .map(|name| (name.to_owned(), ErrorCode::TopicAuthorizationFailed));
    failed.chain(refused).collect()
}

fn unknown_id(topic_id: KafkaUuid) -> MetadataResponseTopic {
    MetadataResponseTopic {
        error_code: ErrorCode::UnknownTopicId.code(),
        topic_id,
        name: None,
        ..Default::default()
    }
}

fn describe(call: &Call, topic: &Arc<Topic>, operations: bool) -> MetadataResponseTopic {
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
        topic_authorized_operations: if operations && call.version >= 8 {
            call.operations(Resource::Topic(&topic.name))
        } else {
            OPERATIONS_UNASKED
        },
        ..Default::default()
    }
}
