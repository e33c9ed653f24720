//! Being there and going away: Heartbeat, LeaveGroup, and the right to commit offsets.

use super::group::{Answers, Group, Phase};
use super::types::{Committer, GroupError, Heartbeat, Leave, LeaveOutcome, Leaver, Reply, Waiter};

impl Group {
    pub(super) fn heartbeat(
        &mut self,
        heartbeat: &Heartbeat,
        now_ms: i64,
    ) -> Result<(), GroupError> {
        if self.phase == Phase::Dead {
            return Err(GroupError::CoordinatorNotAvailable);
        }
        self.identify(&heartbeat.member_id, heartbeat.instance_id.as_deref())?;
        if heartbeat.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        self.touch(&heartbeat.member_id, now_ms);
        match self.phase {
            Phase::Preparing { .. } => Err(GroupError::RebalanceInProgress),
            Phase::Empty | Phase::Completing | Phase::Stable | Phase::Dead => Ok(()),
        }
    }

    fn touch(&mut self, member_id: &str, now_ms: i64) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.seen_ms = now_ms;
        }
    }

    pub(super) fn leave(&mut self, to: Waiter, leave: &Leave, now_ms: i64, out: &mut Answers) {
        if self.phase == Phase::Dead {
            return out.push(to, Reply::Leave(Err(GroupError::CoordinatorNotAvailable)));
        }
        let mut gone = Vec::new();
        let outcomes = leave.leavers.iter().map(|leaver| LeaveOutcome {
            leaver: leaver.clone(),
            outcome: self.leaver_id(leaver, &gone).map(|id| gone.push(id)),
        });
        let outcomes: Vec<LeaveOutcome> = outcomes.collect();
        out.push(to, Reply::Leave(Ok(outcomes)));
        let pending_before = self.pending.len();
        self.pending.retain(|id, _| !gone.contains(id));
        self.remove(&gone, now_ms, out);
        if self.pending.len() < pending_before {
            self.complete_if_all_joined(now_ms, out);
        }
    }

    /// Whom a leaver means; `gone` are those of the same request that have left already.
    fn leaver_id(&self, leaver: &Leaver, gone: &[String]) -> Result<String, GroupError> {
        let id = match &leaver.instance_id {
            None if self.pending.contains_key(&leaver.member_id) => {
                return Ok(leaver.member_id.clone());
            }
            None => &leaver.member_id,
            Some(instance) => {
                let owner = self
                    .instances
                    .get(instance)
                    .ok_or(GroupError::UnknownMemberId)?;
                if !leaver.member_id.is_empty() && leaver.member_id != *owner {
                    return Err(GroupError::FencedInstanceId);
                }
                owner
            }
        };
        let there = self.members.contains_key(id) && !gone.contains(id);
        if there {
            Ok(id.clone())
        } else {
            Err(GroupError::UnknownMemberId)
        }
    }

    /// Whether offsets may be committed by this one; it counts as a sign of life.
    ///
    /// # Errors
    /// A simple consumer may commit while the group has no members; a member only in the current generation, and not while the
    /// leader is assigning (its partitions may be about to go to another).
    pub fn check_commit(&mut self, by: &Committer, now_ms: i64) -> Result<(), GroupError> {
        if self.phase == Phase::Dead {
            return Err(GroupError::CoordinatorNotAvailable);
        }
        if by.generation < 0 && self.members.is_empty() {
            return Ok(());
        }
        self.check_member(by, now_ms)?;
        match self.phase {
            Phase::Completing => Err(GroupError::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    /// As [`Group::check_commit`], for offsets that are part of a transaction: who says nothing of itself is not asked (older
    /// producers), and a rebalance does not matter.
    ///
    /// # Errors
    /// The member is unknown, fenced, or of another generation.
    pub fn check_txn_commit(&mut self, by: &Committer, now_ms: i64) -> Result<(), GroupError> {
        let unsaid = by.generation < 0 && by.member_id.is_empty() && by.instance_id.is_none();
        match self.phase {
            Phase::Dead => Err(GroupError::CoordinatorNotAvailable),
            _ if unsaid || (by.generation < 0 && self.members.is_empty()) => Ok(()),
            _ => self.check_member(by, now_ms),
        }
    }

    fn check_member(&mut self, by: &Committer, now_ms: i64) -> Result<(), GroupError> {
        self.identify(&by.member_id, by.instance_id.as_deref())?;
        if by.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        self.touch(&by.member_id, now_ms);
        Ok(())
    }
}
