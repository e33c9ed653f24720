//! CreateTopics, v2-7.
//!
//! v4 takes -1 for default partitions and replicas (KIP-464); v5 is flexible and tells what was made (KIP-525); v7 adds the topic id.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_broker::{BrokerError, NewTopic, Topic};
use headwater_wire::messages::create_topics_request::CreatableTopic;
use headwater_wire::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult,
};
use headwater_wire::messages::{CreateTopicsRequestData, CreateTopicsResponseData};
use headwater_wire::{KafkaUuid, Versions, ids};

use crate::apis::describe_configs::topic_configs;
use crate::call::{Call, Handle, plain, text};
use crate::codes::{code_of, message_of};

impl Handle for CreateTopicsRequestData {
    const VERSIONS: Versions = Versions::new(2, 7);

    async fn answer(self, call: Call) -> CreateTopicsResponseData {
        let mut count: BTreeMap<String, usize> = BTreeMap::new();
        self.topics
            .iter()
            .for_each(|topic| *count.entry(plain(&topic.name)).or_default() += 1);
        let (once, twice): (Vec<_>, Vec<_>) = self
            .topics
            .into_iter()
            .partition(|topic| count.get(topic.name.as_str()) == Some(&1));
        let outcomes = call
            .broker()
            .create_topics(once.iter().map(new_topic).collect(), self.validate_only)
            .await;
        let made = once
            .iter()
            .zip(outcomes)
            .map(|(topic, outcome)| respond(topic, &outcome, self.validate_only));
        let mut topics: Vec<CreatableTopicResult> = made.collect();
        let mut refused: Vec<_> = twice
            .iter()
            .map(|topic| respond(topic, &Err(duplicate()), false))
            .collect();
        refused.dedup_by(|a, b| a.name == b.name);
        topics.append(&mut refused);
        CreateTopicsResponseData {
            topics,
            ..Default::default()
        }
    }
}

fn duplicate() -> BrokerError {
    BrokerError::InvalidRequest("Duplicate topic name.".into())
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
    asked: &CreatableTopic,
    outcome: &Result<Arc<Topic>, BrokerError>,
    validate_only: bool,
) -> CreatableTopicResult {
    let topic = outcome.as_ref().ok();
    let config = |config: crate::apis::describe_configs::ConfigLine| CreatableTopicConfigs {
        name: text(config.name),
        value: Some(text(config.value)),
        config_source: config.source,
        ..Default::default()
    };
    let made = topic.filter(|_| !validate_only);
    CreatableTopicResult {
        name: asked.name.clone(),
        topic_id: made.map_or(KafkaUuid::ZERO, |topic| ids::uuid(topic.id)),
        error_code: code_of(outcome),
        error_message: message_of(outcome),
        num_partitions: topic.map_or(-1, |topic| topic.partitions),
        replication_factor: topic.map_or(-1, |_| 1),
        configs: Some(
            topic
                .map(|topic| topic_configs(topic).map(config).collect())
                .unwrap_or_default(),
        ),
        ..Default::default()
    }
}
