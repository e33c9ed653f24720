//! What several APIs need: naming topics, authorized operations, config sources and types.

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

/// Bits of Kafka's `AclOperation`, for the fields that say what the client may do: here, everything that applies.
const fn operations(codes: &[u8]) -> i32 {
    let mut bits = 0;
    let mut at = 0;
    while at < codes.len() {
        bits |= 1 << codes[at];
        at += 1;
    }
    bits
}

/// READ, WRITE, CREATE, DELETE, ALTER, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS.
pub(crate) const TOPIC_OPERATIONS: i32 = operations(&[3, 4, 5, 6, 7, 8, 10, 11]);
/// CREATE, ALTER, DESCRIBE, CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS, IDEMPOTENT_WRITE.
pub(crate) const CLUSTER_OPERATIONS: i32 = operations(&[5, 7, 8, 9, 10, 11, 12]);
/// The client did not ask.
pub(crate) const OPERATIONS_UNASKED: i32 = i32::MIN;

/// Kafka's `ConfigResource.Type`.
pub(crate) const RESOURCE_TOPIC: i8 = 2;
pub(crate) const RESOURCE_BROKER: i8 = 4;

/// Kafka's `ConfigSource`: set on the topic.
pub(crate) const SOURCE_TOPIC: i8 = 1;
/// Set when the node was started.
pub(crate) const SOURCE_STATIC_BROKER: i8 = 4;
/// Set by nobody.
pub(crate) const SOURCE_DEFAULT: i8 = 5;
