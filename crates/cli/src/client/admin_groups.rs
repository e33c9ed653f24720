//! Consumer groups and what they committed: one call each, one error each.

use std::sync::Arc;

use headwater_wire::messages as m;
use headwater_wire::{ErrorCode, KafkaString};

use super::admin::{text, verdict};
use super::assignor;
use super::cluster::Client;
use super::connection::Connection;
use super::error::ClientError;

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

impl Client {
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
