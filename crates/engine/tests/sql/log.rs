//! The log below: one shard that keeps every commit, or the broker on a log in memory of four shards.

use std::sync::Arc;

use bytes::Bytes;
use headwater_base::{ManualClock, PartitionId};
use headwater_broker::{Broker, BrokerConfig, NewTopic};
use headwater_connect::Step;
use headwater_connect::{StepLog, TopicInfo};
use headwater_engine::testing::MemoryStepLog;
use headwater_log::MemoryLog;

use crate::variant::Random;

#[derive(Clone)]
pub enum Log {
    One(Arc<MemoryStepLog>),
    Sharded(Arc<MemoryLog>, Arc<Broker>),
}

impl Log {
    pub fn new(shards: u16) -> Self {
        match shards {
            1 => Self::One(MemoryStepLog::new()),
            _ => Self::over(Arc::new(MemoryLog::new(shards))),
        }
    }

    fn over(memory: Arc<MemoryLog>) -> Self {
        let clock = Arc::new(ManualClock::at(1_700_000_000_000));
        let broker = Broker::open(memory.clone(), clock, BrokerConfig::default()).unwrap();
        Self::Sharded(memory, broker)
    }

    pub fn steps(&self) -> Arc<dyn StepLog> {
        match self {
            Self::One(log) => log.clone(),
            Self::Sharded(_, broker) => broker.clone(),
        }
    }

    /// A topic that clients made: its partitions are anywhere.
    pub async fn topic(&self, name: &str, partitions: i32) -> TopicInfo {
        if let (Self::Sharded(_, broker), None) = (self, self.steps().topic(name)) {
            let new = NewTopic {
                name: name.to_owned(),
                partitions,
                replicas: 1,
                ..NewTopic::default()
            };
            let made = broker.create_topics(vec![new], false).await;
            made.into_iter().for_each(|made| drop(made.unwrap()));
        }
        self.steps().ensure_topic(name, partitions).await.unwrap()
    }

    /// Appends what clients send: each partition on its own.
    pub async fn append(&self, batches: Vec<(PartitionId, Bytes)>) {
        for batch in batches {
            let step = Step {
                appends: vec![batch],
                trims: Vec::new(),
            };
            self.steps().commit(step).unwrap().1.await.unwrap();
        }
    }

    /// From now on nothing becomes durable.
    pub fn hold(&self) {
        match self {
            Self::One(log) => log.hold(),
            Self::Sharded(memory, _) => memory.hold(),
        }
    }

    pub fn release(&self) {
        match self {
            Self::One(log) => log.release(),
            Self::Sharded(memory, _) => memory.release(),
        }
    }

    /// What is durable, and some of what is not, each shard as it comes.
    pub fn crash(&self, random: &mut Random) -> Self {
        let mut lucky = || usize::try_from(random.below(4)).unwrap();
        match self {
            Self::One(log) => Self::One(log.crash(lucky())),
            Self::Sharded(memory, _) => {
                let each = [lucky(), lucky(), lucky(), lucky()];
                Self::over(Arc::new(memory.crash(|shard| each[usize::from(shard)])))
            }
        }
    }
}
