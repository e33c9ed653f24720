//! Topics: looking them up, making, growing, configuring and deleting them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use headwater_base::{PartitionId, TopicId};
use headwater_meta::{Catalog, Topic};
use tokio::time::Instant;

use crate::Broker;
use crate::catalog::{Plan, settle};
use crate::error::BrokerError;

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

/// A topic to be made. -1 partitions or replicas mean the default.
#[derive(Clone, Debug, Default)]
pub struct NewTopic {
    pub name: String,
    pub partitions: i32,
    pub replicas: i16,
    /// Partition and the nodes that shall hold it; decides the number of partitions unless empty.
    pub assignments: Vec<(i32, Vec<i32>)>,
    pub configs: BTreeMap<String, String>,
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

    /// Makes topics, each on its own; with `validate_only` nothing is made. One result per topic, in order, when durable.
    pub async fn create_topics(
        &self,
        topics: Vec<NewTopic>,
        validate_only: bool,
    ) -> Vec<Result<Arc<Topic>, BrokerError>> {
        let begun: Vec<_> = topics
            .iter()
            .map(|topic| self.begin_create(topic, validate_only))
            .collect();
        let mut done = Vec::with_capacity(begun.len());
        for one in begun {
            done.push(match one {
                Ok((topic, durables)) => settle(durables).await.map(|()| topic),
                Err(error) => Err(error),
            });
        }
        done
    }

    fn begin_create(
        &self,
        new: &NewTopic,
        validate_only: bool,
    ) -> Result<(Arc<Topic>, Vec<headwater_log::Durable>), BrokerError> {
        let partitions = self.partitions_of(new)?;
        let id = self.fresh_topic_id();
        let durables = self.catalog.change(|catalog| {
            let change = catalog.create(&new.name, id, partitions, new.configs.clone())?;
            let changes = if validate_only {
                Vec::new()
            } else {
                vec![change]
            };
            Ok(Plan {
                changes,
                drops: Vec::new(),
            })
        })?;
        let topic = Topic::new(new.name.clone(), id, partitions, new.configs.clone());
        Ok((Arc::new(topic), durables))
    }

    fn partitions_of(&self, new: &NewTopic) -> Result<i32, BrokerError> {
        if new.assignments.is_empty() {
            if !matches!(new.replicas, -1 | 1) {
                return Err(BrokerError::ReplicationFactor(new.replicas));
            }
            return Ok(if new.partitions == -1 {
                self.config.default_partitions
            } else {
                new.partitions
            });
        }
        let mut indexes: Vec<i32> = new.assignments.iter().map(|(index, _)| *index).collect();
        indexes.sort_unstable();
        if indexes
            .iter()
            .zip(0..)
            .any(|(index, expected)| *index != expected)
        {
            return Err(BrokerError::InvalidAssignment(
                "partitions must be numbered 0, 1, 2...".into(),
            ));
        }
        self.check_replicas(new.assignments.iter().map(|(_, nodes)| nodes.as_slice()))?;
        Ok(i32::try_from(indexes.len()).unwrap_or(i32::MAX))
    }

    fn check_replicas<'a>(
        &self,
        mut assignments: impl Iterator<Item = &'a [i32]>,
    ) -> Result<(), BrokerError> {
        match assignments.find(|nodes| **nodes != [self.config.node_id]) {
            Some(nodes) => {
                let node = self.config.node_id;
                Err(BrokerError::InvalidAssignment(format!(
                    "the only node is {node}, not {nodes:?}"
                )))
            }
            None => Ok(()),
        }
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

    /// Grows a topic to `partitions`; `assignments` are the nodes of each new one, or empty.
    ///
    /// # Errors
    /// The topic is unknown, it would not grow, an assignment names another node, or the log takes nothing.
    pub async fn create_partitions(
        &self,
        name: &str,
        partitions: i32,
        assignments: &[Vec<i32>],
        validate_only: bool,
    ) -> Result<(), BrokerError> {
        let durables = self.catalog.change(|catalog| {
            let change = catalog.grow(name, partitions)?;
            let has = catalog.topic(name).map_or(0, |topic| topic.partitions);
            if !assignments.is_empty()
                && assignments.len() != usize::try_from(partitions - has).unwrap_or(0)
            {
                return Err(BrokerError::InvalidAssignment(
                    "one list of nodes for each new partition is needed".into(),
                ));
            }
            self.check_replicas(assignments.iter().map(Vec::as_slice))?;
            let changes = if validate_only {
                Vec::new()
            } else {
                vec![change]
            };
            Ok(Plan {
                changes,
                drops: Vec::new(),
            })
        })?;
        settle(durables).await
    }

    /// Changes the configs of a topic that are not default: `edit` gets them and leaves what shall be.
    ///
    /// # Errors
    /// Those of `edit`; the topic or a config is unknown, a value is illegal, or the log takes nothing.
    pub async fn configure_topic(
        &self,
        name: &str,
        validate_only: bool,
        edit: impl FnOnce(&mut BTreeMap<String, String>) -> Result<(), BrokerError>,
    ) -> Result<(), BrokerError> {
        let durables = self.catalog.change(|catalog| {
            let topic = catalog
                .topic(name)
                .ok_or(BrokerError::UnknownTopicOrPartition)?;
            let mut configs = topic.configs.clone();
            edit(&mut configs)?;
            let change = catalog.configure(name, configs)?;
            let changes = if validate_only {
                Vec::new()
            } else {
                vec![change]
            };
            Ok(Plan {
                changes,
                drops: Vec::new(),
            })
        })?;
        settle(durables).await
    }
}

fn topic_partitions(catalog: &Catalog, id: TopicId) -> Vec<PartitionId> {
    catalog
        .topic_by_id(id)
        .map(|topic| topic.partition_ids().collect())
        .unwrap_or_default()
}

impl Broker {
    /// A random id whose base64 form does not begin with a dash, which command lines would take for an option (as Kafka does).
    pub(crate) fn fresh_topic_id(&self) -> TopicId {
        loop {
            let bytes = self.world.random_id();
            // The first six bits give the first letter; 62 is '-' in Kafka's alphabet.
            if bytes[0] >> 2 != 62 {
                return TopicId(bytes);
            }
        }
    }
}
