//! Topics: looking them up and deleting them.

use std::sync::Arc;
use std::time::Duration;

use headwater_base::{PartitionId, TopicId};
use headwater_meta::{Catalog, MetaError, Topic};
use tokio::time::Instant;

use crate::Broker;
use crate::catalog::{Plan, settle};
use crate::error::BrokerError;
use crate::new_topics::NewTopic;

/// How long deleting a topic tries to delete its committed offsets when the log is busy, and how often.
const FORGET_PATIENCE: Duration = Duration::from_secs(5);
const FORGET_PAUSE: Duration = Duration::from_millis(10);

/// A topic as a client names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TopicRef {
    Name(String),
    Id(TopicId),
}

impl TopicRef {
    pub(crate) fn find<'a>(&self, catalog: &'a Catalog) -> Result<&'a Arc<Topic>, BrokerError> {
        match self {
            Self::Name(name) => catalog
                .topic(name)
                .ok_or(BrokerError::UnknownTopicOrPartition),
            Self::Id(id) => catalog.topic_by_id(*id).ok_or(BrokerError::UnknownTopicId),
        }
    }
}

/// The only leader epoch there is: a single node never loses a partition to another.
pub const LEADER_EPOCH: i32 = 0;

/// Checks the epoch that a client believes in; -1 means that it believes in none (KIP-320).
pub(crate) fn check_leader_epoch(epoch: i32) -> Result<(), BrokerError> {
    match epoch {
        LEADER_EPOCH | -1 => Ok(()),
        ..LEADER_EPOCH => Err(BrokerError::FencedLeaderEpoch),
        _ => Err(BrokerError::UnknownLeaderEpoch),
    }
}

impl Broker {
    /// The topics as they are now.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.current()
    }

    /// The topic of this name, internal ones included.
    pub fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.catalog.current().topic(name).cloned()
    }

    /// # Errors
    /// There is no such topic.
    pub fn find_topic(&self, topic: &TopicRef) -> Result<Arc<Topic>, BrokerError> {
        topic.find(&self.catalog.current()).cloned()
    }

    /// Makes a topic with default settings because a client wants to use it; the existing one if it has come to exist.
    ///
    /// # Errors
    /// The name is not allowed, or the log takes nothing.
    pub async fn auto_create(&self, name: &str) -> Result<Arc<Topic>, BrokerError> {
        let new = NewTopic {
            name: name.to_owned(),
            partitions: -1,
            replicas: -1,
            ..NewTopic::default()
        };
        let made = self.create_topics(vec![new], false).await.pop();
        match self.catalog.current().topic(name) {
            Some(topic) => Ok(Arc::clone(topic)),
            None => made.unwrap_or(Err(BrokerError::UnknownTopicOrPartition)),
        }
    }

    /// # Errors
    /// The topic is unknown or internal, or the log takes nothing.
    pub async fn delete_topic(&self, topic: &TopicRef) -> Result<Arc<Topic>, BrokerError> {
        let topic = self.find_topic(topic)?;
        if topic.is_internal() {
            return Err(BrokerError::InternalTopic(topic.name.clone()));
        }
        self.delete_found(&topic).await?;
        Ok(topic)
    }

    pub(crate) async fn delete_found(&self, topic: &Topic) -> Result<(), BrokerError> {
        let durables = self.catalog.change(|catalog| {
            if catalog.topic_by_id(topic.id).is_none() {
                return Err(BrokerError::UnknownTopicOrPartition);
            }
            let drops = topic_partitions(catalog, topic.id);
            Ok(Plan {
                changes: vec![catalog.delete(&topic.name)?],
                drops,
            })
        })?;
        self.producers.forget(topic.id);
        self.counters.forget(topic.id);
        self.forget_offsets(&topic.name).await?;
        settle(durables).await
    }

    /// A topic made anew under the name must not inherit what groups had read of this one.
    async fn forget_offsets(&self, topic: &str) -> Result<(), BrokerError> {
        let deadline = Instant::now() + FORGET_PATIENCE;
        loop {
            match self.committed.forget_topics(|name| name == topic) {
                Ok(durable) => return settle(durable.into_iter().collect()).await,
                // The topic is gone, so that asking again would not help the client. What stays goes with the next start.
                Err(BrokerError::Retry(_)) if Instant::now() < deadline => {
                    tokio::time::sleep(FORGET_PAUSE).await;
                }
                Err(error) => {
                    tracing::warn!(%error, topic, "committed offsets of a deleted topic stay");
                    return Err(error);
                }
            }
        }
    }

    /// The topic of this name, for whoever wants to know its configs.
    ///
    /// # Errors
    /// The name is not allowed, or there is no such topic.
    pub fn topic_to_describe(&self, name: &str) -> Result<Arc<Topic>, BrokerError> {
        headwater_meta::topic::check_name(name).map_err(MetaError::InvalidTopic)?;
        self.topic(name).ok_or(BrokerError::UnknownTopicOrPartition)
    }
}

fn topic_partitions(catalog: &Catalog, id: TopicId) -> Vec<PartitionId> {
    catalog
        .topic_by_id(id)
        .map(|topic| topic.partition_ids().collect())
        .unwrap_or_default()
}
