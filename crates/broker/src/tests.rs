//! The broker on a memory log of four shards: what clients rely on, and what a restart keeps.
#![allow(clippy::unwrap_used)]

mod admin;
mod groups;
mod reading;
mod restart;
mod txns;
mod writing;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use headwater_base::SystemClock;
use headwater_log::MemoryLog;
use headwater_record::{BatchBuilder, Codec};

use crate::*;

pub(crate) struct Bench {
    pub log: Arc<MemoryLog>,
    pub broker: Arc<Broker>,
}

impl Bench {
    pub fn new() -> Self {
        let log = Arc::new(MemoryLog::new(4));
        let broker = open(&log);
        Self { log, broker }
    }

    /// A new broker on the same log, as after a restart.
    pub fn restart(self) -> Self {
        let broker = open(&self.log);
        Self {
            log: self.log,
            broker,
        }
    }

    pub async fn topic(&self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Arc<Topic> {
        let configs = configs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let new = NewTopic {
            name: name.into(),
            partitions,
            replicas: 1,
            configs,
            ..NewTopic::default()
        };
        self.broker
            .create_topics(vec![new], false)
            .await
            .pop()
            .unwrap()
            .unwrap()
    }

    pub async fn set(&self, topic: &str, key: &str, value: &str) {
        let target = ConfigTarget::Topic(topic.into());
        let ops = [(key.to_owned(), ConfigOp::Set(value.into()))];
        let altered = self.broker.alter_configs(&target, &ops, false);
        altered.await.unwrap();
    }

    pub async fn put(&self, topic: &str, batch: Bytes) -> Result<Appended, BrokerError> {
        self.broker
            .produce(&named(topic), 0, Some(batch))?
            .settle()
            .await
    }

    pub async fn get(
        &self,
        topic: &str,
        offset: i64,
        max_bytes: usize,
        wait_ms: u64,
    ) -> Result<Fetched, BrokerError> {
        let item = FetchItem {
            topic: named(topic),
            partition: 0,
            offset,
            max_bytes,
            leader_epoch: -1,
        };
        let max_wait = Duration::from_millis(wait_ms);
        let request = FetchRequest {
            max_wait,
            min_bytes: 1,
            max_bytes,
            committed: false,
            partitions: vec![item],
        };
        self.broker.fetch(request).await.partitions.pop().unwrap()
    }
}

fn open(log: &Arc<MemoryLog>) -> Arc<Broker> {
    Broker::open(
        Arc::clone(log) as Arc<dyn headwater_log::Log>,
        Arc::new(SystemClock),
        BrokerConfig::default(),
    )
    .unwrap()
}

pub(crate) fn named(topic: &str) -> TopicRef {
    TopicRef::Name(topic.into())
}

/// A batch of records with these timestamps and their position as value.
pub(crate) fn batch(timestamps: &[i64]) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    for (n, timestamp) in timestamps.iter().enumerate() {
        builder.push(*timestamp, Some(b"k"), Some(n.to_string().as_bytes()));
    }
    builder.build()
}

/// No patience.
pub(crate) fn at_once() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// A batch of an idempotent producer.
pub(crate) fn sequenced(id: i64, epoch: i16, sequence: i32, records: usize) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None).producer(id, epoch, sequence);
    (0..records).for_each(|_| builder.push(1_000, None, Some(b"v")));
    builder.build()
}
