//! What was measured, and how it is told.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Map, Value, json};

use crate::client::ClientError;
use crate::error::CliError;
use crate::output::{self, Format};

/// Longest time that is told apart, in microseconds.
const TIME_US_MAX: u64 = 3_600_000_000;
/// Times are exact to this many digits.
const DIGITS: u8 = 3;
/// How often the progress line changes.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// Times of many events.
#[derive(Clone, Debug)]
pub(super) struct Times(Histogram<u64>);

impl Times {
    pub fn new() -> Result<Self, CliError> {
        Histogram::new_with_bounds(1, TIME_US_MAX, DIGITS)
            .map(Self)
            .map_err(|error| CliError::Usage(format!("no histogram: {error}")))
    }

    pub fn add(&mut self, time: Duration, count: u64) {
        let us = u64::try_from(time.as_micros()).unwrap_or(TIME_US_MAX);
        self.0.saturating_record_n(us.max(1), count);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn ms(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1e3
    }

    /// Mean and percentiles in milliseconds.
    pub fn figures(&self) -> [(&'static str, f64); 6] {
        [
            ("mean", self.0.mean() / 1e3),
            ("p50", self.ms(0.5)),
            ("p90", self.ms(0.9)),
            ("p99", self.ms(0.99)),
            ("p99_9", self.ms(0.999)),
            ("max", self.0.max() as f64 / 1e3),
        ]
    }
}

/// What one connection did while it was measured.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    pub records: u64,
    /// Bytes of values, before compression.
    pub bytes: u64,
    /// Records that were refused and sent again.
    pub resent: u64,
    /// By what went wrong: how many batches, or records.
    pub errors: BTreeMap<String, u64>,
    pub times: Times,
    /// When the first that counts began and the last ended.
    pub span: Option<(Instant, Instant)>,
}

impl Tally {
    pub fn new() -> Result<Self, CliError> {
        Ok(Self {
            records: 0,
            bytes: 0,
            resent: 0,
            errors: BTreeMap::new(),
            times: Times::new()?,
            span: None,
        })
    }

    pub fn done(&mut self, began: Instant, ended: Instant, records: u64, bytes: u64) {
        self.records += records;
        self.bytes += bytes;
        let (first, last) = self.span.unwrap_or((began, ended));
        self.span = Some((first.min(began), last.max(ended)));
    }

    pub fn failed(&mut self, error: &ClientError) {
        *self.errors.entry(error.to_string()).or_default() += 1;
    }

    pub fn join(&mut self, other: &Self) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.resent += other.resent;
        for (what, count) in &other.errors {
            *self.errors.entry(what.clone()).or_default() += count;
        }
        // Both have the same bounds and digits.
        let _ = self.times.0.add(&other.times.0);
        self.span = match (self.span, other.span) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (one, None) | (None, one) => one,
        };
    }

    fn seconds(&self) -> f64 {
        self.span
            .map_or(0.0, |(first, last)| (last - first).as_secs_f64())
            .max(1e-6)
    }
}

/// The result of a benchmark.
pub(super) struct Report {
    pub benchmark: &'static str,
    pub settings: Value,
    pub tally: Tally,
    /// Named distributions, beside or instead of the tally's.
    pub times: Vec<(&'static str, Times)>,
}

impl Report {
    pub fn print(&self, format: Format) -> Result<(), CliError> {
        match format {
            Format::Json => output::json(&self.json()),
            Format::Table => output::line(&self.table()),
        }
    }

    fn json(&self) -> Value {
        let tally = &self.tally;
        let seconds = tally.seconds();
        let round = |number: f64| (number * 1e3).round() / 1e3;
        let mut report = json!({
            "benchmark": self.benchmark,
            "settings": self.settings,
            "seconds": round(seconds),
            "records": tally.records,
            "bytes": tally.bytes,
            "records_per_s": round(tally.records as f64 / seconds),
            "mb_per_s": round(tally.bytes as f64 / 1e6 / seconds),
            "resent": tally.resent,
            "errors": tally.errors.values().sum::<u64>(),
            "errors_by_kind": tally.errors,
        });
        if let Value::Object(fields) = &mut report {
            for (name, times) in self.times.iter().filter(|(_, times)| !times.is_empty()) {
                let figures: Map<String, Value> = times
                    .figures()
                    .map(|(name, ms)| (name.to_owned(), json!(round(ms))))
                    .into_iter()
                    .collect();
                fields.insert(format!("{name}_ms"), Value::Object(figures));
            }
        }
        report
    }

    fn table(&self) -> String {
        let tally = &self.tally;
        let seconds = tally.seconds();
        let mut rows = vec![
            vec!["records".to_owned(), output::count(tally.records)],
            vec!["seconds".to_owned(), format!("{seconds:.2}")],
            vec![
                "records/s".to_owned(),
                output::count((tally.records as f64 / seconds) as u64),
            ],
            vec![
                "MB/s".to_owned(),
                format!("{:.1}", tally.bytes as f64 / 1e6 / seconds),
            ],
        ];
        for (name, times) in self.times.iter().filter(|(_, times)| !times.is_empty()) {
            for (figure, ms) in times.figures() {
                let figure = figure.replace('_', ".");
                rows.push(vec![format!("{name} {figure}, ms"), format!("{ms:.3}")]);
            }
        }
        if tally.resent > 0 {
            rows.push(vec!["sent again".to_owned(), output::count(tally.resent)]);
        }
        let errors = tally.errors.values().sum::<u64>();
        rows.push(vec!["errors".to_owned(), output::count(errors)]);
        for (what, count) in &tally.errors {
            rows.push(vec![format!("  {what}"), output::count(*count)]);
        }
        output::table(&[self.benchmark, ""], rows, &[1])
    }
}

/// A line on a terminal that says how far it is; nothing anywhere else.
pub(super) struct Progress {
    records: Arc<AtomicU64>,
    line: Option<tokio::task::JoinHandle<()>>,
}

impl Progress {
    pub fn new(format: Format, what: &'static str) -> Self {
        let records = Arc::new(AtomicU64::new(0));
        let shown = format == Format::Table && std::io::stderr().is_terminal();
        let counter = Arc::clone(&records);
        let line = shown.then(|| tokio::spawn(show(counter, what)));
        Self { records, line }
    }

    pub fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.records)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.line.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

async fn show(records: Arc<AtomicU64>, what: &'static str) {
    let bar = ProgressBar::new_spinner().with_message(what);
    bar.set_draw_target(ProgressDrawTarget::stderr());
    if let Ok(style) =
        ProgressStyle::with_template("{spinner} {msg}: {human_pos} records, {per_sec}")
    {
        bar.set_style(style);
    }
    // Cleared when the task is aborted, because the bar is dropped.
    let bar = Cleared(bar);
    loop {
        bar.0.set_position(records.load(Ordering::Relaxed));
        tokio::time::sleep(PROGRESS_EVERY).await;
    }
}

struct Cleared(ProgressBar);

impl Drop for Cleared {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn tally(records: u64, at: Instant, ms: u64) -> Tally {
        let mut tally = Tally::new().unwrap();
        tally.done(at, at + Duration::from_millis(ms), records, records * 10);
        tally.times.add(Duration::from_millis(ms), records);
        tally
    }

    #[test]
    fn what_connections_did_adds_up_over_the_time_of_all() {
        let start = Instant::now();
        let mut all = Tally::new().unwrap();
        all.join(&tally(99, start, 10));
        all.join(&tally(1, start + Duration::from_millis(990), 1_010));
        all.failed(&ClientError::Closed);
        let times = all.times.clone();
        let report = Report {
            benchmark: "produce",
            settings: json!({}),
            tally: all,
            times: vec![("ack", times)],
        };
        let json = report.json();
        assert_eq!(json["records"], 100);
        assert_eq!(json["seconds"], json!(2.0));
        assert_eq!(json["records_per_s"], json!(50.0));
        assert_eq!(json["errors"], 1);
        assert_eq!(json["ack_ms"]["p50"].as_f64().unwrap().round(), 10.0);
        assert!(json["ack_ms"]["max"].as_f64().unwrap() >= 1_010.0);
        assert!(report.table().contains("ack p99.9, ms"));
    }

    #[test]
    fn nothing_measured_is_told_without_times() {
        let tally = Tally::new().unwrap();
        let times = vec![("ack", tally.times.clone())];
        let report = Report {
            benchmark: "produce",
            settings: json!({}),
            tally,
            times,
        };
        assert_eq!(report.json()["records"], 0);
        assert!(report.json().get("ack_ms").is_none());
    }
}
