//! The records of letters once more into their topics.

use std::collections::{HashMap, HashSet};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use headwater_record::Record;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::memory::{Memory, Place};
use super::rebuilds::Rebuilds;
use super::{TOPIC, Which, all_of, letters, place};
use crate::client::{Client, Fetcher, FetcherConfig, Outgoing, Producer, Start};
use crate::error::CliError;
use crate::output::{self, Format};

/// Where a record was before it was replayed: `topic/partition/offset`.
const HEADER: &str = "headwater-replayed";
/// Polls that may bring nothing before a record counts as gone from its topic.
const EMPTY_POLLS_MAX: usize = 3;

pub(super) struct Replay {
    pub client: Client,
    pub producer: Producer,
    pub which: Which,
    pub to: Option<String>,
    pub through: Option<String>,
    pub rebuilds: Rebuilds,
    pub memory: Memory,
    pub done: Done,
}

/// What came of the letters so far.
#[derive(Default)]
pub(super) struct Done {
    seen: HashSet<Place>,
    replayed: u64,
    left_out: u64,
    read_again: u64,
}

impl Replay {
    /// All letters that are there now: a record that is still bad becomes a letter again, which is for another time.
    pub async fn all(&mut self) -> Result<(), CliError> {
        if let Some(to) = &self.to {
            // A misspelled name is not to be made a topic.
            self.client.partitions(to, false).await?;
        }
        let mut open = self.ends().await?;
        let mut fetcher = all_of(&self.client, TOPIC).await?;
        while !open.is_empty() {
            let fetched = fetcher.poll().await?;
            for part in &fetched {
                let end = open.get(&part.partition).copied().unwrap_or(0);
                for (offset, letter) in letters(part).filter(|(offset, _)| *offset < end) {
                    self.consider(offset, &letter).await?;
                }
                if part.next_offset >= end {
                    open.remove(&part.partition);
                }
            }
            self.memory.keep(&self.producer).await?;
            if fetched.is_empty() && fetcher.at_end() {
                break;
            }
        }
        Ok(())
    }

    /// Where the letters of each partition end.
    async fn ends(&self) -> Result<HashMap<i32, i64>, CliError> {
        let mut ends = HashMap::new();
        for part in self.client.partitions(TOPIC, false).await? {
            let end = self
                .client
                .offset_of(TOPIC, part.index, part.leader, Start::Latest);
            ends.insert(part.index, end.await?);
        }
        ends.retain(|_, end| *end > 0);
        Ok(ends)
    }

    async fn consider(&mut self, offset: i64, letter: &Value) -> Result<(), CliError> {
        if !self.which.fits(letter) {
            return Ok(());
        }
        if self.rebuilds.have_read(offset, letter) {
            self.done.read_again += 1;
            return Ok(());
        }
        self.one(letter).await
    }

    async fn one(&mut self, letter: &Value) -> Result<(), CliError> {
        let Some(place) = place(letter) else {
            self.done.left_out += 1;
            return Ok(());
        };
        // A record that two pipelines could not take in goes out once.
        if self.memory.knows(&place) || !self.done.seen.insert(place.clone()) {
            return Ok(());
        }
        let told = format!("{}/{}/{}", place.0, place.1, place.2);
        let Some(mut record) = self.original(&place, letter).await? else {
            output::note(&format!("{told}: the record is gone"));
            self.done.left_out += 1;
            return Ok(());
        };
        if let (Some(command), Some(value)) = (&self.through, &record.value) {
            let Some(mended) = through(command, value).await? else {
                output::note(&format!("{told}: {command} failed"));
                self.done.left_out += 1;
                return Ok(());
            };
            record.value = Some(mended.into());
        }
        self.send(&place, &record).await?;
        self.memory.sent(place);
        self.done.replayed += 1;
        Ok(())
    }

    async fn send(&self, place: &Place, record: &Record) -> Result<(), CliError> {
        let from = format!("{}/{}/{}", place.0, place.1, place.2);
        let names: Vec<(String, Option<&[u8]>)> = record
            .headers
            .iter()
            .map(|header| {
                (
                    String::from_utf8_lossy(&header.key).into_owned(),
                    header.value.as_deref(),
                )
            })
            .collect();
        let mut headers: Vec<(&[u8], Option<&[u8]>)> = names
            .iter()
            .map(|(name, value)| (name.as_bytes(), *value))
            .collect();
        headers.push((HEADER.as_bytes(), Some(from.as_bytes())));
        let outgoing = Outgoing {
            topic: self.to.as_deref().unwrap_or(&place.0),
            // Of a key all records stay in one partition, so that a table sees them in order.
            partition: self.to.is_none().then_some(place.1),
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &headers,
            timestamp_ms: Some(record.timestamp),
        };
        self.producer.send(&outgoing).await?;
        Ok(())
    }

    /// The record as it is in its topic, else what the letter holds of it, if that is all.
    async fn original(&self, place: &Place, letter: &Value) -> Result<Option<Record>, CliError> {
        let (topic, partition, offset) = place;
        if let Ok(mut fetcher) = Fetcher::new(
            self.client.clone(),
            &[(topic.as_str(), *partition, Start::At(*offset))],
            one_record(),
        )
        .await
        {
            for _ in 0..EMPTY_POLLS_MAX {
                let Ok(fetched) = fetcher.poll().await else {
                    break;
                };
                let mut records = fetched.into_iter().flat_map(|part| part.records);
                match records.next() {
                    Some(record) if record.offset == *offset => return Ok(Some(record)),
                    Some(_) => break,
                    None => {}
                }
            }
        }
        if letter["truncated"] == true {
            return Ok(None);
        }
        let bytes = |name: &str| {
            letter[name]
                .as_str()
                .and_then(|text| STANDARD.decode(text).ok())
        };
        Ok(Some(Record {
            offset: *offset,
            timestamp: letter["time"].as_i64().unwrap_or_default(),
            key: bytes("key_base64").map(Into::into),
            value: bytes("value_base64").map(Into::into),
            headers: Vec::new(),
        }))
    }

    pub fn report(&self, format: Format) -> Result<(), CliError> {
        let Done {
            replayed,
            left_out,
            read_again,
            ..
        } = &self.done;
        match format {
            Format::Json => output::json(
                &json!({ "replayed": replayed, "left_out": left_out, "read_again": read_again }),
            ),
            Format::Table => {
                let more = match read_again {
                    0 => String::new(),
                    count => format!("; {count} were read again when their pipeline was rebuilt"),
                };
                output::note(&format!(
                    "{replayed} records replayed, {left_out} left out{more}"
                ));
                Ok(())
            }
        }
    }
}

fn one_record() -> FetcherConfig {
    FetcherConfig {
        max_wait: Duration::from_millis(200),
        ..FetcherConfig::default()
    }
}

/// What a command makes of a value; `None` if it fails.
async fn through(command: &str, value: &[u8]) -> Result<Option<Vec<u8>>, CliError> {
    let failed = |error| CliError::io(format!("cannot run {command}"), error);
    let mut child = tokio::process::Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let input = child.stdin.take();
    let write = async {
        if let Some(mut input) = input {
            // A command that does not read its input to the end is judged by its exit code.
            let _ = input.write_all(value).await;
        }
    };
    let ((), done) = tokio::join!(write, child.wait_with_output());
    let done = done.map_err(failed)?;
    Ok(done.status.success().then_some(done.stdout))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn values_pass_through_a_command() {
        assert_eq!(
            through("tr a b", b"banana").await.unwrap().unwrap(),
            b"bbnbnb"
        );
        assert_eq!(through("false", b"x").await.unwrap(), None);
    }
}
