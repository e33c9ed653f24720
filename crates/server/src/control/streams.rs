//! Topics, their newest records, and groups, as the page shows them.

use std::collections::BTreeMap;

use headwater_broker::{BrokerError, GroupLag, PlacedRecord, TopicView};
use headwater_edge_http::dto::{
    Group, GroupMember, GroupPartition, PartitionInfo, RecordHeader, RecordsQuery, Topic,
    TopicDetail, TopicRecord,
};
use headwater_edge_http::payload::Payload;
use headwater_edge_http::{Answer, ApiError, Streams};

use super::{NodeControl, unsigned};

impl Streams for NodeControl {
    fn topics(&self) -> Answer<'_, Vec<Topic>> {
        Box::pin(async move { Ok(self.broker.topic_views().iter().map(topic).collect()) })
    }

    fn topic(&self, name: String) -> Answer<'_, TopicDetail> {
        Box::pin(async move {
            let views = self.broker.topic_views();
            let view = views
                .iter()
                .find(|view| view.name == name)
                .ok_or_else(|| no_topic(&name))?;
            let mut read_by: Vec<String> = Vec::new();
            for pipeline in self.engine.status().pipelines {
                read_by.extend(
                    pipeline
                        .inputs
                        .into_iter()
                        .filter(|i| i.topic == name)
                        .map(|i| i.name),
                );
            }
            read_by.sort_unstable();
            read_by.dedup();
            Ok(TopicDetail {
                topic: topic(view),
                partitions: self.partitions(view),
                config: self.config(&name),
                read_by,
            })
        })
    }

    fn records(&self, topic: String, query: RecordsQuery) -> Answer<'_, Vec<TopicRecord>> {
        Box::pin(async move {
            let found = self.broker.newest_records(&topic, query.limit).await;
            let found = found.map_err(|error| match error {
                BrokerError::UnknownTopicOrPartition | BrokerError::UnknownTopicId => {
                    no_topic(&topic)
                }
                other => ApiError::internal(other.to_string()),
            })?;
            let wanted =
                |placed: &PlacedRecord| query.partition.is_none_or(|p| p == placed.partition);
            Ok(found.into_iter().filter(wanted).map(record).collect())
        })
    }

    fn groups(&self) -> Answer<'_, Vec<Group>> {
        Box::pin(async move { Ok(self.broker.group_lags().into_iter().map(group).collect()) })
    }
}

impl NodeControl {
    fn partitions(&self, view: &TopicView) -> Vec<PartitionInfo> {
        let leader = self.broker.config().node_id;
        let info = |(at, state): (usize, &headwater_log::PartitionState)| PartitionInfo {
            partition: i32::try_from(at).unwrap_or(i32::MAX),
            start: state.start,
            end: state.durable_end,
            bytes: state.bytes,
            leader,
        };
        view.partitions.iter().enumerate().map(info).collect()
    }

    /// What was set on the topic itself.
    fn config(&self, name: &str) -> BTreeMap<String, String> {
        let topic = self.broker.topic(name);
        topic
            .map(|topic| {
                topic
                    .configs
                    .iter()
                    .map(|(k, v)| (k.clone(), v.clone()))
                    .collect()
            })
            .unwrap_or_default()
    }
}

fn no_topic(name: &str) -> ApiError {
    ApiError::not_found(format!("there is no topic {name:?}"))
}

fn topic(view: &TopicView) -> Topic {
    Topic {
        name: view.name.clone(),
        internal: view.internal,
        partitions: u32::try_from(view.partitions.len()).unwrap_or(u32::MAX),
        records: unsigned(view.records()),
        bytes: view.bytes(),
        records_in_total: view
            .partitions
            .iter()
            .map(|state| unsigned(state.durable_end))
            .sum(),
        bytes_in_total: Some(view.flow.bytes_in),
        ..Topic::default()
    }
}

fn record(placed: PlacedRecord) -> TopicRecord {
    let PlacedRecord { partition, record } = placed;
    let header = |header: headwater_record::Header| RecordHeader {
        name: String::from_utf8_lossy(&header.key).into_owned(),
        value: header.value.as_deref().map(Payload::decode),
    };
    TopicRecord {
        partition,
        offset: record.offset,
        timestamp_ms: record.timestamp,
        key: record.key.as_deref().map(Payload::decode),
        value: record.value.as_deref().map(Payload::decode),
        headers: record.headers.into_iter().map(header).collect(),
    }
}

/// The member that reads a partition.
fn reader(members: &[headwater_broker::MemberView], topic: &str, partition: i32) -> Option<String> {
    let place = format!("{topic}/{partition}");
    members
        .iter()
        .find(|member| member.assigned.contains(&place))
        .map(|member| member.id.clone())
}

fn group(lag: GroupLag) -> Group {
    let partition = |part: &headwater_broker::PartitionLag| GroupPartition {
        topic: part.topic.clone(),
        partition: part.partition,
        committed: Some(part.committed),
        end: part.end,
        lag: unsigned(part.lag()),
        member: reader(&lag.members, &part.topic, part.partition),
    };
    let partitions: Vec<GroupPartition> = lag.partitions.iter().map(partition).collect();
    let member = |member: headwater_broker::MemberView| GroupMember {
        id: member.id,
        client_id: member.client_id,
        host: member.host,
        assigned: member.assigned,
    };
    Group {
        name: lag.id,
        state: format!("{:?}", lag.state),
        protocol: lag.protocol,
        members: lag.members.into_iter().map(member).collect(),
        lag_total: partitions.iter().map(|p| p.lag).sum(),
        partitions,
    }
}
