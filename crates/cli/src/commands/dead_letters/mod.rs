//! `headwater dead-letters`: what pipelines could not take in, and the same records once more after the cause is mended.

use std::collections::HashSet;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use headwater_record::Record;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::BootstrapArgs;
use crate::client::{
    Client, Fetched, Fetcher, FetcherConfig, GroupConfig, GroupConsumer, Outgoing, Producer,
    ProducerConfig, Start,
};
use crate::error::CliError;
use crate::output::{self, Format};

const TOPIC: &str = "headwater-dead-letters";
/// Where a record was before it was replayed: `topic/partition/offset`.
const HEADER: &str = "headwater-replayed";
/// Polls that may bring nothing before a record counts as gone from its topic.
const EMPTY_POLLS_MAX: usize = 3;

#[derive(Clone, Debug, clap::Args)]
pub struct DeadLettersArgs {
    #[command(subcommand)]
    pub action: Action,
}

#[derive(Clone, Debug, clap::Subcommand)]
pub enum Action {
    /// Show the records that pipelines could not take in, and why
    List {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        bootstrap: BootstrapArgs,
        /// For people or for programs (one object a line, the record's bytes in value_base64)
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// Write them to their topics once more, those that no earlier replay wrote
    Replay {
        #[command(flatten)]
        which: Which,
        /// Write to this topic instead of the record's own
        #[arg(long, value_name = "TOPIC")]
        to: Option<String>,
        /// Pass each value through this command (standard input to standard output); one that fails leaves the record out
        #[arg(long, value_name = "COMMAND")]
        through: Option<String>,
        /// The consumer group that remembers how far the letters were gone through; by default one for each choice of letters
        #[arg(long)]
        group: Option<String>,
        #[command(flatten)]
        bootstrap: BootstrapArgs,
        /// For people or for programs
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
}

/// Which letters are meant; all without an option.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Which {
    /// Only those of this pipeline
    #[arg(long)]
    pub pipeline: Option<String>,
    /// Only those of this source or table
    #[arg(long)]
    pub source: Option<String>,
    /// Only those whose error contains this text
    #[arg(long, value_name = "TEXT")]
    pub error: Option<String>,
}

impl Which {
    /// A choice of letters passes over the others, so that each has to remember its own way.
    fn group(&self) -> String {
        let parts = [&self.pipeline, &self.source, &self.error];
        let parts = parts.into_iter().flatten().map(String::as_str);
        std::iter::once("headwater-replay")
            .chain(parts)
            .collect::<Vec<_>>()
            .join(":")
    }

    fn fits(&self, letter: &Value) -> bool {
        let same = |wanted: &Option<String>, name: &str| {
            wanted
                .as_ref()
                .is_none_or(|wanted| letter[name] == wanted.as_str())
        };
        let error = letter["error"].as_str().unwrap_or_default();
        same(&self.pipeline, "pipeline")
            && same(&self.source, "source")
            && self
                .error
                .as_ref()
                .is_none_or(|text| error.contains(text.as_str()))
    }
}

pub(super) async fn run(args: DeadLettersArgs) -> Result<(), CliError> {
    match args.action {
        Action::List {
            which,
            bootstrap,
            output,
        } => list(&which, &bootstrap, output).await,
        Action::Replay {
            which,
            to,
            through,
            group,
            bootstrap,
            output,
        } => {
            let client = bootstrap.connect().await?;
            let group = group.unwrap_or_else(|| which.group());
            let mut replay = Replay {
                producer: Producer::new(client.clone(), ProducerConfig::default()),
                client,
                which,
                to,
                through,
                seen: HashSet::new(),
                replayed: 0,
                left_out: 0,
            };
            replay.all(group).await?;
            replay.report(output)
        }
    }
}

async fn list(which: &Which, bootstrap: &BootstrapArgs, format: Format) -> Result<(), CliError> {
    let client = bootstrap.connect().await?;
    let known = client.partitions(TOPIC, false).await?;
    let starts: Vec<(&str, i32, Start)> = known
        .iter()
        .map(|known| (TOPIC, known.index, Start::Earliest))
        .collect();
    let mut fetcher = Fetcher::new(client, &starts, FetcherConfig::default()).await?;
    let mut rows = Vec::new();
    loop {
        let fetched = fetcher.poll().await?;
        for letter in fetched
            .iter()
            .flat_map(letters)
            .filter(|letter| which.fits(letter))
        {
            match format {
                Format::Json => output::json(&letter)?,
                Format::Table => rows.push(row(&letter)),
            }
        }
        if fetched.is_empty() && fetcher.at_end() {
            break;
        }
    }
    match format {
        Format::Json => Ok(()),
        Format::Table => {
            let heading = ["pipeline", "source", "place", "error", "value"];
            output::line(&output::table(&heading, rows, &[]))
        }
    }
}

fn row(letter: &Value) -> Vec<String> {
    let text = |name: &str| letter[name].as_str().unwrap_or_default().to_owned();
    let short: String = text("value_text").chars().take(60).collect();
    let place = place(letter).map_or_else(String::new, |(topic, partition, offset)| {
        format!("{topic}/{partition}/{offset}")
    });
    vec![
        text("pipeline"),
        text("source"),
        place,
        text("error"),
        short,
    ]
}

fn letters(fetched: &Fetched) -> impl Iterator<Item = Value> {
    let values = fetched
        .records
        .iter()
        .filter_map(|record| record.value.as_deref());
    values.filter_map(|value| serde_json::from_slice(value).ok())
}

/// Topic, partition and offset of the record that a letter speaks of.
fn place(letter: &Value) -> Option<(String, i32, i64)> {
    let partition = i32::try_from(letter["partition"].as_i64()?).ok()?;
    Some((
        letter["topic"].as_str()?.to_owned(),
        partition,
        letter["offset"].as_i64()?,
    ))
}

struct Replay {
    client: Client,
    producer: Producer,
    which: Which,
    to: Option<String>,
    through: Option<String>,
    /// A record that two pipelines could not take in goes out once.
    seen: HashSet<(String, i32, i64)>,
    replayed: u64,
    left_out: u64,
}

impl Replay {
    /// Up to the end of the letters. What was written is remembered by the group once it is delivered: after a crash in between, the records
    /// of one poll may go out twice.
    async fn all(&mut self, group: String) -> Result<(), CliError> {
        self.client.partitions(TOPIC, false).await?;
        let config = GroupConfig {
            group,
            topics: vec![TOPIC.to_owned()],
            start: Start::Earliest,
            fetcher: FetcherConfig::default(),
        };
        let mut consumer = GroupConsumer::new(self.client.clone(), config);
        let outcome = self.until_end(&mut consumer).await;
        let closed = consumer.close().await;
        outcome.and(closed.map_err(Into::into))
    }

    async fn until_end(&mut self, consumer: &mut GroupConsumer) -> Result<(), CliError> {
        loop {
            let fetched = consumer.poll().await?;
            for part in &fetched {
                for letter in letters(part) {
                    if self.which.fits(&letter) {
                        self.one(&letter).await?;
                    }
                }
            }
            self.producer.flush().await?;
            for part in &fetched {
                consumer.processed(&part.topic, part.partition, part.next_offset);
            }
            if fetched.is_empty() && consumer.at_end() {
                return Ok(());
            }
        }
    }

    async fn one(&mut self, letter: &Value) -> Result<(), CliError> {
        let Some(place) = place(letter) else {
            self.left_out += 1;
            return Ok(());
        };
        if !self.seen.insert(place.clone()) {
            return Ok(());
        }
        let Some(mut record) = self.original(&place, letter).await? else {
            output::note(&format!(
                "{}/{}/{}: the record is gone",
                place.0, place.1, place.2
            ));
            self.left_out += 1;
            return Ok(());
        };
        if let (Some(command), Some(value)) = (&self.through, &record.value) {
            let Some(mended) = through(command, value).await? else {
                output::note(&format!(
                    "{}/{}/{}: {command} failed",
                    place.0, place.1, place.2
                ));
                self.left_out += 1;
                return Ok(());
            };
            record.value = Some(mended.into());
        }
        self.send(&place, &record).await?;
        self.replayed += 1;
        Ok(())
    }

    async fn send(&self, place: &(String, i32, i64), record: &Record) -> Result<(), CliError> {
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
    async fn original(
        &self,
        place: &(String, i32, i64),
        letter: &Value,
    ) -> Result<Option<Record>, CliError> {
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

    fn report(&self, format: Format) -> Result<(), CliError> {
        match format {
            Format::Json => {
                output::json(&json!({ "replayed": self.replayed, "left_out": self.left_out }))
            }
            Format::Table => {
                output::note(&format!(
                    "{} records replayed, {} left out",
                    self.replayed, self.left_out
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

    #[test]
    fn letters_are_picked_by_pipeline_source_and_error() {
        let letter = json!({"pipeline": "shop", "source": "orders", "error": "id: expected a number", "topic": "orders", "partition": 2, "offset": 7});
        let which = |pipeline: Option<&str>, error: Option<&str>| Which {
            pipeline: pipeline.map(str::to_owned),
            error: error.map(str::to_owned),
            ..Which::default()
        };
        assert!(which(None, None).fits(&letter));
        assert!(which(Some("shop"), Some("a number")).fits(&letter));
        assert!(!which(Some("other"), None).fits(&letter));
        assert!(!which(None, Some("date")).fits(&letter));
        assert_eq!(place(&letter), Some(("orders".to_owned(), 2, 7)));
        assert_eq!(place(&json!({"topic": "t"})), None);
    }

    #[tokio::test]
    async fn values_pass_through_a_command() {
        assert_eq!(
            through("tr a b", b"banana").await.unwrap().unwrap(),
            b"bbnbnb"
        );
        assert_eq!(through("false", b"x").await.unwrap(), None);
    }
}
