//! Reading ahead for those who read on behind the cached tail: while a reader sends what it has, its next batches are read and
//! checked, so that they need neither the disk nor another thread when they are asked for.
//!
//! Whoever is served from windows has the next windows read ahead. For others batches are: such a reader is known by where its last
//! read ended. What was read ahead is taken once; it is bounded, and what nobody has come for makes room. A log without threads
//! reads nothing ahead.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use headwater_base::{Offset, PartitionId};
use parking_lot::{Condvar, Mutex};

use super::panicked::ToldOfPanic;
use super::state::Shared;

/// Bytes that may lie there, those on their way included.
const AHEAD_BYTES_MAX: usize = 24 * 1024 * 1024;
/// Read ahead at a time for one reader, at least and at most.
const PART_BYTES: std::ops::RangeInclusive<usize> = 64 * 1024..=4 * 1024 * 1024;
/// Where readers have been last.
const TRACKS_MAX: usize = 128;
/// Jobs that wait; who finds no room goes without.
const JOBS_MAX: usize = 64;
/// After which a reader reads for itself.
const PATIENCE: Duration = Duration::from_secs(2);
/// When nobody has come for something for so long, others may have the room.
const STALE_AFTER: Duration = Duration::from_secs(1);

/// A partition's life and generation: what was read in another one is not an answer.
pub(super) type World = (u64, u64);

/// What is to be read.
#[derive(Clone, Copy)]
pub(super) struct Job {
    id: PartitionId,
    from: Offset,
    world: World,
    bytes: usize,
}

/// What the threads are asked for.
pub(super) enum Task {
    Part(Job),
    /// Chunk and number of a window.
    Window(u64, u64),
}

/// See the module.
#[derive(Default)]
pub(super) struct Ahead {
    inner: Mutex<Inner>,
    /// Something has been read, or given up.
    came: Condvar,
    jobs: Mutex<Option<SyncSender<Task>>>,
}

#[derive(Default)]
struct Inner {
    parts: VecDeque<Part>,
    /// Where reads have ended.
    tracks: VecDeque<(PartitionId, Offset)>,
}

/// Batches that lie there, or are on their way.
struct Part {
    job: Job,
    since: Instant,
    batches: Option<VecDeque<Batch>>,
}

/// A batch and the offset behind it.
type Batch = (Bytes, Offset);

/// What a reader gets.
#[derive(Default)]
pub(super) struct Taken {
    pub batches: Vec<Bytes>,
    /// The offset behind them.
    pub end: Offset,
}

impl Part {
    fn is(&self, id: PartitionId, from: Offset) -> bool {
        self.job.id == id && self.job.from == from
    }
}

impl Ahead {
    /// Whether a read from here needs neither the disk nor patience.
    pub fn is_ready(&self, id: PartitionId, from: Offset) -> bool {
        let inner = self.inner.lock();
        let mut parts = inner.parts.iter();
        parts.any(|part| part.is(id, from) && part.batches.is_some())
    }

    /// What has been read ahead from here on, within the limit but one batch at least; waits for what is on its way.
    pub fn take(
        &self,
        (id, from): (PartitionId, Offset),
        world: World,
        max_bytes: usize,
    ) -> Option<Taken> {
        let mut inner = self.inner.lock();
        loop {
            let at = inner.parts.iter().position(|part| part.is(id, from))?;
            let part = &mut inner.parts[at];
            if part.job.world != world {
                inner.parts.remove(at);
                return None;
            }
            let Some(batches) = &mut part.batches else {
                if self.came.wait_for(&mut inner, PATIENCE).timed_out() {
                    return None;
                }
                continue;
            };
            let taken = Taken::from(batches, max_bytes);
            match batches.is_empty() {
                true => drop(inner.parts.remove(at)),
                false => part.job.from = taken.end,
            }
            return Some(taken).filter(|taken| !taken.batches.is_empty());
        }
    }

    /// A reader has read so many bytes from here up to there: if it was here before, what follows is read for it.
    pub fn went_on(
        &self,
        (id, from): (PartitionId, Offset),
        to: Offset,
        world: World,
        bytes: usize,
    ) {
        let jobs = self.jobs.lock();
        let Some(jobs) = jobs.as_ref() else {
            return;
        };
        let job = Job {
            id,
            from: to,
            world,
            bytes: bytes.clamp(*PART_BYTES.start(), *PART_BYTES.end()),
        };
        let mut inner = self.inner.lock();
        if inner.is_due(from, &job) && jobs.try_send(Task::Part(job)).is_err() {
            inner.parts.pop_back();
        }
    }

    /// Asks for windows, if there are threads to read them.
    pub fn windows(&self, due: impl FnOnce() -> Vec<(u64, u64)>) {
        let jobs = self.jobs.lock();
        let Some(jobs) = jobs.as_ref() else {
            return;
        };
        for (chunk, number) in due() {
            // Where there is no room whoever comes for it reads it.
            let _ = jobs.try_send(Task::Window(chunk, number));
        }
    }

    /// Begins to take jobs; they are done by [`Shared::read_ahead`].
    pub fn start(&self) -> Receiver<Task> {
        let (send, receive) = sync_channel(JOBS_MAX);
        *self.jobs.lock() = Some(send);
        receive
    }

    pub fn stop(&self) {
        *self.jobs.lock() = None;
    }

    fn put(&self, job: &Job, batches: Option<VecDeque<Batch>>) {
        let mut inner = self.inner.lock();
        let at = inner.parts.iter().position(|part| {
            part.is(job.id, job.from) && part.job.world == job.world && part.batches.is_none()
        });
        if let Some(at) = at {
            match batches {
                Some(batches) => inner.parts[at].batches = Some(batches),
                None => drop(inner.parts.remove(at)),
            }
        }
        drop(inner);
        self.came.notify_all();
    }
}

impl Inner {
    /// Whether the job is to be done. Then it has its place.
    fn is_due(&mut self, from: Offset, job: &Job) -> bool {
        let known = self
            .tracks
            .iter()
            .position(|track| *track == (job.id, from));
        known.map(|at| self.tracks.remove(at));
        if self.tracks.len() == TRACKS_MAX {
            self.tracks.pop_front();
        }
        self.tracks.push_back((job.id, job.from));
        if known.is_none() || self.parts.iter().any(|part| part.is(job.id, job.from)) {
            return false;
        }
        let stale = |part: &Part| part.batches.is_some() && part.since.elapsed() > STALE_AFTER;
        self.parts.retain(|part| !stale(part));
        let bytes: usize = self.parts.iter().map(|part| part.job.bytes).sum();
        if bytes + job.bytes > AHEAD_BYTES_MAX {
            return false;
        }
        self.parts.push_back(Part {
            job: *job,
            since: Instant::now(),
            batches: None,
        });
        true
    }
}

impl Taken {
    fn from(batches: &mut VecDeque<Batch>, max_bytes: usize) -> Self {
        let mut taken = Self::default();
        let mut bytes = 0;
        while let Some((batch, end)) = batches.front() {
            bytes += batch.len();
            if bytes > max_bytes && !taken.batches.is_empty() {
                break;
            }
            taken.end = *end;
            taken
                .batches
                .extend(batches.pop_front().map(|(batch, _)| batch));
        }
        taken
    }
}

impl Shared {
    /// Does the jobs until [`Ahead::stop`].
    pub fn read_ahead(self: &Arc<Self>, jobs: &Mutex<Receiver<Task>>) {
        // Readers would wait for it in vain.
        let _told = ToldOfPanic::new("reader ahead", self);
        loop {
            let next = jobs.lock().recv();
            match next {
                Ok(Task::Part(job)) => self.read_part(&job),
                Ok(Task::Window(chunk, number)) => self.read_window(chunk, number),
                Err(_) => return,
            }
        }
    }

    fn read_part(&self, job: &Job) {
        let read = self.read_stored(job.id, job.from, job.bytes);
        // An error is for the reader, who tries for itself.
        let read = read.ok().filter(|(world, _)| *world == job.world);
        let batches = read
            .map(|(_, batches)| batches)
            .filter(|all| !all.is_empty());
        self.ahead.put(job, batches.map(VecDeque::from));
    }

    fn read_window(&self, chunk: u64, number: u64) {
        let found = {
            let state = self.state.lock();
            state
                .chunks
                .get(&chunk)
                .map(|found| Arc::clone(&found.chunk))
        };
        if let Some(chunk) = found {
            // An error is for the reader here, too.
            let _ = self.windows.read_ahead(&chunk, number);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use headwater_base::TopicId;

    use super::*;

    const WORLD: World = (1, 1);

    fn id() -> PartitionId {
        PartitionId {
            topic: TopicId([7; 16]),
            index: 0,
        }
    }

    fn batches(from: Offset, count: i64) -> Option<VecDeque<Batch>> {
        let one = |n| (Bytes::from(vec![1; 100_000]), from + n + 1);
        Some((0..count).map(one).collect())
    }

    fn part(task: Task) -> Job {
        match task {
            Task::Part(job) => job,
            Task::Window(..) => panic!("a window"),
        }
    }

    #[test]
    fn who_reads_on_finds_the_next_batches_and_a_newcomer_does_not() {
        let ahead = Ahead::default();
        ahead.went_on((id(), 0), 10, WORLD, 300_000);
        let jobs = ahead.start();
        ahead.went_on((id(), 0), 10, WORLD, 300_000);
        assert!(jobs.try_recv().is_err(), "once is no habit");
        ahead.went_on((id(), 10), 20, WORLD, 300_000);
        let job = part(jobs.try_recv().unwrap());
        assert_eq!((job.from, job.bytes), (20, 300_000));
        assert!(!ahead.is_ready(id(), 20));
        ahead.put(&job, batches(20, 3));
        assert!(ahead.is_ready(id(), 20));
        let taken = ahead.take((id(), 20), WORLD, 200_000).unwrap();
        assert_eq!((taken.batches.len(), taken.end), (2, 22));
        let taken = ahead.take((id(), 22), WORLD, 1).unwrap();
        assert_eq!((taken.batches.len(), taken.end), (1, 23));
        assert!(ahead.take((id(), 23), WORLD, 1).is_none());
        assert!(ahead.inner.lock().parts.is_empty());
    }

    #[test]
    fn what_was_read_in_another_generation_is_no_answer() {
        let ahead = Ahead::default();
        let jobs = ahead.start();
        ahead.went_on((id(), 0), 10, WORLD, 1);
        ahead.went_on((id(), 10), 20, WORLD, 1);
        ahead.put(&part(jobs.try_recv().unwrap()), batches(20, 1));
        assert!(ahead.take((id(), 20), (1, 2), 1).is_none());
        assert!(ahead.inner.lock().parts.is_empty());
    }

    #[test]
    fn room_is_bounded_and_what_failed_is_given_up() {
        let ahead = Ahead::default();
        let jobs = ahead.start();
        for from in 0..20 {
            ahead.went_on((id(), from), from + 1, WORLD, 1 << 30);
        }
        let begun: Vec<Job> = jobs.try_iter().map(part).collect();
        assert_eq!(begun.len(), AHEAD_BYTES_MAX / PART_BYTES.end());
        for job in &begun {
            ahead.put(job, None);
        }
        assert!(ahead.inner.lock().parts.is_empty());
        assert!(ahead.take((id(), begun[0].from), WORLD, 1).is_none());
    }
}
