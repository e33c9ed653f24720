//! The keeper: what happens behind the writer's back so that the writer never waits. Makes the next chunk ahead, seals
//! full ones, removes dead ones, empties those that are mostly dead, looks for rot.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::chunk::Chunk;
use super::footer;
use super::panicked::ToldOfPanic;
use super::reclaim::{Moved, Reclaim};
use super::scrub::Scrub;
use super::state::{Shared, State};
use super::turn::Turn;

/// One chore.
pub(super) enum Job {
    MakeSpare,
    Seal(footer::Full),
    RemoveDead,
}

/// Does the chores.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    reclaim: Reclaim,
    scrub: Scrub,
}

/// What a round came to.
enum Step {
    Did,
    /// Something of which no more is to be done for a while.
    Paced(Duration),
    Idle,
    Ended,
}

/// How soon to look again whether a commit is durable.
const PENDING_PAUSE: Duration = Duration::from_millis(5);
/// How soon to try again what the log had no room for.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);
/// The first scrub does not compete with what a start brings.
const FIRST_SCRUB_AFTER: Duration = Duration::from_secs(60);

impl Keeper {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            reclaim: Reclaim::default(),
            scrub: Scrub::default(),
        }
    }

    /// Runs until the log closes. What is left undone is done by the next start.
    pub fn run(mut self) {
        let _told = ToldOfPanic::new("keeper", &self.shared);
        let mut scrub_at = Instant::now() + FIRST_SCRUB_AFTER.min(self.shared.config.scrub_pause);
        loop {
            let step = match self.step() {
                Step::Idle => self.scrub_when_due(&mut scrub_at),
                step => step,
            };
            let mut state = self.shared.state.lock();
            if state.closing {
                return;
            }
            match step {
                Step::Ended => return,
                Step::Did => {}
                _ if !state.jobs.is_empty() || state.failure.is_some() => {}
                Step::Idle => self.shared.chores.wait(&mut state),
                Step::Paced(pause) => drop(self.shared.chores.wait_for(&mut state, pause)),
            }
        }
    }

    /// One chore, for the log without threads.
    pub fn turn(&mut self) -> Turn {
        match self.step() {
            Step::Did => Turn::Did,
            Step::Paced(_) => Turn::Waits,
            Step::Idle => Turn::Idle,
            Step::Ended => Turn::Ended,
        }
    }

    /// One step of the scrub, for the log without threads.
    pub fn turn_scrub(&mut self) -> Turn {
        match self.scrub.step(&self.shared) {
            Some(_) => Turn::Did,
            None => Turn::Idle,
        }
    }

    fn step(&mut self) -> Step {
        let (job, full) = {
            let mut state = self.shared.state.lock();
            if state.failure.is_some() {
                return Step::Ended;
            }
            (state.jobs.pop_front(), state.full.is_some())
        };
        if let Some(job) = job {
            self.run_job(job);
            return Step::Did;
        }
        if full {
            make_spare(&self.shared);
            return Step::Paced(self.shared.config.full_retry);
        }
        match self.reclaim.step(&self.shared) {
            Moved::Nothing => Step::Idle,
            Moved::Waits => Step::Paced(PENDING_PAUSE),
            Moved::Refused => Step::Paced(REFUSED_PAUSE),
            Moved::Bytes(0) => Step::Did,
            Moved::Bytes(bytes) => {
                Step::Paced(time_for(bytes, self.shared.config.reclaim_bytes_per_second))
            }
        }
    }

    fn scrub_when_due(&mut self, at: &mut Instant) -> Step {
        let config = &self.shared.config;
        if config.scrub_bytes_per_second == 0 {
            return Step::Idle;
        }
        let wait = at.saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            return Step::Paced(wait);
        }
        let pause = match self.scrub.step(&self.shared) {
            Some(bytes) => time_for(bytes, config.scrub_bytes_per_second),
            None => config.scrub_pause,
        };
        *at = Instant::now() + pause;
        Step::Paced(pause)
    }

    fn run_job(&mut self, job: Job) {
        let shared = &*self.shared;
        match job {
            Job::MakeSpare => make_spare(shared),
            Job::Seal(full) => {
                seal(shared, full);
                remove_dead(shared);
            }
            Job::RemoveDead => remove_dead(shared),
        }
    }
}

fn time_for(bytes: usize, bytes_per_second: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / bytes_per_second.max(1) as f64)
}

fn make_spare(shared: &Shared) {
    let number = {
        let state = shared.state.lock();
        if state.spare.is_some() {
            return;
        }
        state.plan.chunk.number + 1
    };
    let made = Chunk::create(&*shared.disk, number, shared.config.chunk_bytes as u64);
    let mut state = shared.state.lock();
    match made {
        Ok(chunk) => {
            if state.full.take().is_some() {
                tracing::info!("there is room on the disk again");
            }
            state.spare = Some(Arc::new(chunk));
        }
        Err(error) => {
            let why = no_room(shared, &error);
            if state.full.replace(why.clone()).is_none() {
                tracing::warn!("{why}; writes will be refused when the current file is full");
            }
        }
    }
}

fn no_room(shared: &Shared, error: &io::Error) -> String {
    let mib = shared.config.chunk_bytes.div_ceil(1 << 20);
    format!(
        "no room for the next {mib} MiB in {}: {error}",
        shared.disk.path().display()
    )
}

fn seal(shared: &Shared, full: footer::Full) {
    let chunk = &*full.chunk;
    if let Err(error) = footer::seal(&full) {
        // Its commits are safe and its index stays in memory; the next start replays and seals it.
        tracing::warn!(chunk = chunk.number, %error, "cannot seal a chunk");
        return;
    }
    match footer::read(chunk) {
        Ok(Some(sealed)) => {
            let cold = {
                let mut state = shared.state.lock();
                state.sealed(chunk.number, &sealed);
                let older = state
                    .chunks
                    .range(..=chunk.number)
                    .rev()
                    .nth(shared.config.page_cached_chunks);
                older.map(|(_, found)| Arc::clone(&found.chunk))
            };
            cold.inspect(|cold| cold.file.forget_cached());
        }
        Ok(None) => tracing::warn!(chunk = chunk.number, "the footer does not read back"),
        Err(error) => tracing::warn!(chunk = chunk.number, %error, "cannot read a footer back"),
    }
}

impl Shared {
    /// Lets the system have the memory of a chunk that is not among the newest.
    pub fn forget_if_cold(&self, chunk: &Chunk) {
        let newer = self.state.lock().chunks.range(chunk.number + 1..).count();
        if newer >= self.config.page_cached_chunks {
            chunk.file.forget_cached();
        }
    }
}

impl State {
    /// The chunk's index is on the disk: slices point there, memory lets go.
    fn sealed(&mut self, chunk: u64, sealed: &footer::Sealed) {
        for (id, stored) in &sealed.slices {
            let Some(partition) = self.partitions.get_mut(id) else {
                continue;
            };
            // Several where rewrites have cut it; the newest are at the back. A partition made anew after a drop has
            // no slice here, or not this one.
            let mut bytes = 0;
            for slice in partition.slices.iter_mut().rev() {
                if slice.chunk == chunk && slice.group == stored.group {
                    slice.stored = stored.stored;
                    bytes += slice.bytes;
                    if bytes == stored.bytes && slice.skipped == 0 {
                        break;
                    }
                }
            }
        }
        if let Some(found) = self.chunks.get_mut(&chunk) {
            found.index = None;
        }
    }

    /// Sealed chunks without a readable batch. The newest sealed one stays: it carries the extents of all partitions.
    fn take_dead(&mut self) -> Vec<u64> {
        let sealed = |state: &super::state::ChunkState| state.index.is_none();
        let newest = self
            .chunks
            .iter()
            .rev()
            .find(|(_, state)| sealed(state))
            .map(|(number, _)| *number);
        // One that could not be sealed is replayed by the next start, from where the one before it ended.
        let needed = |number: u64| {
            let next = self.chunks.get(&(number + 1));
            Some(number) == newest || next.is_some_and(|next| next.index.is_some())
        };
        let dead = self
            .chunks
            .iter()
            .filter(|(number, state)| sealed(state) && state.live == 0 && !needed(**number));
        let dead: Vec<u64> = dead.map(|(number, _)| *number).collect();
        dead.iter()
            .for_each(|number| drop(self.chunks.remove(number)));
        dead
    }
}

fn remove_dead(shared: &Shared) {
    let dead = shared.state.lock().take_dead();
    for number in dead {
        // A file left over is found dead again by the next start.
        match shared.disk.remove(&super::chunk::file_name(number)) {
            Ok(()) => drop(
                shared
                    .counters
                    .removed_chunks
                    .fetch_add(1, Ordering::Relaxed),
            ),
            Err(error) => tracing::warn!(chunk = number, %error, "cannot remove a dead chunk"),
        }
    }
}
