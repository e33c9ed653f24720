//! What cleaning has to remember over a restart, in the internal partition PRODUCERS: producers whose newest batches are gone
//! from a partition (their sequences would be lost with them), and how far each compacted partition is clean.
//!
//! ```text
//! producer  key:   1 u8 | topic [u8; 16] | partition i32 | producer id i64
//!           value: epoch i16 | last sequence i32 | base offset i64 | last offset i64 | coordinator epoch i32 | seen i64 (ms)
//!                  | (first i32 | last i32 | base offset i64 | last offset i64)* of its newest batches, oldest first
//! clean     key:   2 u8 | topic [u8; 16] | partition i32
//!           value: clean to i64 | bytes u64 | horizon i64 (ms)
//! ```
//! A record replaces the one before it with the same key. Once the partition holds far more records than there are keys, all are
//! written anew and what is before them is trimmed.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use headwater_base::{Offset, PartitionId, TopicId};
use headwater_log::{Append, Commit, Durable, Log};
use parking_lot::Mutex;

use crate::error::{BrokerError, OpenError};
use crate::journal::{self, PRODUCERS};
use crate::producers::{BATCHES_MAX, ProducerSnapshot, StoredBatch};

const PRODUCER: u8 = 1;
const CLEAN: u8 = 2;
/// Records beyond four times the number of keys after which everything is written anew.
const RECORDS_MAX: usize = 1_000;

/// How far compaction has come in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clean {
    /// Every key has one record below.
    pub to: Offset,
    /// Bytes of what is below.
    pub bytes: u64,
    /// When the first tombstone or marker below may go (ms); `i64::MAX`: there is none.
    pub horizon_ms: i64,
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    Producer(PartitionId, ProducerSnapshot),
    Clean(PartitionId, Clean),
}

#[derive(Default)]
struct State {
    producers: BTreeMap<(PartitionId, i64), ProducerSnapshot>,
    clean: BTreeMap<PartitionId, Clean>,
    /// Records in the log that are still held.
    written: usize,
}

pub(crate) struct CleaningJournal {
    log: Arc<dyn Log>,
    state: Mutex<State>,
}

impl State {
    fn apply(&mut self, note: Note) {
        match note {
            Note::Producer(partition, snapshot) => {
                let key = (partition, snapshot.producer_id);
                self.producers.insert(key, snapshot);
            }
            Note::Clean(partition, clean) => {
                self.clean.insert(partition, clean);
            }
        }
    }

    fn live(&self) -> usize {
        self.producers.len() + self.clean.len()
    }

    fn notes(&self) -> Vec<Note> {
        let producers = self.producers.iter();
        let producers = producers.map(|((partition, _), one)| Note::Producer(*partition, *one));
        let clean = self.clean.iter();
        let clean = clean.map(|(partition, clean)| Note::Clean(*partition, *clean));
        producers.chain(clean).collect()
    }
}

impl CleaningJournal {
    /// # Errors
    /// The log cannot be read, or holds records of a newer version.
    pub fn open(log: Arc<dyn Log>) -> Result<Self, OpenError> {
        let mut state = State::default();
        journal::replay(&*log, PRODUCERS, |_, key, value| {
            let note = key.zip(value).and_then(|(key, value)| decode(key, value));
            state.apply(note.ok_or(OpenError::CleaningNote)?);
            state.written += 1;
            Ok(())
        })?;
        let state = Mutex::new(state);
        Ok(Self { log, state })
    }

    /// The producers that outlived their batches.
    pub fn producers(&self) -> Vec<(PartitionId, ProducerSnapshot)> {
        let state = self.state.lock();
        let all = state.producers.iter();
        all.map(|((partition, _), one)| (*partition, *one))
            .collect()
    }

    /// Whether exactly this is noted already.
    pub fn knows(&self, partition: PartitionId, snapshot: &ProducerSnapshot) -> bool {
        let key = (partition, snapshot.producer_id);
        self.state.lock().producers.get(&key) == Some(snapshot)
    }

    pub fn clean(&self, partition: PartitionId) -> Option<Clean> {
        self.state.lock().clean.get(&partition).copied()
    }

    /// Makes a commit durable, with the notes in it, or before it where they live in another shard: a note that is early
    /// is only one that nobody needs yet.
    ///
    /// # Errors
    /// The log takes nothing, or fails.
    pub async fn commit(
        &self,
        commit: Commit,
        notes: Vec<Note>,
        now_ms: i64,
    ) -> Result<(), BrokerError> {
        if notes.is_empty() {
            return Ok(self.log.submit(commit)?.durable.await?);
        }
        let shard = self.log.shard_of(PRODUCERS);
        let together = commit
            .partitions()
            .all(|partition| self.log.shard_of(partition) == shard);
        if together {
            return Ok(self.submit(commit, notes, now_ms)?.await?);
        }
        self.submit(Commit::default(), notes, now_ms)?.await?;
        Ok(self.log.submit(commit)?.durable.await?)
    }

    fn submit(
        &self,
        mut commit: Commit,
        notes: Vec<Note>,
        now_ms: i64,
    ) -> Result<Durable, BrokerError> {
        let mut state = self.state.lock();
        commit.appends.push(append(&notes, now_ms));
        let durable = self.log.submit(commit)?.durable;
        state.written += notes.len();
        notes.into_iter().for_each(|note| state.apply(note));
        Ok(durable)
    }

    /// Forgets partitions that are no more and producers that were silent since `seen_before_ms`; writes everything anew when
    /// the journal has become long.
    pub fn prune(&self, exists: impl Fn(PartitionId) -> bool, seen_before_ms: i64, now_ms: i64) {
        let mut state = self.state.lock();
        state.clean.retain(|partition, _| exists(*partition));
        state
            .producers
            .retain(|(partition, _), one| exists(*partition) && one.seen_ms >= seen_before_ms);
        if state.written <= RECORDS_MAX + 4 * state.live() {
            return;
        }
        let end = self.log.state(PRODUCERS).submitted_end;
        let live = state.notes();
        match journal::rewrite(
            &*self.log,
            (PRODUCERS, end),
            now_ms,
            live.iter().map(encode),
        ) {
            Ok(()) => state.written = state.live(),
            Err(error) => tracing::warn!(%error, "the journal of cleaning was not written anew"),
        }
    }
}

fn append(notes: &[Note], now_ms: i64) -> Append {
    let records: Vec<_> = notes.iter().map(encode).collect();
    journal::append(PRODUCERS, now_ms, &records)
}

fn encode(note: &Note) -> journal::Record {
    let (mut key, mut value) = (Vec::with_capacity(29), Vec::with_capacity(34));
    let mut put_key = |kind, partition: &PartitionId| {
        key.put_u8(kind);
        key.put_slice(&partition.topic.0);
        key.put_i32(partition.index);
    };
    match note {
        Note::Producer(partition, one) => {
            put_key(PRODUCER, partition);
            key.put_i64(one.producer_id);
            value.put_i16(one.epoch);
            value.put_i32(one.last_sequence);
            value.put_i64(one.base_offset);
            value.put_i64(one.last_offset);
            value.put_i32(one.coordinator_epoch);
            value.put_i64(one.seen_ms);
            for batch in one.batches() {
                value.put_i32(batch.first);
                value.put_i32(batch.last);
                value.put_i64(batch.base_offset);
                value.put_i64(batch.last_offset);
            }
        }
        Note::Clean(partition, clean) => {
            put_key(CLEAN, partition);
            value.put_i64(clean.to);
            value.put_u64(clean.bytes);
            value.put_i64(clean.horizon_ms);
        }
    }
    (key, Some(value))
}

fn decode(mut key: Bytes, mut value: Bytes) -> Option<Note> {
    let kind = key.try_get_u8().ok()?;
    let mut topic = [0; 16];
    key.try_copy_to_slice(&mut topic).ok()?;
    let partition = PartitionId {
        topic: TopicId(topic),
        index: key.try_get_i32().ok()?,
    };
    match kind {
        PRODUCER => Some(Note::Producer(
            partition,
            ProducerSnapshot {
                producer_id: key.try_get_i64().ok()?,
                epoch: value.try_get_i16().ok()?,
                last_sequence: value.try_get_i32().ok()?,
                base_offset: value.try_get_i64().ok()?,
                last_offset: value.try_get_i64().ok()?,
                coordinator_epoch: value.try_get_i32().ok()?,
                seen_ms: value.try_get_i64().ok()?,
                window: window(value)?,
            },
        )),
        CLEAN => Some(Note::Clean(
            partition,
            Clean {
                to: value.try_get_i64().ok()?,
                bytes: value.try_get_u64().ok()?,
                horizon_ms: value.try_get_i64().ok()?,
            },
        )),
        _ => None,
    }
}

fn window(mut value: Bytes) -> Option<[Option<StoredBatch>; BATCHES_MAX]> {
    let mut window = [None; BATCHES_MAX];
    for place in &mut window {
        if !value.has_remaining() {
            break;
        }
        *place = Some(StoredBatch {
            first: value.try_get_i32().ok()?,
            last: value.try_get_i32().ok()?,
            base_offset: value.try_get_i64().ok()?,
            last_offset: value.try_get_i64().ok()?,
        });
    }
    Some(window)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use headwater_log::MemoryLog;
    use proptest::prelude::*;

    use super::*;

    fn partition(index: i32) -> PartitionId {
        PartitionId {
            topic: TopicId([9; 16]),
            index,
        }
    }

    fn stored(first: i32, base_offset: Offset) -> StoredBatch {
        StoredBatch {
            first,
            last: first + 4,
            base_offset,
            last_offset: base_offset + 4,
        }
    }

    fn snapshot(producer_id: i64, seen_ms: i64) -> ProducerSnapshot {
        ProducerSnapshot {
            producer_id,
            epoch: 3,
            last_sequence: 44,
            base_offset: 100,
            last_offset: 104,
            coordinator_epoch: -1,
            seen_ms,
            window: [
                Some(stored(40, 100)),
                Some(stored(45, 105)),
                None,
                None,
                None,
            ],
        }
    }

    proptest! {
        #[test]
        fn notes_survive_their_encoding(index: i32, id: i64, at: i64, bytes: u64, horizon_ms: i64) {
            let clean = Clean { to: at, bytes, horizon_ms };
            for note in [Note::Producer(partition(index), snapshot(id, at)), Note::Clean(partition(index), clean)] {
                let (key, value) = encode(&note);
                prop_assert_eq!(decode(key.into(), value.unwrap().into()), Some(note));
            }
        }

        #[test]
        fn garbage_is_no_note_and_no_panic(key: Vec<u8>, value: Vec<u8>) {
            let _ = decode(key.into(), value.into());
        }
    }

    #[tokio::test]
    async fn the_newest_counts_over_a_restart_and_the_journal_stays_short() {
        for shards in [1, 4] {
            let log: Arc<dyn Log> = Arc::new(MemoryLog::new(shards));
            let journal = CleaningJournal::open(Arc::clone(&log)).unwrap();
            for n in 0..3_000 {
                let notes = vec![Note::Producer(partition((n % 3) as i32), snapshot(7, n))];
                let other = Commit {
                    trims: vec![(partition(1), 0)],
                    ..Commit::default()
                };
                journal.commit(other, notes, n).await.unwrap();
                journal.prune(|_| true, 0, n);
            }
            let state = log.state(PRODUCERS);
            assert!(state.durable_end - state.start < 1_100, "{state:?}");
            let again = CleaningJournal::open(Arc::clone(&log)).unwrap();
            assert_eq!(again.producers().len(), 3);
            assert!(again.knows(partition(2), &snapshot(7, 2_999)));
            again.prune(|partition| partition.index != 2, 2_998, 0);
            assert_eq!(again.producers(), [(partition(1), snapshot(7, 2_998))]);
        }
    }
}
