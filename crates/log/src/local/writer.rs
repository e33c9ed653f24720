//! The writer: takes everything queued, makes it durable by one write and one fdatasync, tells everybody.
//!
//! Whoever holds it is the only one that writes frames: the log's own thread, or one that submitted (see [`super::here`]).

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use headwater_base::PartitionId;

use super::chunk::Chunk;
use super::footer::Full;
use super::frame::{Entry, FRAME_ALIGN, FRAME_HEADER_BYTES, frame_header};
use super::index::{ChunkIndex, IndexEntry, RewriteGroup, Slice};
use super::keeper::Job;
use super::ledger::Ledger;
use super::partition::Change;
use super::stage::Stage;
use super::state::{ChunkState, Queued, QueuedAppend, QueuedRewrite, Shared, State};
use super::turn::Turn;
use crate::api::{Bound, WriteFailure};
use crate::watch::Event;

/// Most bytes in one frame, unless a single commit is larger: keeps the wait of the next commit short.
const FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most commits in one frame.
const FRAME_COMMITS_MAX: usize = 4096;

/// The writer's own: nobody else reads or changes it.
pub(super) struct Writer {
    pub shared: Arc<Shared>,
    pub chunk: Arc<Chunk>,
    pub position: u64,
    /// First and last sequence number in the chunk; `None` while it is empty.
    pub sequences: Option<(u64, u64)>,
    /// As of everything durable.
    pub ledger: Ledger,
    /// A frame that found no room.
    pub held: Vec<Queued>,
    pub stage: Stage,
}

impl Writer {
    /// One group commit: what is queued, or what found no room before.
    pub fn turn(&mut self) -> Turn {
        if self.held.is_empty() {
            self.held = self.next_frame();
        }
        let Some(first) = self.held.first() else {
            return Turn::Idle;
        };
        if first.chunk.number != self.chunk.number {
            let next = Arc::clone(&first.chunk);
            self.roll(&next);
        }
        let commits = std::mem::take(&mut self.held);
        match self.write(&commits) {
            Ok(()) => {
                self.settle(commits);
                Turn::Did
            }
            Err(error) if is_no_room(&error) && self.may_try_again(&error) => {
                self.held = commits;
                Turn::Waits
            }
            Err(error) => {
                self.fail(commits, &error);
                Turn::Ended
            }
        }
    }

    /// The next commits of one chunk; none when nothing is queued.
    fn next_frame(&self) -> Vec<Queued> {
        let mut state = self.shared.state.lock();
        let Some(first) = state.queue.front() else {
            return Vec::new();
        };
        let chunk = first.chunk.number;
        let mut bytes = 0;
        let fits = state
            .queue
            .iter()
            .take(FRAME_COMMITS_MAX)
            .take_while(|queued| {
                let first = bytes == 0;
                bytes += queued.bytes.len();
                queued.chunk.number == chunk && (first || bytes <= FRAME_BYTES_MAX)
            });
        let count = fits.count();
        state.company = std::mem::take(&mut state.callers);
        state.queue.drain(..count).collect()
    }

    /// Everything of the chunk before is durable: it can be sealed while this one is written.
    fn roll(&mut self, next: &Arc<Chunk>) {
        let mut state = self.shared.state.lock();
        if let Some(sequences) = self.sequences {
            let index = state
                .chunks
                .get(&self.chunk.number)
                .and_then(|found| found.index.clone());
            let full = index.map(|index| Full {
                chunk: Arc::clone(&self.chunk),
                frames_end: self.position,
                index,
                ledger: self.ledger.clone(),
                sequences,
            });
            state.jobs.extend(full.map(Job::Seal));
            self.shared.chores.notify_one();
        }
        self.chunk = Arc::clone(next);
        self.position = super::chunk::CHUNK_HEADER_BYTES as u64;
        self.sequences = None;
    }

    fn write(&mut self, commits: &[Queued]) -> io::Result<()> {
        let bytes: usize = commits.iter().map(|commit| commit.bytes.len()).sum();
        let (header, padding) =
            frame_header(self.chunk.salt, commits[0].sequence, commits.len(), bytes);
        let zeros = [0; FRAME_ALIGN];
        let mut parts = Vec::with_capacity(commits.len() + 2);
        parts.push(&header[..]);
        parts.extend(commits.iter().map(|commit| &commit.bytes[..]));
        parts.push(&zeros[..padding]);
        if !self.stage.write(&self.chunk, self.position, &parts)? {
            let mut parts: Vec<_> = parts.into_iter().map(IoSlice::new).collect();
            self.chunk.file.write_at(self.position, &mut parts)?;
        }
        self.unstuck();
        let began = Instant::now();
        self.chunk.file.sync_data().map_err(for_good)?;
        let counters = &self.shared.counters;
        counters
            .last_fsync_us
            .store(began.elapsed().as_micros() as u64, Ordering::Relaxed);
        counters.fsyncs.fetch_add(1, Ordering::Relaxed);
        counters
            .commits
            .fetch_add(commits.len() as u64, Ordering::Relaxed);
        let written = (FRAME_HEADER_BYTES + bytes + padding) as u64;
        counters.written_bytes.fetch_add(written, Ordering::Relaxed);
        self.chunk.set_durable_end(self.position + written);
        Ok(())
    }

    /// Whether a write without room may be tried again. Where preallocated space was no promise (copy-on-write file
    /// systems) the disk may turn out to be full only in the write. Nothing was promised to be durable yet, so the same
    /// bytes may be written again in the same place until there is room, or the log closes; a failed sync never may.
    fn may_try_again(&self, error: &io::Error) -> bool {
        let mut state = self.shared.state.lock();
        if !state.closing && state.stuck.is_none() {
            let place = self.shared.disk.path().join(self.chunk.name());
            let why = format!("no room to write to {}: {error}", place.display());
            tracing::warn!("{why}; writes are refused until there is room");
            state.stuck = Some(why);
        }
        !state.closing
    }

    fn unstuck(&self) {
        if self.shared.state.lock().stuck.take().is_some() {
            tracing::info!("there is room on the disk again");
        }
    }

    /// The frame is durable: index it, move the high watermarks, tell.
    fn settle(&mut self, commits: Vec<Queued>) {
        let mut grown: Vec<PartitionId> = Vec::new();
        let mut changed: Vec<PartitionId> = Vec::new();
        let mut tell = Vec::with_capacity(commits.len());
        let mut at = self.position as usize + FRAME_HEADER_BYTES;
        let first = self
            .sequences
            .map_or(commits[0].sequence, |(first, _)| first);
        self.sequences = Some((first, commits[commits.len() - 1].sequence));
        commits.iter().for_each(|commit| self.fold(commit));
        {
            let mut state = self.shared.state.lock();
            for commit in commits {
                grown.extend(commit.appends.iter().map(|append| append.partition));
                let trimmed = commit.trims.iter().map(|trim| trim.0);
                let dropped = commit.drops.iter().map(|drop| drop.0);
                changed.extend(trimmed.chain(dropped));
                let bytes = commit.bytes.len();
                tell.push(state.settle(
                    self.chunk.number,
                    at,
                    commit,
                    self.shared.config.tail_cache_bytes_max,
                ));
                at += bytes;
            }
            if std::mem::take(&mut state.released) {
                state.jobs.push_back(Job::RemoveDead);
                self.shared.chores.notify_one();
            }
        }
        self.position = at.next_multiple_of(FRAME_ALIGN) as u64;
        self.shared
            .watchers
            .notify(grown.into_iter(), Event::Grew(Bound::Durable));
        self.shared
            .watchers
            .notify(changed.into_iter(), Event::Changed);
        for done in tell {
            // Nobody listening is fine: not everybody waits for the disk.
            let _ = done.send(Ok(()));
        }
    }

    fn fold(&mut self, commit: &Queued) {
        let chunk = self.chunk.number;
        let appends = commit.appends.iter().map(|append| {
            let (partition, base_offset) = (append.partition, append.meta.base_offset);
            let entry = Entry::Append {
                partition,
                base_offset,
                bytes: append.meta.bytes,
                crc: append.crc,
            };
            (entry, append.meta.last_offset)
        });
        let trims = commit.trims.iter().map(|(partition, _, start)| {
            (
                Entry::Trim {
                    partition: *partition,
                    start: *start,
                },
                0,
            )
        });
        let drops = commit.drops.iter().map(|(partition, _)| {
            (
                Entry::Drop {
                    partition: *partition,
                },
                0,
            )
        });
        let rewrites = commit.rewrites.iter().flat_map(QueuedRewrite::entries);
        let rewrites = rewrites.map(|entry| (entry, 0));
        for (entry, last_offset) in appends.chain(rewrites).chain(trims).chain(drops) {
            let folded = self.ledger.apply(chunk, &entry, last_offset);
            debug_assert!(folded.is_ok(), "offsets are assigned in order: {folded:?}");
        }
    }

    /// Poisons the log: after a failed write or fsync nobody knows what is on the disk.
    fn fail(&self, commits: Vec<Queued>, error: &io::Error) {
        let place = self
            .shared
            .disk
            .path()
            .join(self.chunk.name())
            .display()
            .to_string();
        let failure = WriteFailure {
            place,
            reason: error.to_string(),
        };
        tracing::error!(%failure, "nothing more is written");
        let waiting = self.shared.poison(&failure);
        for queued in commits.into_iter().chain(waiting) {
            // Nobody listening is fine: not everybody waits for the disk.
            let _ = queued.done.send(Err(failure.clone()));
        }
    }
}

/// A sync that found no room is no write that may be tried again.
fn for_good(error: io::Error) -> io::Error {
    io::Error::other(error.to_string())
}

fn is_no_room(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

type Done = tokio::sync::oneshot::Sender<Result<(), WriteFailure>>;

impl State {
    /// What a durable commit changes in memory; gives whom to tell.
    fn settle(&mut self, chunk: u64, at: usize, commit: Queued, cache_bytes_max: usize) -> Done {
        self.queued_bytes -= commit.bytes.len();
        for append in &commit.appends {
            let skipped = self.index(chunk, at, append);
            let found = self.partitions.get_mut(&append.partition);
            if let Some(found) = found.filter(|found| found.life == append.life) {
                let change = found.durable(chunk, &append.meta, skipped);
                self.account(&[change]);
            }
        }
        for rewrite in &commit.rewrites {
            self.settle_rewrite(chunk, at, rewrite);
        }
        for (id, life, start) in &commit.trims {
            let found = self.partitions.get_mut(id);
            let found = found.filter(|found| found.life == *life);
            let changes = found.map_or_else(Vec::new, |partition| partition.trim(*start));
            self.account(&changes);
        }
        for (id, dropped) in commit.drops {
            let slices = dropped.map(|partition| partition.slices);
            let slices = slices.iter().flatten();
            let changes: Vec<Change> = slices.map(Change::lost).collect();
            self.account(&changes);
            if let Some(index) = self.open_index(chunk) {
                index.remove(&id);
            }
        }
        let cached = |append: &QueuedAppend| {
            let last = append.meta.last_offset;
            (append.partition, append.life, last)
        };
        let batches: Vec<_> = commit.appends.iter().map(cached).collect();
        if !batches.is_empty() {
            self.cache_commit(commit.bytes.len(), batches, cache_bytes_max);
        }
        commit.done
    }

    /// Gives the bytes of the partition that had been appended to the chunk before.
    fn index(&mut self, chunk: u64, at: usize, append: &QueuedAppend) -> u32 {
        let Some(index) = self.open_index(chunk) else {
            return 0;
        };
        let groups = index.entry(append.partition).or_default();
        let before = groups.appended_bytes;
        groups.append(append.placed(at));
        before
    }

    /// The slice of what a rewrite has put in its range.
    pub fn index_rewrite(
        &mut self,
        chunk: u64,
        at: usize,
        rewrite: &QueuedRewrite,
    ) -> Option<Slice> {
        let groups = self
            .open_index(chunk)?
            .entry(rewrite.partition)
            .or_default();
        let (from, to) = (rewrite.from, rewrite.to);
        let batches = rewrite.batches.iter();
        let entries: Vec<IndexEntry> = batches.map(|batch| batch.placed(at)).collect();
        let group = groups.rewrites.len() as u32 + 1;
        let slice = Slice::rewritten(chunk, group, (from, to), &entries);
        groups.rewrites.push(RewriteGroup { from, to, entries });
        Some(slice)
    }

    /// The index of the chunk being written, which nobody shares before it is rolled.
    fn open_index(&mut self, chunk: u64) -> Option<&mut ChunkIndex> {
        let found: &mut ChunkState = self.chunks.get_mut(&chunk)?;
        found.index.as_mut().map(Arc::make_mut)
    }
}

impl QueuedAppend {
    /// Its index entry when the commit lies at this place of the chunk.
    fn placed(&self, at: usize) -> IndexEntry {
        IndexEntry {
            meta: self.meta,
            position: (at + self.at) as u32,
        }
    }
}
