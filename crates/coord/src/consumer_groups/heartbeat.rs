//! ConsumerGroupHeartbeat: joining, being there, leaving; and what time alone does.

use super::group::ConsumerGroup;
use super::member::{Member, MemberState, contains, each};
use super::reconcile::reconcile;
use super::types::{AWAY, Beat, ConsumerError, Context, Heartbeat, JOINING, LEAVING, Partitions};

impl ConsumerGroup {
    /// Applies a heartbeat that [`Heartbeat::check`] has passed.
    ///
    /// # Errors
    /// The member is not who it says, is behind or ahead, may not come in, or has a bad expression. Nothing has changed then.
    pub fn heartbeat(
        &mut self,
        beat: &Heartbeat,
        context: &Context<'_>,
    ) -> Result<Beat, ConsumerError> {
        if beat.epoch == LEAVING || beat.epoch == AWAY {
            return self.leave(beat, context);
        }
        let most = context.limits.members_max;
        if self.members.len() >= most && !self.members.contains_key(&beat.member_id) {
            return Err(ConsumerError::Full(most));
        }
        if let Some(pattern) = beat.topic_regex.as_ref().filter(|regex| !regex.is_empty()) {
            context
                .topics
                .matching(pattern)
                .map_err(|why| ConsumerError::InvalidRegex {
                    pattern: pattern.clone(),
                    why,
                })?;
        }
        let old = self.admit(beat)?;
        let mut member = old.clone();
        member.update(beat);
        self.put(&beat.member_id, member);
        self.follow(&beat.member_id, &old, context)?;
        let member = self.catch_up(&beat.member_id, beat.owned.as_ref(), context);
        let changed = member.assigned != old.assigned;
        Ok(Beat {
            member_id: beat.member_id.clone(),
            epoch: member.epoch,
            heartbeat_ms: context.limits.heartbeat_ms,
            assignment: (beat.is_full() || changed).then_some(member.assigned),
        })
    }

    /// The member as it was before this heartbeat: known, new, or taking the place of its former self.
    fn admit(&mut self, beat: &Heartbeat) -> Result<Member, ConsumerError> {
        let joins = beat.epoch == JOINING;
        let Some(instance) = &beat.instance_id else {
            return match self.members.get(&beat.member_id) {
                Some(member) => check_epoch(member, beat).map(|()| member.clone()),
                None if joins => Ok(Member::new()),
                None => Err(unknown(&beat.member_id)),
            };
        };
        let Some(owner) = self.instances.get(instance).cloned() else {
            return match (joins, self.members.get(&beat.member_id)) {
                (true, Some(member)) => check_epoch(member, beat).map(|()| member.clone()),
                (true, None) => Ok(Member::new()),
                (false, _) => Err(ConsumerError::UnknownInstance(instance.clone())),
            };
        };
        let Some(existing) = self.members.get(&owner) else {
            return Err(ConsumerError::UnknownInstance(instance.clone()));
        };
        if joins {
            // Its own first request, sent again because the answer was lost.
            let again = owner == beat.member_id && existing.previous_epoch == JOINING;
            if again {
                return Ok(existing.clone());
            }
            if existing.classic.is_none() && !existing.is_away() {
                return Err(ConsumerError::UnreleasedInstance {
                    member: beat.member_id.clone(),
                    instance: instance.clone(),
                    owner,
                });
            }
            return Ok(self.replace(&owner, &beat.member_id));
        }
        if owner != beat.member_id {
            return Err(fenced_instance(&beat.member_id, instance, &owner));
        }
        check_epoch(existing, beat).map(|()| existing.clone())
    }

    /// A static member is back under a new id, with what it had.
    pub(super) fn replace(&mut self, old_id: &str, new_id: &str) -> Member {
        let mut member = self.take(old_id).unwrap_or_else(Member::new);
        member.epoch = JOINING;
        member.previous_epoch = JOINING;
        // What it was asked to give up it no longer has.
        member.revoking = Partitions::new();
        member.state = MemberState::Stable;
        member.timers = Default::default();
        self.put(new_id, member.clone());
        member
    }

    /// Lets the group follow what the member has changed, and what has become of the topics meanwhile.
    pub(super) fn follow(
        &mut self,
        id: &str,
        old: &Member,
        context: &Context<'_>,
    ) -> Result<(), ConsumerError> {
        let Some(member) = self.members.get(id) else {
            return Ok(());
        };
        let resubscribed = member.topic_names != old.topic_names;
        let other_regex = member.topic_regex != old.topic_regex;
        let rerouted = self.look_at_topics(context, resubscribed || other_regex)?;
        if self.epoch == 0 || resubscribed || other_regex || rerouted {
            self.bump();
        }
        self.assign();
        Ok(())
    }

    /// Moves the member towards its target and starts its clocks anew.
    pub(super) fn catch_up(
        &mut self,
        id: &str,
        owned: Option<&Partitions>,
        context: &Context<'_>,
    ) -> Member {
        let Some(mut member) = self.members.get(id).cloned() else {
            return Member::new();
        };
        let before = (member.epoch, member.state, member.revoking.clone());
        reconcile(&mut member, self.assignment_epoch, self.held(), owned);
        let moved = before != (member.epoch, member.state, member.revoking.clone());
        let session_ms = match &member.classic {
            Some(classic) => classic.session_ms,
            None => context.limits.session_ms,
        };
        member.timers.session = Some(context.now_ms.saturating_add(session_ms.into()));
        if member.state != MemberState::UnrevokedPartitions || member.classic.is_some() {
            member.timers.rebalance = None;
        } else if moved {
            let until_ms = context.now_ms.saturating_add(member.rebalance_ms.into());
            member.timers.rebalance = Some(until_ms);
        }
        self.put(id, member.clone());
        member
    }

    fn leave(&mut self, beat: &Heartbeat, context: &Context<'_>) -> Result<Beat, ConsumerError> {
        let id = &beat.member_id;
        if let Some(instance) = &beat.instance_id {
            match self.instances.get(instance) {
                None => return Err(ConsumerError::UnknownInstance(instance.clone())),
                Some(owner) if owner != id => return Err(fenced_instance(id, instance, owner)),
                Some(_) => {}
            }
        }
        let Some(member) = self.members.get(id) else {
            return Err(unknown(id));
        };
        if beat.epoch == AWAY {
            let mut away = member.clone();
            away.move_to(AWAY);
            away.revoking = Partitions::new();
            away.timers.rebalance = None;
            self.put(id, away);
        } else {
            self.fence(std::slice::from_ref(id), context);
        }
        Ok(Beat {
            member_id: id.clone(),
            epoch: beat.epoch,
            heartbeat_ms: 0,
            assignment: None,
        })
    }

    /// Takes out whose time is up; whether anybody was.
    pub fn tick(&mut self, context: &Context<'_>) -> bool {
        let late = |member: &Member| member.timers.next().is_some_and(|at| at <= context.now_ms);
        let gone: Vec<String> = self
            .members
            .iter()
            .filter(|(_, member)| late(member))
            .map(|(id, _)| id.clone())
            .collect();
        self.fence(&gone, context);
        !gone.is_empty()
    }

    /// Gives every member a fresh session, as after a restart of the host.
    pub fn start_sessions(&mut self, context: &Context<'_>) {
        for member in self.members.values_mut() {
            let session_ms = member
                .classic
                .as_ref()
                .map_or(context.limits.session_ms, |classic| classic.session_ms);
            member.timers.session = Some(context.now_ms.saturating_add(session_ms.into()));
            if member.state == MemberState::UnrevokedPartitions && member.classic.is_none() {
                let until_ms = context.now_ms.saturating_add(member.rebalance_ms.into());
                member.timers.rebalance = Some(until_ms);
            }
        }
    }
}

/// An older epoch is good only where the answer that bore the newer one may have been lost.
fn check_epoch(member: &Member, beat: &Heartbeat) -> Result<(), ConsumerError> {
    let (got, known) = (beat.epoch, member.epoch);
    let owns_less = beat
        .owned
        .as_ref()
        .is_some_and(|owned| each(owned).all(|place| contains(&member.assigned, place)));
    match got == known || (got < known && got == member.previous_epoch && owns_less) {
        true => Ok(()),
        false => Err(ConsumerError::FencedEpoch { got, known }),
    }
}

pub(super) fn unknown(id: &str) -> ConsumerError {
    ConsumerError::UnknownMember {
        member: id.to_owned(),
    }
}

pub(super) fn fenced_instance(member: &str, instance: &str, owner: &str) -> ConsumerError {
    ConsumerError::FencedInstance {
        member: member.to_owned(),
        instance: instance.to_owned(),
        owner: owner.to_owned(),
    }
}
