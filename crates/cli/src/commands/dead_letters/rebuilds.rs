//! Letters that are void: a pipeline that is built anew reads its topics again, so that a record which it could not take in before is in its
//! views now, or has got a newer letter. A replay would count it twice.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use super::{each_part, place};
use crate::client::{Client, ClientError};
use crate::error::CliError;

/// Where the node writes down each rebuild.
const TOPIC: &str = "__headwater_rebuilds";

/// By pipeline.
#[derive(Default)]
pub(super) struct Rebuilds(HashMap<String, Vec<Rebuild>>);

#[derive(Deserialize)]
struct Rebuild {
    pipeline: String,
    /// Letters in front of this offset were there before.
    letters: i64,
    /// Topic and partition that were read again, and from where.
    read: Vec<(String, i32, i64)>,
}

impl Rebuilds {
    pub async fn read(client: &Client) -> Result<Self, CliError> {
        // A node of an older version has none.
        if let Err(ClientError::NoTopic { .. }) = client.partitions(TOPIC, false).await {
            return Ok(Self::default());
        }
        let mut all = Self::default();
        each_part(client, TOPIC, |part| {
            let values = part.records.iter().filter_map(|r| r.value.as_deref());
            all.add(values.filter_map(|value| serde_json::from_slice(value).ok()));
            Ok(())
        })
        .await?;
        Ok(all)
    }

    fn add(&mut self, rebuilds: impl Iterator<Item = Rebuild>) {
        for rebuild in rebuilds {
            let of_pipeline = self.0.entry(rebuild.pipeline.clone()).or_default();
            of_pipeline.push(rebuild);
        }
    }

    /// Whether the pipeline of the letter at `offset` has read its record again since.
    pub fn have_read(&self, offset: i64, letter: &Value) -> bool {
        let pipeline = letter["pipeline"].as_str().unwrap_or_default();
        let (Some(rebuilds), Some((topic, partition, at))) = (self.0.get(pipeline), place(letter))
        else {
            return false;
        };
        let covers =
            |(t, p, from): &(String, i32, i64)| (t, *p) == (&topic, partition) && at >= *from;
        let newer = rebuilds.iter().filter(|rebuild| offset < rebuild.letters);
        newer.flat_map(|rebuild| &rebuild.read).any(covers)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn letters_of_before_are_void_where_the_topic_was_read_again() {
        let mut all = Rebuilds::default();
        let rebuild = json!({"time": 1, "pipeline": "shop", "letters": 10, "read": [["orders", 0, 0], ["orders", 1, 50]]});
        all.add(std::iter::once(serde_json::from_value(rebuild).unwrap()));
        let letter = |pipeline: &str, partition: i32, offset: i64| json!({"pipeline": pipeline, "topic": "orders", "partition": partition, "offset": offset});
        assert!(all.have_read(9, &letter("shop", 0, 3)));
        assert!(!all.have_read(10, &letter("shop", 0, 3)), "a newer letter");
        assert!(!all.have_read(9, &letter("other", 0, 3)));
        assert!(all.have_read(9, &letter("shop", 1, 50)));
        assert!(
            !all.have_read(9, &letter("shop", 1, 49)),
            "not retained when it was rebuilt"
        );
    }
}
