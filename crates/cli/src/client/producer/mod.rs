//! An idempotent producer: `send` puts a record into a batch under a short lock, one task sends the batches.
//!
//! ```text
//! send --> accumulator (one queue a partition, bounded in bytes) --> sender task --> up to 5 requests a node in flight
//!                ^                                                       |
//!                +---- failed for now: same bytes, same sequences -------+--> Delivery: offset or error
//! ```
//!
//! Whatever fails between a socket and an ack is sent again with the sequence it had, so the node stores it once (KIP-98). Order within
//! a partition is kept. A full accumulator makes `send` wait.
//!
//! Reading order: [`batch`], `queue` (one partition: order, sequences, retries), `accumulator` (all of them), `sender` (the task).

mod accumulator;
pub mod batch;
mod queue;
mod sender;
mod settle;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use headwater_record::Codec;
use tokio::sync::Notify;

use self::accumulator::{Accumulator, Appended};
pub use self::batch::{Delivered, Delivery};
use super::cluster::Client;
use super::error::ClientError;

/// When a record counts as delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// When it is durable; with idempotence.
    All,
    /// When the leader has it.
    Leader,
    /// When it is on its way; nobody hears of a loss.
    None,
}

impl Acks {
    pub(crate) const fn code(self) -> i16 {
        match self {
            Self::All => -1,
            Self::Leader => 1,
            Self::None => 0,
        }
    }
}

impl std::fmt::Display for Acks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::All => "all",
            Self::Leader => "1",
            Self::None => "0",
        })
    }
}

#[derive(Clone, Debug)]
pub struct ProducerConfig {
    pub acks: Acks,
    pub codec: Codec,
    /// How long an incomplete batch waits for more records.
    pub linger: Duration,
    /// Size at which a batch is complete, before compression.
    pub batch_bytes: usize,
    /// Most bytes of records not delivered yet; `send` waits above it.
    pub buffer_bytes_max: usize,
    /// Most bytes of one request.
    pub request_bytes_max: usize,
    /// How long a record is tried.
    pub delivery_timeout: Duration,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            codec: Codec::None,
            linger: Duration::from_millis(1),
            batch_bytes: 256 * 1024,
            buffer_bytes_max: 32 * 1024 * 1024,
            request_bytes_max: 4 * 1024 * 1024,
            delivery_timeout: Duration::from_secs(120),
        }
    }
}

/// A record to be sent. Borrows everything: what is sent is copied into the batch once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outgoing<'a> {
    pub topic: &'a str,
    /// `None`: by murmur2 of the key, as Kafka's default partitioner; without key one partition a batch, in turn.
    pub partition: Option<i32>,
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    pub headers: &'a [(&'a [u8], Option<&'a [u8]>)],
    /// Milliseconds since the epoch; `None`: now.
    pub timestamp_ms: Option<i64>,
}

/// Sends records. Share it behind an [`Arc`]; dropping it without [`Producer::flush`] loses what is not sent yet.
#[derive(Debug)]
pub struct Producer {
    shared: Arc<Shared>,
    sender: tokio::task::JoinHandle<()>,
}

/// What `send` and the sender task share.
#[derive(Debug)]
pub(super) struct Shared {
    client: Client,
    config: ProducerConfig,
    accumulator: Mutex<Accumulator>,
    /// There is something to do for the sender.
    wake: Notify,
    /// Bytes were freed, or everything is delivered.
    progress: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Accumulator> {
        self.accumulator
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Producer {
    pub fn new(client: Client, config: ProducerConfig) -> Self {
        let accumulator = Mutex::new(Accumulator::new(config.clone()));
        let shared = Shared {
            client,
            config,
            accumulator,
            wake: Notify::new(),
            progress: Notify::new(),
        };
        let shared = Arc::new(shared);
        let sender = tokio::spawn(sender::run(Arc::clone(&shared)));
        Self { shared, sender }
    }

    /// Queues a record; waits while the buffer is full or the topic is not known yet (it is made if the node does that).
    ///
    /// # Errors
    /// The topic or partition does not exist, or the record is too large. What happens later is told by the [`Delivery`].
    pub async fn send(&self, record: &Outgoing<'_>) -> Result<Delivery, ClientError> {
        loop {
            let progress = self.shared.progress.notified();
            tokio::pin!(progress);
            progress.as_mut().enable();
            match self.append(record)? {
                Appended::Queued { delivery, wake } => {
                    if wake {
                        self.shared.wake.notify_one();
                    }
                    return Ok(delivery);
                }
                Appended::Full => {
                    self.shared.wake.notify_one();
                    progress.await;
                }
                Appended::UnknownTopic => self.learn(record.topic).await?,
            }
        }
    }

    /// As [`Producer::send`] without waiting: `None` when the buffer is full or the topic not known yet.
    ///
    /// # Errors
    /// As [`Producer::send`].
    pub fn try_send(&self, record: &Outgoing<'_>) -> Result<Option<Delivery>, ClientError> {
        match self.append(record)? {
            Appended::Queued { delivery, wake } => {
                if wake {
                    self.shared.wake.notify_one();
                }
                Ok(Some(delivery))
            }
            Appended::Full | Appended::UnknownTopic => Ok(None),
        }
    }

    fn append(&self, record: &Outgoing<'_>) -> Result<Appended, ClientError> {
        let timestamp_ms = record.timestamp_ms.unwrap_or_else(now_ms);
        self.shared.lock().append(record, timestamp_ms)
    }

    /// Partitions of a topic that is new to this producer.
    async fn learn(&self, topic: &str) -> Result<(), ClientError> {
        let give_up = tokio::time::Instant::now() + self.shared.config.delivery_timeout;
        let partitions = loop {
            match self.shared.client.partitions(topic, true).await {
                Ok(partitions) => break partitions,
                Err(error) if error.is_retriable() && tokio::time::Instant::now() < give_up => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(error) => return Err(error),
            }
        };
        self.shared.lock().set_partitions(topic, &partitions);
        Ok(())
    }

    /// Waits until every record sent before is delivered or has failed.
    ///
    /// # Errors
    /// The first failure since the last flush.
    pub async fn flush(&self) -> Result<(), ClientError> {
        self.shared.lock().flushing += 1;
        self.shared.wake.notify_one();
        let outcome = self.drained().await;
        self.shared.lock().flushing -= 1;
        outcome
    }

    async fn drained(&self) -> Result<(), ClientError> {
        loop {
            let progress = self.shared.progress.notified();
            tokio::pin!(progress);
            progress.as_mut().enable();
            {
                let mut accumulator = self.shared.lock();
                if accumulator.records == 0 {
                    return accumulator.first_error.take().map_or(Ok(()), Err);
                }
            }
            progress.await;
        }
    }

    /// Records sent and not delivered yet.
    pub fn outstanding(&self) -> u64 {
        self.shared.lock().records
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.sender.abort();
        self.shared.lock().close();
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
