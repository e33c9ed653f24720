//! Classic members of a group of the consumer protocol: JoinGroup, SyncGroup, Heartbeat and LeaveGroup answered from its state.

use super::group::ConsumerGroup;
use super::heartbeat::{fenced_instance, unknown};
use super::member::{Member, MemberState, collect, contains, each};
use super::types::{ClassicJoined, ClassicPart, ConsumerError, Context, Partitions, Topics};
use crate::consumer_protocol::{Places, Subscription, write_assignment};
use crate::groups::{GroupError, Heartbeat, Join, LeaveOutcome, Leaver, Sync, Synced};

/// The protocol type of consumers.
pub(super) const CONSUMER: &str = "consumer";

impl ConsumerGroup {
    /// JoinGroup. The host has seen to KIP-394: a dynamic member without an id does not come here.
    ///
    /// # Errors
    /// As a classic group.
    pub fn classic_join(
        &mut self,
        join: &Join,
        context: &Context<'_>,
    ) -> Result<ClassicJoined, GroupError> {
        let new = join.member_id.is_empty();
        let id = match new {
            true => &join.fresh_member_id,
            false => &join.member_id,
        };
        let most = context.limits.members_max;
        if self.members.len() >= most && !self.members.contains_key(id) {
            return Err(GroupError::GroupMaxSizeReached);
        }
        let Some(offered) = join.protocols.first().filter(|_| self.supports(join)) else {
            return Err(GroupError::InconsistentProtocol);
        };
        if new && join.instance_id.is_none() && join.needs_known_id {
            return Err(GroupError::MemberIdRequired);
        }
        let old = self.admit_classic(join, id)?;
        let subscription = Subscription::read(&offered.metadata);
        let mut member = old.clone();
        member.instance_id.clone_from(&join.instance_id);
        member.rebalance_ms = join.rebalance_timeout_ms;
        member.topic_names = subscription.topics.iter().cloned().collect();
        member.topic_regex = None;
        member.client_id.clone_from(&join.client_id);
        member.client_host.clone_from(&join.client_host);
        member.classic = Some(ClassicPart {
            session_ms: join.session_timeout_ms,
            protocols: join.protocols.clone(),
        });
        self.put(id, member);
        self.follow(id, &old, context)
            .map_err(|_| GroupError::InconsistentProtocol)?;
        let owned = by_id(&subscription.owned, context.topics);
        let mut member = self.catch_up(id, Some(&owned), context);
        member.timers.join = None;
        let sync_ms = i64::from(join.rebalance_timeout_ms.max(0));
        member.timers.sync = Some(context.now_ms.saturating_add(sync_ms));
        let epoch = member.epoch;
        self.put(id, member);
        Ok(ClassicJoined {
            epoch,
            member_id: id.clone(),
            protocol: offered.name.clone(),
        })
    }

    fn admit_classic(&mut self, join: &Join, id: &str) -> Result<Member, GroupError> {
        let Some(instance) = &join.instance_id else {
            let known = self.members.get(id).cloned();
            return Ok(known.unwrap_or_else(Member::new));
        };
        match (
            self.instances.get(instance).cloned(),
            join.member_id.is_empty(),
        ) {
            (None, true) => Ok(Member::new()),
            (None, false) => Err(GroupError::UnknownMemberId),
            (Some(owner), true) => Ok(self.replace(&owner, id)),
            (Some(owner), false) if owner == id => self
                .members
                .get(id)
                .cloned()
                .ok_or(GroupError::UnknownMemberId),
            (Some(_), false) => Err(GroupError::FencedInstanceId),
        }
    }

    /// Consumers, and one protocol at least that all classic members know.
    fn supports(&self, join: &Join) -> bool {
        let others = self
            .members
            .iter()
            .filter(|(id, _)| **id != join.member_id)
            .filter_map(|(_, member)| member.classic.as_ref());
        let common = |name: &String| {
            others
                .clone()
                .all(|part| part.protocols.iter().any(|known| known.name == *name))
        };
        let any = join.protocols.iter().any(|offered| common(&offered.name));
        join.protocol_type == CONSUMER && any
    }

    /// SyncGroup: the assignment as the classic protocol writes it.
    ///
    /// # Errors
    /// As a classic group.
    pub fn classic_sync(
        &mut self,
        sync: &Sync,
        context: &Context<'_>,
    ) -> Result<Synced, GroupError> {
        let (mut member, part) =
            self.classic_member(&sync.member_id, sync.instance_id.as_deref())?;
        if member.epoch != sync.generation {
            return Err(GroupError::IllegalGeneration);
        }
        let protocol = part.protocols.first().map(|one| one.name.clone());
        let type_differs = sync
            .protocol_type
            .as_ref()
            .is_some_and(|name| name != CONSUMER);
        if type_differs || (sync.protocol.is_some() && sync.protocol != protocol) {
            return Err(GroupError::InconsistentProtocol);
        }
        if self.epoch > member.epoch && member.state != MemberState::UnrevokedPartitions {
            self.expect_join(&sync.member_id, context);
            return Err(GroupError::RebalanceInProgress);
        }
        let assignment = write_assignment(
            version_of(&part),
            &by_name(&member.assigned, context.topics),
        );
        member.timers.sync = None;
        member.timers.session = Some(context.now_ms.saturating_add(part.session_ms.into()));
        self.put(&sync.member_id, member);
        Ok(Synced {
            protocol_type: CONSUMER.to_owned(),
            protocol: protocol.unwrap_or_default(),
            assignment,
        })
    }

    /// Heartbeat: told to join again whenever that would bring the member further.
    ///
    /// # Errors
    /// As a classic group.
    pub fn classic_heartbeat(
        &mut self,
        beat: &Heartbeat,
        context: &Context<'_>,
    ) -> Result<(), GroupError> {
        let (mut member, part) =
            self.classic_member(&beat.member_id, beat.instance_id.as_deref())?;
        if member.epoch != beat.generation {
            return Err(GroupError::IllegalGeneration);
        }
        // The topics may have changed since anybody came by.
        if self.look_at_topics(context, false).unwrap_or(false) {
            self.bump();
        }
        member.timers.session = Some(context.now_ms.saturating_add(part.session_ms.into()));
        let behind = member.epoch < self.epoch
            || match member.state {
                MemberState::Stable => false,
                MemberState::UnrevokedPartitions => true,
                MemberState::UnreleasedPartitions => !self.waits_for_others(&member),
            };
        self.put(&beat.member_id, member);
        if behind {
            self.expect_join(&beat.member_id, context);
            return Err(GroupError::RebalanceInProgress);
        }
        Ok(())
    }

    fn waits_for_others(&self, member: &Member) -> bool {
        each(&member.target)
            .any(|place| !contains(&member.assigned, place) && self.held().contains(&place))
    }

    fn expect_join(&mut self, id: &str, context: &Context<'_>) {
        if let Some(member) = self.members.get_mut(id) {
            let until_ms = context
                .now_ms
                .saturating_add(member.rebalance_ms.max(0).into());
            member.timers.join.get_or_insert(until_ms);
        }
    }

    /// LeaveGroup, by the members themselves or an administrator, who may remove members of either protocol.
    pub fn classic_leave(
        &mut self,
        leavers: &[Leaver],
        context: &Context<'_>,
    ) -> Vec<LeaveOutcome> {
        let mut gone = Vec::new();
        let mut one = |leaver: &Leaver| {
            let id = match &leaver.instance_id {
                None => leaver.member_id.clone(),
                Some(instance) => match self.instances.get(instance) {
                    None => return Err(GroupError::UnknownMemberId),
                    Some(owner) if leaver.member_id.is_empty() || *owner == leaver.member_id => {
                        owner.clone()
                    }
                    Some(_) => return Err(GroupError::FencedInstanceId),
                },
            };
            if !self.members.contains_key(&id) || gone.contains(&id) {
                return Err(GroupError::UnknownMemberId);
            }
            gone.push(id);
            Ok(())
        };
        let outcomes = leavers
            .iter()
            .map(|leaver| LeaveOutcome {
                leaver: leaver.clone(),
                outcome: one(leaver),
            })
            .collect();
        self.fence(&gone, context);
        outcomes
    }

    fn classic_member(
        &self,
        id: &str,
        instance_id: Option<&str>,
    ) -> Result<(Member, ClassicPart), GroupError> {
        let refuse = |error: ConsumerError| match error {
            ConsumerError::FencedInstance { .. } => GroupError::FencedInstanceId,
            _ => GroupError::UnknownMemberId,
        };
        if let Some(instance) = instance_id {
            match self.instances.get(instance) {
                None => return Err(GroupError::UnknownMemberId),
                Some(owner) if owner != id => {
                    return Err(refuse(fenced_instance(id, instance, owner)));
                }
                Some(_) => {}
            }
        }
        let member = self.members.get(id).ok_or_else(|| refuse(unknown(id)))?;
        match &member.classic {
            Some(part) => Ok((member.clone(), part.clone())),
            None => Err(GroupError::UnknownMemberId),
        }
    }
}

/// The version of the subscription that a classic member sent, in which it also reads its assignment.
pub(super) fn version_of(part: &ClassicPart) -> i16 {
    let first = part.protocols.first();
    first.map_or(0, |one| Subscription::read(&one.metadata).version)
}

pub(super) fn by_id(places: &Places, topics: &dyn Topics) -> Partitions {
    collect(places.iter().flat_map(|(name, indexes)| {
        let id = topics.by_name(name).map(|(id, _)| id);
        id.into_iter()
            .flat_map(|id| indexes.iter().map(move |index| (id, *index)))
    }))
}

pub(super) fn by_name(partitions: &Partitions, topics: &dyn Topics) -> Places {
    let named = |(id, indexes): (&headwater_base::TopicId, &std::collections::BTreeSet<i32>)| {
        Some((topics.name_of(*id)?, indexes.iter().copied().collect()))
    };
    partitions.iter().filter_map(named).collect()
}
