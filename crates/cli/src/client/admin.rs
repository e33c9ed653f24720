//! Topics, configurations, groups and offsets: one call each, one error each.

use std::sync::Arc;

use headwater_wire::messages as m;
use headwater_wire::{ErrorCode, KafkaString};

use super::assignor;
use super::cluster::Client;
use super::connection::Connection;
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

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupListing {
    pub name: String,
    pub state: String,
    pub protocol_type: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    pub name: String,
    pub state: String,
    pub protocol: String,
    pub members: Vec<GroupMember>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    pub id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub host: String,
    /// Topic and partition; empty when the assignment is not one of consumers.
    pub assigned: Vec<(String, i32)>,
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupOffset {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
}

fn text(string: &KafkaString) -> String {
    string.as_str().to_owned()
}

/// `Ok` for code 0, else what the node said about `what`.
fn verdict(what: &str, code: i16, message: Option<&KafkaString>) -> Result<(), ClientError> {
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

    /// # Errors
    /// What the node says.
    pub async fn groups(&self) -> Result<Vec<GroupListing>, ClientError> {
        let response = self.call(&m::ListGroupsRequestData::default()).await?;
        ClientError::check("cannot list groups", response.error_code)?;
        let listing = |group: &m::list_groups_response::ListedGroup| GroupListing {
            name: text(&group.group_id),
            state: text(&group.group_state),
            protocol_type: text(&group.protocol_type),
        };
        let mut groups: Vec<GroupListing> = response.groups.iter().map(listing).collect();
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(groups)
    }

    /// # Errors
    /// What the node says.
    pub async fn group(&self, name: &str) -> Result<GroupDescription, ClientError> {
        let request = m::DescribeGroupsRequestData {
            groups: vec![name.to_owned().into()],
            ..Default::default()
        };
        let coordinator = self.coordinator(name).await?;
        let response = coordinator.call(&request).await?;
        let missing = || {
            ClientError::broker(
                format!("group {name:?}"),
                ErrorCode::GroupIdNotFound.code(),
                None,
            )
        };
        let group = response.groups.first().ok_or_else(missing)?;
        if group.error_code == ErrorCode::GroupIdNotFound.code()
            || group.group_state.as_str() == DEAD
        {
            // It may be one of the consumer protocol, of which this call knows nothing.
            if let Some(group) = consumer_group(&coordinator, name).await {
                return Ok(group);
            }
        }
        verdict(
            &format!("group {name:?}"),
            group.error_code,
            group.error_message.as_ref(),
        )?;
        Ok(GroupDescription {
            name: text(&group.group_id),
            state: text(&group.group_state),
            protocol: text(&group.protocol_data),
            members: group.members.iter().map(member).collect(),
        })
    }

    /// Committed offsets of a group, by topic and partition.
    ///
    /// # Errors
    /// What the node says.
    pub async fn group_offsets(&self, name: &str) -> Result<Vec<GroupOffset>, ClientError> {
        committed(&self.coordinator(name).await?, name, None).await
    }

    /// # Errors
    /// What the node says, such as that it has members.
    pub async fn delete_group(&self, name: &str) -> Result<(), ClientError> {
        let request = m::DeleteGroupsRequestData {
            groups_names: vec![name.to_owned().into()],
            ..Default::default()
        };
        let response = self.coordinator(name).await?.call(&request).await?;
        let what = format!("cannot delete group {name:?}");
        response
            .results
            .iter()
            .try_for_each(|group| verdict(&what, group.error_code, None))
    }

    /// Sets committed offsets of a group without members.
    ///
    /// # Errors
    /// What the node says, such as that it has members.
    pub async fn set_group_offsets(
        &self,
        name: &str,
        offsets: &[(String, i32, i64)],
    ) -> Result<(), ClientError> {
        commit(&self.coordinator(name).await?, name, ("", -1), offsets).await
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

/// The state that stands for "there is no such group".
const DEAD: &str = "Dead";

/// A group of the consumer protocol (KIP-848); `None` when it is none, or the node does not speak of such groups.
async fn consumer_group(coordinator: &Arc<Connection>, name: &str) -> Option<GroupDescription> {
    let request = m::ConsumerGroupDescribeRequestData {
        group_ids: vec![name.to_owned().into()],
        ..Default::default()
    };
    let response = coordinator.call(&request).await.ok()?;
    let group = response
        .groups
        .first()
        .filter(|group| group.error_code == 0)?;
    let member = |data: &m::consumer_group_describe_response::Member| GroupMember {
        id: text(&data.member_id),
        instance_id: data.instance_id.as_ref().map(text),
        client_id: text(&data.client_id),
        host: text(&data.client_host),
        assigned: data
            .assignment
            .topic_partitions
            .iter()
            .flat_map(|topic| {
                let places = topic.partitions.iter();
                places.map(|index| (text(&topic.topic_name), *index))
            })
            .collect(),
    };
    Some(GroupDescription {
        name: text(&group.group_id),
        state: text(&group.group_state),
        protocol: text(&group.assignor_name),
        members: group.members.iter().map(member).collect(),
    })
}

fn member(data: &m::describe_groups_response::DescribedGroupMember) -> GroupMember {
    let assignment = assignor::read_assignment(&data.member_assignment).unwrap_or_default();
    let assigned = assignment
        .into_iter()
        .flat_map(|(topic, all)| all.into_iter().map(move |index| (topic.clone(), index)));
    GroupMember {
        id: text(&data.member_id),
        instance_id: data.group_instance_id.as_ref().map(text),
        client_id: text(&data.client_id),
        host: text(&data.client_host),
        assigned: assigned.collect(),
    }
}

/// Commits offsets as a member (id and generation), or as nobody (`("", -1)`).
pub(super) async fn commit(
    coordinator: &Arc<Connection>,
    group: &str,
    (member_id, generation): (&str, i32),
    offsets: &[(String, i32, i64)],
) -> Result<(), ClientError> {
    let mut topics: Vec<m::offset_commit_request::OffsetCommitRequestTopic> = Vec::new();
    for (topic, partition, offset) in offsets {
        let partition = m::offset_commit_request::OffsetCommitRequestPartition {
            partition_index: *partition,
            committed_offset: *offset,
            committed_metadata: Some(KafkaString::default()),
            ..Default::default()
        };
        match topics.iter_mut().find(|known| known.name.as_str() == topic) {
            Some(known) => known.partitions.push(partition),
            None => topics.push(m::offset_commit_request::OffsetCommitRequestTopic {
                name: topic.clone().into(),
                partitions: vec![partition],
                ..Default::default()
            }),
        }
    }
    let request = m::OffsetCommitRequestData {
        group_id: group.to_owned().into(),
        generation_id_or_member_epoch: generation,
        member_id: member_id.to_owned().into(),
        topics,
        ..Default::default()
    };
    let response = coordinator.call(&request).await?;
    let what = format!("cannot commit offsets of group {group:?}");
    let mut answers = response.topics.iter().flat_map(|topic| &topic.partitions);
    answers.try_for_each(|partition| ClientError::check(what.clone(), partition.error_code))
}

/// Committed offsets, of some partitions or of all.
pub(super) async fn committed(
    coordinator: &Arc<Connection>,
    group: &str,
    partitions: Option<&[(String, Vec<i32>)]>,
) -> Result<Vec<GroupOffset>, ClientError> {
    let topic =
        |(name, indexes): &(String, Vec<i32>)| m::offset_fetch_request::OffsetFetchRequestTopic {
            name: name.clone().into(),
            partition_indexes: indexes.clone(),
            ..Default::default()
        };
    let request = m::OffsetFetchRequestData {
        group_id: group.to_owned().into(),
        topics: partitions.map(|topics| topics.iter().map(topic).collect()),
        ..Default::default()
    };
    let response = coordinator.call(&request).await?;
    let what = format!("cannot read offsets of group {group:?}");
    ClientError::check(what.clone(), response.error_code)?;
    let mut offsets = Vec::new();
    for topic in &response.topics {
        for partition in &topic.partitions {
            ClientError::check(what.clone(), partition.error_code)?;
            if partition.committed_offset >= 0 {
                let (topic, offset) = (text(&topic.name), partition.committed_offset);
                offsets.push(GroupOffset {
                    topic,
                    partition: partition.partition_index,
                    offset,
                });
            }
        }
    }
    offsets.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    Ok(offsets)
}
