//! CreateTopics, v2-7.
//!
//! v4 takes -1 for default partitions and replicas (KIP-464); v5 is flexible and tells what was made (KIP-525); v7 adds the topic id.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_broker::{BrokerError, ConfigEntry, NewTopic, Topic};
use headwater_wire::messages::create_topics_request::CreatableTopic;
use headwater_wire::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult,
};
use headwater_wire::messages::{CreateTopicsRequestData, CreateTopicsResponseData};
use headwater_wire::{ErrorCode, Versions, ids};

use crate::apis::describe_configs::source_code;
use crate::authorize::{Operation, Resource};
use crate::call::{Call, Handle, plain, text};
use crate::codes::{Refusal, code_of, message_of};
use crate::started::started_with;

/// Most partitions that one request may make (Kafka's limit on the records of one change).
const PARTITIONS_MAX: i64 = 10_000;

impl Handle for CreateTopicsRequestData {
    const VERSIONS: Versions = Versions::new(2, 7);

    async fn answer(self, call: Call) -> CreateTopicsResponseData {
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        for topic in &self.topics {
            *times.entry(plain(&topic.name)).or_default() += 1;
        }
        let too_many = partitions(&self.topics) > PARTITIONS_MAX;
        let checked = |topic: &CreatableTopic| check(&call, topic, &times, too_many);
        let good: Vec<_> = self
            .topics
            .iter()
            .filter(|topic| checked(topic).is_ok())
            .collect();
        let mut made = call
            .broker()
            .create_topics(
                good.into_iter().map(new_topic).collect(),
                self.validate_only,
            )
            .await
            .into_iter();
        let mut topics: Vec<CreatableTopicResult> = Vec::with_capacity(self.topics.len());
        for topic in &self.topics {
            let outcome = checked(topic).and_then(|()| {
                Ok(made
                    .next()
                    .unwrap_or(Err(BrokerError::UnknownTopicOrPartition))?)
            });
            let told = topics
                .iter()
                .any(|one| one.name.as_str() == topic.name.as_str());
            // A name that comes twice is told once.
            if times.get(topic.name.as_str()) == Some(&1) || !told {
                topics.push(respond(&call, topic, &outcome));
            }
        }
        CreateTopicsResponseData {
            topics,
            ..Default::default()
        }
    }
}

fn partitions(topics: &[CreatableTopic]) -> i64 {
    let of = |topic: &CreatableTopic| match topic.assignments.len() {
        0 => i64::from(topic.num_partitions.max(1)),
        some => i64::try_from(some).unwrap_or(i64::MAX),
    };
    topics.iter().map(of).sum()
}

fn check(
    call: &Call,
    topic: &CreatableTopic,
    times: &BTreeMap<String, usize>,
    too_many: bool,
) -> Result<(), Refusal> {
    let name = topic.name.as_str();
    if times.get(name) != Some(&1) {
        return Err(Refusal::request("Duplicate topic name."));
    }
    if !call.may(Operation::Create, Resource::Cluster) {
        call.permit(Operation::Create, Resource::Topic(name))?;
    }
    if too_many {
        let text = "Excessively large number of partitions per request.";
        return Err(Refusal::new(ErrorCode::PolicyViolation, text));
    }
    match topic.configs.iter().find(|config| config.value.is_none()) {
        Some(config) => Err(Refusal::new(
            ErrorCode::InvalidConfig,
            format!(
                "Null value not supported for topic configs: {}",
                config.name.as_str()
            ),
        )),
        None => Ok(()),
    }
}

fn new_topic(topic: &CreatableTopic) -> NewTopic {
    let set = topic
        .configs
        .iter()
        .filter_map(|config| Some((plain(&config.name), plain(config.value.as_ref()?))));
    NewTopic {
        name: plain(&topic.name),
        partitions: topic.num_partitions,
        replicas: topic.replication_factor,
        assignments: topic
            .assignments
            .iter()
            .map(|one| (one.partition_index, one.broker_ids.clone()))
            .collect(),
        configs: set.collect(),
    }
}

fn respond(
    call: &Call,
    asked: &CreatableTopic,
    outcome: &Result<Arc<Topic>, Refusal>,
) -> CreatableTopicResult {
    let mut result = CreatableTopicResult {
        name: asked.name.clone(),
        error_code: code_of(outcome),
        error_message: message_of(outcome),
        num_partitions: -1,
        replication_factor: -1,
        configs: Some(Vec::new()),
        ..Default::default()
    };
    let Ok(topic) = outcome else {
        return result;
    };
    result.topic_id = ids::uuid(topic.id);
    let name = asked.name.as_str();
    if let Err(error) = call.check(Operation::DescribeConfigs, Resource::Topic(name)) {
        result.topic_config_error_code = error.code();
        result.configs = None;
        return result;
    }
    result.num_partitions = topic.partitions;
    result.replication_factor = 1;
    let entries = call.broker().topic_configs(topic, &started_with(call));
    result.configs = Some(entries.into_iter().map(config).collect());
    result
}

fn config(entry: ConfigEntry) -> CreatableTopicConfigs {
    CreatableTopicConfigs {
        name: text(entry.name),
        value: entry.value.map(text),
        config_source: source_code(entry.source),
        ..Default::default()
    }
}
