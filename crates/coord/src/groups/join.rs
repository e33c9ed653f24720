//! JoinGroup: who may come in, and under which id.

use super::group::{Answers, Group, Phase};
use super::member::Member;
use super::types::{GroupError, Join, Joined, Reply, Waiter};

impl Group {
    pub(super) fn join(&mut self, to: Waiter, join: &Join, now_ms: i64, out: &mut Answers) {
        if let Err(error) = self.admit(join) {
            return out.refuse_join(to, error, &join.member_id);
        }
        let known_static = join
            .instance_id
            .as_ref()
            .is_some_and(|id| self.instances.contains_key(id));
        match (join.member_id.is_empty(), &join.instance_id) {
            (true, Some(_)) if known_static => self.replace_static(to, join, now_ms, out),
            (true, None) if join.needs_known_id => {
                let until_ms = now_ms.saturating_add(join.session_timeout_ms.into());
                self.pending.insert(join.fresh_member_id.clone(), until_ms);
                out.refuse_join(to, GroupError::MemberIdRequired, &join.fresh_member_id);
            }
            (true, _) => self.add(to, join.fresh_member_id.clone(), join, now_ms, out),
            (false, None) if self.pending.remove(&join.member_id).is_some() => {
                self.add(to, join.member_id.clone(), join, now_ms, out);
            }
            (false, instance) => match self.identify(&join.member_id, instance.as_deref()) {
                Ok(()) => self.rejoin(to, join, now_ms, out),
                Err(error) => out.refuse_join(to, error, &join.member_id),
            },
        }
    }

    /// What can be said without knowing who it is.
    fn admit(&self, join: &Join) -> Result<(), GroupError> {
        if self.phase == Phase::Dead {
            return Err(GroupError::CoordinatorNotAvailable);
        }
        if !(self.limits.session_ms_min..=self.limits.session_ms_max)
            .contains(&join.session_timeout_ms)
        {
            return Err(GroupError::InvalidSessionTimeout);
        }
        let replaced = join
            .instance_id
            .as_ref()
            .and_then(|id| self.instances.get(id))
            .unwrap_or(&join.member_id);
        if join.protocol_type.is_empty() || join.protocols.is_empty() || !self.fits(join, replaced)
        {
            return Err(GroupError::InconsistentProtocol);
        }
        let known =
            self.members.contains_key(replaced) || self.pending.contains_key(&join.member_id);
        let full = self.members.len() + self.pending.len() >= self.limits.members_max;
        if (full && !known) || !self.has_room_for(&join.protocols, Some(replaced)) {
            return Err(GroupError::GroupMaxSizeReached);
        }
        Ok(())
    }

    /// Same type of protocol, and one protocol at least that all the others support too.
    fn fits(&self, join: &Join, replaced: &str) -> bool {
        if self.members.is_empty() {
            return true;
        }
        let others = self
            .members
            .iter()
            .filter(|(id, _)| *id != replaced)
            .map(|(_, member)| member);
        self.protocol_type.as_deref() == Some(&join.protocol_type)
            && join
                .protocols
                .iter()
                .any(|offered| others.clone().all(|other| other.supports(&offered.name)))
    }

    fn add(&mut self, to: Waiter, id: String, join: &Join, now_ms: i64, out: &mut Answers) {
        if self.members.is_empty() {
            self.protocol_type = Some(join.protocol_type.clone());
        }
        let mut member = Member::new(join, self.arrivals, now_ms);
        self.arrivals += 1;
        member.joining = Some(to);
        if let Some(instance) = &join.instance_id {
            self.instances.insert(instance.clone(), id.clone());
        }
        self.leader.get_or_insert_with(|| id.clone());
        self.members.insert(id, member);
        match self.phase {
            Phase::Preparing {
                until_ms,
                ceiling_ms: Some(ceiling_ms),
            } => {
                let moved = now_ms
                    .saturating_add(self.limits.initial_delay_ms)
                    .min(ceiling_ms);
                self.phase = Phase::Preparing {
                    until_ms: until_ms.max(moved),
                    ceiling_ms: Some(ceiling_ms),
                };
            }
            Phase::Preparing { .. } => self.complete_if_all_joined(now_ms, out),
            Phase::Empty | Phase::Completing | Phase::Stable | Phase::Dead => {
                self.prepare(now_ms, out)
            }
        }
    }

    /// A member that the group knows joins again.
    fn rejoin(&mut self, to: Waiter, join: &Join, now_ms: i64, out: &mut Answers) {
        let id = &join.member_id;
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        let same = member.protocols == join.protocols;
        let is_leader = self.leader.as_ref() == Some(id);
        let unchanged = match self.phase {
            Phase::Completing => same,
            Phase::Stable => same && !is_leader,
            Phase::Empty | Phase::Preparing { .. } | Phase::Dead => false,
        };
        if unchanged {
            member.seen_ms = now_ms;
            let joined = self.joined(id);
            return out.push(to, Reply::Join(Ok(joined)));
        }
        member.update(join, now_ms);
        // An earlier request of the same member is not left without an answer.
        if let Some(earlier) = member.joining.replace(to) {
            out.refuse_join(earlier, GroupError::RebalanceInProgress, id);
        }
        match self.phase {
            Phase::Preparing { .. } => self.complete_if_all_joined(now_ms, out),
            Phase::Empty | Phase::Completing | Phase::Stable | Phase::Dead => {
                self.prepare(now_ms, out)
            }
        }
    }

    /// A static member has restarted: it gets a new id, and whoever still uses the old one is fenced (KIP-345).
    fn replace_static(&mut self, to: Waiter, join: &Join, now_ms: i64, out: &mut Answers) {
        let Some(instance) = &join.instance_id else {
            return;
        };
        let id = join.fresh_member_id.clone();
        let Some(old_id) = self.instances.insert(instance.clone(), id.clone()) else {
            return;
        };
        let Some(mut member) = self.members.remove(&old_id) else {
            return;
        };
        if let Some(waiter) = member.joining.take() {
            out.refuse_join(waiter, GroupError::FencedInstanceId, &old_id);
        }
        if let Some(waiter) = member.syncing.take() {
            out.refuse_sync(waiter, GroupError::FencedInstanceId);
        }
        member.update(join, now_ms);
        self.members.insert(id.clone(), member);
        let was_leader = self.leader.as_ref() == Some(&old_id);
        if was_leader {
            self.leader = Some(id.clone());
        }
        if self.phase == Phase::Stable && self.elect_protocol() == self.protocol {
            self.changed = true;
            let mut joined = self.joined(&id);
            joined.skip_assignment = was_leader && join.can_skip_assignment;
            if was_leader && !join.can_skip_assignment {
                // An older client would assign anew if it were told that it leads: it hears of its former self.
                joined.leader = old_id;
                joined.members.clear();
            }
            return out.push(to, Reply::Join(Ok(joined)));
        }
        if let Some(member) = self.members.get_mut(&id) {
            member.joining = Some(to);
        }
        match self.phase {
            Phase::Preparing { .. } => self.complete_if_all_joined(now_ms, out),
            Phase::Empty | Phase::Completing | Phase::Stable | Phase::Dead => {
                self.prepare(now_ms, out)
            }
        }
    }

    /// The answer for a member of this generation; the leader gets the roster.
    pub(super) fn joined(&self, id: &str) -> Joined {
        let leader = self.leader.clone().unwrap_or_default();
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol: self.protocol.clone().unwrap_or_default(),
            members: if leader == id {
                self.roster()
            } else {
                Vec::new()
            },
            leader,
            member_id: id.to_owned(),
            skip_assignment: false,
        }
    }
}
