//! Sends the events in the order of their time through an idempotent acks=all Kafka client, at the pace asked for.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use headwater_cli::client::{Client, Outgoing, Producer, ProducerConfig};
use indicatif::ProgressBar;

use super::args::Pace;
use super::data::{Event, Events, FLIGHTS, TOPICS};
use crate::Failure;

/// How long the year takes at the default pace.
const YEAR: Duration = Duration::from_secs(58);
/// Events between two looks at the clock, at full speed.
const LOOK_EVERY: usize = 4_096;

#[derive(Clone, Debug, Default)]
pub struct Replayed {
    pub events: u64,
    pub flights: u64,
    /// When each flight was handed to the client, in order.
    pub sent_at: Vec<Instant>,
}

pub async fn run(
    kafka: SocketAddr,
    events: &Events,
    pace: Pace,
    bar: &ProgressBar,
) -> Result<Replayed, Failure> {
    let client = Client::connect(&kafka.to_string(), "headwater-demo").await?;
    let producer = Producer::new(client, config(pace));
    let mut replayed = Replayed::default();
    let schedule = Schedule::new(events, pace);
    let (mut key, mut value) = (Vec::new(), Vec::new());
    let started = Instant::now();
    for (at, event) in events.list.iter().enumerate() {
        if let Some(due) = schedule.due(at, event.at_s) {
            producer_pause(started + due).await;
        }
        if at % LOOK_EVERY == 0 || pace == Pace::Year && at % 64 == 0 {
            bar.set_position(at as u64);
            bar.set_message(day(event.at_s));
        }
        let topic = usize::from(event.topic);
        if topic == FLIGHTS {
            replayed.flights += 1;
            if matches!(pace, Pace::Rate(_)) {
                replayed.sent_at.push(Instant::now());
            }
        }
        // Whether it arrived is asked once, by the flush at the end.
        events.encode(event, &mut key, &mut value);
        drop(producer.send(&outgoing(event, &key, &value)).await?);
        replayed.events += 1;
    }
    producer.flush().await?;
    Ok(replayed)
}

fn outgoing<'a>(event: &Event, key: &'a [u8], value: &'a [u8]) -> Outgoing<'a> {
    Outgoing {
        topic: TOPICS[usize::from(event.topic)],
        key: Some(key),
        value: Some(value),
        timestamp_ms: Some(event.at_s * 1_000),
        ..Outgoing::default()
    }
}

fn config(pace: Pace) -> ProducerConfig {
    let (linger_ms, batch_bytes) = match pace {
        Pace::Full => (5, 256 * 1024),
        Pace::Year | Pace::Rate(_) => (1, 64 * 1024),
    };
    ProducerConfig {
        linger: Duration::from_millis(linger_ms),
        batch_bytes,
        ..ProducerConfig::default()
    }
}

/// Sleeps until then, if that is worth a sleep.
async fn producer_pause(due: Instant) {
    if due.saturating_duration_since(Instant::now()) > Duration::from_micros(1_200) {
        tokio::time::sleep_until(due.into()).await;
    }
}

/// When each event is due, after the start.
enum Schedule {
    AtOnce,
    /// By event time.
    Year {
        first_s: i64,
        seconds: f64,
    },
    /// By position.
    Rate {
        per_s: f64,
    },
}

impl Schedule {
    fn new(events: &Events, pace: Pace) -> Self {
        let (first, last) = (
            events.list.first().map_or(0, |e| e.at_s),
            events.list.last().map_or(0, |e| e.at_s),
        );
        match pace {
            Pace::Full => Self::AtOnce,
            Pace::Year => Self::Year {
                first_s: first,
                seconds: ((last - first) as f64).max(1.0),
            },
            Pace::Rate(per_s) => Self::Rate {
                per_s: f64::from(per_s),
            },
        }
    }

    fn due(&self, at: usize, at_s: i64) -> Option<Duration> {
        match self {
            Self::AtOnce => None,
            Self::Year { first_s, seconds } => {
                Some(YEAR.mul_f64((at_s - first_s) as f64 / seconds))
            }
            Self::Rate { per_s } => Some(Duration::from_secs_f64(at as f64 / per_s)),
        }
    }
}

/// The day of the replay, as `day 123`.
fn day(at_s: i64) -> String {
    const FIRST_DAY: i64 = 15_706; // 2013-01-01
    format!("day {:>3} of 2013", at_s.div_euclid(86_400) - FIRST_DAY + 1)
}
