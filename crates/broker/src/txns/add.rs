//! Partitions and groups become part of a transaction: by request, or by the first batch that is written (KIP-890).

use headwater_base::PartitionId;
use headwater_coord::txns::{Command, Effect, Producer, TxnError};
use parking_lot::MutexGuard;

use super::codec::Entry;
use super::store::State;
use crate::Broker;
use crate::error::BrokerError;

/// In whose name transactional batches are written.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    pub transactional_id: &'a str,
    /// The first batch makes its partition part of the transaction: transactions v2.
    pub adds: bool,
    /// The client knows that a transaction may have to be aborted; older ones are told that its state is not right.
    pub knows_abortable: bool,
}

impl Broker {
    /// Makes partitions and groups part of a transaction, which begins if none is open. Resolves when that is durable.
    ///
    /// # Errors
    /// What the transactional id says, or the log takes nothing.
    pub async fn add_to_txn(
        &self,
        id: &str,
        by: Producer,
        partitions: Vec<PartitionId>,
        groups: Vec<String>,
        bumps: bool,
    ) -> Result<(), BrokerError> {
        if id.is_empty() {
            return Err(TxnError::InvalidRequest.into());
        }
        let command = Command::Add {
            by,
            partitions,
            groups,
            bumps,
        };
        let (_, progress) = self.step_txn(id, command, None)?;
        self.conclude(id, progress).await
    }

    /// Whether a partition is part of the transaction that is open.
    ///
    /// # Errors
    /// It is not, or the producer is another.
    pub fn verify_in_txn(
        &self,
        id: &str,
        by: Producer,
        partition: PartitionId,
    ) -> Result<(), BrokerError> {
        if id.is_empty() {
            return Err(TxnError::InvalidRequest.into());
        }
        let state = self.txns.lock();
        let txn = state.txns.get(id);
        let txn = txn.ok_or(TxnError::InvalidProducerIdMapping)?;
        Ok(txn.verify(by, partition)?)
    }

    /// Lets the first batch of a transaction into a partition. As long as the guard is held the transaction cannot end.
    pub(crate) fn admit(
        &self,
        writer: &Writer<'_>,
        by: Producer,
        partition: PartitionId,
    ) -> Result<TxnGuard<'_>, BrokerError> {
        let mut state = self.txns.lock();
        let admitted = self.admitted(&mut state, writer, by, partition);
        match admitted {
            Ok(()) => Ok(TxnGuard { _state: state }),
            Err(error) => Err(told(error, writer)),
        }
    }

    fn admitted(
        &self,
        state: &mut State,
        writer: &Writer<'_>,
        by: Producer,
        partition: PartitionId,
    ) -> Result<(), BrokerError> {
        let id = writer.transactional_id;
        let txn = state.txns.get(id);
        let txn = txn.ok_or(TxnError::InvalidProducerIdMapping)?;
        if !writer.adds {
            return Ok(txn.verify(by, partition)?);
        }
        let command = Command::Add {
            by,
            partitions: vec![partition],
            groups: Vec::new(),
            bumps: true,
        };
        let step = txn.step(command, self.clock.now_ms())?;
        if step.effect == Effect::Keep {
            let entries = vec![Entry::Txn(id.to_owned(), Some(step.txn))];
            // The batch follows in the log, and is acked after this is durable.
            drop(self.txns.write(state, entries)?);
        }
        Ok(())
    }
}

/// Keeps all transactions as they are.
pub(crate) struct TxnGuard<'a> {
    _state: MutexGuard<'a, State>,
}

/// What producers expect to hear of a batch, by what they know.
fn told(error: BrokerError, writer: &Writer<'_>) -> BrokerError {
    match error {
        BrokerError::Txn(TxnError::TransactionAbortable) if !writer.knows_abortable => {
            BrokerError::InvalidTransaction
        }
        BrokerError::Txn(TxnError::ProducerFenced) => BrokerError::FencedProducer,
        // Older clients do not know that they may try this again.
        BrokerError::Txn(TxnError::ConcurrentTransactions) if !writer.adds => {
            BrokerError::Retry("the transaction before is still being ended".into())
        }
        other => other,
    }
}
