//! The log on a local disk: one write-ahead log for all partitions, with group commit.
//!
//! ```text
//! submit --> queue --> writer thread: one write + one fdatasync --> high watermarks, waiters
//!    \-> tail cache (the written buffers) --> read          keeper thread: next chunk ahead, sealing, removal
//!    behind the tail: chunks --> shared windows --> read, and ahead of it
//! ```
//! Reading order: [`disk`] (the file-system seam), `chunk`, `frame`, `footer` (layouts), `submit`, `writer`, `keeper`,
//! `read`, `recover`.

mod ahead;
mod bytes;
mod chunk;
pub mod config;
pub mod disk;
mod footer;
mod format;
mod frame;
pub mod fuzz;
mod here;
mod index;
mod keeper;
mod ledger;
mod pages;
mod panicked;
mod partition;
mod pool;
mod read;
mod reclaim;
mod recover;
mod replay;
mod rewrites;
mod scrub;
mod spans;
mod stage;
mod state;
mod submit;
mod turn;
mod windows;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use headwater_base::{Offset, PartitionId};
use parking_lot::{Condvar, Mutex};
use tokio::sync::{Notify, watch};

use crate::api::{
    BatchMeta, Bound, Commit, Log, PartitionState, ReadError, ReadOut, Registration, SubmitError,
    Submitted, WriteFailure,
};
use crate::watch::Watchers;
use ahead::Ahead;
pub use config::{LocalConfig, LogMetrics, OpenError};
use disk::{Disk, DiskLock, RealDisk};
use index::IndexCache;
use keeper::{Job, Keeper};
use read::Reader;
use recover::{Recovered, recover};
use stage::Stage;
use state::{Counters, Plan, Shared, State, TailCache};
use turn::Hands;
pub use turn::Turn;
use windows::Windows;
use writer::Writer;

/// A log in one folder. Dropping it writes what is queued, ends its threads and lets go of the folder.
pub struct LocalLog {
    shared: Arc<Shared>,
    /// Whoever writes holds it.
    writer: Arc<Mutex<Writer>>,
    threads: Vec<JoinHandle<()>>,
    /// Instead of the threads.
    hands: Option<Hands>,
    _lock: Box<dyn DiskLock>,
}

impl LocalLog {
    /// Opens the folder, made if it is not there; recovers what a crash left.
    pub fn open(path: &Path, config: LocalConfig) -> Result<Self, OpenError> {
        let made = RealDisk::new(path);
        let disk = made.map_err(|source| OpenError::Io {
            path: path.to_owned(),
            action: "make the folder",
            source,
        })?;
        Self::open_on(Arc::new(disk), config)
    }

    /// Opens a folder of any disk.
    pub fn open_on(disk: Arc<dyn Disk>, config: LocalConfig) -> Result<Self, OpenError> {
        let (shared, writer, lock) = prepare(disk, config)?;
        let io = |source| OpenError::Io {
            path: shared.disk.path().to_owned(),
            action: "start a thread",
            source,
        };
        let keeper = Keeper::new(Arc::clone(&shared));
        let jobs = Arc::new(Mutex::new(shared.ahead.start()));
        let ahead = || {
            let (shared, jobs) = (Arc::clone(&shared), Arc::clone(&jobs));
            spawn("log-ahead", move || shared.read_ahead(&jobs))
        };
        let writer = Arc::new(Mutex::new(writer));
        let (its_shared, its_writer) = (Arc::clone(&shared), Arc::clone(&writer));
        let writes = move || here::run(&its_shared, &its_writer);
        let threads = vec![
            spawn("log-writer", writes).map_err(io)?,
            spawn("log-keeper", move || keeper.run()).map_err(io)?,
            // Two, so that the disk has the next read while a batch is checked.
            ahead().map_err(io)?,
            ahead().map_err(io)?,
        ];
        Ok(Self {
            shared,
            writer,
            threads,
            hands: None,
            _lock: lock,
        })
    }

    /// What it is doing.
    pub fn metrics(&self) -> LogMetrics {
        self.shared.metrics()
    }

    /// Why nothing is written any more; only a new start can change that.
    pub fn failure(&self) -> Option<WriteFailure> {
        self.shared.failed.borrow().clone()
    }

    /// Resolves when [`LocalLog::failure`] has something to say. It then is for the process to end, so that somebody
    /// notices. Pending for ever on a log that was closed in good health.
    pub fn failed(&self) -> impl Future<Output = WriteFailure> + Send + use<> {
        let mut failed = self.shared.failed.subscribe();
        async move {
            loop {
                if let Some(failure) = failed.borrow_and_update().clone() {
                    return failure;
                }
                if failed.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        }
    }
}

/// A recovered log, nobody at work yet.
type Prepared = (Arc<Shared>, Writer, Box<dyn DiskLock>);

/// Takes the folder and recovers it.
fn prepare(disk: Arc<dyn Disk>, config: LocalConfig) -> Result<Prepared, OpenError> {
    let locked = disk.lock("LOCK").map_err(|source| OpenError::Io {
        path: disk.path().to_owned(),
        action: "lock",
        source,
    })?;
    let lock = locked.map_err(|process| OpenError::InUse {
        path: disk.path().to_owned(),
        process,
    })?;
    let recovered = recover(&*disk, &config)?;
    let (shared, writer) = assemble(disk, config, recovered);
    Ok((shared, writer, lock))
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run)
}

fn assemble(
    disk: Arc<dyn Disk>,
    config: LocalConfig,
    recovered: Recovered,
) -> (Arc<Shared>, Writer) {
    let Recovered {
        ledger,
        partitions,
        chunks,
        active,
        spare,
        next_sequence,
        jobs,
    } = recovered;
    let in_footer = chunks
        .get(&active.chunk.number)
        .and_then(|found| found.index.as_deref())
        .map_or(0, footer::index_bytes);
    let used = submit::empty_chunk_bytes(partitions.len()) + active.position + in_footer;
    let state = State {
        lives: partitions.len() as u64,
        generations: partitions.len() as u64,
        released: false,
        partitions,
        queue: std::collections::VecDeque::new(),
        queued_bytes: 0,
        callers: 0,
        company: 0,
        next_sequence,
        plan: Plan {
            chunk: Arc::clone(&active.chunk),
            used,
        },
        spare,
        full: None,
        stuck: None,
        failure: None,
        chunks,
        cache: TailCache::default(),
        jobs: jobs
            .into_iter()
            .chain([Job::RemoveDead, Job::MakeSpare])
            .collect(),
        closing: false,
    };
    let shared = Arc::new(Shared {
        indexes: IndexCache::new(config.index_cache_bytes_max),
        config,
        disk,
        state: Mutex::new(state),
        work: Condvar::new(),
        chores: Condvar::new(),
        watchers: Watchers::default(),
        counters: Counters::default(),
        rot: Mutex::default(),
        pool: Arc::default(),
        windows: Windows::default(),
        ahead: Ahead::default(),
        failed: watch::Sender::new(None),
    });
    let writer = Writer {
        shared: Arc::clone(&shared),
        chunk: active.chunk,
        position: active.position as u64,
        sequences: active.sequences,
        ledger,
        held: Vec::new(),
        stage: Stage::default(),
    };
    (shared, writer)
}

impl Drop for LocalLog {
    fn drop(&mut self) {
        self.shared.state.lock().closing = true;
        self.shared.work.notify_all();
        self.shared.chores.notify_all();
        self.shared.ahead.stop();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the log has panicked");
            }
        }
    }
}

impl Log for LocalLog {
    fn shards(&self) -> u16 {
        1
    }

    fn shard_of(&self, _partition: PartitionId) -> u16 {
        0
    }

    fn submit(&self, commit: Commit) -> Result<Submitted, SubmitError> {
        self.shared.submit(commit)
    }

    fn submit_later(&self, commit: Commit) -> Result<Submitted, SubmitError> {
        self.shared.submit_later(commit)
    }

    fn write_submitted(&self, here: bool) {
        if self.hands.is_none() {
            here::write_submitted(&self.shared, &self.writer, here);
        }
    }

    fn read(
        &self,
        partition: PartitionId,
        from: Offset,
        max_bytes: usize,
        bound: Bound,
    ) -> Result<ReadOut, ReadError> {
        let reader = Reader::Waits;
        self.shared.read(partition, from, max_bytes, bound, reader)
    }

    fn read_ready(
        &self,
        partition: PartitionId,
        from: Offset,
        max_bytes: usize,
        bound: Bound,
    ) -> Result<ReadOut, ReadError> {
        let reader = Reader::TakesWhatIsThere;
        self.shared.read(partition, from, max_bytes, bound, reader)
    }

    fn in_memory(&self, partition: PartitionId, from: Offset) -> bool {
        let in_memory = {
            let state = self.shared.state.lock();
            let found = state.partitions.get(&partition);
            found.is_none_or(|found| found.in_memory(from))
        };
        in_memory
            || self.shared.ahead.is_ready(partition, from)
            || self.shared.is_loaded(partition, from)
    }

    fn place(&self, partition: PartitionId, from: Offset) -> Option<u64> {
        self.shared.place(partition, from)
    }

    fn state(&self, partition: PartitionId) -> PartitionState {
        let state = self.shared.state.lock();
        state
            .partitions
            .get(&partition)
            .map_or_else(PartitionState::default, partition::Partition::state)
    }

    fn find_time(
        &self,
        partition: PartitionId,
        timestamp_ms: i64,
    ) -> Result<Option<Offset>, ReadError> {
        self.shared.find_time(partition, timestamp_ms)
    }

    fn max_timestamp(&self, partition: PartitionId) -> Result<Option<(i64, Offset)>, ReadError> {
        self.shared.max_timestamp(partition)
    }

    fn offset_for_bytes(
        &self,
        partition: PartitionId,
        keep_bytes: u64,
    ) -> Result<Offset, ReadError> {
        self.shared.offset_for_bytes(partition, keep_bytes)
    }

    fn scan(&self, visit: &mut dyn FnMut(PartitionId, &BatchMeta)) -> Result<(), ReadError> {
        self.shared.scan(visit)
    }

    fn register(
        &self,
        partitions: &[PartitionId],
        bound: Bound,
        wake: Arc<Notify>,
    ) -> Box<dyn Registration> {
        self.shared.watchers.register(partitions, bound, &wake)
    }
}

#[cfg(test)]
mod tests;
