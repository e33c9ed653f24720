//! What several APIs need: naming topics, authorized operations, types of config resources.

use headwater_broker::TopicRef;
use headwater_wire::{KafkaString, KafkaUuid, ids};

use crate::call::plain;

/// A topic as a request names it: by id where the version has ids (KIP-516), else by name.
pub(crate) fn topic_ref(by_id: bool, name: &KafkaString, id: KafkaUuid) -> TopicRef {
    if by_id {
        TopicRef::Id(ids::topic_id(id))
    } else {
        TopicRef::Name(plain(name))
    }
}

/// The client did not ask.
pub(crate) const OPERATIONS_UNASKED: i32 = i32::MIN;

/// Kafka's `ConfigResource.Type`.
pub(crate) const RESOURCE_TOPIC: i8 = 2;
pub(crate) const RESOURCE_BROKER: i8 = 4;
pub(crate) const RESOURCE_LOGGER: i8 = 8;
pub(crate) const RESOURCE_CLIENT_METRICS: i8 = 16;
pub(crate) const RESOURCE_GROUP: i8 = 32;
