//! `headwater consume`: prints records as they come, until told to stop.

use std::io::{BufWriter, Stdout, Write};
use std::sync::Arc;

use super::BootstrapArgs;
use super::signal::asked_to_end;
use crate::client::{
    Client, ClientError, Fetched, Fetcher, FetcherConfig, GroupConfig, GroupConsumer, Start,
};
use crate::error::CliError;

mod format;

use format::RecordFormat;

#[derive(Clone, Debug, clap::Args)]
pub struct ConsumeArgs {
    pub topic: String,
    /// Where to begin: beginning, end, an offset, or @MILLISECONDS since the epoch. In a group: where nothing is committed
    #[arg(long, default_value = "beginning", value_name = "WHERE", value_parser = from)]
    pub from: Start,
    /// Only this partition; may be repeated
    #[arg(long, conflicts_with = "group")]
    pub partition: Vec<i32>,
    /// Read as a member of this consumer group, from its committed offsets on
    #[arg(long)]
    pub group: Option<String>,
    /// End after this many records
    #[arg(long, value_name = "N")]
    pub max: Option<u64>,
    /// End when everything that is there has been read
    #[arg(long, short = 'e')]
    pub exit_at_end: bool,
    /// json, or text with %k key, %v value, %o offset, %p partition, %t timestamp (ms), %T topic, %h headers, \t and \n
    #[arg(long, default_value = "%v", value_parser = RecordFormat::parse)]
    pub format: RecordFormat,
    #[command(flatten)]
    pub bootstrap: BootstrapArgs,
}

/// `beginning`, `end`, an offset, or `@` and milliseconds.
pub(super) fn from(text: &str) -> Result<Start, String> {
    let wrong =
        || format!("{text:?} is not beginning, end, an offset, or @MILLISECONDS since the epoch");
    match (text, text.strip_prefix('@')) {
        ("beginning" | "earliest", _) => Ok(Start::Earliest),
        ("end" | "latest", _) => Ok(Start::Latest),
        (_, Some(time)) => time.parse().map(Start::Time).map_err(|_| wrong()),
        (offset, None) => offset
            .parse()
            .ok()
            .filter(|offset| *offset >= 0)
            .map(Start::At)
            .ok_or_else(wrong),
    }
}

pub(super) async fn run(args: ConsumeArgs) -> Result<(), CliError> {
    let client = args.bootstrap.connect().await?;
    let mut printer = Printer {
        out: BufWriter::new(std::io::stdout()),
        format: args.format.clone(),
        left: args.max,
    };
    let outcome = match args.group.clone() {
        Some(group) => as_member(client, &args, group, &mut printer).await,
        None => alone(client, &args, &mut printer).await,
    };
    printer.flush().and(outcome)
}

async fn alone(client: Client, args: &ConsumeArgs, printer: &mut Printer) -> Result<(), CliError> {
    let known = client.partitions(&args.topic, false).await?;
    let missing = |partition: i32| ClientError::NoPartition {
        topic: args.topic.clone(),
        partition,
    };
    if let Some(partition) = args
        .partition
        .iter()
        .find(|wanted| known.iter().all(|known| known.index != **wanted))
    {
        return Err(missing(*partition).into());
    }
    let wanted = known
        .iter()
        .filter(|known| args.partition.is_empty() || args.partition.contains(&known.index));
    let starts: Vec<(&str, i32, Start)> = wanted
        .map(|known| (args.topic.as_str(), known.index, args.from))
        .collect();
    let mut fetcher = Fetcher::new(client, &starts, FetcherConfig::default()).await?;
    let mut end = std::pin::pin!(asked_to_end());
    while !printer.is_done() {
        let fetched = tokio::select! {
            fetched = fetcher.poll() => fetched?,
            () = &mut end => return Ok(()),
        };
        fetched
            .iter()
            .try_for_each(|part| printer.print(part).map(drop))?;
        printer.flush()?;
        if args.exit_at_end && fetched.is_empty() && fetcher.at_end() {
            return Ok(());
        }
    }
    Ok(())
}

async fn as_member(
    client: Client,
    args: &ConsumeArgs,
    group: String,
    printer: &mut Printer,
) -> Result<(), CliError> {
    // A topic that does not exist would leave a group without partitions, silently.
    client.partitions(&args.topic, false).await?;
    let topics = vec![args.topic.clone()];
    let config = GroupConfig {
        group,
        topics,
        start: args.from,
        fetcher: FetcherConfig::default(),
    };
    let mut consumer = GroupConsumer::new(client, config);
    let mut end = std::pin::pin!(asked_to_end());
    let outcome = loop {
        if printer.is_done() {
            break Ok(());
        }
        let polled = tokio::select! {
            polled = consumer.poll() => polled,
            () = &mut end => break Ok(()),
        };
        let fetched = match polled {
            Ok(fetched) => fetched,
            Err(error) => break Err(error.into()),
        };
        if let Err(error) = print_as_member(&fetched, printer, &mut consumer) {
            break Err(error);
        }
        if args.exit_at_end && fetched.is_empty() && consumer.at_end() {
            break Ok(());
        }
    };
    // What was printed is committed however it ended.
    let closed = consumer.close().await;
    outcome.and(closed.map_err(Into::into))
}

fn print_as_member(
    fetched: &[Fetched],
    printer: &mut Printer,
    consumer: &mut GroupConsumer,
) -> Result<(), CliError> {
    for part in fetched {
        if let Some(next_offset) = printer.print(part)? {
            consumer.processed(&part.topic, part.partition, next_offset);
        }
    }
    printer.flush()
}

struct Printer {
    out: BufWriter<Stdout>,
    format: RecordFormat,
    /// Records still to print; `None`: all.
    left: Option<u64>,
}

impl Printer {
    fn is_done(&self) -> bool {
        self.left == Some(0)
    }

    /// Prints what is wanted of it; gives the offset behind what was printed.
    fn print(&mut self, part: &Fetched) -> Result<Option<i64>, CliError> {
        let topic: &Arc<str> = &part.topic;
        let mut next_offset = None;
        for record in &part.records {
            if self.is_done() {
                return Ok(next_offset);
            }
            self.format
                .write(&mut self.out, topic, part.partition, record)
                .map_err(CliError::output)?;
            self.left = self.left.map(|left| left - 1);
            next_offset = Some(record.offset + 1);
        }
        Ok(if self.is_done() {
            next_offset
        } else {
            Some(part.next_offset)
        })
    }

    fn flush(&mut self) -> Result<(), CliError> {
        self.out.flush().map_err(CliError::output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_to_begin() {
        assert_eq!(from("beginning"), Ok(Start::Earliest));
        assert_eq!(from("end"), Ok(Start::Latest));
        assert_eq!(from("42"), Ok(Start::At(42)));
        assert_eq!(from("5000000000"), Ok(Start::At(5_000_000_000)));
        assert_eq!(from("@1700000000000"), Ok(Start::Time(1_700_000_000_000)));
        assert!(from("-1").is_err() && from("soon").is_err() && from("@x").is_err());
    }
}
