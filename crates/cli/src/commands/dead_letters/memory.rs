//! Which records were replayed: a record each of a compacted topic, so that a record goes out once, whichever choice of letters brings it up.

use std::collections::HashSet;

use serde_json::json;

use super::each_part;
use crate::client::{Client, ClientError, Outgoing, Producer};
use crate::error::CliError;

const TOPIC: &str = "headwater-dead-letters-replayed";

/// Topic, partition and offset of a record that was bad.
pub(super) type Place = (String, i32, i64);

pub(super) struct Memory {
    /// Memories of other names know nothing of each other.
    name: String,
    /// Where the records go, if not into their own topics.
    to: Option<String>,
    places: HashSet<Place>,
    fresh: Vec<Place>,
}

impl Memory {
    /// What earlier replays under this name have written.
    pub async fn open(client: &Client, name: &str, to: Option<&str>) -> Result<Self, CliError> {
        let mut memory = Self {
            name: name.to_owned(),
            to: to.map(str::to_owned),
            places: HashSet::new(),
            fresh: Vec::new(),
        };
        if let Err(ClientError::NoTopic { .. }) = client.partitions(TOPIC, false).await {
            let compacted = ("cleanup.policy".to_owned(), "compact".to_owned());
            client.create_topic(TOPIC, 1, &[compacted]).await?;
            return Ok(memory);
        }
        each_part(client, TOPIC, |part| {
            let keys = part.records.iter().filter_map(|r| r.key.as_deref());
            memory.learn(keys);
            Ok(())
        })
        .await?;
        Ok(memory)
    }

    fn learn<'k>(&mut self, keys: impl Iterator<Item = &'k [u8]>) {
        for key in keys {
            let known: Option<(String, Option<String>, Place)> = serde_json::from_slice(key).ok();
            let own = known.filter(|(name, to, _)| *name == self.name && *to == self.to);
            self.places.extend(own.map(|(_, _, place)| place));
        }
    }

    pub fn knows(&self, place: &Place) -> bool {
        self.places.contains(place)
    }

    /// It is on its way.
    pub fn sent(&mut self, place: Place) {
        self.places.insert(place.clone());
        self.fresh.push(place);
    }

    /// Writes down what was sent, once it is delivered: after a crash in between it may go out twice.
    pub async fn keep(&mut self, producer: &Producer) -> Result<(), CliError> {
        if self.fresh.is_empty() {
            return Ok(());
        }
        producer.flush().await?;
        for place in self.fresh.drain(..) {
            let key = json!([self.name, self.to, place]).to_string();
            let outgoing = Outgoing {
                topic: TOPIC,
                partition: Some(0),
                key: Some(key.as_bytes()),
                value: Some(b"{}"),
                headers: &[],
                timestamp_ms: None,
            };
            producer.send(&outgoing).await?;
        }
        Ok(producer.flush().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_a_target_have_a_memory_of_their_own() {
        let mut memory = Memory {
            name: String::new(),
            to: None,
            places: HashSet::new(),
            fresh: Vec::new(),
        };
        let keys = [
            json!(["", null, ["orders", 0, 5]]),
            json!(["", "copy", ["orders", 0, 6]]),
            json!(["other", null, ["orders", 0, 7]]),
        ]
        .map(|key| key.to_string());
        memory.learn(keys.iter().map(String::as_bytes));
        let knows = |offset| memory.knows(&("orders".to_owned(), 0, offset));
        assert_eq!([5, 6, 7].map(knows), [true, false, false]);
    }
}
