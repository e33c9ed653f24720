//! Making topics and adding partitions to them: one change of the catalog for all that a request asks for.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_base::TopicId;
use headwater_meta::{Catalog, Change, MetaError, Topic};

use crate::Broker;
use crate::catalog::{Plan, settle};
use crate::error::BrokerError;

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

/// More partitions of a topic.
#[derive(Clone, Debug, Default)]
pub struct MorePartitions {
    pub topic: String,
    /// How many there shall be altogether.
    pub partitions: i32,
    /// The nodes that shall hold each new one.
    pub assignments: Option<Vec<Vec<i32>>>,
}

impl Broker {
    /// Makes topics, each on its own; with `validate_only` nothing is made. One result per topic, in order, when durable.
    pub async fn create_topics(
        &self,
        topics: Vec<NewTopic>,
        validate_only: bool,
    ) -> Vec<Result<Arc<Topic>, BrokerError>> {
        let plan = |catalog: &mut Catalog, new: &NewTopic| {
            let change = self.plan_topic(catalog, new)?;
            catalog.apply(&change);
            let made = catalog.topic(&new.name).cloned();
            Ok((change, made.ok_or(BrokerError::UnknownTopicOrPartition)?))
        };
        self.change_each(&topics, validate_only, plan).await
    }

    /// Adds partitions to topics, each on its own. One result per topic, in order, when durable.
    pub async fn create_partitions(
        &self,
        topics: &[MorePartitions],
        validate_only: bool,
    ) -> Vec<Result<(), BrokerError>> {
        let plan = |catalog: &mut Catalog, more: &MorePartitions| {
            let change = self.plan_more(catalog, more)?;
            catalog.apply(&change);
            Ok((change, ()))
        };
        self.change_each(topics, validate_only, plan).await
    }

    /// Plans each item on what the former ones leave, and makes all that can be in one change of the catalog.
    async fn change_each<T, O>(
        &self,
        items: &[T],
        validate_only: bool,
        plan: impl Fn(&mut Catalog, &T) -> Result<(Change, O), BrokerError>,
    ) -> Vec<Result<O, BrokerError>> {
        let mut outcomes = Vec::with_capacity(items.len());
        let submitted = self.catalog.change(|catalog| {
            let mut next = Catalog::clone(catalog);
            let mut changes = Vec::new();
            for item in items {
                outcomes.push(plan(&mut next, item).map(|(change, made)| {
                    changes.push(change);
                    made
                }));
            }
            Ok(Plan::of(changes, validate_only))
        });
        let written = match submitted {
            Ok(durables) => settle(durables).await,
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            return outcomes
                .into_iter()
                .map(|one| one.and(Err(error.clone())))
                .collect();
        }
        outcomes
    }

    fn plan_topic(&self, catalog: &Catalog, new: &NewTopic) -> Result<Change, BrokerError> {
        // The name first, as Kafka does: with a bad one nothing else matters.
        catalog.check_new_name(&new.name)?;
        let partitions = self.partitions_of(new)?;
        Ok(catalog.create(
            &new.name,
            self.fresh_topic_id(),
            partitions,
            new.configs.clone(),
        )?)
    }

    fn partitions_of(&self, new: &NewTopic) -> Result<i32, BrokerError> {
        if !new.assignments.is_empty() {
            return self.assigned_partitions(new);
        }
        if !matches!(new.replicas, -1 | 1) {
            return Err(BrokerError::ReplicationFactor(new.replicas));
        }
        match new.partitions {
            -1 => Ok(self.config().default_partitions),
            ..=0 => Err(MetaError::InvalidPartitions(
                "Number of partitions was set to an invalid non-positive value.".into(),
            )
            .into()),
            partitions => Ok(partitions),
        }
    }

    fn assigned_partitions(&self, new: &NewTopic) -> Result<i32, BrokerError> {
        let only_assigned = |what: &str| {
            Err(BrokerError::InvalidRequest(format!(
                "A manual partition assignment was specified, but {what} was not set to -1."
            )))
        };
        if new.replicas != -1 {
            return only_assigned("replication factor");
        }
        if new.partitions != -1 {
            return only_assigned("number of partitions");
        }
        let mut indexes: Vec<i32> = new.assignments.iter().map(|(index, _)| *index).collect();
        indexes.sort_unstable();
        if let Some(pair) = indexes.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(BrokerError::InvalidAssignment(format!(
                "Found multiple manual partition assignments for partition {}",
                pair[0]
            )));
        }
        for (_, nodes) in &new.assignments {
            self.check_replicas(nodes)?;
        }
        if indexes
            .iter()
            .zip(0..)
            .any(|(index, expected)| *index != expected)
        {
            return Err(BrokerError::InvalidAssignment(
                "partitions should be a consecutive 0-based integer sequence".into(),
            ));
        }
        Ok(i32::try_from(indexes.len()).unwrap_or(i32::MAX))
    }

    /// Whether a partition can be on these nodes, of which there is one.
    ///
    /// # Errors
    /// It cannot; in Kafka's words.
    pub fn check_replicas(&self, nodes: &[i32]) -> Result<(), BrokerError> {
        let this = self.config().node_id;
        let why = match nodes {
            [] => "an empty replica list.".to_owned(),
            [one] if *one == this => return Ok(()),
            nodes => match nodes.iter().find(|node| **node != this) {
                Some(other) => format!("broker {other}, but no such broker is registered."),
                None => format!("the broker {this} more than once."),
            },
        };
        let text = format!("The manual partition assignment includes {why}");
        Err(BrokerError::InvalidAssignment(text))
    }

    fn plan_more(&self, catalog: &Catalog, more: &MorePartitions) -> Result<Change, BrokerError> {
        let topic = catalog
            .topic(&more.topic)
            .ok_or(BrokerError::UnknownTopicOrPartition)?;
        let has = topic.partitions;
        let change = catalog.grow(&more.topic, more.partitions)?;
        let Some(assignments) = &more.assignments else {
            return Ok(change);
        };
        let added = usize::try_from(more.partitions - has).unwrap_or(0);
        if assignments.len() != added {
            let given = assignments.len();
            return Err(BrokerError::InvalidAssignment(format!(
                "Attempted to add {added} additional partition(s), but only {given} assignment(s) were specified."
            )));
        }
        assignments
            .iter()
            .try_for_each(|nodes| self.check_replicas(nodes))?;
        Ok(change)
    }

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
