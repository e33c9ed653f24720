//! InitProducerId: a producer takes a transactional id over, or goes on after an error (KIP-360).

use super::txn::{EPOCH_MAX, Txn};
use super::types::{Producer, State, Step, TxnError};

impl Txn {
    /// While a transaction is open it is aborted first: the host ends it and comes again.
    pub(super) fn init(
        &self,
        timeout_ms: i32,
        expected: Option<Producer>,
        fresh_id: Option<i64>,
        now_ms: i64,
    ) -> Result<Step, TxnError> {
        if !expected.is_none_or(|expected| self.was(expected)) {
            return Err(TxnError::ProducerFenced);
        }
        match self.state {
            State::PrepareCommit | State::PrepareAbort => Err(TxnError::ConcurrentTransactions),
            // Who was fenced before must not end what a newer one has begun.
            State::Ongoing if expected.is_some_and(|one| one != self.producer()) => {
                Err(TxnError::ProducerFenced)
            }
            State::Ongoing => Ok(self.fenced(now_ms)),
            State::Empty | State::CompleteCommit | State::CompleteAbort => {
                let mut txn = self.with_next_epoch(expected.map(|one| one.epoch), fresh_id)?;
                txn.state = State::Empty;
                txn.timeout_ms = timeout_ms;
                txn.start_ms = -1;
                txn.bumps = false;
                Ok(txn.kept(now_ms))
            }
        }
    }

    /// Whether a producer may claim to have been the one of this id: it is, or nobody was, or its epochs were exhausted and it
    /// asks again because it missed the answer.
    fn was(&self, claimed: Producer) -> bool {
        let missed = claimed.id == self.previous_id && claimed.epoch >= EPOCH_MAX;
        self.epoch < 0 || claimed.id == self.producer_id || missed
    }

    fn with_next_epoch(
        &self,
        expected: Option<i16>,
        fresh_id: Option<i64>,
    ) -> Result<Self, TxnError> {
        let mut txn = self.clone();
        txn.previous_id = self.producer_id;
        // One that was fenced with the very last epoch may not use that one.
        let mine =
            |epoch| epoch == self.epoch || (self.epoch > EPOCH_MAX && epoch == self.last_epoch);
        if self.epoch >= EPOCH_MAX && expected.is_none_or(mine) {
            txn.producer_id = fresh_id.ok_or(TxnError::NeedsProducerId)?;
            txn.last_epoch = expected.unwrap_or(-1);
            txn.epoch = 0;
            return Ok(txn);
        }
        match expected {
            None => (txn.epoch, txn.last_epoch) = (self.epoch + 1, -1),
            Some(epoch) if self.epoch < 0 || epoch == self.epoch => {
                (txn.epoch, txn.last_epoch) = (self.epoch + 1, self.epoch);
            }
            // It asks again because it missed the answer.
            Some(epoch) if epoch == self.last_epoch => txn.previous_id = self.previous_id,
            Some(_) => return Err(TxnError::ProducerFenced),
        }
        Ok(txn)
    }
}
