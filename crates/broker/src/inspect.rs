//! What the console and the command line show: topics with extents, their newest records decoded, groups with their lag.

use std::collections::VecDeque;

use headwater_base::{Offset, PartitionId, TopicId};
use headwater_coord::groups::{MemberDescription, State};
use headwater_log::{Bound, Log, PartitionState};
use headwater_record::{Record, records};

use crate::Broker;
use crate::counters::Flow;
use crate::error::BrokerError;
use crate::groups::{GroupPhase, GroupView, assigned_partitions, named};
use crate::topics::TopicRef;

/// Bytes of one partition that are read to find its newest records.
const TAIL_BYTES: usize = 1024 * 1024;
/// Most records of one answer.
const RECORDS_MAX: usize = 1_000;

/// A topic, how much it holds and what flowed through it since the start of the process.
#[derive(Clone, Debug)]
pub struct TopicView {
    pub name: String,
    pub id: TopicId,
    pub internal: bool,
    /// One per partition.
    pub partitions: Vec<PartitionState>,
    pub flow: Flow,
}

impl TopicView {
    /// Records held, all partitions together.
    pub fn records(&self) -> i64 {
        self.partitions
            .iter()
            .map(|state| state.durable_end - state.start)
            .sum()
    }

    pub fn bytes(&self) -> u64 {
        self.partitions.iter().map(|state| state.bytes).sum()
    }
}

/// One record as it was written.
#[derive(Clone, Debug)]
pub struct PlacedRecord {
    pub partition: i32,
    pub record: Record,
}

/// A group and how far it is behind.
#[derive(Clone, Debug)]
pub struct GroupLag {
    pub id: String,
    pub state: GroupPhase,
    pub protocol: String,
    pub members: Vec<MemberView>,
    pub partitions: Vec<PartitionLag>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberView {
    pub id: String,
    pub client_id: String,
    pub host: String,
    /// `topic/partition` of what the member reads; empty while the group rebalances or if it is no consumer.
    pub assigned: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionLag {
    pub topic: String,
    pub partition: i32,
    pub committed: Offset,
    pub end: Offset,
}

impl PartitionLag {
    pub fn lag(&self) -> i64 {
        (self.end - self.committed).max(0)
    }
}

impl Broker {
    /// All topics by name, internal ones included.
    pub fn topic_views(&self) -> Vec<TopicView> {
        let catalog = self.catalog.current();
        let view = |topic: &std::sync::Arc<headwater_meta::Topic>| TopicView {
            name: topic.name.clone(),
            id: topic.id,
            internal: topic.is_internal(),
            partitions: topic.partition_ids().map(|id| self.log.state(id)).collect(),
            flow: self.counters.of(topic.id, &topic.name).flow(),
        };
        catalog.topics().map(view).collect()
    }

    /// The newest records of a topic, newest first (by timestamp, then offset).
    ///
    /// # Errors
    /// The topic is unknown, or the log cannot be read.
    pub async fn newest_records(
        &self,
        topic: &str,
        limit: usize,
    ) -> Result<Vec<PlacedRecord>, BrokerError> {
        let topic = self.find_topic(&TopicRef::Name(topic.to_owned()))?;
        let ids: Vec<PartitionId> = topic.partition_ids().collect();
        let limit = limit.min(RECORDS_MAX);
        self.off_thread(move |log| {
            let mut all = Vec::new();
            for id in ids {
                let newest = newest_of(log, id, limit)?;
                all.extend(newest.into_iter().map(|record| PlacedRecord {
                    partition: id.index,
                    record,
                }));
            }
            all.sort_by_key(|placed| {
                std::cmp::Reverse((placed.record.timestamp, placed.record.offset))
            });
            all.truncate(limit);
            Ok(all)
        })
        .await
    }

    /// All groups with what they committed and where the partitions end.
    pub fn group_lags(&self) -> Vec<GroupLag> {
        self.list_groups()
            .into_iter()
            .map(|listing| self.group_lag(listing.id))
            .collect()
    }

    fn group_lag(&self, id: String) -> GroupLag {
        let catalog = self.catalog.current();
        let lag = |((topic, partition), committed): ((String, i32), crate::CommittedOffset)| {
            let place = catalog.topic(&topic)?.partition(partition)?;
            let end = self.log.state(place).durable_end;
            Some(PartitionLag {
                topic,
                partition,
                committed: committed.offset,
                end,
            })
        };
        let partitions = self
            .committed
            .group(&id)
            .into_iter()
            .filter_map(lag)
            .collect();
        let (state, protocol, members) = match self.describe_group(&id) {
            GroupView::Known(view) => {
                let consumers = view.protocol_type == "consumer";
                let member = |member: MemberDescription| MemberView {
                    assigned: match consumers {
                        true => assigned_partitions(&member.assignment),
                        false => Vec::new(),
                    },
                    id: member.member_id,
                    client_id: member.client_id,
                    host: member.client_host,
                };
                let members = view.members.into_iter().map(member).collect();
                (GroupPhase::Classic(view.state), view.protocol, members)
            }
            GroupView::Consumer(view) => {
                let member = |share: crate::MemberShare| MemberView {
                    assigned: named(self, &share.member.assigned),
                    id: share.id,
                    client_id: share.member.client_id,
                    host: share.member.client_host,
                };
                let members = view.members.into_iter().map(member).collect();
                (GroupPhase::Consumer(view.state), view.assignor, members)
            }
            GroupView::Unknown => (GroupPhase::Classic(State::Dead), String::new(), Vec::new()),
        };
        GroupLag {
            id,
            state,
            protocol,
            members,
            partitions,
        }
    }
}

fn newest_of(
    log: &dyn Log,
    id: PartitionId,
    limit: usize,
) -> Result<VecDeque<Record>, BrokerError> {
    let state = log.state(id);
    let limit_offsets = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut next = state
        .start
        .max(state.durable_end.saturating_sub(limit_offsets));
    let mut newest = VecDeque::new();
    while next < state.durable_end {
        let out = log.read(id, next, TAIL_BYTES, Bound::Durable)?;
        let before = next;
        for batch in &out.batches {
            for record in records(batch)? {
                let record = record?;
                if record.offset >= next {
                    next = record.offset + 1;
                    newest.push_back(record);
                }
            }
            newest.drain(..newest.len().saturating_sub(limit));
        }
        if next == before {
            break;
        }
    }
    Ok(newest)
}
