//! Listing, describing and deleting groups. A group with offsets and no members exists, too: it is empty.

use std::collections::BTreeMap;

use headwater_coord::consumer_groups::{ConsumerGroup, GroupState, Member, Partitions};
use headwater_coord::groups::{Description, GroupError, State};

use super::hosted::Kind;
use crate::Broker;
use crate::catalog::settle;
use crate::error::BrokerError;

/// Which protocol a group speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupType {
    Classic,
    Consumer,
}

impl GroupType {
    /// The name in ListGroups.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Consumer => "consumer",
        }
    }
}

/// The state of a group of either type.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum GroupPhase {
    Classic(State),
    Consumer(GroupState),
}

impl GroupPhase {
    /// As Kafka shows it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Classic(state) => state.name(),
            Self::Consumer(state) => state.name(),
        }
    }
}

/// The name alone: that is what is shown.
impl std::fmt::Debug for GroupPhase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// One line of a list of groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupListing {
    pub id: String,
    /// "consumer", or empty when nobody ever joined.
    pub protocol_type: String,
    pub state: GroupPhase,
    pub group_type: GroupType,
}

/// A group as it is now, or that it is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupView {
    Known(Description),
    Consumer(ConsumerView),
    Unknown,
}

/// A group of the consumer protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerView {
    pub state: GroupState,
    pub epoch: i32,
    pub assignment_epoch: i32,
    pub assignor: String,
    pub members: Vec<MemberShare>,
}

/// A member of a group of the consumer protocol, by its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberShare {
    pub id: String,
    pub member: Member,
}

impl ConsumerView {
    fn of(group: &ConsumerGroup) -> Self {
        let share = |(id, member): (&String, &Member)| MemberShare {
            id: id.clone(),
            member: member.clone(),
        };
        Self {
            state: group.state(),
            epoch: group.epoch(),
            assignment_epoch: group.assignment_epoch(),
            assignor: group.assignor().to_owned(),
            members: group.members().iter().map(share).collect(),
        }
    }
}

impl Broker {
    pub fn list_groups(&self) -> Vec<GroupListing> {
        let listing = |id: String, protocol_type: &str, state, group_type| GroupListing {
            id,
            protocol_type: protocol_type.to_owned(),
            state,
            group_type,
        };
        let offline = |id: String| {
            let state = GroupPhase::Classic(State::Empty);
            (id.clone(), listing(id, "", state, GroupType::Classic))
        };
        let mut groups: BTreeMap<String, GroupListing> = self
            .committed
            .group_names()
            .into_iter()
            .map(offline)
            .collect();
        for (id, hosted) in self.groups.all() {
            let hosted = hosted.lock();
            let one = match &hosted.kind {
                Kind::Classic(group) if group.state() == State::Dead => continue,
                Kind::Classic(group) => {
                    let state = GroupPhase::Classic(group.state());
                    let protocol_type = group.protocol_type().unwrap_or_default();
                    listing(id.clone(), protocol_type, state, GroupType::Classic)
                }
                Kind::Consumer(group) => {
                    let state = GroupPhase::Consumer(group.state());
                    listing(id.clone(), "consumer", state, GroupType::Consumer)
                }
            };
            groups.insert(id, one);
        }
        groups.into_values().collect()
    }

    pub fn describe_group(&self, id: &str) -> GroupView {
        if let Some(hosted) = self.groups.find(id) {
            return match &hosted.lock().kind {
                Kind::Classic(group) => GroupView::Known(group.describe()),
                Kind::Consumer(group) => GroupView::Consumer(ConsumerView::of(group)),
            };
        }
        match self.committed.has_group(id) {
            true => GroupView::Known(Description {
                state: State::Empty,
                generation: 0,
                protocol_type: String::new(),
                protocol: String::new(),
                members: Vec::new(),
            }),
            false => GroupView::Unknown,
        }
    }

    /// Ends a group without members and deletes its offsets.
    ///
    /// # Errors
    /// The group has members or is not there, or the log takes nothing.
    pub async fn delete_group(&self, id: &str) -> Result<(), BrokerError> {
        let hosted = self.groups.find(id);
        if hosted.is_none() && !self.committed.has_group(id) {
            return Err(BrokerError::GroupNotFound);
        }
        if let Some(hosted) = hosted {
            let written = {
                let mut guard = hosted.lock();
                if !guard.kind.is_empty() {
                    return Err(BrokerError::NonEmptyGroup);
                }
                let deletions = guard.kind.deletions(id);
                let written = self.groups.journal.write(deletions)?;
                if let Kind::Classic(group) = &mut guard.kind {
                    match group.delete() {
                        Ok(()) | Err(GroupError::CoordinatorNotAvailable) => {}
                        Err(_) => return Err(BrokerError::NonEmptyGroup),
                    }
                }
                guard.gone = true;
                written
            };
            self.groups.tidy(id);
            if let Some(written) = written {
                written.await?;
            }
        }
        let entries = self
            .committed
            .group(id)
            .into_keys()
            .map(|place| (place, None))
            .collect();
        let durable = self.committed.write(id, entries)?;
        settle(durable.into_iter().collect()).await
    }
}

/// The partitions of a share as `topic/partition`.
pub(crate) fn named(broker: &Broker, partitions: &Partitions) -> Vec<String> {
    let catalog = broker.catalog.current();
    let of_topic = |(id, indexes): (&headwater_base::TopicId, &std::collections::BTreeSet<i32>)| {
        let name = catalog.topic_by_id(*id).map(|topic| topic.name.clone());
        let places = |name: String| indexes.iter().map(move |index| format!("{name}/{index}"));
        name.map(places).into_iter().flatten().collect::<Vec<_>>()
    };
    partitions.iter().flat_map(of_topic).collect()
}
