//! How long an event takes to be visible: they come at a rate, and a reader asks over HTTP again and again how many are counted.
//!
//! An event counts from when it was due, so that a sender that is held up is not spared.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::super::measure::Times;
use super::NexmarkArgs;
use super::events::Events;
use super::fill::{producer, send_event};
use super::node::Node;
use super::queries::Query;
use super::report::round;
use super::{TOPIC, define};
use crate::client::Client;
use crate::error::CliError;
use crate::http;
use crate::output::{self, Format};

/// How often the sender sends what is due.
const TICK: Duration = Duration::from_millis(2);
/// Pause of the reader between two questions.
const PAUSE: Duration = Duration::from_micros(500);
/// Not measured at the beginning.
const WARM_UP: Duration = Duration::from_secs(2);
/// How long the last events are waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// The view that is asked.
const SEEN: &str = "events_seen";

/// When a look saw how many events.
type Looks = Vec<(Instant, u64)>;

pub(super) async fn run(
    args: &NexmarkArgs,
    rate: u64,
    node: &Node,
    client: &Client,
    chosen: &[&'static Query],
) -> Result<(), CliError> {
    client.create_topic(TOPIC, args.partitions, &[]).await?;
    client
        .create_topic(&format!("{TOPIC}-side"), 1, &[])
        .await?;
    define(node).await?;
    let seen = format!("CREATE MATERIALIZED VIEW {SEEN} AS SELECT count(*) AS n FROM {TOPIC}");
    http::sql(&node.http, seen).await?;
    let mut running = Vec::new();
    for query in chosen.iter().filter(|_| !args.queries.is_empty()) {
        let create = format!("CREATE MATERIALIZED VIEW {} AS {}", query.name, query.sql);
        http::sql(&node.http, create).await?;
        running.push(query.name);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let (flag, address) = (Arc::clone(&stop), node.http.clone());
    let reader = std::thread::spawn(move || look_until(&flag, &address));
    let before = node.usage();
    let sent = send(args, rate, client).await;
    let cpu_s = node.usage().cpu_s - before.cpu_s;
    tokio::time::sleep(Duration::from_millis(500)).await;
    stop.store(true, Ordering::Relaxed);
    let looks = reader.join().unwrap_or_default();
    for name in running.iter().copied().chain([SEEN]) {
        http::sql(&node.http, format!("DROP MATERIALIZED VIEW {name}")).await?;
    }
    let times = visible(&sent?, &looks)?;
    tell(args, rate, &running, &times, cpu_s)
}

/// Sends what is due, tick by tick; answers when each tick's events were due, and how many there were in all by then.
async fn send(args: &NexmarkArgs, rate: u64, client: &Client) -> Result<Looks, CliError> {
    let producer = producer(client, Duration::from_millis(1));
    let events = Events::new(args.seed, args.out_of_order);
    let (mut sent, mut value, mut n) = (Looks::new(), Vec::new(), 0);
    let began = Instant::now();
    let mut due = began;
    while due < began + WARM_UP + args.duration {
        tokio::time::sleep_until(due.into()).await;
        let until = ((due + TICK - began).as_secs_f64() * rate as f64) as u64;
        while n < until {
            send_event(&producer, &events, args, n, &mut value).await?;
            n += 1;
        }
        if due >= began + WARM_UP {
            sent.push((due, n));
        }
        due += TICK;
    }
    tokio::time::timeout(PATIENCE, producer.flush())
        .await
        .map_err(|_| CliError::Usage("the node does not take so many".to_owned()))??;
    Ok(sent)
}

fn look_until(stop: &AtomicBool, address: &str) -> Looks {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(10)))
        .proxy(None)
        .build();
    let agent = ureq::Agent::from(config);
    let url = format!("http://{address}/api/views/{SEEN}/rows?limit=1");
    let mut looks = Looks::new();
    while !stop.load(Ordering::Relaxed) {
        let count = count(&agent, &url).unwrap_or(0);
        if looks.last().is_none_or(|(_, last)| count > *last) {
            looks.push((Instant::now(), count));
        }
        std::thread::sleep(PAUSE);
    }
    looks
}

fn count(agent: &ureq::Agent, url: &str) -> Option<u64> {
    let mut answer = agent.get(url).call().ok()?;
    let text = answer.body_mut().read_to_string().ok()?;
    let answer: serde_json::Value = serde_json::from_str(&text).ok()?;
    answer["rows"][0][0].as_u64()
}

/// The events of a tick are visible at the first look that counted them all.
fn visible(sent: &Looks, looks: &Looks) -> Result<Times, CliError> {
    let mut times = Times::new()?;
    let (mut before, mut next) = (None, 0);
    for (due, n) in sent {
        while looks.get(next).is_some_and(|(_, count)| count < n) {
            next += 1;
        }
        let Some((at, _)) = looks.get(next) else {
            return Err(CliError::Usage(format!(
                "only {} of {n} events became visible",
                looks.last().map_or(0, |(_, count)| *count)
            )));
        };
        times.add(
            at.saturating_duration_since(*due),
            n - before.unwrap_or(n - 1),
        );
        before = Some(*n);
    }
    Ok(times)
}

fn tell(
    args: &NexmarkArgs,
    rate: u64,
    running: &[&str],
    times: &Times,
    cpu_s: f64,
) -> Result<(), CliError> {
    let figures = times.figures();
    if args.output == Format::Json {
        let visible: serde_json::Map<String, serde_json::Value> = figures
            .iter()
            .map(|(name, ms)| ((*name).to_owned(), json!(round(*ms))))
            .collect();
        return output::json(&json!({
            "benchmark": "nexmark",
            "rate": rate,
            "queries": running,
            "visible_ms": visible,
            "cpu_seconds": round(cpu_s),
        }));
    }
    let shown: Vec<String> = figures
        .iter()
        .map(|(name, ms)| format!("{name} {ms:.1}"))
        .collect();
    output::line(&format!(
        "{rate} events/s, due to visible, ms: {}; the node's CPU: {cpu_s:.1} s",
        shown.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn events_are_visible_when_all_up_to_them_are_counted() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let sent = vec![(at(0), 10), (at(2), 20), (at(4), 30)];
        let looks = vec![(at(5), 15), (at(9), 25), (at(30), 30)];
        let times = visible(&sent, &looks).unwrap();
        let max = times.figures()[5].1;
        assert!((25.9..26.2).contains(&max), "{max}");
        assert!(visible(&vec![(at(0), 31)], &looks).is_err());
    }
}
