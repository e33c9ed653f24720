//! DeleteTopics, v1-6.
//!
//! v4 is flexible; v5 adds an error message; v6 names topics by name or id (KIP-516).

use std::sync::Arc;

use headwater_broker::{Topic, TopicRef};
use headwater_wire::messages::delete_topics_request::DeleteTopicState;
use headwater_wire::messages::delete_topics_response::DeletableTopicResult;
use headwater_wire::messages::{DeleteTopicsRequestData, DeleteTopicsResponseData};
use headwater_wire::{KafkaString, KafkaUuid, Versions, ids};

use crate::authorize::{Operation, Resource};
use crate::call::{Call, Handle, plain, text};
use crate::codes::{Refusal, code_of, message_of};

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
        let mut responses: Vec<DeletableTopicResult> = Vec::with_capacity(targets.len());
        for (at, target) in targets.iter().enumerate() {
            let twice = targets
                .iter()
                .enumerate()
                .any(|(other, one)| other != at && one == target);
            let told = twice && targets[..at].contains(target);
            // What comes twice is refused, and told once.
            if !told {
                responses.push(delete(&call, target, twice).await);
            }
        }
        DeleteTopicsResponseData {
            responses,
            ..Default::default()
        }
    }
}

async fn delete(
    call: &Call,
    (name, topic_id): &(Option<KafkaString>, KafkaUuid),
    twice: bool,
) -> DeletableTopicResult {
    let found = find(call, name.as_ref(), *topic_id, twice);
    let outcome = match &found {
        Ok(topic) => {
            let target = TopicRef::Id(topic.id);
            call.broker()
                .delete_topic(&target)
                .await
                .map_err(Refusal::from)
        }
        Err(refusal) => Err(refusal.clone()),
    };
    // The name of a topic that was named by its id is told to those that may see it.
    let shown = found
        .as_ref()
        .ok()
        .filter(|topic| call.may(Operation::Describe, Resource::Topic(&topic.name)));
    DeletableTopicResult {
        name: name
            .clone()
            .or_else(|| shown.map(|topic| text(topic.name.clone()))),
        topic_id: shown.map_or(*topic_id, |topic| ids::uuid(topic.id)),
        error_code: code_of(&outcome),
        error_message: message_of(&outcome),
        ..Default::default()
    }
}

fn find(
    call: &Call,
    name: Option<&KafkaString>,
    topic_id: KafkaUuid,
    twice: bool,
) -> Result<Arc<Topic>, Refusal> {
    let (what, target) = match name {
        Some(_) if topic_id != KafkaUuid::ZERO => {
            return Err(Refusal::request(
                "You may not specify both topic name and topic id.",
            ));
        }
        Some(name) => ("name", TopicRef::Name(plain(name))),
        None if topic_id == KafkaUuid::ZERO => {
            return Err(Refusal::request(
                "Neither topic name nor id were specified.",
            ));
        }
        None => ("id", TopicRef::Id(ids::topic_id(topic_id))),
    };
    if twice {
        return Err(Refusal::request(format!("Duplicate topic {what}.")));
    }
    if let Some(name) = name {
        call.permit(Operation::Describe, Resource::Topic(name.as_str()))?;
    }
    let topic = call.broker().find_topic(&target)?;
    for operation in [Operation::Describe, Operation::Delete] {
        call.permit(operation, Resource::Topic(&topic.name))?;
    }
    Ok(topic)
}
