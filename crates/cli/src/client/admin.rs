//! Topics, configurations and offsets of partitions: one call each, one error each.

use headwater_wire::messages as m;
use headwater_wire::{ErrorCode, KafkaString};

use super::cluster::Client;
use super::error::ClientError;
use super::fetcher::Start;

const TIMEOUT_MS: i32 = 30_000;
const CONFIG_SET: i8 = 0;
const CONFIG_DELETE: i8 = 1;
/// `timestamp` of ListOffsets.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

/// A topic as Metadata shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    pub name: String,
    pub id: String,
    pub internal: bool,
    pub partitions: Vec<PartitionDescription>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionDescription {
    pub index: i32,
    pub leader: i32,
    pub replicas: Vec<i32>,
    pub in_sync: Vec<i32>,
}

/// One configuration of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    pub name: String,
    /// `None` when it is secret.
    pub value: Option<String>,
    /// Not set on this topic.
    pub is_default: bool,
    pub read_only: bool,
}

/// What a configuration belongs to: the kinds of resources of the configuration calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum ConfigOf {
    Topic = 2,
    /// A node by its id, or all nodes without one.
    Node = 4,
    Group = 32,
}

pub(super) fn text(string: &KafkaString) -> String {
    string.as_str().to_owned()
}

/// `Ok` for code 0, else what the node said about `what`.
pub(super) fn verdict(
    what: &str,
    code: i16,
    message: Option<&KafkaString>,
) -> Result<(), ClientError> {
    if code == 0 {
        Ok(())
    } else {
        Err(ClientError::broker(
            what,
            code,
            message.map(KafkaString::as_str),
        ))
    }
}

impl Client {
    /// Makes a topic. `partitions` -1: the node's default.
    ///
    /// # Errors
    /// What the node says, such as that it exists.
    pub async fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        configs: &[(String, String)],
    ) -> Result<(), ClientError> {
        let config =
            |(name, value): &(String, String)| m::create_topics_request::CreatableTopicConfig {
                name: name.clone().into(),
                value: Some(value.clone().into()),
                ..Default::default()
            };
        let topic = m::create_topics_request::CreatableTopic {
            name: name.to_owned().into(),
            num_partitions: partitions,
            replication_factor: -1,
            configs: configs.iter().map(config).collect(),
            ..Default::default()
        };
        let request = m::CreateTopicsRequestData {
            topics: vec![topic],
            timeout_ms: TIMEOUT_MS,
            ..Default::default()
        };
        let response = self.call(&request).await?;
        let what = format!("cannot create topic {name:?}");
        response
            .topics
            .iter()
            .try_for_each(|topic| verdict(&what, topic.error_code, topic.error_message.as_ref()))
    }

    /// # Errors
    /// [`ClientError::NoTopic`], or what the node says.
    pub async fn delete_topic(&self, name: &str) -> Result<(), ClientError> {
        let topic_names = vec![name.to_owned().into()];
        let request = m::DeleteTopicsRequestData {
            topic_names,
            timeout_ms: TIMEOUT_MS,
            ..Default::default()
        };
        let response = self.call(&request).await?;
        for topic in &response.responses {
            if ErrorCode::from(topic.error_code) == ErrorCode::UnknownTopicOrPartition {
                return Err(ClientError::NoTopic {
                    topic: name.to_owned(),
                });
            }
            verdict(
                &format!("cannot delete topic {name:?}"),
                topic.error_code,
                topic.error_message.as_ref(),
            )?;
        }
        Ok(())
    }

    /// Gives a topic more partitions, `count` in all.
    ///
    /// # Errors
    /// What the node says.
    pub async fn create_partitions(&self, name: &str, count: i32) -> Result<(), ClientError> {
        let topic = m::create_partitions_request::CreatePartitionsTopic {
            name: name.to_owned().into(),
            count,
            assignments: None,
            ..Default::default()
        };
        let request = m::CreatePartitionsRequestData {
            topics: vec![topic],
            timeout_ms: TIMEOUT_MS,
            ..Default::default()
        };
        let response = self.call(&request).await?;
        let what = format!("cannot give topic {name:?} {count} partitions");
        response
            .results
            .iter()
            .try_for_each(|topic| verdict(&what, topic.error_code, topic.error_message.as_ref()))
    }

    /// All topics, or those named, by name.
    ///
    /// # Errors
    /// [`ClientError::NoTopic`] when a named one is missing.
    pub async fn topics(
        &self,
        names: Option<&[&str]>,
    ) -> Result<Vec<TopicDescription>, ClientError> {
        let response = self.metadata(names, false).await?;
        let mut topics = Vec::new();
        for topic in &response.topics {
            let name = topic.name.as_ref().map(text).unwrap_or_default();
            if ErrorCode::from(topic.error_code) == ErrorCode::UnknownTopicOrPartition {
                return Err(ClientError::NoTopic { topic: name });
            }
            ClientError::check(format!("topic {name:?}"), topic.error_code)?;
            let mut partitions: Vec<PartitionDescription> =
                topic.partitions.iter().map(partition).collect();
            partitions.sort_by_key(|partition| partition.index);
            let id = topic.topic_id.to_string();
            topics.push(TopicDescription {
                name,
                id,
                internal: topic.is_internal,
                partitions,
            });
        }
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }

    /// # Errors
    /// What the node says.
    pub async fn topic_configs(&self, name: &str) -> Result<Vec<ConfigEntry>, ClientError> {
        self.configs(ConfigOf::Topic, name).await
    }

    /// # Errors
    /// What the node says.
    pub async fn configs(&self, of: ConfigOf, name: &str) -> Result<Vec<ConfigEntry>, ClientError> {
        let resource = m::describe_configs_request::DescribeConfigsResource {
            resource_type: of as i8,
            resource_name: name.to_owned().into(),
            configuration_keys: None,
            ..Default::default()
        };
        let request = m::DescribeConfigsRequestData {
            resources: vec![resource],
            ..Default::default()
        };
        let response = self.call(&request).await?;
        let mut entries = Vec::new();
        for result in &response.results {
            if ErrorCode::from(result.error_code) == ErrorCode::UnknownTopicOrPartition {
                return Err(ClientError::NoTopic {
                    topic: name.to_owned(),
                });
            }
            verdict(
                &format!("configuration of {name:?}"),
                result.error_code,
                result.error_message.as_ref(),
            )?;
            entries.extend(result.configs.iter().map(|config| {
                ConfigEntry {
                    name: text(&config.name),
                    value: config
                        .value
                        .as_ref()
                        .filter(|_| !config.is_sensitive)
                        .map(text),
                    // 5: nobody set it; of a topic, only what is set on itself counts (1).
                    is_default: match of {
                        ConfigOf::Topic => config.config_source != 1,
                        ConfigOf::Node | ConfigOf::Group => config.config_source == 5,
                    },
                    read_only: config.read_only,
                }
            }));
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Sets configurations of a topic; `None` puts one back to its default.
    ///
    /// # Errors
    /// What the node says.
    pub async fn set_topic_configs(
        &self,
        name: &str,
        changes: &[(String, Option<String>)],
    ) -> Result<(), ClientError> {
        self.set_configs(ConfigOf::Topic, name, changes).await
    }

    /// Sets configurations; `None` puts one back to its default.
    ///
    /// # Errors
    /// What the node says.
    pub async fn set_configs(
        &self,
        of: ConfigOf,
        name: &str,
        changes: &[(String, Option<String>)],
    ) -> Result<(), ClientError> {
        let config = |(name, value): &(String, Option<String>)| {
            m::incremental_alter_configs_request::AlterableConfig {
                name: name.clone().into(),
                config_operation: if value.is_some() {
                    CONFIG_SET
                } else {
                    CONFIG_DELETE
                },
                value: value.clone().map(Into::into),
                ..Default::default()
            }
        };
        let resource = m::incremental_alter_configs_request::AlterConfigsResource {
            resource_type: of as i8,
            resource_name: name.to_owned().into(),
            configs: changes.iter().map(config).collect(),
            ..Default::default()
        };
        let request = m::IncrementalAlterConfigsRequestData {
            resources: vec![resource],
            ..Default::default()
        };
        let response = self.call(&request).await?;
        let what = match of {
            ConfigOf::Topic => format!("cannot configure topic {name:?}"),
            ConfigOf::Node | ConfigOf::Group => format!("cannot configure {name:?}"),
        };
        response
            .responses
            .iter()
            .try_for_each(|one| verdict(&what, one.error_code, one.error_message.as_ref()))
    }

    /// First offset, end, or first offset at a time, of one partition.
    ///
    /// # Errors
    /// What the node says.
    pub async fn offset_of(
        &self,
        topic: &str,
        partition: i32,
        leader: i32,
        start: Start,
    ) -> Result<i64, ClientError> {
        let timestamp = match start {
            Start::At(offset) => return Ok(offset),
            Start::Earliest => EARLIEST,
            Start::Latest => LATEST,
            Start::Time(timestamp_ms) => timestamp_ms,
        };
        let wanted = m::list_offsets_request::ListOffsetsPartition {
            partition_index: partition,
            timestamp,
            ..Default::default()
        };
        let wanted = m::list_offsets_request::ListOffsetsTopic {
            name: topic.to_owned().into(),
            partitions: vec![wanted],
            ..Default::default()
        };
        let request = m::ListOffsetsRequestData {
            replica_id: -1,
            topics: vec![wanted],
            ..Default::default()
        };
        let response = self.node(leader).await?.call(&request).await?;
        let answer = response
            .topics
            .iter()
            .flat_map(|topic| &topic.partitions)
            .next();
        let missing = || ClientError::NoPartition {
            topic: topic.to_owned(),
            partition,
        };
        let answer = answer.ok_or_else(missing)?;
        ClientError::check(format!("{topic}/{partition}"), answer.error_code)?;
        match (answer.offset, start) {
            // No record is that late: the end.
            (-1, Start::Time(_)) => {
                Box::pin(self.offset_of(topic, partition, leader, Start::Latest)).await
            }
            (offset, _) => Ok(offset),
        }
    }
}

fn partition(data: &m::metadata_response::MetadataResponsePartition) -> PartitionDescription {
    PartitionDescription {
        index: data.partition_index,
        leader: data.leader_id,
        replicas: data.replica_nodes.clone(),
        in_sync: data.isr_nodes.clone(),
    }
}
