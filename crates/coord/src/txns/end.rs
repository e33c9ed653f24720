//! EndTxn, before and since transactions v2 (KIP-890), and what counts as the same request once more.

use super::txn::{EPOCH_MAX, Txn};
use super::types::{Ending, Producer, State, Step, TxnError};

impl Txn {
    /// Of a client that keeps its epoch.
    pub(super) fn end(&self, by: Producer, ending: Ending, now_ms: i64) -> Result<Step, TxnError> {
        self.identify(by)?;
        match (self.state, ending) {
            (State::Ongoing, _) => Ok(self.prepared(ending, false, now_ms)),
            (State::CompleteCommit, Ending::Commit) | (State::CompleteAbort, Ending::Abort) => {
                Ok(self.unchanged())
            }
            (State::PrepareCommit, Ending::Commit) | (State::PrepareAbort, Ending::Abort) => {
                Err(TxnError::ConcurrentTransactions)
            }
            (
                State::Empty
                | State::CompleteCommit
                | State::CompleteAbort
                | State::PrepareCommit
                | State::PrepareAbort,
                _,
            ) => Err(TxnError::InvalidTxnState),
        }
    }

    /// Of a client whose epoch is bumped with every end. It may abort a transaction in which nothing was added so far, because a
    /// produce request that adds may still be on its way.
    pub(super) fn end_bumping(
        &self,
        by: Producer,
        ending: Ending,
        fresh_id: Option<i64>,
        now_ms: i64,
    ) -> Result<Step, TxnError> {
        let again = self.is_end_again(by);
        if by.id != self.producer_id && !again {
            return Err(TxnError::InvalidProducerIdMapping);
        }
        let current = by == self.producer() && self.epoch >= 0;
        let valid = match self.state {
            State::Ongoing | State::Empty => current,
            // Written by a client that keeps its epoch, these have the epoch of the request itself.
            State::PrepareCommit | State::PrepareAbort => again || (!self.bumps && current),
            State::CompleteCommit | State::CompleteAbort => again || current,
        };
        if !valid {
            return Err(TxnError::ProducerFenced);
        }
        match (self.state, ending) {
            (State::Ongoing, _) => self.end_with_next_epoch(ending, fresh_id, now_ms),
            (State::CompleteCommit, Ending::Commit) | (State::CompleteAbort, Ending::Abort)
                if again =>
            {
                Ok(self.unchanged())
            }
            (State::CompleteCommit | State::CompleteAbort, Ending::Abort) if !again => {
                self.end_with_next_epoch(ending, fresh_id, now_ms)
            }
            (State::Empty, Ending::Abort) => self.end_with_next_epoch(ending, fresh_id, now_ms),
            (State::PrepareCommit, Ending::Commit) | (State::PrepareAbort, Ending::Abort) => {
                Err(TxnError::ConcurrentTransactions)
            }
            (
                State::Empty
                | State::CompleteCommit
                | State::CompleteAbort
                | State::PrepareCommit
                | State::PrepareAbort,
                _,
            ) => Err(TxnError::InvalidTxnState),
        }
    }

    /// The producer has missed the answer to its last EndTxn: its epoch is the one before the bump.
    fn is_end_again(&self, by: Producer) -> bool {
        if !self.bumps {
            return false;
        }
        // The very last epoch is nobody's: a producer that timed out with the one before is fenced by it.
        let bumped =
            by.id == self.producer_id && by.epoch < EPOCH_MAX && self.epoch == by.epoch + 1;
        let renamed = by.id == self.previous_id && by.epoch == EPOCH_MAX && self.epoch == 0;
        bumped || renamed
    }

    fn end_with_next_epoch(
        &self,
        ending: Ending,
        fresh_id: Option<i64>,
        now_ms: i64,
    ) -> Result<Step, TxnError> {
        let mut step = self.prepared(ending, true, now_ms);
        if self.epoch >= EPOCH_MAX {
            step.txn.next_id = fresh_id.ok_or(TxnError::NeedsProducerId)?;
        }
        Ok(step)
    }
}
