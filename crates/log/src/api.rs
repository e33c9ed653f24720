//! What every backend of the log offers. A commit is atomic within one shard.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use headwater_base::{Offset, PartitionId};
use headwater_record::{BatchError, BatchHeader};
use tokio::sync::Notify;

/// One record batch (format v2, validated by the caller) for the end of a partition.
#[derive(Clone, Debug)]
pub struct Append {
    pub partition: PartitionId,
    /// The log overwrites base offset and leader epoch (outside the CRC); the rest is stored as it came.
    pub batch: Bytes,
}

/// What becomes durable as one unit: wholly there after a crash, or not at all.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    pub appends: Vec<Append>,
    /// Partitions whose log start offset moves up to the given offset.
    pub trims: Vec<(PartitionId, Offset)>,
    /// Partitions that cease to exist, with all their batches.
    pub drops: Vec<PartitionId>,
    /// Ranges whose batches are replaced by others: compaction. Take effect after the appends, before trims and drops.
    pub rewrites: Vec<Rewrite>,
}

/// Other batches in place of all that a range of offsets holds. What a range no longer holds is a gap: a read from
/// there gives the next batch. The partition's start and end do not change, nor who may append meanwhile.
///
/// Keep the newest batch of a partition: a reader in front of a gap that reaches the end gets nothing, though it is
/// not at the end.
#[derive(Clone, Debug)]
pub struct Rewrite {
    pub partition: PartitionId,
    /// First offset replaced: the base offset of a batch, or in a gap.
    pub from: Offset,
    /// Behind the last offset replaced, at a batch's end or in a gap, and not above the durable end.
    pub to: Offset,
    /// [`PartitionState::generation`] of the read that the new batches were made from.
    pub generation: u64,
    /// With their own base offsets, ascending, all within `from..to`; none leaves a gap.
    pub batches: Vec<Bytes>,
}

impl Commit {
    /// Every partition it touches, repeats included.
    pub fn partitions(&self) -> impl Iterator<Item = PartitionId> {
        let appends = self.appends.iter().map(|append| append.partition);
        let trims = self.trims.iter().map(|trim| trim.0);
        let rewrites = self.rewrites.iter().map(|rewrite| rewrite.partition);
        let drops = self.drops.iter().copied();
        appends.chain(rewrites).chain(trims).chain(drops)
    }
}

/// The answer to [`Log::submit`]: offsets are fixed, durability is awaited.
pub struct Submitted {
    /// One base offset per append, in order.
    pub base_offsets: Vec<Offset>,
    pub durable: Durable,
}

/// Resolves when the commit has been written and synced, or can never be.
pub type Durable = Pin<Box<dyn Future<Output = Result<(), WriteFailure>> + Send>>;

/// The log failed to make data durable. It accepts nothing more until the process restarts.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "the log at {place} cannot be written any more: {reason}; restart the node after mending the disk"
)]
pub struct WriteFailure {
    pub place: String,
    pub reason: String,
}

/// Why a commit was not taken. Nothing of it was written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SubmitError {
    /// No room for another chunk; retriable, heals when there is room.
    #[error("the disk is full: {0}")]
    Full(String),
    /// Too many bytes wait for the disk; retriable.
    #[error("{queued_bytes} bytes already wait for the disk")]
    Busy { queued_bytes: usize },
    #[error("a commit of {bytes} bytes is larger than the limit of {max_bytes}")]
    TooLarge { bytes: usize, max_bytes: usize },
    /// The partitions of a commit live in different shards.
    #[error("the commit spans shards {0} and {1}")]
    CrossShard(u16, u16),
    /// Not a record batch, or not where a rewrite may put it: the caller did not validate it.
    #[error("not a record batch: {0}")]
    Invalid(#[from] BatchError),
    /// A partition was rewritten or dropped since its batches were read for this rewrite: read them again.
    #[error("{partition} has been rewritten meanwhile")]
    Stale { partition: PartitionId },
    /// What a rewrite would replace cannot be looked up.
    #[error("what is to be rewritten cannot be read: {0}")]
    Unreadable(String),
    #[error(transparent)]
    Failed(#[from] WriteFailure),
}

/// How far a reader may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Only what is durable (the high watermark): everything that leaves the process.
    Durable,
    /// Also what waits for its fdatasync: the engine, whose own commit follows in the same log.
    Submitted,
}

/// Extent of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionState {
    /// Log start offset: the first offset that may be read.
    pub start: Offset,
    /// High watermark: everything below is durable.
    pub durable_end: Offset,
    /// The next offset to be assigned.
    pub submitted_end: Offset,
    /// Bytes of the partition's batches still held.
    pub bytes: u64,
    /// Grows with every rewrite that has become durable, and is another one when a partition is made anew. Only for
    /// comparing within one run of the process; 0 for an unknown partition.
    pub generation: u64,
}

/// Batches as stored, in order; contiguous but for what rewrites took out. The first one contains the offset asked for,
/// or is the next one where that lies in a gap.
#[derive(Clone, Debug, Default)]
pub struct ReadOut {
    pub batches: Vec<Bytes>,
    /// The partition's state at the moment of the read.
    pub state: PartitionState,
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("offset {offset} is outside {}..{}", state.start, state.durable_end)]
    OutOfRange {
        offset: Offset,
        state: PartitionState,
    },
    #[error("cannot read the log: {0}")]
    Io(#[from] std::io::Error),
    /// What is on the disk does not match its checksum.
    #[error("rotten data: {0}")]
    Corrupt(String),
}

/// A stored batch without its records (the fields of the batch header that others index).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchMeta {
    pub base_offset: Offset,
    pub last_offset: Offset,
    pub max_timestamp: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub attributes: i16,
    /// Bytes of the whole batch.
    pub bytes: u32,
}

impl From<&BatchHeader> for BatchMeta {
    fn from(header: &BatchHeader) -> Self {
        Self {
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            max_timestamp: header.max_timestamp,
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
            attributes: header.attributes,
            bytes: header.bytes as u32,
        }
    }
}

/// Keeps a wake-up registered; dropping it ends it.
pub trait Registration: Send + Sync {}

/// A sharded, durable log of partitions. A partition exists from its first append; an unknown one reads as empty.
///
/// Implementations are told apart by nobody above this floor: one conformance suite runs on all of them.
pub trait Log: Send + Sync + 'static {
    fn shards(&self) -> u16;
    fn shard_of(&self, partition: PartitionId) -> u16;

    /// Assigns offsets and queues the commit for the next group commit. Never waits for the disk.
    /// Commits of one shard become durable in the order of submission.
    fn submit(&self, commit: Commit) -> Result<Submitted, SubmitError>;

    /// As [`Log::submit`], but the commit may stay queued until [`Log::write_submitted`], which the same thread has to call soon:
    /// for who has several, or nothing else to do than to wait for the disk.
    fn submit_later(&self, commit: Commit) -> Result<Submitted, SubmitError> {
        self.submit(commit)
    }

    /// Has everything written that was submitted. Who has nothing better to do says that it may be `here`, on this thread, which
    /// then waits for the disk: not with locks held.
    fn write_submitted(&self, _here: bool) {}

    /// Reads whole batches from the one that holds `from`, until `max_bytes` is reached (at least one if there is any
    /// below the bound). Empty at the end. May touch the disk.
    fn read(
        &self,
        partition: PartitionId,
        from: Offset,
        max_bytes: usize,
        bound: Bound,
    ) -> Result<ReadOut, ReadError>;

    /// As [`Log::read`] where [`Log::in_memory`] holds, but gives no more than what is in memory.
    fn read_ready(
        &self,
        partition: PartitionId,
        from: Offset,
        max_bytes: usize,
        bound: Bound,
    ) -> Result<ReadOut, ReadError> {
        self.read(partition, from, max_bytes, bound)
    }

    /// Whether a read from here is begun without the disk.
    fn in_memory(&self, partition: PartitionId, from: Offset) -> bool;

    /// Where the batch that holds `from` lies among those of all partitions, in bytes from somewhere: who reads many partitions is
    /// served best by what lies close together. Nothing when that does not matter, or is not known.
    fn place(&self, _partition: PartitionId, _from: Offset) -> Option<u64> {
        None
    }

    fn state(&self, partition: PartitionId) -> PartitionState;

    /// Base offset of the first readable batch whose largest timestamp is at least `timestamp_ms`. May touch the disk.
    fn find_time(
        &self,
        partition: PartitionId,
        timestamp_ms: i64,
    ) -> Result<Option<Offset>, ReadError>;

    /// The largest timestamp of a readable batch, and the base offset of the first batch that has it. May touch the disk.
    fn max_timestamp(&self, partition: PartitionId) -> Result<Option<(i64, Offset)>, ReadError>;

    /// Where retention by size would start: base offset of the last durable batch from which on at least `keep_bytes`
    /// remain, its own included; the start where there are no more. May touch the disk.
    fn offset_for_bytes(
        &self,
        partition: PartitionId,
        keep_bytes: u64,
    ) -> Result<Offset, ReadError>;

    /// Calls back for every batch held, partition by partition in any order, each partition's batches in order.
    /// For rebuilding what is derived from the log, once at start; reads indexes, not records.
    fn scan(&self, visit: &mut dyn FnMut(PartitionId, &BatchMeta)) -> Result<(), ReadError>;

    /// `wake` is notified (`notify_one`) whenever one of the partitions grows within the bound, changes its start or is dropped.
    fn register(
        &self,
        partitions: &[PartitionId],
        bound: Bound,
        wake: Arc<Notify>,
    ) -> Box<dyn Registration>;
}
