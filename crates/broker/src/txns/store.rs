//! All transactional ids and the offsets that their open transactions will commit: a map in memory, rebuilt from and written to an
//! internal partition. What is changed is applied when it is submitted and acked when it is durable.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use headwater_base::Clock;
use headwater_coord::txns::Txn;
use headwater_log::{Append, Commit, Durable, Log};
use parking_lot::{Mutex, MutexGuard};

use super::codec::Entry;
use crate::committed::{CommittedOffset, Place};
use crate::error::{BrokerError, OpenError};
use crate::journal::{self, TXNS};

/// Records beyond four times what is live after which everything is written anew.
const RECORDS_MAX: usize = 10_000;

/// Offsets that a producer's open transaction will commit, by group and place.
pub(super) type Pending = BTreeMap<(String, Place), CommittedOffset>;

#[derive(Default)]
pub(super) struct State {
    pub txns: BTreeMap<String, Txn>,
    /// By producer id.
    pub pending: BTreeMap<i64, Pending>,
    /// Whose markers are being written in several steps right now.
    busy: BTreeSet<String>,
    /// Records in the log that are still held.
    records: usize,
}

pub(crate) struct TxnStore {
    log: Arc<dyn Log>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

impl State {
    pub fn apply(&mut self, entry: Entry) {
        self.records += 1;
        match entry {
            Entry::Txn(id, Some(txn)) => {
                self.txns.insert(id, txn);
            }
            Entry::Txn(id, None) => {
                self.txns.remove(&id);
            }
            Entry::Pending(producer_id, group, place, offset) => {
                let pending = self.pending.entry(producer_id).or_default();
                pending.insert((group, place), offset);
            }
            Entry::Decided(producer_id) => {
                self.pending.remove(&producer_id);
            }
        }
    }

    fn live(&self) -> usize {
        self.txns.len() + self.pending.values().map(BTreeMap::len).sum::<usize>()
    }

    fn entries(&self) -> Vec<Entry> {
        let txns = self.txns.iter();
        let txns = txns.map(|(id, txn)| Entry::Txn(id.clone(), Some(txn.clone())));
        let pending = self.pending.iter().flat_map(|(producer_id, pending)| {
            pending.iter().map(|((group, place), offset)| {
                Entry::Pending(*producer_id, group.clone(), place.clone(), offset.clone())
            })
        });
        txns.chain(pending).collect()
    }
}

impl TxnStore {
    pub fn open(log: Arc<dyn Log>, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let mut state = State::default();
        journal::replay(&*log, TXNS, |_, key, value| {
            let entry = key.and_then(|key| Entry::decode(key, value));
            state.apply(entry.ok_or(OpenError::Transaction)?);
            Ok(())
        })?;
        Ok(Self {
            log,
            clock,
            state: Mutex::new(state),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(super) fn encode(&self, entries: &[Entry]) -> Append {
        let records: Vec<_> = entries.iter().map(Entry::encode).collect();
        journal::append(TXNS, self.clock.now_ms(), &records)
    }

    /// Writes entries and applies them.
    pub(super) fn write(
        &self,
        state: &mut State,
        entries: Vec<Entry>,
    ) -> Result<Durable, BrokerError> {
        let commit = Commit {
            appends: vec![self.encode(&entries)],
            ..Commit::default()
        };
        let durable = self.log.submit(commit)?.durable;
        self.apply(state, entries);
        Ok(durable)
    }

    /// Applies what was written.
    pub(super) fn apply(&self, state: &mut State, entries: Vec<Entry>) {
        entries.into_iter().for_each(|entry| state.apply(entry));
        if state.records > RECORDS_MAX + 4 * state.live() {
            self.rewrite(state);
        }
    }

    fn rewrite(&self, state: &mut State) {
        let end = self.log.state(TXNS).submitted_end;
        let live = state.entries().into_iter().map(|entry| entry.encode());
        let now_ms = self.clock.now_ms();
        if let Err(error) = journal::rewrite(&*self.log, (TXNS, end), now_ms, live) {
            tracing::warn!(%error, "transactional ids were not written anew");
            // Not again with every change while the log is busy.
            state.records = 4 * state.live();
            return;
        }
        state.records = state.live();
    }

    /// Resolves when everything that was written so far is durable: nothing is told that a crash could take back.
    ///
    /// # Errors
    /// The log takes nothing, so that nobody can say when that is.
    pub(super) fn barrier(&self) -> Result<Option<Durable>, BrokerError> {
        journal::barrier(&*self.log, TXNS)
    }

    /// Claims the writing of an id's markers, unless it is claimed.
    pub(super) fn claim(&self, id: &str) -> Option<Claim<'_>> {
        let claimed = self.state.lock().busy.insert(id.to_owned());
        claimed.then(|| Claim {
            store: self,
            id: id.to_owned(),
        })
    }
}

/// Ends with the future that holds it, also when nobody polls that any more.
pub(super) struct Claim<'a> {
    store: &'a TxnStore,
    id: String,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.store.state.lock().busy.remove(&self.id);
    }
}
