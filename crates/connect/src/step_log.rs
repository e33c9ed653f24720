//! All that the engine sees of a log: committed reads, and one atomic commit a step.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use headwater_base::{Offset, PartitionId, TopicId};
use tokio::sync::Notify;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    pub name: String,
    pub id: TopicId,
    pub partitions: i32,
}

impl TopicInfo {
    pub fn partition(&self, index: i32) -> PartitionId {
        PartitionId {
            topic: self.id,
            index,
        }
    }
}

/// How far a read may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Durable and committed: everything that leaves the process.
    Durable,
    /// Also what waits for its fdatasync; allowed to the engine because its own commit follows in the same log.
    InFlight,
}

/// Record batches (format v2) up to the last stable offset; aborted and control batches are left out.
#[derive(Clone, Debug, Default)]
pub struct StepRead {
    pub batches: Vec<Bytes>,
    /// Where to read next (past batches that were left out too).
    pub next: Offset,
    /// The end that `visibility` allows at the moment of the read.
    pub end: Offset,
    /// First offset still held.
    pub start: Offset,
}

/// What one step of a pipeline makes durable as one unit.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// Complete record batches (format v2) built by the engine, with base offset 0: outputs, changelogs and the step's own record.
    pub appends: Vec<(PartitionId, Bytes)>,
    /// Partitions (the engine's own) whose start moves up.
    pub trims: Vec<(PartitionId, Offset)>,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum CommitError {
    /// Nothing was written; try again later.
    #[error("the log takes no writes right now: {0}")]
    Retry(String),
    /// The log is gone until the process restarts.
    #[error("{0}")]
    Failed(String),
}

pub type DurableStep = Pin<Box<dyn Future<Output = Result<(), CommitError>> + Send>>;

/// Called by the engine only. Implemented on the node's own log by `broker`.
pub trait StepLog: Send + Sync + 'static {
    fn topic(&self, name: &str) -> Option<TopicInfo>;

    /// All topics, internal ones included.
    fn topics(&self) -> Vec<TopicInfo>;

    /// Makes a topic unless it exists (then its partitions are left as they are). Internal topics' names start with `__`.
    fn ensure_topic<'a>(
        &'a self,
        name: &'a str,
        partitions: i32,
    ) -> Pin<Box<dyn Future<Output = Result<TopicInfo, CommitError>> + Send + 'a>>;

    fn delete_topic<'a>(
        &'a self,
        name: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<(), CommitError>> + Send + 'a>>;

    /// Blocking only as the disk does; at most about `max_bytes`, at least one batch if there is one. A start below the
    /// log start offset reads from there.
    fn read_committed(
        &self,
        partition: PartitionId,
        from: Offset,
        max_bytes: usize,
        visibility: Visibility,
    ) -> std::io::Result<StepRead>;

    /// Start and (durable, committed) end of a partition.
    fn extent(&self, partition: PartitionId) -> (Offset, Offset);

    /// Appends all of it or nothing. Offsets are final at once; the future resolves when it is durable.
    fn commit(&self, step: Step) -> Result<(Vec<Offset>, DurableStep), CommitError>;

    /// Keeps records for `holder`: the log's own cleaning (retention, compaction) leaves alone what lies at or past each of
    /// these offsets, until the holder names others; with none it lets go. To be said again after each start.
    fn retain(&self, holder: &str, positions: Vec<(PartitionId, Offset)>);

    /// Whether cleaning had to spare something for this holder. Told once each time.
    fn release_wanted(&self, holder: &str) -> bool;

    /// Notifies `wake` when one of the partitions grows within `visibility`, until the returned guard is dropped.
    fn register(
        &self,
        partitions: &[PartitionId],
        visibility: Visibility,
        wake: Arc<Notify>,
    ) -> Box<dyn Send + Sync>;
}
