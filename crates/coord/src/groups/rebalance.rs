//! From "somebody came or went" to a new generation, and what time alone does.

use bytes::Bytes;

use super::group::{Answers, Group, Phase};
use super::types::{GroupError, Reply};

impl Group {
    /// Starts a rebalance: everybody has to join again.
    pub(super) fn prepare(&mut self, now_ms: i64, out: &mut Answers) {
        for member in self.members.values_mut() {
            if let Some(waiter) = member.syncing.take() {
                out.refuse_sync(waiter, GroupError::RebalanceInProgress);
            }
        }
        self.sync_until = None;
        let until_ms = now_ms.saturating_add(self.rebalance_ms_max());
        let delayed = self.phase == Phase::Empty && self.limits.initial_delay_ms > 0;
        self.phase = if delayed {
            let soon_ms = now_ms
                .saturating_add(self.limits.initial_delay_ms)
                .min(until_ms);
            Phase::Preparing {
                until_ms: soon_ms,
                ceiling_ms: Some(until_ms),
            }
        } else {
            Phase::Preparing {
                until_ms,
                ceiling_ms: None,
            }
        };
        self.complete_if_all_joined(now_ms, out);
    }

    /// Completes the rebalance when nobody is missing. In a group that was empty only time completes it.
    pub(super) fn complete_if_all_joined(&mut self, now_ms: i64, out: &mut Answers) {
        let Phase::Preparing { ceiling_ms, .. } = self.phase else {
            return;
        };
        let all_joined = self.members.values().all(|member| member.joining.is_some());
        let waits_for_more = ceiling_ms.is_some() && !self.members.is_empty();
        if all_joined && self.pending.is_empty() && !waits_for_more {
            self.complete(now_ms, out);
        }
    }

    /// Begins the next generation with those who have joined.
    fn complete(&mut self, now_ms: i64, out: &mut Answers) {
        // A static member keeps its place until its session ends: that is what it is static for.
        self.members
            .retain(|_, member| member.joining.is_some() || member.instance_id.is_some());
        if !self.members.is_empty() && !self.elect_leader() {
            let until_ms = now_ms.saturating_add(self.rebalance_ms_max().max(1));
            self.phase = Phase::Preparing {
                until_ms,
                ceiling_ms: None,
            };
            return;
        }
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        if self.members.is_empty() {
            self.protocol = None;
            self.leader = None;
            self.sync_until = None;
            self.phase = Phase::Empty;
            self.changed_ms = now_ms;
            self.changed = true;
            return;
        }
        self.protocol = self.elect_protocol();
        self.phase = Phase::Completing;
        self.sync_until = Some(now_ms.saturating_add(self.rebalance_ms_max()));
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
            // Who did not join (a static member that is away) is not waited for.
            member.synced = member.joining.is_none();
        }
        self.answer_joiners(now_ms, out);
    }

    fn answer_joiners(&mut self, now_ms: i64, out: &mut Answers) {
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let Some(member) = self.members.get_mut(&id) else {
                continue;
            };
            let Some(waiter) = member.joining.take() else {
                continue;
            };
            member.is_new = false;
            member.seen_ms = now_ms;
            let joined = self.joined(&id);
            out.push(waiter, Reply::Join(Ok(joined)));
        }
    }

    /// The leader stays while it has joined; else the earliest of those who have. False when nobody has.
    fn elect_leader(&mut self) -> bool {
        let joined = |id: &String| {
            self.members
                .get(id)
                .is_some_and(|member| member.joining.is_some())
        };
        if self.leader.as_ref().is_some_and(joined) {
            return true;
        }
        let candidates = self
            .members
            .iter()
            .filter(|(_, member)| member.joining.is_some());
        let Some((id, _)) = candidates.min_by_key(|(_, member)| member.arrival) else {
            return false;
        };
        self.leader = Some(id.clone());
        true
    }

    /// The next moment at which time alone changes something (ms).
    pub fn next_deadline(&self) -> Option<i64> {
        let members = self
            .members
            .values()
            .filter_map(super::member::Member::deadline_ms);
        let phase = match self.phase {
            Phase::Preparing { until_ms, .. } => Some(until_ms),
            Phase::Empty | Phase::Completing | Phase::Stable | Phase::Dead => None,
        };
        members
            .chain(self.pending.values().copied())
            .chain(phase)
            .chain(self.sync_until)
            .min()
    }

    pub(super) fn tick(&mut self, now_ms: i64, out: &mut Answers) {
        let pending_before = self.pending.len();
        self.pending.retain(|_, until_ms| *until_ms > now_ms);
        self.expire_members(now_ms, out);
        self.expire_syncs(now_ms, out);
        if self.pending.len() < pending_before {
            self.complete_if_all_joined(now_ms, out);
        }
        if let Phase::Preparing { until_ms, .. } = self.phase
            && until_ms <= now_ms
        {
            self.complete(now_ms, out);
        }
    }

    fn expire_members(&mut self, now_ms: i64, out: &mut Answers) {
        let late = |deadline: Option<i64>| deadline.is_some_and(|deadline| deadline <= now_ms);
        let gone: Vec<String> = self
            .members
            .iter()
            .filter(|(_, member)| late(member.deadline_ms()))
            .map(|(id, _)| id.clone())
            .collect();
        self.remove(&gone, now_ms, out);
    }

    /// Who joined but never asked for its assignment holds partitions that nobody reads.
    fn expire_syncs(&mut self, now_ms: i64, out: &mut Answers) {
        if self.sync_until.is_none_or(|until_ms| until_ms > now_ms) {
            return;
        }
        self.sync_until = None;
        let missing = self
            .members
            .iter()
            .filter(|(_, member)| !member.synced)
            .map(|(id, _)| id.clone());
        let missing: Vec<String> = missing.collect();
        self.remove(&missing, now_ms, out);
    }

    /// Takes members out, answers what they wait for, and rebalances the rest.
    pub(super) fn remove(&mut self, ids: &[String], now_ms: i64, out: &mut Answers) {
        let mut removed = false;
        for id in ids {
            let Some(mut member) = self.members.remove(id) else {
                continue;
            };
            removed = true;
            if let Some(instance) = member.instance_id.take() {
                self.instances.remove(&instance);
            }
            if let Some(waiter) = member.joining.take() {
                out.refuse_join(waiter, GroupError::UnknownMemberId, id);
            }
            if let Some(waiter) = member.syncing.take() {
                out.refuse_sync(waiter, GroupError::UnknownMemberId);
            }
            if self.leader.as_ref() == Some(id) {
                self.leader = None;
            }
        }
        if !removed {
            return;
        }
        match self.phase {
            Phase::Completing | Phase::Stable => self.prepare(now_ms, out),
            Phase::Preparing { .. } => self.complete_if_all_joined(now_ms, out),
            Phase::Empty | Phase::Dead => {}
        }
    }
}
