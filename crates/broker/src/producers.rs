//! Idempotent and transactional producers: what a partition remembers of each, and what it says to their next batch
//! (KIP-98, KIP-360, KIP-890).
//!
//! Pure. The state is rebuilt from the batch headers in the log at start, and from snapshots of producers whose batches are gone.

use std::collections::{HashMap, VecDeque};

use headwater_base::Offset;
use headwater_log::{BatchMeta, Bound, PartitionState};

use crate::error::BrokerError;
use crate::stable::{AbortedRange, Stable};

/// Batches remembered per producer: as many as a producer may have in flight.
pub(crate) const BATCHES_MAX: usize = 5;
/// Producers of one partition above which the silent ones are forgotten at once and not only now and then.
const PRODUCERS_SOFT_MAX: usize = 1_000;
/// Silence after which a producer may be forgotten (Kafka's default of `producer.id.expiration.ms`), in milliseconds.
pub(crate) const EXPIRATION_MS: i64 = 24 * 3600 * 1000;
/// Attribute bits of a batch.
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;

/// The producer fields of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequenced {
    pub producer_id: i64,
    pub epoch: i16,
    pub first: i32,
    pub last: i32,
    pub transactional: bool,
}

/// What to do with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Append,
    /// It is there already, with this base offset and last offset.
    Duplicate {
        base_offset: Offset,
        last_offset: Offset,
    },
}

/// Where a batch or marker got to, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    pub base_offset: Offset,
    pub last_offset: Offset,
    pub now_ms: i64,
}

/// The newest that is known of a producer: what outlives its batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerSnapshot {
    pub producer_id: i64,
    pub epoch: i16,
    /// -1: none known in this epoch.
    pub last_sequence: i32,
    /// Of the newest batch of data, or the marker if that is newer.
    pub base_offset: Offset,
    pub last_offset: Offset,
    /// -1: no marker so far.
    pub coordinator_epoch: i32,
    pub seen_ms: i64,
    /// The newest batches of this epoch, oldest first: what may still be sent again.
    pub window: [Option<StoredBatch>; BATCHES_MAX],
}

impl ProducerSnapshot {
    /// The batches that may still be sent again.
    pub fn batches(&self) -> impl Iterator<Item = &StoredBatch> {
        self.window.iter().flatten()
    }
}

/// A producer as DescribeProducers shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveProducer {
    pub producer_id: i64,
    pub epoch: i16,
    /// -1: none in this epoch.
    pub last_sequence: i32,
    pub last_timestamp_ms: i64,
    /// -1: no marker so far.
    pub coordinator_epoch: i32,
    /// First offset of its open transaction.
    pub txn_first: Option<Offset>,
}

/// A batch that is stored: its first and last sequence, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredBatch {
    pub first: i32,
    pub last: i32,
    pub base_offset: Offset,
    pub last_offset: Offset,
}

#[derive(Clone, Debug)]
struct Producer {
    epoch: i16,
    /// The sequence that its next batch has to begin with.
    next: i32,
    /// For telling duplicates.
    batches: VecDeque<StoredBatch>,
    seen_ms: i64,
    coordinator_epoch: i32,
    txn_first: Option<Offset>,
    /// Base and last offset of its newest batch or marker.
    newest: (Offset, Offset),
}

/// All producers that one partition remembers, and what their transactions leave undecided.
#[derive(Clone, Debug, Default)]
pub struct Producers {
    by_id: HashMap<i64, Producer>,
    stable: Stable,
}

impl Producer {
    fn beginning_with(epoch: i16, next: i32, now_ms: i64) -> Self {
        Self {
            epoch,
            next,
            batches: VecDeque::new(),
            seen_ms: now_ms,
            coordinator_epoch: -1,
            txn_first: None,
            newest: (-1, -1),
        }
    }

    /// A newer epoch begins anew; an open transaction stays open until its marker.
    fn enter(&mut self, epoch: i16, next: i32) {
        if self.epoch != epoch {
            (self.epoch, self.next) = (epoch, next);
            self.batches.clear();
        }
    }

    fn remember(&mut self, batch: Sequenced, placed: Placed) {
        if self.batches.len() == BATCHES_MAX {
            self.batches.pop_front();
        }
        self.batches.push_back(StoredBatch {
            first: batch.first,
            last: batch.last,
            base_offset: placed.base_offset,
            last_offset: placed.last_offset,
        });
    }

    fn last_sequence(&self) -> i32 {
        match (self.next, self.batches.back()) {
            (0, Some(stored)) => stored.last,
            (next, _) => next - 1,
        }
    }
}

impl Producers {
    /// # Errors
    /// The epoch is older than one seen, the sequence neither follows nor repeats a remembered batch, or the batch is not
    /// transactional while a transaction of its producer is open.
    pub fn check(&self, batch: Sequenced) -> Result<Verdict, BrokerError> {
        // A producer that is not remembered (expired, or its records were deleted) may go on with any sequence.
        let Some(known) = self.by_id.get(&batch.producer_id) else {
            return Ok(Verdict::Append);
        };
        if batch.epoch < known.epoch {
            return Err(BrokerError::InvalidProducerEpoch {
                current: known.epoch,
                got: batch.epoch,
            });
        }
        let same = |stored: &&StoredBatch| stored.first == batch.first && stored.last == batch.last;
        let stored = known.batches.iter().find(same);
        if let Some(stored) = stored.filter(|_| batch.epoch == known.epoch) {
            return Ok(Verdict::Duplicate {
                base_offset: stored.base_offset,
                last_offset: stored.last_offset,
            });
        }
        let expected = match batch.epoch > known.epoch {
            true => 0,
            false => known.next,
        };
        if batch.first != expected {
            return Err(BrokerError::OutOfOrderSequence {
                expected,
                got: batch.first,
            });
        }
        match known.txn_first.is_some() && !batch.transactional {
            true => Err(BrokerError::InvalidTransaction),
            false => Ok(Verdict::Append),
        }
    }

    /// Whether a marker of this epoch may be written.
    ///
    /// # Errors
    /// The epoch, or the coordinator's, is older than one seen.
    pub fn check_marker(
        &self,
        producer_id: i64,
        epoch: i16,
        coordinator_epoch: i32,
    ) -> Result<(), BrokerError> {
        let Some(known) = self.by_id.get(&producer_id) else {
            return Ok(());
        };
        if epoch < known.epoch {
            return Err(BrokerError::InvalidProducerEpoch {
                current: known.epoch,
                got: epoch,
            });
        }
        match coordinator_epoch < known.coordinator_epoch {
            true => Err(BrokerError::TransactionCoordinatorFenced),
            false => Ok(()),
        }
    }

    /// Whether the producer has a transaction open here, in this epoch.
    pub fn is_open(&self, producer_id: i64, epoch: i16) -> bool {
        let known = self.by_id.get(&producer_id);
        known.is_some_and(|known| known.epoch == epoch && known.txn_first.is_some())
    }

    /// First offset of the producer's open transaction, whatever its epoch.
    pub fn txn_first(&self, producer_id: i64) -> Option<Offset> {
        self.by_id.get(&producer_id)?.txn_first
    }

    /// Remembers a batch that has been given its offsets.
    pub fn appended(&mut self, batch: Sequenced, placed: Placed) {
        self.make_room(batch.producer_id, placed.now_ms);
        let new = || Producer::beginning_with(batch.epoch, batch.first, placed.now_ms);
        let producer = self.by_id.entry(batch.producer_id).or_insert_with(new);
        producer.enter(batch.epoch, batch.first);
        producer.seen_ms = placed.now_ms;
        producer.newest = (placed.base_offset, placed.last_offset);
        producer.next = after(batch.last);
        producer.remember(batch, placed);
        if batch.transactional {
            self.begin(batch.producer_id, placed.base_offset);
        }
    }

    fn begin(&mut self, producer_id: i64, first: Offset) {
        let Some(producer) = self.by_id.get_mut(&producer_id) else {
            return;
        };
        if producer.txn_first.is_none() {
            producer.txn_first = Some(first);
            self.stable.begin(producer_id, first);
        }
    }

    /// Remembers a marker. Gives the range it ends, if data was written in it.
    pub fn ended(
        &mut self,
        (producer_id, epoch): (i64, i16),
        coordinator_epoch: i32,
        placed: Placed,
        durable_end: Offset,
    ) -> Option<AbortedRange> {
        self.make_room(producer_id, placed.now_ms);
        let new = || Producer::beginning_with(epoch, 0, placed.now_ms);
        let producer = self.by_id.entry(producer_id).or_insert_with(new);
        producer.enter(epoch, 0);
        producer.seen_ms = placed.now_ms;
        producer.coordinator_epoch = coordinator_epoch;
        producer.newest = (placed.base_offset, placed.last_offset);
        let first = producer.txn_first.take()?;
        self.stable.end(first, placed.last_offset, durable_end);
        Some(AbortedRange {
            producer_id,
            first,
            last: placed.last_offset,
        })
    }

    /// What a stored batch says, at start: batches come in the order of their offsets.
    pub fn replay(&mut self, batch: &BatchMeta, now_ms: i64) {
        if batch.producer_id < 0 || (batch.base_sequence < 0 && batch.attributes & CONTROL == 0) {
            return;
        }
        let placed = Placed {
            base_offset: batch.base_offset,
            last_offset: batch.last_offset,
            now_ms,
        };
        let known = self.by_id.get(&batch.producer_id);
        let newest = known.map_or(-1, |known| known.newest.1);
        let control = batch.attributes & CONTROL != 0;
        match (control, placed.last_offset > newest) {
            (true, true) => {
                let producer = (batch.producer_id, batch.producer_epoch);
                self.ended(producer, 0, placed, Offset::MAX);
            }
            (false, true) => self.appended(sequenced(batch), placed),
            (_, false) => self.replay_known(batch, control, placed),
        }
    }

    /// A batch that a snapshot already knows of: it tells of transactions and duplicates, and changes nothing else.
    fn replay_known(&mut self, batch: &BatchMeta, control: bool, placed: Placed) {
        let Some(producer) = self.by_id.get_mut(&batch.producer_id) else {
            return;
        };
        if control {
            if let Some(first) = producer.txn_first.take() {
                self.stable.end(first, placed.last_offset, Offset::MAX);
            }
            return;
        }
        let sequenced = sequenced(batch);
        // What the snapshot's window does not hold is older than it, but for snapshots that had no window yet.
        let in_window = |stored: &StoredBatch| stored.base_offset >= placed.base_offset;
        if sequenced.epoch == producer.epoch && !producer.batches.iter().any(in_window) {
            producer.remember(sequenced, placed);
        }
        if sequenced.transactional {
            self.begin(batch.producer_id, placed.base_offset);
        }
    }

    /// Remembers that a batch was good but found no room: of a producer that is new here, what it has already sent behind
    /// that batch must not be taken before it.
    pub fn refused(&mut self, batch: Sequenced, now_ms: i64) {
        self.make_room(batch.producer_id, now_ms);
        let new = || Producer::beginning_with(batch.epoch, batch.first, now_ms);
        self.by_id.entry(batch.producer_id).or_insert_with(new);
    }

    fn make_room(&mut self, producer_id: i64, now_ms: i64) {
        if self.by_id.len() >= PRODUCERS_SOFT_MAX && !self.by_id.contains_key(&producer_id) {
            self.expire(now_ms, EXPIRATION_MS);
        }
    }

    /// Forgets producers that were silent for so long (milliseconds) and have no transaction open.
    pub fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        let stays = |producer: &Producer| {
            let silence_ms = now_ms.saturating_sub(producer.seen_ms);
            producer.txn_first.is_some() || silence_ms < expiration_ms
        };
        self.by_id.retain(|_, producer| stays(producer));
    }

    /// The newest state of every producer.
    pub fn snapshots(&self) -> impl Iterator<Item = ProducerSnapshot> + '_ {
        let snapshot = |(id, producer): (&i64, &Producer)| ProducerSnapshot {
            producer_id: *id,
            epoch: producer.epoch,
            last_sequence: producer.last_sequence(),
            base_offset: producer.newest.0,
            last_offset: producer.newest.1,
            coordinator_epoch: producer.coordinator_epoch,
            seen_ms: producer.seen_ms,
            window: std::array::from_fn(|at| producer.batches.get(at).copied()),
        };
        self.by_id.iter().map(snapshot)
    }

    /// Takes over what outlived its batches; at start, before the batches that are left are replayed.
    pub fn import(&mut self, snapshot: ProducerSnapshot) {
        let ProducerSnapshot {
            producer_id,
            epoch,
            last_sequence,
            base_offset,
            last_offset,
            coordinator_epoch,
            seen_ms,
            window,
        } = snapshot;
        let producer = Producer {
            batches: window.into_iter().flatten().collect(),
            coordinator_epoch,
            newest: (base_offset, last_offset),
            ..Producer::beginning_with(epoch, after(last_sequence), seen_ms)
        };
        self.by_id.insert(producer_id, producer);
    }

    /// Producers by id.
    pub fn active(&self) -> Vec<ActiveProducer> {
        let one = |(id, producer): (&i64, &Producer)| ActiveProducer {
            producer_id: *id,
            epoch: producer.epoch,
            last_sequence: producer.last_sequence(),
            last_timestamp_ms: producer.seen_ms,
            coordinator_epoch: producer.coordinator_epoch,
            txn_first: producer.txn_first,
        };
        let mut all: Vec<ActiveProducer> = self.by_id.iter().map(one).collect();
        all.sort_unstable_by_key(|producer| producer.producer_id);
        all
    }

    /// See [`Stable::last_stable_offset`].
    pub fn last_stable_offset(&self, state: &PartitionState, bound: Bound) -> Offset {
        self.stable.last_stable_offset(state, bound)
    }

    pub(crate) fn stable(&self) -> &Stable {
        &self.stable
    }

    pub(crate) fn stable_mut(&mut self) -> &mut Stable {
        &mut self.stable
    }
}

fn sequenced(batch: &BatchMeta) -> Sequenced {
    let delta = i32::try_from(batch.last_offset - batch.base_offset).unwrap_or(0);
    Sequenced {
        producer_id: batch.producer_id,
        epoch: batch.producer_epoch,
        first: batch.base_sequence,
        last: last_sequence(batch.base_sequence, delta),
        transactional: batch.attributes & TRANSACTIONAL != 0,
    }
}

/// Sequence numbers wrap from `i32::MAX` to 0.
fn after(sequence: i32) -> i32 {
    sequence.checked_add(1).unwrap_or(0)
}

/// The last sequence number of a batch.
pub fn last_sequence(first: i32, last_offset_delta: i32) -> i32 {
    let last = i64::from(first) + i64::from(last_offset_delta);
    i32::try_from(last % (i64::from(i32::MAX) + 1)).unwrap_or(0)
}

#[cfg(test)]
mod tests;
