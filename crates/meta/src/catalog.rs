//! The state that the changes add up to, and the checks before a change is made.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use headwater_base::TopicId;
use headwater_base::limits::TOPIC_PARTITIONS_MAX;

use crate::acls::Acls;
use crate::change::Change;
use crate::configs;
use crate::quotas::Quotas;
use crate::scopes::{Configs, Scope, ScopeError};
use crate::scram::ScramUsers;
use crate::topic::{INTERNAL_PREFIX, Topic, check_name, collision_key};

/// Why a change is refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetaError {
    #[error("Topic '{0}' already exists.")]
    TopicExists(String),
    #[error("{0}")]
    InvalidTopic(String),
    #[error("The topic '{0}' does not exist.")]
    UnknownTopic(String),
    #[error("{0}")]
    InvalidPartitions(String),
    #[error("{0}")]
    InvalidConfig(String),
    #[error("{0}")]
    InvalidAcl(String),
    #[error(transparent)]
    Scope(#[from] ScopeError),
}

/// All topics and the cluster's identity. Cheap to clone: topics are shared.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    pub cluster_id: String,
    /// The next producer id that was never handed out.
    pub next_producer_id: i64,
    acls: Arc<Acls>,
    scram: Arc<ScramUsers>,
    quotas: Arc<Quotas>,
    scopes: Arc<BTreeMap<Scope, Configs>>,
    /// What topics get that do not set it, where the nodes' configs differ from Kafka's defaults.
    topic_defaults: Arc<Configs>,
    features: Arc<BTreeMap<String, i16>>,
    topics: BTreeMap<String, Arc<Topic>>,
    by_id: HashMap<TopicId, Arc<Topic>>,
}

impl Catalog {
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(name)
    }

    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.by_id.get(&id)
    }

    /// All topics by name, internal ones included.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.topics.values()
    }

    pub fn len(&self) -> usize {
        self.topics.len()
    }

    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Reset => *self = Self::default(),
            Change::ClusterNamed { id } => self.cluster_id.clone_from(id),
            Change::ProducerIdsReserved { next } => {
                self.next_producer_id = self.next_producer_id.max(*next)
            }
            Change::TopicCreated(topic) => {
                let topic = topic.clone();
                self.put(Topic::new(
                    topic.name,
                    topic.id,
                    topic.partitions,
                    topic.configs,
                ));
            }
            Change::TopicDeleted { name } => self.remove(name),
            Change::PartitionsSet { name, partitions } => {
                self.edit(name, |topic| topic.partitions = *partitions)
            }
            Change::ConfigsSet { name, configs } => {
                self.edit(name, |topic| topic.configs.clone_from(configs))
            }
            Change::AclsAdded { acls } => {
                let all = Arc::make_mut(&mut self.acls);
                acls.iter().for_each(|acl| all.add(acl.clone()));
            }
            Change::AclsRemoved { acls } => {
                let all = Arc::make_mut(&mut self.acls);
                acls.iter().for_each(|acl| all.remove(acl));
            }
            Change::ScopeConfigsSet { scope, configs } => self.set_scope(scope, configs),
            Change::Scram(change) => Arc::make_mut(&mut self.scram).apply(change),
            Change::QuotasSet { entity, values } => {
                Arc::make_mut(&mut self.quotas).set(entity.clone(), values.clone())
            }
            Change::FeatureSet { feature, level } => {
                Arc::make_mut(&mut self.features).insert(feature.clone(), *level);
            }
        }
    }

    /// The change that makes a topic of a client.
    ///
    /// # Errors
    /// The name, the number of partitions or a config is not allowed, or the topic exists.
    pub fn create(
        &self,
        name: &str,
        id: TopicId,
        partitions: i32,
        configs: BTreeMap<String, String>,
    ) -> Result<Change, MetaError> {
        check_name(name).map_err(MetaError::InvalidTopic)?;
        if name.starts_with(INTERNAL_PREFIX) {
            let text = format!("topic names that begin with '{INTERNAL_PREFIX}' are reserved");
            return Err(MetaError::InvalidTopic(text));
        }
        self.create_any(name, id, partitions, configs)
    }

    /// Whether a client may make a topic of this name.
    ///
    /// # Errors
    /// The name is not allowed, taken, or too much like another one.
    pub fn check_new_name(&self, name: &str) -> Result<(), MetaError> {
        check_name(name).map_err(MetaError::InvalidTopic)?;
        if self.topics.contains_key(name) {
            return Err(MetaError::TopicExists(name.to_owned()));
        }
        self.check_collision(name)
    }

    /// As [`Catalog::create`], for internal topics too.
    ///
    /// # Errors
    /// As [`Catalog::create`].
    pub fn create_any(
        &self,
        name: &str,
        id: TopicId,
        partitions: i32,
        configs: BTreeMap<String, String>,
    ) -> Result<Change, MetaError> {
        self.check_new_name(name)?;
        check_partitions(partitions)?;
        configs::validate(&configs).map_err(MetaError::InvalidConfig)?;
        Ok(Change::created(name, id, partitions, configs))
    }

    /// # Errors
    /// There is no such topic.
    pub fn delete(&self, name: &str) -> Result<Change, MetaError> {
        self.known(name)?;
        Ok(Change::TopicDeleted {
            name: name.to_owned(),
        })
    }

    /// # Errors
    /// There is no such topic, or it would not grow.
    pub fn grow(&self, name: &str, partitions: i32) -> Result<Change, MetaError> {
        let topic = self.known(name)?;
        if partitions <= topic.partitions {
            let has = topic.partitions;
            let text = match partitions == has {
                true => format!("Topic already has {has} partition(s)."),
                false => format!(
                    "The topic {name} currently has {has} partition(s); {partitions} would not be an increase."
                ),
            };
            return Err(MetaError::InvalidPartitions(text));
        }
        check_partitions(partitions)?;
        Ok(Change::PartitionsSet {
            name: name.to_owned(),
            partitions,
        })
    }

    /// Replaces all configs of a topic that are not default.
    ///
    /// # Errors
    /// There is no such topic, or a config is unknown or has an illegal value.
    pub fn configure(
        &self,
        name: &str,
        configs: BTreeMap<String, String>,
    ) -> Result<Change, MetaError> {
        self.known(name)?;
        configs::validate(&configs).map_err(MetaError::InvalidConfig)?;
        Ok(Change::ConfigsSet {
            name: name.to_owned(),
            configs,
        })
    }

    fn known(&self, name: &str) -> Result<&Arc<Topic>, MetaError> {
        self.topics
            .get(name)
            .ok_or_else(|| MetaError::UnknownTopic(name.to_owned()))
    }

    fn check_collision(&self, name: &str) -> Result<(), MetaError> {
        if !name.contains(['.', '_']) {
            return Ok(());
        }
        let key = collision_key(name);
        match self.topics.keys().find(|other| collision_key(other) == key) {
            Some(other) => Err(MetaError::InvalidTopic(format!(
                "Topic '{name}' collides with existing topic: {other}"
            ))),
            None => Ok(()),
        }
    }

    fn put(&mut self, mut topic: Topic) {
        self.remove(&topic.name);
        if !self.topic_defaults.is_empty() {
            topic.settings = self.settings(&topic.configs);
        }
        let topic = Arc::new(topic);
        self.by_id.insert(topic.id, Arc::clone(&topic));
        self.topics.insert(topic.name.clone(), topic);
    }

    fn remove(&mut self, name: &str) {
        if let Some(topic) = self.topics.remove(name) {
            self.by_id.remove(&topic.id);
        }
    }

    fn edit(&mut self, name: &str, edit: impl FnOnce(&mut Topic)) {
        if let Some(topic) = self.topics.get(name) {
            let mut topic = Topic::clone(topic);
            edit(&mut topic);
            self.put(Topic::new(
                topic.name,
                topic.id,
                topic.partitions,
                topic.configs,
            ));
        }
    }
}

fn check_partitions(partitions: i32) -> Result<(), MetaError> {
    if (1..=TOPIC_PARTITIONS_MAX).contains(&partitions) {
        return Ok(());
    }
    let text =
        format!("the number of partitions must be 1 to {TOPIC_PARTITIONS_MAX}, not {partitions}");
    Err(MetaError::InvalidPartitions(text))
}

mod security;
mod snapshot;

#[cfg(test)]
mod tests;
