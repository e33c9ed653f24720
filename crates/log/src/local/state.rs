//! What the threads of a local log share, under one short lock: partitions, the queue, chunks, the tail cache.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use hashbrown::HashMap;
use headwater_base::{Offset, PartitionId};
use parking_lot::{Condvar, Mutex};
use tokio::sync::{oneshot, watch};

use super::chunk::Chunk;
use super::config::{LocalConfig, LogMetrics};
use super::disk::Disk;
use super::index::{ChunkIndex, IndexCache};
use super::keeper::Job;
use super::partition::Partition;
use crate::api::{BatchMeta, WriteFailure};
use crate::watch::Watchers;

/// Everything shared.
pub(super) struct Shared {
    pub config: LocalConfig,
    pub disk: Arc<dyn Disk>,
    pub state: Mutex<State>,
    /// Wakes the writer: the queue has something, or the log closes.
    pub work: Condvar,
    /// Wakes the keeper.
    pub chores: Condvar,
    pub indexes: IndexCache,
    pub watchers: Watchers,
    pub counters: Counters,
    /// What [`State::failure`] says, for those who wait for it.
    pub failed: watch::Sender<Option<WriteFailure>>,
}

/// Written by the writer, read by anybody.
#[derive(Default)]
pub(super) struct Counters {
    pub fsyncs: AtomicU64,
    pub commits: AtomicU64,
    pub last_fsync_us: AtomicU64,
    pub written_bytes: AtomicU64,
}

pub(super) struct State {
    pub partitions: HashMap<PartitionId, Partition>,
    pub queue: VecDeque<Queued>,
    /// Bytes submitted and not durable yet, those being written included.
    pub queued_bytes: usize,
    pub next_sequence: u64,
    pub plan: Plan,
    /// The next chunk, made ahead.
    pub spare: Option<Arc<Chunk>>,
    /// Why there is no next chunk.
    pub full: Option<String>,
    /// Why the writer cannot write a frame now and tries it again and again.
    pub stuck: Option<String>,
    pub failure: Option<WriteFailure>,
    pub chunks: BTreeMap<u64, ChunkState>,
    pub cache: TailCache,
    /// Counts partitions made, to tell a partition from a dropped one of the same id.
    pub lives: u64,
    pub jobs: VecDeque<Job>,
    pub closing: bool,
}

/// Where the next commit goes, and how much of that chunk is promised already, its footer included.
pub(super) struct Plan {
    pub chunk: Arc<Chunk>,
    pub used: usize,
}

/// A chunk that holds commits.
pub(super) struct ChunkState {
    pub chunk: Arc<Chunk>,
    /// The index while the chunk is not sealed.
    pub index: Option<Arc<ChunkIndex>>,
    /// Partitions that have readable batches in it.
    pub live: usize,
}

/// A commit on its way to the disk.
pub(super) struct Queued {
    pub chunk: Arc<Chunk>,
    pub sequence: u64,
    /// As it will be written.
    pub bytes: Bytes,
    pub appends: Vec<QueuedAppend>,
    /// Partition, its life, its new start.
    pub trims: Vec<(PartitionId, u64, Offset)>,
    pub drops: Vec<(PartitionId, Option<Partition>)>,
    pub done: oneshot::Sender<Result<(), WriteFailure>>,
}

pub(super) struct QueuedAppend {
    pub partition: PartitionId,
    pub life: u64,
    pub meta: BatchMeta,
    /// CRC in the batch header.
    pub crc: u32,
    /// Place of the batch in the commit.
    pub at: usize,
}

/// What the tail of every partition holds, by commit, oldest first.
#[derive(Default)]
pub(super) struct TailCache {
    pub bytes: usize,
    commits: VecDeque<(usize, Vec<(PartitionId, u64)>)>,
}

/// Bookkeeping of one cached batch, roughly.
const CACHED_BATCH_BYTES: usize = 160;

impl State {
    /// Takes a durable commit into the cache and lets the oldest go.
    pub fn cache_commit(
        &mut self,
        bytes: usize,
        batches: Vec<(PartitionId, u64)>,
        bytes_max: usize,
    ) {
        let bytes = bytes + batches.len() * CACHED_BATCH_BYTES;
        self.cache.bytes += bytes;
        self.cache.commits.push_back((bytes, batches));
        while self.cache.bytes > bytes_max {
            let Some((bytes, batches)) = self.cache.commits.pop_front() else {
                break;
            };
            self.cache.bytes -= bytes;
            for (partition, life) in batches {
                if let Some(found) = self
                    .partitions
                    .get_mut(&partition)
                    .filter(|found| found.life == life)
                {
                    found.tail.pop_front();
                }
            }
        }
    }

    /// A partition has let go of its batches in these chunks.
    pub fn release(&mut self, chunks: impl Iterator<Item = u64>) {
        for number in chunks {
            if let Some(found) = self.chunks.get_mut(&number) {
                found.live -= 1;
            }
        }
    }
}

impl Shared {
    /// Nothing more is written, for good; gives back what still waited.
    pub fn poison(&self, failure: &WriteFailure) -> VecDeque<Queued> {
        let waiting = {
            let mut state = self.state.lock();
            state.failure = Some(failure.clone());
            self.chores.notify_one();
            std::mem::take(&mut state.queue)
        };
        self.failed.send_replace(Some(failure.clone()));
        waiting
    }

    pub fn metrics(&self) -> LogMetrics {
        let state = self.state.lock();
        LogMetrics {
            queued_bytes: state.queued_bytes,
            fsyncs: self.counters.fsyncs.load(Ordering::Relaxed),
            commits: self.counters.commits.load(Ordering::Relaxed),
            last_fsync_us: self.counters.last_fsync_us.load(Ordering::Relaxed),
            written_bytes: self.counters.written_bytes.load(Ordering::Relaxed),
            chunks: state.chunks.len(),
            tail_cache_bytes: state.cache.bytes,
            full: state.full.is_some() || state.stuck.is_some(),
        }
    }
}
