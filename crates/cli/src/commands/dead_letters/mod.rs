//! `headwater dead-letters`: what pipelines could not take in, and the same records once more after the cause is mended.

mod memory;
mod rebuilds;
mod replay;

use serde_json::Value;

use self::memory::{Memory, Place};
use self::rebuilds::Rebuilds;
use self::replay::{Done, Replay};
use super::BootstrapArgs;
use crate::client::{Client, Fetched, Fetcher, FetcherConfig, Producer, ProducerConfig, Start};
use crate::error::CliError;
use crate::output::{self, Format};

const TOPIC: &str = "headwater-dead-letters";

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
        /// Also those whose records were read again when their pipeline was rebuilt
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        bootstrap: BootstrapArgs,
        /// For people or for programs (one object a line, the record's bytes in value_base64)
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// Write them to their topics once more, those that no earlier replay wrote and no rebuild of their pipeline has read again
    Replay {
        #[command(flatten)]
        which: Which,
        /// Write to this topic instead of the record's own
        #[arg(long, value_name = "TOPIC")]
        to: Option<String>,
        /// Pass each value through this command (standard input to standard output); one that fails leaves the record out
        #[arg(long, value_name = "COMMAND")]
        through: Option<String>,
        /// What remembers which records were replayed; under another name they are replayed once more
        #[arg(long, default_value = "", hide_default_value = true)]
        memory: String,
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
            all,
            bootstrap,
            output,
        } => list(&which, all, &bootstrap, output).await,
        Action::Replay {
            which,
            to,
            through,
            memory,
            bootstrap,
            output,
        } => {
            let client = bootstrap.connect().await?;
            let mut replay = Replay {
                producer: Producer::new(client.clone(), ProducerConfig::default()),
                rebuilds: Rebuilds::read(&client).await?,
                memory: Memory::open(&client, &memory, to.as_deref()).await?,
                client,
                which,
                to,
                through,
                done: Done::default(),
            };
            replay.all().await?;
            replay.report(output)
        }
    }
}

async fn list(
    which: &Which,
    all: bool,
    bootstrap: &BootstrapArgs,
    format: Format,
) -> Result<(), CliError> {
    let client = bootstrap.connect().await?;
    let rebuilds = match all {
        true => Rebuilds::default(),
        false => Rebuilds::read(&client).await?,
    };
    let mut rows = Vec::new();
    each_part(&client, TOPIC, |part| {
        let meant = letters(part)
            .filter(|(offset, letter)| which.fits(letter) && !rebuilds.have_read(*offset, letter));
        for (_, letter) in meant {
            match format {
                Format::Json => output::json(&letter)?,
                Format::Table => rows.push(row(&letter)),
            }
        }
        Ok(())
    })
    .await?;
    match format {
        Format::Json => Ok(()),
        Format::Table => {
            let heading = ["pipeline", "source", "place", "error", "value"];
            output::line(&output::table(&heading, rows, &[]))
        }
    }
}

/// From the beginning of all partitions on.
async fn all_of(client: &Client, topic: &str) -> Result<Fetcher, CliError> {
    let known = client.partitions(topic, false).await?;
    let starts: Vec<(&str, i32, Start)> = known
        .iter()
        .map(|known| (topic, known.index, Start::Earliest))
        .collect();
    Ok(Fetcher::new(client.clone(), &starts, FetcherConfig::default()).await?)
}

/// All that a topic holds now, in order of each partition.
async fn each_part(
    client: &Client,
    topic: &str,
    mut take: impl FnMut(&Fetched) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let mut fetcher = all_of(client, topic).await?;
    loop {
        let fetched = fetcher.poll().await?;
        fetched.iter().try_for_each(&mut take)?;
        if fetched.is_empty() && fetcher.at_end() {
            return Ok(());
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

/// The letters with their own offsets.
fn letters(fetched: &Fetched) -> impl Iterator<Item = (i64, Value)> {
    let values = fetched
        .records
        .iter()
        .filter_map(|record| Some((record.offset, record.value.as_deref()?)));
    values.filter_map(|(offset, value)| Some((offset, serde_json::from_slice(value).ok()?)))
}

/// Topic, partition and offset of the record that a letter speaks of.
fn place(letter: &Value) -> Option<Place> {
    let partition = i32::try_from(letter["partition"].as_i64()?).ok()?;
    Some((
        letter["topic"].as_str()?.to_owned(),
        partition,
        letter["offset"].as_i64()?,
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
}
