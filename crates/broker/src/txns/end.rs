//! EndTxn, and every other step of a transactional id. Where one append can hold the whole end, it does.

use headwater_base::PartitionId;
use headwater_coord::txns::{Command, Effect, Ending, Producer, Txn, TxnError};
use headwater_log::{Append, Commit, Durable};
use headwater_meta::Catalog;
use headwater_record::{ControlType, control_batch};
use parking_lot::MutexGuard;

use super::codec::{AbortedEntry, Entry};
use super::store::State;
use crate::Broker;
use crate::committed::{CommittedOffset, Place};
use crate::error::BrokerError;
use crate::journal::{ABORTED, COMMITTED, TXNS};
use crate::producers::{Placed, Producers};

/// Epoch of the one coordinator that there is.
pub(super) const COORDINATOR_EPOCH: i32 = 0;

/// What is to be waited for after a step.
pub(super) enum Progress {
    /// Nothing has changed; what changed before may still be on its way to the disk.
    Same,
    Kept(Durable),
    /// Markers and all.
    Ended(Durable),
    /// The decision alone.
    Decided(Durable),
}

impl Progress {
    pub fn ends(&self) -> bool {
        matches!(self, Self::Ended(_) | Self::Decided(_))
    }
}

/// Offsets to be committed, as [`crate::committed`] takes them.
pub(super) type Offsets = Vec<(String, Place, Option<CommittedOffset>)>;

impl Broker {
    /// Ends the transaction that is open. Gives the producer's id and epoch from now on.
    ///
    /// # Errors
    /// What the transactional id says, or the log takes nothing.
    pub async fn end_txn(
        &self,
        id: &str,
        by: Producer,
        ending: Ending,
        bumps: bool,
    ) -> Result<Producer, BrokerError> {
        if id.is_empty() {
            return Err(TxnError::InvalidRequest.into());
        }
        let mut fresh_id = None;
        loop {
            let command = Command::End {
                by,
                ending,
                bumps,
                fresh_id,
            };
            match self.step_txn(id, command, None) {
                Err(BrokerError::Txn(TxnError::NeedsProducerId)) if fresh_id.is_none() => {
                    fresh_id = Some(self.init_producer().await?.0);
                }
                outcome => {
                    let (producer, progress) = outcome?;
                    self.conclude(id, progress).await?;
                    return Ok(producer);
                }
            }
        }
    }

    /// One step of a transactional id, submitted. `new` is what it is when nobody has used it; without that it has to be known.
    pub(super) fn step_txn(
        &self,
        id: &str,
        command: Command,
        new: Option<Txn>,
    ) -> Result<(Producer, Progress), BrokerError> {
        let catalog = self.catalog.hold();
        let mut state = self.txns.lock();
        let now_ms = self.clock.now_ms();
        let txn = match (state.txns.get(id), new, &command) {
            (Some(txn), _, _) => txn.clone(),
            (None, Some(new), _) => new,
            (None, None, Command::Init { .. }) => return Err(TxnError::NeedsProducerId.into()),
            (None, None, _) => return Err(TxnError::InvalidProducerIdMapping.into()),
        };
        let step = txn.step(command, now_ms)?;
        match step.effect {
            Effect::Nothing => Ok((step.txn.producer(), Progress::Same)),
            Effect::Keep => {
                let producer = step.txn.producer();
                let entries = vec![Entry::Txn(id.to_owned(), Some(step.txn))];
                let durable = self.txns.write(&mut state, entries)?;
                Ok((producer, Progress::Kept(durable)))
            }
            Effect::End(_) => self.end(&catalog, &mut state, id, step.txn),
        }
    }

    /// Waits until a step is durable, and sees an end through to its end.
    pub(super) async fn conclude(&self, id: &str, progress: Progress) -> Result<(), BrokerError> {
        match progress {
            Progress::Same => {
                if let Some(durable) = self.txns.barrier()? {
                    durable.await?;
                }
            }
            Progress::Kept(durable) | Progress::Ended(durable) => durable.await?,
            Progress::Decided(durable) => {
                durable.await?;
                match self.finish(id).await {
                    // It is decided, and the next tick goes on with it.
                    Ok(()) | Err(BrokerError::Retry(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Ends a transaction whose end has been prepared: wholly if one append can hold it, else with the decision.
    fn end(
        &self,
        catalog: &Catalog,
        state: &mut State,
        id: &str,
        prepared: Txn,
    ) -> Result<(Producer, Progress), BrokerError> {
        let completed = prepared.completed(self.clock.now_ms());
        let producer = completed.producer();
        let partitions = existing(catalog, &prepared);
        let offsets = self.decided_offsets(catalog, state, &prepared);
        let touched = partitions.iter().copied().chain([TXNS, ABORTED, COMMITTED]);
        let mut shards = touched.map(|partition| self.log.shard_of(partition));
        let first = shards.next();
        if !shards.all(|shard| Some(shard) == first) {
            let entries = vec![Entry::Txn(id.to_owned(), Some(prepared))];
            let durable = self.txns.write(state, entries)?;
            return Ok((producer, Progress::Decided(durable)));
        }
        let mut entries = vec![Entry::Txn(id.to_owned(), Some(completed))];
        if state.pending.contains_key(&prepared.producer_id) {
            entries.push(Entry::Decided(prepared.producer_id));
        }
        let durable = self.append_end(&prepared, &partitions, offsets, &entries)?;
        self.txns.apply(state, entries);
        Ok((producer, Progress::Ended(durable)))
    }

    /// The one append.
    fn append_end(
        &self,
        prepared: &Txn,
        partitions: &[PartitionId],
        offsets: Offsets,
        entries: &[Entry],
    ) -> Result<Durable, BrokerError> {
        let held: Vec<_> = partitions
            .iter()
            .map(|one| self.producers.of(*one))
            .collect();
        let mut producers: Vec<_> = held.iter().map(|one| one.lock()).collect();
        let mut appends: Vec<Append> = partitions
            .iter()
            .map(|partition| self.marker(*partition, prepared))
            .collect();
        appends.push(self.txns.encode(entries));
        let aborts = prepared.state.ending() != Some(Ending::Commit);
        let intents: Vec<AbortedEntry> = partitions
            .iter()
            .zip(&producers)
            .filter(|_| aborts)
            .filter_map(|(partition, producers)| intent(*partition, producers, prepared))
            .collect();
        if !intents.is_empty() {
            appends.push(self.aborted.encode(&intents));
        }
        let submitted = self.committed.write_with(offsets, |append| {
            appends.extend(append);
            let commit = Commit {
                appends,
                ..Commit::default()
            };
            Ok(self.log.submit(commit)?)
        })?;
        let mut ended = Vec::with_capacity(intents.len());
        let markers = partitions.iter().zip(submitted.base_offsets);
        for ((partition, offset), producers) in markers.zip(&mut producers) {
            ended.extend(self.marked(*partition, producers, prepared, offset));
        }
        drop(producers);
        self.aborted.complete(&ended);
        Ok(submitted.durable)
    }

    /// The marker of an end, for one partition.
    pub(super) fn marker(&self, partition: PartitionId, prepared: &Txn) -> Append {
        let kind = match prepared.state.ending() {
            Some(Ending::Commit) => ControlType::Commit,
            Some(Ending::Abort) | None => ControlType::Abort,
        };
        let producer = (prepared.producer_id, prepared.epoch);
        Append {
            partition,
            batch: control_batch(kind, producer, COORDINATOR_EPOCH, self.clock.now_ms()),
        }
    }

    /// A partition's marker is in the log. Gives the range that it aborts.
    pub(super) fn marked(
        &self,
        partition: PartitionId,
        producers: &mut MutexGuard<'_, Producers>,
        prepared: &Txn,
        offset: i64,
    ) -> Option<AbortedEntry> {
        let placed = Placed {
            base_offset: offset,
            last_offset: offset,
            now_ms: self.clock.now_ms(),
        };
        let by = (prepared.producer_id, prepared.epoch);
        let durable_end = self.log.state(partition).durable_end;
        let range = producers.ended(by, COORDINATOR_EPOCH, placed, durable_end)?;
        if prepared.state.ending() == Some(Ending::Commit) {
            return None;
        }
        producers.stable_mut().abort(range);
        Some(AbortedEntry {
            partition,
            producer_id: range.producer_id,
            first: range.first,
            last: Some(range.last),
        })
    }

    /// What a transaction's end commits of its groups' offsets: not what was committed outside of it in the meantime.
    pub(super) fn decided_offsets(
        &self,
        catalog: &Catalog,
        state: &State,
        prepared: &Txn,
    ) -> Offsets {
        let pending = state.pending.get(&prepared.producer_id);
        let commits = prepared.state.ending() == Some(Ending::Commit);
        let Some(pending) = pending.filter(|_| commits) else {
            return Vec::new();
        };
        let counts = |group: &str, place: &Place, offset: &CommittedOffset| {
            let newer = self.committed.one(group, place);
            catalog.topic(&place.0).is_some()
                && newer.is_none_or(|newer| newer.commit_ms <= offset.commit_ms)
        };
        pending
            .iter()
            .filter(|((group, place), offset)| counts(group, place, offset))
            .map(|((group, place), offset)| (group.clone(), place.clone(), Some(offset.clone())))
            .collect()
    }
}

/// The transaction's partitions that have not been deleted meanwhile.
pub(super) fn existing(catalog: &Catalog, txn: &Txn) -> Vec<PartitionId> {
    let exists = |id: &&PartitionId| {
        let topic = catalog.topic_by_id(id.topic);
        topic.is_some_and(|topic| topic.partition(id.index).is_some())
    };
    txn.partitions.iter().filter(exists).copied().collect()
}

/// That what the producer has open in a partition will be aborted.
pub(super) fn intent(
    partition: PartitionId,
    producers: &Producers,
    prepared: &Txn,
) -> Option<AbortedEntry> {
    Some(AbortedEntry {
        partition,
        producer_id: prepared.producer_id,
        first: producers.txn_first(prepared.producer_id)?,
        last: None,
    })
}
