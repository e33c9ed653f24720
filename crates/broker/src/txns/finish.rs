//! The end of a transaction in several steps: its decision is durable, its markers are not all written.
//!
//! Every step may be taken again, so that a crash between any two does no harm.

use headwater_coord::txns::{Ending, Txn};
use headwater_log::{Append, Commit, Durable};

use super::codec::{AbortedEntry, Entry};
use super::end::{existing, intent};
use crate::Broker;
use crate::catalog::settle;
use crate::error::BrokerError;

impl Broker {
    /// Writes what is missing of a decided end. Does nothing when somebody else is at it, or nothing is due.
    pub(super) async fn finish(&self, id: &str) -> Result<(), BrokerError> {
        let Some(_claim) = self.txns.claim(id) else {
            return Ok(());
        };
        let txn = self.txns.lock().txns.get(id).cloned();
        let Some(prepared) = txn.filter(|txn| txn.state.ending().is_some()) else {
            return Ok(());
        };
        // What is aborted has to be known before anybody can see it as ended.
        if let Some(durable) = self.append_intents(&prepared)? {
            durable.await?;
        }
        settle(self.append_markers(&prepared)?).await?;
        settle(self.append_offsets(&prepared)?).await?;
        let durable = {
            let mut state = self.txns.lock();
            let completed = prepared.completed(self.clock.now_ms());
            let mut entries = vec![Entry::Txn(id.to_owned(), Some(completed))];
            if state.pending.contains_key(&prepared.producer_id) {
                entries.push(Entry::Decided(prepared.producer_id));
            }
            self.txns.write(&mut state, entries)?
        };
        Ok(durable.await?)
    }

    fn append_intents(&self, prepared: &Txn) -> Result<Option<Durable>, BrokerError> {
        if prepared.state.ending() == Some(Ending::Commit) {
            return Ok(None);
        }
        let partitions = prepared.partitions.iter();
        let entries: Vec<AbortedEntry> = partitions
            .filter_map(|one| intent(*one, &self.producers.of(*one).lock(), prepared))
            .collect();
        if entries.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.submit_one(self.aborted.encode(&entries))?.1))
    }

    /// One commit for each partition that has no marker yet.
    fn append_markers(&self, prepared: &Txn) -> Result<Vec<Durable>, BrokerError> {
        let catalog = self.catalog.hold();
        let mut durables = Vec::new();
        let mut ended = Vec::new();
        for partition in existing(&catalog, prepared) {
            let held = self.producers.of(partition);
            let mut producers = held.lock();
            if producers.txn_first(prepared.producer_id).is_none() {
                continue;
            }
            let (offset, durable) = self.submit_one(self.marker(partition, prepared))?;
            ended.extend(self.marked(partition, &mut producers, prepared, offset));
            durables.push(durable);
        }
        self.aborted.complete(&ended);
        Ok(durables)
    }

    fn append_offsets(&self, prepared: &Txn) -> Result<Vec<Durable>, BrokerError> {
        let catalog = self.catalog.hold();
        let state = self.txns.lock();
        let offsets = self.decided_offsets(&catalog, &state, prepared);
        let submitted = self.committed.write_with(offsets, |append| {
            append.map(|append| self.submit_one(append)).transpose()
        })?;
        Ok(submitted.into_iter().map(|(_, durable)| durable).collect())
    }

    /// Offset and durability of a commit with one append.
    pub(super) fn submit_one(&self, append: Append) -> Result<(i64, Durable), BrokerError> {
        let submitted = self.log.submit(Commit {
            appends: vec![append],
            ..Commit::default()
        })?;
        let offset = submitted.base_offsets.first().copied().unwrap_or_default();
        Ok((offset, submitted.durable))
    }
}
