//! Who may commit and read offsets of a group of the consumer protocol.

use super::group::ConsumerGroup;
use super::heartbeat::unknown;
use super::types::ConsumerError;
use crate::groups::{Committer, GroupError};

/// Why a commit is refused: classic members of the group hear of generations, the others of epochs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitRefusal {
    Classic(GroupError),
    Consumer(ConsumerError),
    /// The member has to use a version of OffsetCommit that knows epochs.
    OldVersion,
}

impl CommitRefusal {
    /// As transactions are told: by generations, whoever asks.
    pub fn as_generation(&self) -> GroupError {
        match self {
            Self::Classic(error) => *error,
            Self::Consumer(ConsumerError::StaleEpoch { .. }) => GroupError::IllegalGeneration,
            Self::Consumer(_) | Self::OldVersion => GroupError::UnknownMemberId,
        }
    }
}

impl ConsumerGroup {
    /// Checks a commit; `knows_epochs` is whether the request's version does (OffsetCommit v9, TxnOffsetCommit any).
    ///
    /// # Errors
    /// The member is unknown or its epoch is not the one known here.
    pub fn check_commit(&self, by: &Committer, knows_epochs: bool) -> Result<(), CommitRefusal> {
        if by.generation < 0 && self.members.is_empty() {
            return Ok(());
        }
        let Some(member) = self.members.get(&by.member_id) else {
            return Err(CommitRefusal::Consumer(unknown(&by.member_id)));
        };
        if member.classic.is_none() && !knows_epochs {
            return Err(CommitRefusal::OldVersion);
        }
        match (member.epoch == by.generation, member.classic.is_some()) {
            (true, _) => Ok(()),
            (false, true) => Err(CommitRefusal::Classic(GroupError::IllegalGeneration)),
            (false, false) => Err(CommitRefusal::Consumer(ConsumerError::StaleEpoch {
                got: by.generation,
                known: member.epoch,
            })),
        }
    }

    /// Checks who reads offsets. Without a member id anybody may.
    ///
    /// # Errors
    /// The member is unknown or its epoch is not the one known here.
    pub fn check_fetch(&self, member_id: Option<&str>, epoch: i32) -> Result<(), CommitRefusal> {
        let id = member_id.unwrap_or_default();
        if member_id.is_none() && epoch < 0 {
            return Ok(());
        }
        let by = Committer {
            member_id: id.to_owned(),
            instance_id: None,
            generation: epoch,
        };
        match self.members.contains_key(id) {
            true => self.check_commit(&by, true),
            false => Err(CommitRefusal::Consumer(unknown(id))),
        }
    }
}
