//! Offsets that are committed with a transaction (TxnOffsetCommit): kept in the log from the request on, committed with its end.

use std::collections::{BTreeMap, BTreeSet};

use headwater_coord::groups::Committer;
use headwater_coord::txns::{Command, Effect, Producer, TxnError};
use headwater_log::Durable;

use super::codec::Entry;
use super::store::State;
use crate::Broker;
use crate::committed::{CommittedOffset, Place};
use crate::error::BrokerError;
use crate::groups::{CommitItem, CommitMode, CommitRefusal};

/// Who commits what with a transaction.
#[derive(Clone, Debug)]
pub struct TxnOffsets {
    pub transactional_id: String,
    pub by: Producer,
    pub group: String,
    /// A member of the group, or nobody in particular.
    pub committer: Committer,
    pub items: Vec<CommitItem>,
    /// The request makes the group part of the transaction: transactions v2.
    pub adds: bool,
    /// The client knows that a transaction may have to be aborted.
    pub knows_abortable: bool,
}

/// Why none of the offsets was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OffsetsRefused {
    Group(CommitRefusal),
    Broker(BrokerError),
}

impl From<CommitRefusal> for OffsetsRefused {
    fn from(refusal: CommitRefusal) -> Self {
        Self::Group(refusal)
    }
}

impl From<BrokerError> for OffsetsRefused {
    fn from(error: BrokerError) -> Self {
        Self::Broker(error)
    }
}

impl From<TxnError> for OffsetsRefused {
    fn from(error: TxnError) -> Self {
        Self::Broker(error.into())
    }
}

/// What became of each offset, and when those that were taken are durable.
type Written = (Vec<Result<(), BrokerError>>, Option<Durable>);

impl Broker {
    /// Takes offsets that will be committed if the transaction is. Those of unknown partitions are refused one by one. Resolves when
    /// the others are durable.
    ///
    /// # Errors
    /// The transactional id or the group refuses.
    pub async fn commit_txn_offsets(
        &self,
        request: TxnOffsets,
    ) -> Result<Vec<Result<(), BrokerError>>, OffsetsRefused> {
        if request.transactional_id.is_empty() {
            return Err(TxnError::InvalidRequest.into());
        }
        self.admit_group(&self.txns.lock(), &request)?;
        let mode = CommitMode {
            transactional: true,
            ..CommitMode::default()
        };
        self.check_committer(&request.group, &request.committer, mode)?;
        let (checked, written) = self.write_pending(request)?;
        let outcome = match written {
            Some(durable) => durable.await.map_err(BrokerError::from),
            None => Ok(()),
        };
        let settle = |check: Result<(), BrokerError>| check.and(outcome.clone());
        Ok(checked.into_iter().map(settle).collect())
    }

    /// What the transaction becomes with these offsets; `None` when the group is part of it already.
    fn admit_group(
        &self,
        state: &State,
        request: &TxnOffsets,
    ) -> Result<Option<Entry>, OffsetsRefused> {
        let id = &request.transactional_id;
        let txn = state.txns.get(id);
        let txn = txn.ok_or(TxnError::InvalidProducerIdMapping)?;
        if !request.adds {
            let verified = txn.verify_group(request.by, &request.group);
            return match verified {
                Ok(()) => Ok(None),
                Err(error) => Err(told(error, request).into()),
            };
        }
        let command = Command::Add {
            by: request.by,
            partitions: Vec::new(),
            groups: vec![request.group.clone()],
            bumps: true,
        };
        let step = txn.step(command, self.clock.now_ms());
        let step = step.map_err(|error| told(error, request))?;
        let kept = step.effect == Effect::Keep;
        Ok(kept.then(|| Entry::Txn(id.clone(), Some(step.txn))))
    }

    fn write_pending(&self, request: TxnOffsets) -> Result<Written, OffsetsRefused> {
        let catalog = self.catalog.hold();
        let mut state = self.txns.lock();
        // Once more: the transaction may have ended while the group was asked.
        let mut entries: Vec<Entry> = self.admit_group(&state, &request)?.into_iter().collect();
        let checked: Vec<_> = request
            .items
            .iter()
            .map(|item| self.check_item(&catalog, item))
            .collect();
        let now_ms = self.clock.now_ms();
        let good = request
            .items
            .into_iter()
            .zip(&checked)
            .filter(|(_, check)| check.is_ok());
        entries.extend(good.map(|(item, _)| {
            let place = (item.topic, item.partition);
            // Not before what is committed already, though the clock may have jumped back: the later one counts.
            let before = self.committed.one(&request.group, &place);
            let commit_ms = before.map_or(now_ms, |before| before.commit_ms.max(now_ms));
            let offset = CommittedOffset {
                offset: item.offset,
                leader_epoch: item.leader_epoch,
                metadata: item.metadata,
                commit_ms,
                expire_ms: None,
            };
            Entry::Pending(request.by.id, request.group.clone(), place, offset)
        }));
        if entries.is_empty() {
            return Ok((checked, None));
        }
        let durable = self.txns.write(&mut state, entries)?;
        Ok((checked, Some(durable)))
    }

    /// When open transactions sent offsets of a group, by partition: the latest, in ms.
    pub(crate) fn pending_since(&self, group: &str) -> BTreeMap<Place, i64> {
        let state = self.txns.lock();
        let mut all = BTreeMap::new();
        for ((of, place), offset) in state.pending.values().flatten() {
            if of == group {
                let sent_ms = all.entry(place.clone()).or_insert(offset.commit_ms);
                *sent_ms = offset.commit_ms.max(*sent_ms);
            }
        }
        all
    }

    /// Partitions of a group for which an open transaction will commit an offset: what is committed for them is not stable.
    pub fn pending_offsets(&self, group: &str) -> BTreeSet<Place> {
        let state = self.txns.lock();
        let pending = state.pending.values().flat_map(|pending| pending.keys());
        pending
            .filter(|(of, _)| of == group)
            .map(|(_, place)| place.clone())
            .collect()
    }
}

/// What clients expect to hear, by what they know.
fn told(error: TxnError, request: &TxnOffsets) -> BrokerError {
    match error {
        TxnError::TransactionAbortable if !request.knows_abortable => {
            BrokerError::InvalidTransaction
        }
        TxnError::ProducerFenced => BrokerError::FencedProducer,
        other => other.into(),
    }
}
