//! A log in memory with any number of shards: for tests of everything above, and for nodes that may forget.
//!
//! Durability is immediate unless a test holds it back ([`MemoryLog::hold`]).

mod partition;

use std::collections::{HashMap, VecDeque};
use std::future::ready;
use std::sync::Arc;

use headwater_base::limits::COMMIT_BYTES_MAX;
use headwater_base::{Offset, PartitionId};
use headwater_record::{BatchHeader, with_place};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::api::{
    BatchMeta, Bound, Commit, Durable, Log, PartitionState, ReadError, ReadOut, Registration,
    Rewrite, SubmitError, Submitted, WriteFailure,
};
use crate::rewrite;
use crate::watch::{Event, Watchers};
use partition::{Partition, Replacement};

/// See the module.
pub struct MemoryLog {
    shards: u16,
    state: Mutex<State>,
    watchers: Watchers,
}

#[derive(Default)]
struct State {
    partitions: HashMap<PartitionId, Partition>,
    /// Submitted, in order, while durability is held back.
    pending: VecDeque<Pending>,
    held: bool,
    failure: Option<WriteFailure>,
    lives: u64,
    /// The last generation given to any partition.
    generations: u64,
}

/// What becomes true of a commit when it is durable.
struct Pending {
    /// Partition, its life at submission, its end after this commit.
    grown: Vec<(PartitionId, u64, Offset)>,
    rewrites: Vec<(PartitionId, Replacement)>,
    trims: Vec<(PartitionId, Offset)>,
    done: Option<oneshot::Sender<Result<(), WriteFailure>>>,
}

impl MemoryLog {
    /// # Panics
    /// When `shards` is 0.
    pub fn new(shards: u16) -> Self {
        assert!(shards > 0, "a log has at least one shard");
        Self {
            shards,
            state: Mutex::default(),
            watchers: Watchers::default(),
        }
    }

    /// From now on commits stay submitted and do not become durable.
    pub fn hold(&self) {
        self.state.lock().held = true;
    }

    /// Makes everything held durable, and what follows at once.
    pub fn release(&self) {
        let mut state = self.state.lock();
        state.held = false;
        while let Some(pending) = state.pending.pop_front() {
            self.settle(&mut state, pending);
        }
    }

    /// What a restart after a crash finds: what is durable, and of what is held the first `lucky(shard)` commits of each shard.
    pub fn crash(&self, lucky: impl Fn(u16) -> usize) -> Self {
        let state = self.state.lock();
        let mut taken = vec![0; usize::from(self.shards)];
        let mut ends: HashMap<PartitionId, Offset> = HashMap::new();
        let mut fresh = State {
            lives: state.lives,
            generations: state.generations,
            ..State::default()
        };
        for pending in &state.pending {
            let touched = pending.grown.iter().map(|grown| grown.0);
            let shard = touched
                .chain(pending.trims.iter().map(|trim| trim.0))
                .next()
                .map_or(0, |partition| self.shard_of(partition));
            let count = &mut taken[usize::from(shard)];
            *count += 1;
            if *count <= lucky(shard) {
                ends.extend(pending.grown.iter().map(|grown| (grown.0, grown.2)));
            }
        }
        for (partition, found) in &state.partitions {
            let end = ends
                .get(partition)
                .copied()
                .unwrap_or(found.state.durable_end);
            if end > 0 {
                fresh.partitions.insert(*partition, found.crashed(end));
            }
        }
        Self {
            shards: self.shards,
            state: Mutex::new(fresh),
            watchers: Watchers::default(),
        }
    }

    /// Fails everything held and refuses what follows, as a disk that fails its fsync.
    pub fn fail(&self, reason: &str) {
        let failure = WriteFailure {
            place: "memory".to_owned(),
            reason: reason.to_owned(),
        };
        let mut state = self.state.lock();
        state.failure = Some(failure.clone());
        for done in state.pending.drain(..).filter_map(|pending| pending.done) {
            // Nobody listening is fine: the caller may have dropped the future.
            let _ = done.send(Err(failure.clone()));
        }
    }

    fn check(&self, commit: &Commit) -> Result<(), SubmitError> {
        let bytes: usize = commit.appends.iter().map(|append| append.batch.len()).sum();
        if bytes > COMMIT_BYTES_MAX {
            return Err(SubmitError::TooLarge {
                bytes,
                max_bytes: COMMIT_BYTES_MAX,
            });
        }
        let mut shards = commit
            .partitions()
            .map(|partition| self.shard_of(partition));
        if let Some(first) = shards.next()
            && let Some(other) = shards.find(|shard| *shard != first)
        {
            return Err(SubmitError::CrossShard(first, other));
        }
        Ok(())
    }

    fn settle(&self, state: &mut State, pending: Pending) {
        for (partition, life, end) in &pending.grown {
            if let Some(found) = state
                .partitions
                .get_mut(partition)
                .filter(|found| found.life == *life)
            {
                found.state.durable_end = found.state.durable_end.max(*end);
            }
        }
        for (partition, replacement) in pending.rewrites {
            let found = state.partitions.get_mut(&partition);
            if let Some(found) = found.filter(|found| found.life == replacement.life) {
                found.replace(replacement);
            }
        }
        for (partition, offset) in &pending.trims {
            if let Some(found) = state.partitions.get_mut(partition) {
                found.trim(*offset);
            }
        }
        if let Some(done) = pending.done {
            // Nobody listening is fine: the caller may have dropped the future.
            let _ = done.send(Ok(()));
        }
        self.watchers.notify(
            pending.grown.iter().map(|grown| grown.0),
            Event::Grew(Bound::Durable),
        );
        self.watchers
            .notify(pending.trims.iter().map(|trim| trim.0), Event::Changed);
    }
}

impl State {
    fn apply(&mut self, commit: Commit) -> Result<(Vec<Offset>, Pending), SubmitError> {
        let headers: Result<Vec<_>, _> = commit
            .appends
            .iter()
            .map(|a| BatchHeader::parse(&a.batch))
            .collect();
        let headers = headers?;
        let rewrites = self.place_rewrites(commit.rewrites)?;
        let mut base_offsets = Vec::with_capacity(commit.appends.len());
        let mut grown = Vec::with_capacity(commit.appends.len());
        for (append, header) in commit.appends.into_iter().zip(headers) {
            let (lives, generations) = (&mut self.lives, &mut self.generations);
            let partition = self.partitions.entry(append.partition).or_insert_with(|| {
                *lives += 1;
                *generations += 1;
                Partition::new(*lives, *generations)
            });
            let base = partition.state.submitted_end;
            let header = BatchHeader {
                base_offset: base,
                leader_epoch: 0,
                ..header
            };
            partition.push(BatchMeta::from(&header), with_place(append.batch, base, 0));
            base_offsets.push(base);
            grown.push((
                append.partition,
                partition.life,
                partition.state.submitted_end,
            ));
        }
        for partition in &commit.drops {
            self.partitions.remove(partition);
        }
        Ok((
            base_offsets,
            Pending {
                grown,
                rewrites,
                trims: commit.trims,
                done: None,
            },
        ))
    }

    /// Checks all rewrites, then gives each partition its next generation.
    fn place_rewrites(
        &mut self,
        rewrites: Vec<Rewrite>,
    ) -> Result<Vec<(PartitionId, Replacement)>, SubmitError> {
        let headers = rewrite::check_all(&rewrites)?;
        let mut placed = Vec::with_capacity(rewrites.len());
        for (rewrite, headers) in rewrites.into_iter().zip(headers) {
            let id = rewrite.partition;
            let found = self.partitions.get(&id);
            let Some(found) = found.filter(|found| found.generation == rewrite.generation) else {
                return Err(SubmitError::Stale { partition: id });
            };
            found.check_range(rewrite.from, rewrite.to)?;
            placed.push((id, Replacement::new(found.life, rewrite, &headers)));
        }
        for (id, replacement) in &mut placed {
            self.generations += 1;
            replacement.generation = self.generations;
            if let Some(found) = self.partitions.get_mut(id) {
                found.generation = self.generations;
            }
        }
        Ok(placed)
    }
}

impl Log for MemoryLog {
    fn shards(&self) -> u16 {
        self.shards
    }

    fn shard_of(&self, partition: PartitionId) -> u16 {
        let bytes = partition
            .topic
            .0
            .iter()
            .chain(partition.index.to_le_bytes().iter())
            .copied()
            .collect::<Vec<_>>();
        // A checksum of neighbours differs by the same bits whatever the topic: mixed, so that partitions of a topic may share a shard.
        let mixed = headwater_base::crc32c(&bytes).wrapping_mul(0x9E37_79B1) >> 16;
        (mixed % u32::from(self.shards)) as u16
    }

    fn submit(&self, commit: Commit) -> Result<Submitted, SubmitError> {
        self.check(&commit)?;
        let mut state = self.state.lock();
        if let Some(failure) = &state.failure {
            return Err(failure.clone().into());
        }
        let drops = commit.drops.clone();
        let (base_offsets, mut pending) = state.apply(commit)?;
        self.watchers.notify(
            pending.grown.iter().map(|grown| grown.0),
            Event::Grew(Bound::Submitted),
        );
        self.watchers.notify(drops.into_iter(), Event::Changed);
        if !state.held {
            self.settle(&mut state, pending);
            return Ok(Submitted {
                base_offsets,
                durable: Box::pin(ready(Ok(()))),
            });
        }
        let (done, waiting) = oneshot::channel();
        pending.done = Some(done);
        state.pending.push_back(pending);
        Ok(Submitted {
            base_offsets,
            durable: awaiting(waiting),
        })
    }

    fn read(
        &self,
        partition: PartitionId,
        from: Offset,
        max_bytes: usize,
        bound: Bound,
    ) -> Result<ReadOut, ReadError> {
        let state = self.state.lock();
        match state.partitions.get(&partition) {
            Some(found) => found.read(from, max_bytes, bound),
            None if from == 0 => Ok(ReadOut::default()),
            None => Err(ReadError::OutOfRange {
                offset: from,
                state: PartitionState::default(),
            }),
        }
    }

    fn in_memory(&self, _partition: PartitionId, _from: Offset) -> bool {
        true
    }

    fn state(&self, partition: PartitionId) -> PartitionState {
        self.state
            .lock()
            .partitions
            .get(&partition)
            .map_or_else(PartitionState::default, |found| found.state)
    }

    fn find_time(
        &self,
        partition: PartitionId,
        timestamp_ms: i64,
    ) -> Result<Option<Offset>, ReadError> {
        let state = self.state.lock();
        Ok(state
            .partitions
            .get(&partition)
            .and_then(|found| found.find_time(timestamp_ms)))
    }

    fn max_timestamp(&self, partition: PartitionId) -> Result<Option<(i64, Offset)>, ReadError> {
        let state = self.state.lock();
        let found = state.partitions.get(&partition);
        Ok(found.and_then(Partition::max_timestamp))
    }

    fn offset_for_bytes(
        &self,
        partition: PartitionId,
        keep_bytes: u64,
    ) -> Result<Offset, ReadError> {
        let state = self.state.lock();
        let found = state.partitions.get(&partition);
        Ok(found.map_or(0, |found| found.offset_for_bytes(keep_bytes)))
    }

    fn scan(&self, visit: &mut dyn FnMut(PartitionId, &BatchMeta)) -> Result<(), ReadError> {
        for (partition, found) in &self.state.lock().partitions {
            found.durable().for_each(|meta| visit(*partition, meta));
        }
        Ok(())
    }

    fn register(
        &self,
        partitions: &[PartitionId],
        bound: Bound,
        wake: Arc<Notify>,
    ) -> Box<dyn Registration> {
        self.watchers.register(partitions, bound, &wake)
    }
}

fn awaiting(waiting: oneshot::Receiver<Result<(), WriteFailure>>) -> Durable {
    Box::pin(async move {
        let gone = || WriteFailure {
            place: "memory".to_owned(),
            reason: "the log was closed".to_owned(),
        };
        waiting.await.unwrap_or_else(|_| Err(gone()))
    })
}

#[cfg(test)]
mod tests;
