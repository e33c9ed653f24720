//! `headwater produce`: one record a line, from a file or the standard input.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader};

use super::BootstrapArgs;
use crate::client::{Acks, Codec, Outgoing, Producer, ProducerConfig};
use crate::error::CliError;
use crate::output::{self, Format};

/// Longest line taken as a record.
const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;
const READ_BYTES: usize = 256 * 1024;

#[derive(Clone, Debug, clap::Args)]
pub struct ProduceArgs {
    pub topic: String,
    /// Where the lines come from; - is the standard input
    #[arg(default_value = "-")]
    pub file: String,
    /// What stands between key and value in a line; a line without it has no key
    #[arg(long, value_name = "TEXT", conflicts_with = "json_lines")]
    pub key_separator: Option<String>,
    /// Each line is an object with value and, where wanted, key, headers, partition and timestamp (milliseconds), as
    /// `headwater consume --format json` writes them
    #[arg(long)]
    pub json_lines: bool,
    /// When a record counts as delivered: when it is durable (all), when the node has it (1), when it is sent (0)
    #[arg(long, default_value = "all", value_parser = acks)]
    pub acks: Acks,
    /// none, gzip, snappy, lz4 or zstd
    #[arg(long, default_value = "none", value_parser = codec)]
    pub compression: Codec,
    /// Write to this partition only
    #[arg(long)]
    pub partition: Option<i32>,
    #[command(flatten)]
    pub bootstrap: BootstrapArgs,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    pub output: Format,
}

pub(super) fn acks(text: &str) -> Result<Acks, String> {
    match text {
        "all" | "-1" => Ok(Acks::All),
        "1" => Ok(Acks::Leader),
        "0" => Ok(Acks::None),
        _ => Err("it is all, 1 or 0".to_owned()),
    }
}

pub(super) fn codec(text: &str) -> Result<Codec, String> {
    Codec::from_name(text).ok_or_else(|| "it is none, gzip, snappy, lz4 or zstd".to_owned())
}

pub(super) async fn run(args: ProduceArgs) -> Result<(), CliError> {
    let client = args.bootstrap.connect().await?;
    let config = ProducerConfig {
        acks: args.acks,
        codec: args.compression,
        linger: Duration::from_millis(5),
        ..ProducerConfig::default()
    };
    let producer = Producer::new(client, config);
    let started = Instant::now();
    let opened = if args.file == "-" {
        standard_input()
    } else {
        std::fs::File::open(&args.file)
    };
    let file = opened.map_err(|error| CliError::io(format!("cannot read {}", args.file), error))?;
    let input = BufReader::with_capacity(READ_BYTES, tokio::fs::File::from_std(file));
    let sent = send_all(&args, &producer, input).await;
    // What was read before a bad line is delivered all the same.
    let flushed = producer.flush().await;
    let records = sent?;
    flushed?;
    report(&args, records, started.elapsed())
}

/// The standard input as a file, so that both are read the same way.
fn standard_input() -> std::io::Result<std::fs::File> {
    use std::os::fd::AsFd;
    std::io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map(Into::into)
}

fn report(args: &ProduceArgs, records: u64, took: Duration) -> Result<(), CliError> {
    match args.output {
        Format::Json => output::json(&json!({ "topic": args.topic, "records": records })),
        Format::Table => {
            let per_s = (records as f64 / took.as_secs_f64().max(0.001)) as u64;
            output::note(&format!(
                "{} records to {} ({}/s)",
                output::count(records),
                args.topic,
                output::count(per_s)
            ));
            Ok(())
        }
    }
}

async fn send_all(
    args: &ProduceArgs,
    producer: &Producer,
    mut input: impl AsyncBufRead + Unpin,
) -> Result<u64, CliError> {
    let (mut line, mut records) = (Vec::new(), 0u64);
    let failed = |error| CliError::io(format!("cannot read {}", args.file), error);
    while input.read_until(b'\n', &mut line).await.map_err(failed)? > 0 {
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.len() > LINE_BYTES_MAX {
            return Err(CliError::Usage(format!(
                "line {} is longer than {LINE_BYTES_MAX} bytes",
                records + 1
            )));
        }
        send_line(args, producer, text, records + 1).await?;
        records += 1;
        line.clear();
    }
    Ok(records)
}

async fn send_line(
    args: &ProduceArgs,
    producer: &Producer,
    text: &[u8],
    number: u64,
) -> Result<(), CliError> {
    if args.json_lines {
        let wrong = |reason: String| CliError::Usage(format!("line {number}: {reason}"));
        let record = JsonRecord::read(text).map_err(wrong)?;
        let headers: Vec<(&[u8], Option<&[u8]>)> = record
            .headers
            .iter()
            .map(|(key, value)| (key.as_bytes(), value.as_deref()))
            .collect();
        let outgoing = Outgoing {
            topic: &args.topic,
            partition: args.partition.or(record.partition),
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &headers,
            timestamp_ms: record.timestamp_ms,
        };
        producer.send(&outgoing).await?;
        return Ok(());
    }
    let (key, value) = split(text, args.key_separator.as_deref());
    let outgoing = Outgoing {
        topic: &args.topic,
        partition: args.partition,
        key,
        value: Some(value),
        ..Outgoing::default()
    };
    producer.send(&outgoing).await?;
    Ok(())
}

/// Key and value of a line.
fn split<'a>(line: &'a [u8], separator: Option<&str>) -> (Option<&'a [u8]>, &'a [u8]) {
    let Some(separator) = separator
        .map(str::as_bytes)
        .filter(|separator| !separator.is_empty())
    else {
        return (None, line);
    };
    match line
        .windows(separator.len())
        .position(|window| window == separator)
    {
        Some(at) => (Some(&line[..at]), &line[at + separator.len()..]),
        None => (None, line),
    }
}

/// Names and values; a name may have none.
type Headers = Vec<(String, Option<Vec<u8>>)>;

/// A record as a JSON object.
#[derive(Debug, Default, PartialEq, Eq)]
struct JsonRecord {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Headers,
    partition: Option<i32>,
    timestamp_ms: Option<i64>,
}

impl JsonRecord {
    fn read(line: &[u8]) -> Result<Self, String> {
        let parsed: Value =
            serde_json::from_slice(line).map_err(|error| format!("not JSON: {error}"))?;
        let Value::Object(fields) = parsed else {
            return Err(
                "not a JSON object with value, and where wanted key, headers, partition, timestamp"
                    .to_owned(),
            );
        };
        let mut record = Self::default();
        for (name, field) in fields {
            match name.as_str() {
                "key" => record.key = bytes(field),
                "value" => record.value = bytes(field),
                "key_base64" => record.key = Some(coded(&name, &field)?),
                "value_base64" => record.value = Some(coded(&name, &field)?),
                "headers" => record.headers = headers(field)?,
                "partition" => {
                    record.partition =
                        number(&name, &field)?.map(|n| i32::try_from(n).unwrap_or(i32::MAX))
                }
                "timestamp" => record.timestamp_ms = number(&name, &field)?,
                // Where `consume` found it says nothing about where it goes.
                "topic" | "offset" => {}
                _ => {
                    return Err(format!(
                        "unknown field {name:?}; known are key, value, headers, partition, timestamp"
                    ));
                }
            }
        }
        Ok(record)
    }
}

/// Text as it is, null as nothing, anything else as compact JSON.
fn bytes(field: Value) -> Option<Vec<u8>> {
    match field {
        Value::Null => None,
        Value::String(text) => Some(text.into_bytes()),
        other => Some(other.to_string().into_bytes()),
    }
}

fn coded(name: &str, field: &Value) -> Result<Vec<u8>, String> {
    field
        .as_str()
        .and_then(|text| STANDARD.decode(text).ok())
        .ok_or_else(|| format!("{name} is not base64"))
}

fn headers(field: Value) -> Result<Headers, String> {
    match field {
        Value::Object(entries) => Ok(entries
            .into_iter()
            .map(|(name, value)| (name, bytes(value)))
            .collect()),
        Value::Null => Ok(Vec::new()),
        _ => Err("headers is not an object".to_owned()),
    }
}

fn number(name: &str, field: &Value) -> Result<Option<i64>, String> {
    match field {
        Value::Null => Ok(None),
        other => other
            .as_i64()
            .map(Some)
            .ok_or_else(|| format!("{name} is not a whole number")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_split_at_the_first_separator() {
        assert_eq!(split(b"a:b:c", Some(":")), (Some(&b"a"[..]), &b"b:c"[..]));
        assert_eq!(split(b"a->b", Some("->")), (Some(&b"a"[..]), &b"b"[..]));
        assert_eq!(split(b"abc", Some(":")), (None, &b"abc"[..]));
        assert_eq!(split(b":", Some(":")), (Some(&b""[..]), &b""[..]));
        assert_eq!(split(b"a:b", None), (None, &b"a:b"[..]));
    }

    #[test]
    fn json_lines_are_what_consume_writes() {
        let line = br#"{"topic":"t","partition":2,"offset":9,"timestamp":5,"key":"k","value":{"big":9007199254740993},"headers":{"h":"x","n":null}}"#;
        let record = JsonRecord::read(line).unwrap();
        assert_eq!(record.key.unwrap(), b"k");
        assert_eq!(record.value.unwrap(), br#"{"big":9007199254740993}"#);
        assert_eq!((record.partition, record.timestamp_ms), (Some(2), Some(5)));
        assert_eq!(
            record.headers,
            [
                ("h".to_owned(), Some(b"x".to_vec())),
                ("n".to_owned(), None)
            ]
        );
        assert_eq!(
            JsonRecord::read(br#"{"value":null}"#).unwrap(),
            JsonRecord::default()
        );
        assert_eq!(
            JsonRecord::read(br#"{"value_base64":"AP8="}"#)
                .unwrap()
                .value
                .unwrap(),
            [0, 255]
        );
        for wrong in [
            &b"[]"[..],
            b"{",
            br#"{"valeu":1}"#,
            br#"{"partition":"x"}"#,
            br#"{"value_base64":"*"}"#,
        ] {
            assert!(JsonRecord::read(wrong).is_err());
        }
    }
}
