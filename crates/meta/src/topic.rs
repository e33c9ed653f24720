//! What a topic is, and which names it may have.

use std::collections::BTreeMap;

use headwater_base::limits::TOPIC_NAME_BYTES_MAX;
use headwater_base::{PartitionId, TopicId};
use serde::{Deserialize, Serialize};

use crate::configs::TopicSettings;

/// Names of internal topics begin with this; clients may neither make nor write them. Other names that begin with two
/// underscores belong to clients (`__debezium-heartbeat`).
pub const INTERNAL_PREFIX: &str = "__headwater";

/// A topic as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topic {
    pub name: String,
    #[serde(with = "hex_id")]
    pub id: TopicId,
    pub partitions: i32,
    /// What was set by somebody; everything else has its default.
    #[serde(default)]
    pub configs: BTreeMap<String, String>,
    /// The values of `configs` that the broker works with, parsed once.
    #[serde(skip)]
    pub settings: TopicSettings,
}

impl Topic {
    pub fn new(
        name: String,
        id: TopicId,
        partitions: i32,
        configs: BTreeMap<String, String>,
    ) -> Self {
        let settings = TopicSettings::of(&configs);
        Self {
            name,
            id,
            partitions,
            configs,
            settings,
        }
    }

    pub fn partition(&self, index: i32) -> Option<PartitionId> {
        (0..self.partitions)
            .contains(&index)
            .then_some(PartitionId {
                topic: self.id,
                index,
            })
    }

    pub fn partition_ids(&self) -> impl Iterator<Item = PartitionId> + '_ {
        (0..self.partitions).map(|index| PartitionId {
            topic: self.id,
            index,
        })
    }

    pub fn is_internal(&self) -> bool {
        self.name.starts_with(INTERNAL_PREFIX)
    }
}

/// Kafka's rule for topic names; the text says what is wrong.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("Topic name is invalid: the empty string is not allowed".into());
    }
    if name == "." || name == ".." {
        return Err(format!("Topic name is invalid: '{name}' is not allowed"));
    }
    if name.len() > TOPIC_NAME_BYTES_MAX {
        return Err(format!(
            "Topic name is invalid: the length of '{name}' is longer than the max allowed length {TOPIC_NAME_BYTES_MAX}"
        ));
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match name.chars().all(legal) {
        true => Ok(()),
        false => Err(format!(
            "Topic name is invalid: '{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
        )),
    }
}

/// The name under which `a.b` and `a_b` collide, as in Kafka (its metrics do not tell them apart).
pub fn collision_key(name: &str) -> String {
    name.replace('.', "_")
}

mod hex_id {
    use headwater_base::TopicId;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(id: &TopicId, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(id)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<TopicId, D::Error> {
        let text = String::deserialize(input)?;
        let number = u128::from_str_radix(&text, 16).map_err(D::Error::custom)?;
        Ok(TopicId(number.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_follow_kafkas_rule() {
        for good in ["a", "A.b_c-9", "...", &"x".repeat(249)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "bad name!", "a/b", "é", &"x".repeat(250)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_topic_survives_json_and_gets_its_settings_back_from_its_configs() {
        let configs = BTreeMap::from([("max.message.bytes".to_owned(), "77".to_owned())]);
        let topic = Topic::new("t".into(), TopicId([3; 16]), 2, configs);
        let text = serde_json::to_string(&topic).unwrap();
        let back: Topic = serde_json::from_str(&text).unwrap();
        assert_eq!(
            Topic::new(back.name, back.id, back.partitions, back.configs),
            topic
        );
        assert_eq!(topic.settings.max_message_bytes, 77);
    }
}
