//! What the threads of a local log share, under one short lock: partitions, the queue, chunks, the tail cache.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use hashbrown::HashMap;
use headwater_base::{Offset, PartitionId};
use parking_lot::{Condvar, Mutex};
use tokio::sync::{oneshot, watch};

use super::ahead::Ahead;
use super::chunk::Chunk;
use super::config::{LocalConfig, LogMetrics};
use super::disk::Disk;
use super::index::{ChunkIndex, IndexCache};
use super::keeper::Job;
use super::partition::{Change, Cut, Partition};
use super::pool::Pool;
use super::windows::Windows;
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
    /// Batches found not to match their checksums: chunk and position.
    pub rot: Mutex<BTreeSet<(u64, u32)>>,
    /// For commits.
    pub pool: Arc<Pool>,
    pub windows: Windows,
    pub ahead: Ahead,
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
    pub moved_bytes: AtomicU64,
    pub removed_chunks: AtomicU64,
    pub scrubbed_bytes: AtomicU64,
    pub scrubs: AtomicU64,
}

pub(super) struct State {
    pub partitions: HashMap<PartitionId, Partition>,
    pub queue: VecDeque<Queued>,
    /// Bytes submitted and not durable yet, those being written included.
    pub queued_bytes: usize,
    /// Who asked for what is queued to be written since the writer last took from it: one or more.
    pub callers: u32,
    /// As many as there were when it did.
    pub company: u32,
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
    /// The last generation given to any partition.
    pub generations: u64,
    /// Chunks have lost something since the keeper looked.
    pub released: bool,
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
    /// Slices of partitions in it; without any it is dead.
    pub live: usize,
    /// Bytes in those slices.
    pub live_bytes: u64,
}

impl ChunkState {
    pub fn new(chunk: Arc<Chunk>, index: Option<Arc<ChunkIndex>>) -> Self {
        Self {
            chunk,
            index,
            live: 0,
            live_bytes: 0,
        }
    }

    pub fn account(&mut self, change: &Change) {
        self.live = self.live.saturating_add_signed(change.slices as isize);
        self.live_bytes = self.live_bytes.saturating_add_signed(change.bytes);
    }
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
    pub rewrites: Vec<QueuedRewrite>,
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

pub(super) struct QueuedRewrite {
    pub partition: PartitionId,
    pub life: u64,
    /// The partition's once this is durable.
    pub generation: u64,
    pub from: Offset,
    pub to: Offset,
    pub cut: Cut,
    pub batches: Vec<QueuedAppend>,
}

/// What the tail of every partition holds, by commit, oldest first.
#[derive(Default)]
pub(super) struct TailCache {
    pub bytes: usize,
    commits: VecDeque<(usize, Vec<CachedBatch>)>,
}

/// Partition, its life, last offset of the batch.
pub(super) type CachedBatch = (PartitionId, u64, Offset);

/// Bookkeeping of one cached batch, roughly.
const CACHED_BATCH_BYTES: usize = 160;

impl State {
    /// Takes a durable commit into the cache and lets the oldest go.
    pub fn cache_commit(&mut self, bytes: usize, batches: Vec<CachedBatch>, bytes_max: usize) {
        let bytes = bytes + batches.len() * CACHED_BATCH_BYTES;
        self.cache.bytes += bytes;
        self.cache.commits.push_back((bytes, batches));
        while self.cache.bytes > bytes_max {
            let Some((bytes, batches)) = self.cache.commits.pop_front() else {
                break;
            };
            self.cache.bytes -= bytes;
            for (partition, life, last) in batches {
                let found = self.partitions.get_mut(&partition);
                if let Some(found) = found.filter(|found| found.life == life) {
                    found.forget_cached(last);
                }
            }
        }
    }

    /// Notes what chunks gained and lost.
    pub fn account(&mut self, changes: &[Change]) {
        for change in changes {
            if let Some(found) = self.chunks.get_mut(&change.chunk) {
                found.account(change);
                self.released |= found.live == 0 || change.bytes < 0;
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
            self.work.notify_one();
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
            live_bytes: state.chunks.values().map(|chunk| chunk.live_bytes).sum(),
            moved_bytes: self.counters.moved_bytes.load(Ordering::Relaxed),
            removed_chunks: self.counters.removed_chunks.load(Ordering::Relaxed),
            scrubbed_bytes: self.counters.scrubbed_bytes.load(Ordering::Relaxed),
            scrubs: self.counters.scrubs.load(Ordering::Relaxed),
            rotten_batches: self.rot.lock().len() as u64,
        }
    }
}
