//! What is told: a line for each query as it ends, or one JSON object at the end.

use serde_json::{Value, json};

use super::NexmarkArgs;
use super::fill::Filled;
use super::queries::Query;
use super::query::Outcome;
use crate::error::CliError;
use crate::output::{self, Format};

/// See the module's description.
pub(super) struct Report {
    format: Format,
    settings: Value,
    events: u64,
    queries: Vec<Value>,
    wrong: Vec<&'static str>,
}

impl Report {
    pub fn new(args: &NexmarkArgs, filled: Filled) -> Self {
        let settings = json!({
            "events": filled.events,
            "bytes": filled.bytes,
            "partitions": args.partitions,
            "seed": args.seed,
            "out_of_order": args.out_of_order,
            "rounds": args.rounds,
            "fill_seconds": round(filled.seconds),
        });
        Self {
            format: args.output,
            settings,
            events: filled.events,
            queries: Vec::new(),
            wrong: Vec::new(),
        }
    }

    pub fn add(&mut self, query: &Query, outcome: Outcome) -> Result<(), CliError> {
        if self.format == Format::Table && self.queries.is_empty() {
            let (events, bytes) = (self.events, self.settings["bytes"].as_f64().unwrap_or(0.0));
            output::line(&format!("{events} events, {:.0} MB of JSON", bytes / 1e6))?;
            output::line(
                "query    kevents/s  x Flink  seconds   CPU s  peak MB       rows  batch answer",
            )?;
        }
        let (line, value) = match outcome {
            Outcome::Refused(said) => {
                let line = format!("{:<8} refused: {}", query.name, in_a_line(&said));
                (line, json!({"query": query.name, "refused": said}))
            }
            Outcome::Done(done) => {
                let rate = self.events as f64 / done.seconds.max(1e-9);
                let times = query.flink.map(|flink| rate / 1e3 / flink);
                let verdict = match done.differing {
                    None => "not compared".to_owned(),
                    Some(0) => "equal".to_owned(),
                    Some(rows) => format!("DIFFERS in {rows} rows"),
                };
                if done.differing.is_some_and(|rows| rows > 0) {
                    self.wrong.push(query.name);
                }
                let times_text = times.map_or("-".to_owned(), |times| format!("{times:.1}"));
                let mut line = format!(
                    "{:<8} {:>9.0} {:>8} {:>8.2} {:>7.2} {:>8.0} {:>10}  {verdict}",
                    query.name,
                    rate / 1e3,
                    times_text,
                    done.seconds,
                    done.cpu_s,
                    done.peak_bytes as f64 / 1e6,
                    done.rows,
                );
                let value = json!({
                    "query": query.name,
                    "what": query.what,
                    "events_per_s": rate.round(),
                    "times_flink": times.map(round),
                    "seconds": round(done.seconds),
                    "cpu_seconds": round(done.cpu_s),
                    "peak_bytes": done.peak_bytes,
                    "rows": done.rows,
                    "differing_rows": done.differing,
                    "plan": done.plan,
                });
                for step in &done.plan {
                    line += &format!("\n         {step}");
                }
                (line, value)
            }
        };
        self.queries.push(value);
        match self.format {
            Format::Table => output::line(&line),
            Format::Json => Ok(()),
        }
    }

    /// The JSON; an error if a view was not what the batch gives.
    pub fn end(self) -> Result<(), CliError> {
        if self.format == Format::Json {
            output::json(&json!({
                "benchmark": "nexmark",
                "settings": self.settings,
                "queries": self.queries,
            }))?;
        }
        match self.wrong.is_empty() {
            true => Ok(()),
            false => Err(CliError::Sql(format!(
                "not equal to the batch answer: {}",
                self.wrong.join(", ")
            ))),
        }
    }
}

pub(super) fn round(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

fn in_a_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
