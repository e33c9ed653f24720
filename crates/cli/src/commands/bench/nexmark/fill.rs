//! Events into the topic, from several threads; and the side input's table.

use std::time::{Duration, Instant};

use super::events::Events;
use super::{NexmarkArgs, TOPIC};
use crate::client::{Acks, Client, Outgoing, Producer, ProducerConfig};
use crate::error::CliError;

/// Rows of the side input.
const SIDE_ROWS: u64 = 10_000;
/// Records that go to a partition before it is the next one's turn. Divides every group of events whose times are shuffled.
const RUN: u64 = 8;

/// What was sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Filled {
    pub events: u64,
    pub bytes: u64,
    pub seconds: f64,
}

pub(super) fn producer(client: &Client, linger: Duration) -> Producer {
    let config = ProducerConfig {
        acks: Acks::All,
        linger,
        ..ProducerConfig::default()
    };
    Producer::new(client.clone(), config)
}

/// The partition of event `n`.
fn partition(n: u64, partitions: i32) -> i32 {
    let of = u64::try_from(partitions).unwrap_or(1).max(1);
    i32::try_from(n / RUN % of).unwrap_or(0)
}

/// Sends event `n`, which is left in `value`.
pub(super) async fn send_event(
    producer: &Producer,
    events: &Events,
    args: &NexmarkArgs,
    n: u64,
    value: &mut Vec<u8>,
) -> Result<(), CliError> {
    value.clear();
    events.write(n, value);
    let record = Outgoing {
        topic: TOPIC,
        partition: Some(partition(n, args.partitions)),
        value: Some(value),
        ..Outgoing::default()
    };
    producer.send(&record).await?;
    Ok(())
}

/// Makes the topics and fills them.
pub(super) async fn fill(client: &Client, args: &NexmarkArgs) -> Result<Filled, CliError> {
    client.create_topic(TOPIC, args.partitions, &[]).await?;
    let side = format!("{TOPIC}-side");
    client.create_topic(&side, 1, &[]).await?;
    let producer = producer(client, Duration::from_millis(20));
    for key in 0..SIDE_ROWS {
        let name = key.to_string();
        let value = format!("{{\"key\":{key},\"value\":\"side {key}\"}}");
        let record = Outgoing {
            topic: &side,
            key: Some(name.as_bytes()),
            value: Some(value.as_bytes()),
            ..Outgoing::default()
        };
        producer.send(&record).await?;
    }
    let (began, events) = (Instant::now(), Events::new(args.seed, args.out_of_order));
    let (mut bytes, mut value) = (0, Vec::new());
    for n in 0..args.events {
        send_event(&producer, &events, args, n, &mut value).await?;
        bytes += value.len() as u64;
    }
    producer.flush().await?;
    Ok(Filled {
        events: args.events,
        bytes,
        seconds: began.elapsed().as_secs_f64(),
    })
}
