//! DeleteTopics, v1-6.
//!
//! v4 is flexible; v5 adds an error message; v6 names topics by name or id (KIP-516).

use headwater_broker::TopicRef;
use headwater_wire::messages::delete_topics_request::DeleteTopicState;
use headwater_wire::messages::delete_topics_response::DeletableTopicResult;
use headwater_wire::messages::{DeleteTopicsRequestData, DeleteTopicsResponseData};
use headwater_wire::{KafkaString, KafkaUuid, Versions, ids};

use crate::call::{Call, Handle, plain, text};
use crate::codes::{code_of, message_of};

/// First version with ids.
const TOPIC_ID_FROM: i16 = 6;

impl Handle for DeleteTopicsRequestData {
    const VERSIONS: Versions = Versions::new(1, 6);

    async fn answer(self, call: Call) -> DeleteTopicsResponseData {
        let by_name = |name: KafkaString| (Some(name), KafkaUuid::ZERO);
        let targets: Vec<(Option<KafkaString>, KafkaUuid)> = match call.version >= TOPIC_ID_FROM {
            true => self
                .topics
                .into_iter()
                .map(|DeleteTopicState { name, topic_id, .. }| (name, topic_id))
                .collect(),
            false => self.topic_names.into_iter().map(by_name).collect(),
        };
        let mut responses = Vec::with_capacity(targets.len());
        for (name, topic_id) in targets {
            responses.push(delete(&call, name, topic_id).await);
        }
        DeleteTopicsResponseData {
            responses,
            ..Default::default()
        }
    }
}

async fn delete(
    call: &Call,
    name: Option<KafkaString>,
    topic_id: KafkaUuid,
) -> DeletableTopicResult {
    let target = match &name {
        Some(name) => TopicRef::Name(plain(name)),
        None => TopicRef::Id(ids::topic_id(topic_id)),
    };
    let outcome = call.broker().delete_topic(&target).await;
    let deleted = outcome.as_ref().ok();
    DeletableTopicResult {
        name: name.or_else(|| deleted.map(|topic| text(topic.name.clone()))),
        topic_id: deleted.map_or(topic_id, |topic| ids::uuid(topic.id)),
        error_code: code_of(&outcome),
        error_message: message_of(&outcome),
        ..Default::default()
    }
}
