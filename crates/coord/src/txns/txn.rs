//! The state of one transactional id and the one way to change it.

use std::collections::BTreeSet;

use headwater_base::PartitionId;

use super::types::{Command, Effect, Ending, Producer, State, Step, TxnError};

/// No producer id, no epoch, no time.
const NONE: i16 = -1;
/// The last epoch that a producer may use: one more is kept for fencing it.
pub(super) const EPOCH_MAX: i16 = i16::MAX - 1;

/// One transactional id: all of it is kept in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Txn {
    pub producer_id: i64,
    /// The producer id before the last change of state; -1 when there was none.
    pub previous_id: i64,
    /// The producer id from the end of this transaction on; -1: the same.
    pub next_id: i64,
    /// -1 until the first InitProducerId has succeeded. While markers are being written: theirs.
    pub epoch: i16,
    /// The epoch before the last bump that the same producer knows of; -1: none.
    pub last_epoch: i16,
    pub timeout_ms: i32,
    pub state: State,
    pub partitions: BTreeSet<PartitionId>,
    /// Groups whose offsets are committed with it.
    pub groups: BTreeSet<String>,
    /// When the transaction began; -1: none since the last InitProducerId.
    pub start_ms: i64,
    pub update_ms: i64,
    /// The last change came from a client (or from this node) that bumps the epoch with every end (KIP-890).
    pub bumps: bool,
}

impl Txn {
    /// A transactional id that nobody has used yet.
    pub fn new(producer_id: i64, timeout_ms: i32, now_ms: i64) -> Self {
        Self {
            producer_id,
            previous_id: i64::from(NONE),
            next_id: i64::from(NONE),
            epoch: NONE,
            last_epoch: NONE,
            timeout_ms,
            state: State::Empty,
            partitions: BTreeSet::new(),
            groups: BTreeSet::new(),
            start_ms: i64::from(NONE),
            update_ms: now_ms,
            bumps: false,
        }
    }

    pub fn producer(&self) -> Producer {
        Producer {
            id: self.producer_id,
            epoch: self.epoch,
        }
    }

    /// What becomes of it. `self` stays as it is until the host has written what the step says.
    ///
    /// # Errors
    /// The command is refused, and nothing changes.
    pub fn step(&self, command: Command, now_ms: i64) -> Result<Step, TxnError> {
        match command {
            Command::Init {
                timeout_ms,
                expected,
                fresh_id,
            } => self.init(timeout_ms, expected, fresh_id, now_ms),
            Command::Add {
                by,
                partitions,
                groups,
                bumps,
            } => self.add(by, partitions, groups, bumps, now_ms),
            Command::End {
                by,
                ending,
                bumps,
                fresh_id,
            } => match bumps {
                true => self.end_bumping(by, ending, fresh_id, now_ms),
                false => self.end(by, ending, now_ms),
            },
            Command::Tick => Ok(match self.is_overdue(now_ms) {
                true => self.fenced(now_ms),
                false => self.unchanged(),
            }),
        }
    }

    fn add(
        &self,
        by: Producer,
        partitions: Vec<PartitionId>,
        groups: Vec<String>,
        bumps: bool,
        now_ms: i64,
    ) -> Result<Step, TxnError> {
        self.identify(by)?;
        let there = partitions.iter().all(|one| self.partitions.contains(one))
            && groups.iter().all(|one| self.groups.contains(one));
        match self.state {
            State::PrepareCommit | State::PrepareAbort => {
                return Err(TxnError::ConcurrentTransactions);
            }
            State::Ongoing if there => return Ok(self.unchanged()),
            State::Ongoing | State::Empty | State::CompleteCommit | State::CompleteAbort => {}
        }
        let mut txn = self.clone();
        if self.state != State::Ongoing {
            txn.start_ms = now_ms;
        }
        txn.state = State::Ongoing;
        txn.partitions.extend(partitions);
        txn.groups.extend(groups);
        txn.bumps = bumps;
        Ok(txn.kept(now_ms))
    }

    /// Whether a partition is part of the transaction that is open.
    ///
    /// # Errors
    /// It is not, or the producer is another.
    pub fn verify(&self, by: Producer, partition: PartitionId) -> Result<(), TxnError> {
        self.verify_open(by)?;
        match self.partitions.contains(&partition) {
            true => Ok(()),
            false => Err(TxnError::TransactionAbortable),
        }
    }

    /// Whether a group's offsets are part of the transaction that is open.
    ///
    /// # Errors
    /// They are not, or the producer is another.
    pub fn verify_group(&self, by: Producer, group: &str) -> Result<(), TxnError> {
        self.verify_open(by)?;
        match self.groups.contains(group) {
            true => Ok(()),
            false => Err(TxnError::TransactionAbortable),
        }
    }

    fn verify_open(&self, by: Producer) -> Result<(), TxnError> {
        self.identify(by)?;
        match self.state.ending() {
            Some(_) => Err(TxnError::ConcurrentTransactions),
            None => Ok(()),
        }
    }

    pub(super) fn identify(&self, by: Producer) -> Result<(), TxnError> {
        if by.id != self.producer_id {
            return Err(TxnError::InvalidProducerIdMapping);
        }
        match by.epoch == self.epoch {
            true => Ok(()),
            false => Err(TxnError::ProducerFenced),
        }
    }

    /// Whether the open transaction has had more time than it asked for.
    pub fn is_overdue(&self, now_ms: i64) -> bool {
        self.state == State::Ongoing
            && self.start_ms.saturating_add(i64::from(self.timeout_ms)) < now_ms
    }

    /// Whether nothing has happened for so long (milliseconds) that the transactional id may be forgotten.
    pub fn is_expired(&self, expiration_ms: i64, now_ms: i64) -> bool {
        let idle = matches!(
            self.state,
            State::Empty | State::CompleteCommit | State::CompleteAbort
        );
        idle && self.update_ms.saturating_add(expiration_ms) <= now_ms
    }

    /// All markers are written: the state after the end. `self` when none are due.
    pub fn completed(&self, now_ms: i64) -> Self {
        let Some(ending) = self.state.ending() else {
            return self.clone();
        };
        let mut txn = self.clone();
        txn.state = match ending {
            Ending::Commit => State::CompleteCommit,
            Ending::Abort => State::CompleteAbort,
        };
        txn.partitions.clear();
        txn.groups.clear();
        txn.update_ms = now_ms.max(self.update_ms);
        if self.bumps {
            txn.previous_id = self.producer_id;
        }
        if self.next_id >= 0 {
            (txn.producer_id, txn.epoch, txn.last_epoch) = (self.next_id, 0, self.epoch);
            txn.next_id = i64::from(NONE);
        }
        txn
    }

    /// The transaction ends. With `bump` its markers, and its producer from then on, have the next epoch.
    pub(super) fn prepared(&self, ending: Ending, bump: bool, now_ms: i64) -> Step {
        let mut txn = self.clone();
        if self.state != State::Ongoing {
            txn.start_ms = now_ms;
        }
        txn.state = State::preparing(ending);
        txn.bumps = bump;
        txn.update_ms = now_ms.max(self.update_ms);
        if bump {
            // Never past the type's end: producers stop one before it.
            (txn.epoch, txn.last_epoch) = (self.epoch.saturating_add(1), self.epoch);
        }
        Step {
            txn,
            effect: Effect::End(ending),
        }
    }

    /// The open transaction is aborted by this node, and its producer cannot go on unless it asks for the new epoch.
    pub(super) fn fenced(&self, now_ms: i64) -> Step {
        self.prepared(Ending::Abort, true, now_ms)
    }

    pub(super) fn unchanged(&self) -> Step {
        Step {
            txn: self.clone(),
            effect: Effect::Nothing,
        }
    }

    pub(super) fn kept(mut self, now_ms: i64) -> Step {
        self.update_ms = now_ms.max(self.update_ms);
        Step {
            txn: self,
            effect: Effect::Keep,
        }
    }
}
