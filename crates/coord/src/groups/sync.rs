//! SyncGroup: the leader hands in the assignment, everybody gets their part.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::group::{Answers, Group, Phase};
use super::types::{GroupError, Reply, Sync, Synced, Waiter};

impl Group {
    pub(super) fn sync(&mut self, to: Waiter, sync: &Sync, now_ms: i64, out: &mut Answers) {
        if let Err(error) = self.check_sync(sync) {
            return out.refuse_sync(to, error);
        }
        let Some(member) = self.members.get_mut(&sync.member_id) else {
            return;
        };
        member.seen_ms = now_ms;
        member.synced = true;
        if self.phase == Phase::Completing {
            if let Some(earlier) = member.syncing.replace(to) {
                out.refuse_sync(earlier, GroupError::RebalanceInProgress);
            }
            if self.leader.as_ref() == Some(&sync.member_id) {
                self.assign(&sync.assignments, now_ms, out);
            }
        } else {
            let assignment = member.assignment.clone();
            out.push(to, Reply::Sync(Ok(self.synced(assignment))));
        }
        if self.members.values().all(|member| member.synced) {
            self.sync_until = None;
        }
    }

    fn check_sync(&self, sync: &Sync) -> Result<(), GroupError> {
        if self.phase == Phase::Dead {
            return Err(GroupError::CoordinatorNotAvailable);
        }
        self.identify(&sync.member_id, sync.instance_id.as_deref())?;
        if sync.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        let differs =
            |claimed: &Option<String>, ours: &Option<String>| claimed.is_some() && claimed != ours;
        if differs(&sync.protocol_type, &self.protocol_type)
            || differs(&sync.protocol, &self.protocol)
        {
            return Err(GroupError::InconsistentProtocol);
        }
        match self.phase {
            Phase::Preparing { .. } => Err(GroupError::RebalanceInProgress),
            Phase::Empty | Phase::Dead => Err(GroupError::UnknownMemberId),
            Phase::Completing | Phase::Stable => Ok(()),
        }
    }

    /// Takes the leader's assignment; who is not in it gets nothing to read.
    fn assign(&mut self, assignments: &[(String, Bytes)], now_ms: i64, out: &mut Answers) {
        let bytes: usize = assignments
            .iter()
            .map(|(_, assignment)| assignment.len())
            .sum();
        let held: usize = self
            .members
            .values()
            .map(|member| super::member::protocols_bytes(&member.protocols))
            .sum();
        if held + bytes > self.limits.metadata_bytes_max {
            return self.refuse_assignment(out);
        }
        let given: BTreeMap<&str, &Bytes> = assignments
            .iter()
            .map(|(id, bytes)| (id.as_str(), bytes))
            .collect();
        self.phase = Phase::Stable;
        self.changed_ms = now_ms;
        self.changed = true;
        let (protocol_type, protocol) = (self.protocol_type.clone(), self.protocol.clone());
        for (id, member) in &mut self.members {
            member.assignment = given
                .get(id.as_str())
                .map(|bytes| (*bytes).clone())
                .unwrap_or_default();
            let Some(waiter) = member.syncing.take() else {
                continue;
            };
            member.seen_ms = now_ms;
            let synced = Synced {
                protocol_type: protocol_type.clone().unwrap_or_default(),
                protocol: protocol.clone().unwrap_or_default(),
                assignment: member.assignment.clone(),
            };
            out.push(waiter, Reply::Sync(Ok(synced)));
        }
    }

    /// An assignment that is too large is nobody's: the members are told, and the leader may try again.
    fn refuse_assignment(&mut self, out: &mut Answers) {
        for member in self.members.values_mut() {
            if let Some(waiter) = member.syncing.take() {
                member.synced = false;
                out.refuse_sync(waiter, GroupError::GroupMaxSizeReached);
            }
        }
    }

    fn synced(&self, assignment: Bytes) -> Synced {
        Synced {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol: self.protocol.clone().unwrap_or_default(),
            assignment,
        }
    }
}
