//! From a classic group to one of the consumer protocol, when the first member of the new kind comes, and back, when the last one has
//! gone (`group.consumer.migration.policy=bidirectional`).

use super::classic::{CONSUMER, by_id, by_name, version_of};
use super::group::ConsumerGroup;
use super::member::{Member, MemberState};
use super::types::{ClassicPart, Context};
use crate::consumer_protocol::{Subscription, read_assignment, write_assignment};
use crate::groups::{Group, Limits as ClassicLimits, SavedGroup, SavedMember};

impl ConsumerGroup {
    /// The same members with the same partitions. `None`: not a group of consumers.
    ///
    /// The host answers those who wait in the classic group with RebalanceInProgress.
    pub fn from_classic(group: &Group, context: &Context<'_>) -> Option<Self> {
        let saved = group.saved();
        if saved.protocol_type != CONSUMER || saved.members.len() >= context.limits.members_max {
            return None;
        }
        let mut out = Self::new();
        out.epoch = saved.generation;
        out.assignment_epoch = saved.generation;
        out.changes.head = true;
        for classic in &saved.members {
            let member = upgraded(classic, &saved, context);
            // A leader may have given a partition to two; here nobody may: the second one gets it in its turn.
            let taken = member.holds().any(|place| out.held().contains(&place));
            let member = match taken {
                true => Member {
                    assigned: Default::default(),
                    ..member
                },
                false => member,
            };
            out.put(&classic.member_id, member);
        }
        // Unknown expressions do not exist yet; the topics are those of the members.
        let _ = out.look_at_topics(context, true);
        Some(out)
    }

    /// The classic group of the same members. It is to rebalance unless a static member has just taken the last other's place.
    pub fn to_classic(&self, limits: ClassicLimits, context: &Context<'_>) -> Option<Group> {
        if !self.is_all_classic() || self.members.len() > limits.members_max {
            return None;
        }
        let member = |(id, member): (&String, &Member)| {
            let part = member.classic.as_ref()?;
            let places = by_name(&member.assigned, context.topics);
            Some(SavedMember {
                member_id: id.clone(),
                instance_id: member.instance_id.clone(),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                session_ms: part.session_ms,
                rebalance_ms: member.rebalance_ms,
                protocols: part.protocols.clone(),
                assignment: write_assignment(version_of(part), &places),
            })
        };
        let members: Vec<SavedMember> = self.members.iter().filter_map(member).collect();
        let first = members.first()?;
        let protocol = first.protocols.iter().find(|offered| {
            members
                .iter()
                .all(|other| other.protocols.iter().any(|one| one.name == offered.name))
        });
        let saved = SavedGroup {
            generation: self.epoch,
            protocol_type: CONSUMER.to_owned(),
            protocol: protocol.map(|one| one.name.clone()),
            leader: Some(first.member_id.clone()),
            changed_ms: context.now_ms,
            members,
        };
        Some(Group::restored(limits, saved, context.now_ms))
    }
}

fn upgraded(classic: &SavedMember, group: &SavedGroup, context: &Context<'_>) -> Member {
    let chosen = classic
        .protocols
        .iter()
        .find(|one| Some(&one.name) == group.protocol.as_ref())
        .or(classic.protocols.first());
    let subscription = chosen
        .map(|one| Subscription::read(&one.metadata))
        .unwrap_or_default();
    let assigned = by_id(&read_assignment(&classic.assignment), context.topics);
    let mut member = Member::new();
    member.instance_id.clone_from(&classic.instance_id);
    member.client_id.clone_from(&classic.client_id);
    member.client_host.clone_from(&classic.client_host);
    member.rebalance_ms = classic.rebalance_ms;
    member.topic_names = subscription.topics.into_iter().collect();
    member.classic = Some(ClassicPart {
        session_ms: classic.session_ms,
        protocols: classic.protocols.clone(),
    });
    member.epoch = group.generation;
    member.previous_epoch = group.generation;
    member.state = MemberState::Stable;
    member.target = assigned.clone();
    member.assigned = assigned;
    let until_ms = context.now_ms.saturating_add(classic.session_ms.into());
    member.timers.session = Some(until_ms);
    member
}
