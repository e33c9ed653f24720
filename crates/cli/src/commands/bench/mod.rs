//! `headwater bench`: how fast a broker is, measured from outside, on any address that speaks Kafka's protocol.
//!
//! Reading order: [`target`] (the topic and who serves which partition), [`load`] (batches made ahead), [`produce`], [`consume`],
//! [`latency`], [`measure`] (histograms and the report). Every broker gets the same requests from the same code; records
//! are made and compressed before the clock starts, so that the client costs little and the broker is what is measured.

mod consume;
mod latency;
mod load;
mod measure;
mod nexmark;
mod produce;
mod target;

use std::time::Duration;

use super::BootstrapArgs;
use super::produce::{acks, codec};
use super::signal::asked_to_end;
use crate::client::{Acks, Codec};
use crate::error::CliError;
use crate::output::Format;
use measure::Report;
use target::Target;

#[derive(Clone, Debug, clap::Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    pub what: What,
}

#[derive(Clone, Debug, clap::Subcommand)]
pub enum What {
    /// Write as fast as the broker takes it, or at a rate
    Produce(ProduceBench),
    /// Read a topic from its beginning
    Consume(ConsumeBench),
    /// Time from sending a record to having read it, one at a time or at a rate
    Latency(LatencyBench),
    /// Run the Nexmark queries over a topic, compare them with their batch answers, and tell how fast they are
    Nexmark(nexmark::NexmarkArgs),
}

/// What every benchmark takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Common {
    #[command(flatten)]
    pub bootstrap: BootstrapArgs,
    /// Use this topic, which stays; otherwise one is made and deleted again
    #[arg(long)]
    pub topic: Option<String>,
    /// Partitions of the topic made
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: i32,
    /// Bytes of a record's value
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(16..))]
    pub record_size: u32,
    /// Connections to each broker
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub connections: u16,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    pub output: Format,
}

/// How records are sent.
#[derive(Clone, Debug, clap::Args)]
pub struct Sending {
    /// When a record counts as delivered: all, 1 or 0
    #[arg(long, default_value = "all", value_parser = acks)]
    pub acks: Acks,
    /// none, gzip, snappy, lz4 or zstd
    #[arg(long, default_value = "none", value_parser = codec)]
    pub compression: Codec,
    /// Without producer id and sequences
    #[arg(long)]
    pub no_idempotence: bool,
    /// Bytes of a batch before compression
    #[arg(long, default_value_t = 256 * 1024)]
    pub batch_size: u32,
    /// Batches in one request, for as many partitions
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    pub batches: u16,
    /// Requests of a connection that may wait for their answers
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub in_flight: u16,
}

#[derive(Clone, Debug, clap::Args)]
pub struct ProduceBench {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub sending: Sending,
    /// Send so many records instead of for a time
    #[arg(long, conflicts_with = "duration")]
    pub records: Option<u64>,
    /// How long to measure, such as 500ms, 10s or 2m
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub duration: Duration,
    /// Send without measuring before that
    #[arg(long, default_value = "1s", value_parser = duration)]
    pub warm_up: Duration,
    /// Records a second; as many as are taken unless told. Times then count from when a record was due
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: Option<u64>,
    /// With a rate: how long records are gathered for a batch
    #[arg(long, default_value = "5ms", value_parser = duration)]
    pub linger: Duration,
}

#[derive(Clone, Debug, clap::Args)]
pub struct ConsumeBench {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub sending: Sending,
    /// Records written first, unless a topic is given
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub records: u64,
    /// Read again and again for so long; once from beginning to end unless told
    #[arg(long, value_parser = duration)]
    pub duration: Option<Duration>,
    /// Most bytes of an answer
    #[arg(long, default_value_t = 50 * 1024 * 1024)]
    pub fetch_bytes: i32,
    /// Most bytes of a partition in an answer
    #[arg(long, default_value_t = 4 * 1024 * 1024)]
    pub partition_bytes: i32,
}

#[derive(Clone, Debug, clap::Args)]
pub struct LatencyBench {
    #[command(flatten)]
    pub common: Common,
    /// When a record counts as delivered: all or 1
    #[arg(long, default_value = "all", value_parser = acks)]
    pub acks: Acks,
    /// Without producer id and sequences
    #[arg(long)]
    pub no_idempotence: bool,
    /// How long to measure, such as 500ms, 10s or 2m
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub duration: Duration,
    /// Send without measuring before that
    #[arg(long, default_value = "1s", value_parser = duration)]
    pub warm_up: Duration,
    /// Records a second; the next when the one before has been read unless told
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: Option<u64>,
}

/// `500ms`, `10s`, `2m`, `1h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let wrong = || format!("{text:?} is not a time such as 500ms, 10s or 2m");
    let number: f64 = digits.parse().map_err(|_| wrong())?;
    let seconds = match &text[digits.len()..] {
        "ms" => number / 1e3,
        "s" | "" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err(wrong()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

pub(super) async fn run(args: BenchArgs) -> Result<(), CliError> {
    let common = match &args.what {
        What::Produce(args) => args.common.clone(),
        What::Consume(args) => args.common.clone(),
        What::Latency(args) => args.common.clone(),
        What::Nexmark(args) => return nexmark::run(args).await,
    };
    let target = Target::prepare(&common).await?;
    let measured = tokio::select! {
        measured = measure(&args.what, &target) => Some(measured),
        () = asked_to_end() => None,
    };
    // Also when something failed: what was made here shall not stay.
    let deleted = target.clean_up().await;
    match measured {
        Some(report) => report?.print(common.output)?,
        None => return Err(ended()),
    }
    deleted
}

/// Somebody wanted no more of it.
fn ended() -> CliError {
    CliError::Usage("ended before there was a result".to_owned())
}

async fn measure(what: &What, target: &Target) -> Result<Report, CliError> {
    match what {
        What::Produce(args) => produce::run(args, target).await,
        What::Consume(args) => consume::run(args, target).await,
        What::Latency(args) => latency::run(args, target).await,
        // It has a topic of its own and was run before there was a target.
        What::Nexmark(_) => Err(CliError::Usage("nexmark needs no target".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, ms) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("3", 3_000),
            ("1.5m", 90_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for wrong in ["", "s", "10 s", "-1s", "5d", "1e400s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
