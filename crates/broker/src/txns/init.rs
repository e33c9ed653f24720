//! InitProducerId with a transactional id.

use headwater_coord::txns::{Command, Producer, Txn, TxnError};

use crate::Broker;
use crate::error::BrokerError;

/// Of a transaction that is open and of a producer id that is used up: more rounds than any history needs.
const ROUNDS_MAX: usize = 4;

impl Broker {
    /// The producer that may write with this transactional id from now on; all earlier ones are fenced. A transaction that is open
    /// is aborted first.
    ///
    /// # Errors
    /// What the transactional id says, or the log takes nothing.
    pub async fn init_transactional_producer(
        &self,
        id: &str,
        timeout_ms: i32,
        expected: Option<Producer>,
    ) -> Result<Producer, BrokerError> {
        if id.is_empty() {
            return Err(TxnError::InvalidRequest.into());
        }
        if !(1..=self.config.transaction_timeout_ms_max).contains(&timeout_ms) {
            return Err(TxnError::InvalidTimeout.into());
        }
        let mut fresh_id = None;
        for _ in 0..ROUNDS_MAX {
            let command = Command::Init {
                timeout_ms,
                expected,
                fresh_id,
            };
            let new = fresh_id.map(|id| Txn::new(id, timeout_ms, self.clock.now_ms()));
            match self.step_txn(id, command, new) {
                Ok((producer, progress)) => {
                    let ends = progress.ends();
                    self.conclude(id, progress).await?;
                    if !ends {
                        return Ok(producer);
                    }
                }
                Err(BrokerError::Txn(TxnError::NeedsProducerId)) => {
                    fresh_id = Some(self.init_producer().await?.0);
                }
                Err(error) => return Err(error),
            }
        }
        Err(TxnError::ConcurrentTransactions.into())
    }
}
