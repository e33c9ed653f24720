//! Topic ids between their form on the wire and ours (the same 16 bytes; shown by Kafka as base64).

use headwater_base::TopicId;
use kacrab_protocol::KafkaUuid;

/// Our id of a topic from the wire.
pub fn topic_id(uuid: KafkaUuid) -> TopicId {
    TopicId(uuid.to_bytes())
}

/// The form on the wire of a topic's id.
pub fn uuid(topic: TopicId) -> KafkaUuid {
    let value = u128::from_be_bytes(topic.0);
    KafkaUuid::from_parts((value >> 64) as u64, value as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_the_way_out_and_back() {
        let id = TopicId([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 255]);
        assert_eq!(topic_id(uuid(id)), id);
        assert_eq!(uuid(TopicId::default()), KafkaUuid::ZERO);
    }
}
