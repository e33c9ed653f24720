//! What may be set of a local log, what it tells about itself, and why it may refuse to open.

use std::path::PathBuf;
use std::time::Duration;

use headwater_base::limits::COMMIT_BYTES_MAX;

/// Sizes and limits of a local log. The defaults are for production; tests make it small.
#[derive(Clone, Debug)]
pub struct LocalConfig {
    /// Size of one WAL file, preallocated.
    pub chunk_bytes: usize,
    /// Largest commit, its framing included.
    pub commit_bytes_max: usize,
    /// Bytes that may wait for the disk before `submit` says busy.
    pub queue_bytes_max: usize,
    /// Bytes of written commits kept for readers at the tail. Filled as data comes, never ahead.
    pub tail_cache_bytes_max: usize,
    /// Bytes of sealed chunks' indexes kept.
    pub index_cache_bytes_max: usize,
    /// How many sealed chunks stay in the system's page cache. Memory used again for the next chunk costs half the CPU
    /// (1.1 against 1.9 s/GB measured) of memory that a virtual machine has to get from its host first; readers who
    /// lag further behind read from the disk.
    pub page_cached_chunks: usize,
    /// How long to wait before trying again for a chunk that the disk had no room for.
    pub full_retry: Duration,
    /// A sealed chunk of which no more than so many percent are still needed is emptied: what is needed is written anew,
    /// so that the file can go. 0 moves nothing.
    pub reclaim_live_percent_max: u8,
    /// How fast that is done.
    pub reclaim_bytes_per_second: u64,
    /// How fast sealed chunks are read in the background to find rotten data. 0 does not look.
    pub scrub_bytes_per_second: u64,
    /// From the end of one such walk to the next.
    pub scrub_pause: Duration,
}

impl Default for LocalConfig {
    fn default() -> Self {
        Self {
            chunk_bytes: 64 * 1024 * 1024,
            commit_bytes_max: COMMIT_BYTES_MAX,
            queue_bytes_max: 64 * 1024 * 1024,
            tail_cache_bytes_max: 32 * 1024 * 1024,
            index_cache_bytes_max: 16 * 1024 * 1024,
            page_cached_chunks: 32,
            full_retry: Duration::from_millis(500),
            reclaim_live_percent_max: 40,
            reclaim_bytes_per_second: 32 * 1024 * 1024,
            scrub_bytes_per_second: 8 * 1024 * 1024,
            scrub_pause: Duration::from_secs(3600),
        }
    }
}

/// A moment's view of the log at work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogMetrics {
    /// Bytes submitted that are not durable yet.
    pub queued_bytes: usize,
    /// Group commits: one write and one fdatasync each.
    pub fsyncs: u64,
    /// Commits made durable by them.
    pub commits: u64,
    /// Duration of the last fdatasync in microseconds.
    pub last_fsync_us: u64,
    /// Bytes written to the WAL since the start.
    pub written_bytes: u64,
    /// WAL files on the disk that hold commits.
    pub chunks: usize,
    /// Bytes in the tail cache.
    pub tail_cache_bytes: usize,
    /// No room on the disk for another chunk, or for what is being written.
    pub full: bool,
    /// Bytes of batches in the WAL files that are still needed.
    pub live_bytes: u64,
    /// Bytes of batches written anew so that their files could go.
    pub moved_bytes: u64,
    /// WAL files removed since the start.
    pub removed_chunks: u64,
    /// Bytes of batches checked at rest since the start.
    pub scrubbed_bytes: u64,
    /// Whole walks over the sealed files since the start.
    pub scrubs: u64,
    /// Batches found not to match their checksums since the start, each counted once.
    pub rotten_batches: u64,
}

/// Why a data folder was not opened. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the data folder {} is in use by {}; stop it first, or choose another folder", path.display(), process_name(*process))]
    InUse { path: PathBuf, process: Option<u32> },
    #[error("the data folder {} is of format {found}, but this program knows formats up to {known}; start a newer headwater, or choose another folder", path.display())]
    NewerFormat {
        path: PathBuf,
        found: u32,
        known: u32,
    },
    #[error("{} is damaged at byte {offset}: {what}; restore the folder from a copy, or move it away to start empty (nothing was changed)", file.display())]
    Damaged {
        file: PathBuf,
        offset: u64,
        what: String,
    },
    #[error("cannot {action} in {}: {source}", path.display())]
    Io {
        path: PathBuf,
        action: &'static str,
        source: std::io::Error,
    },
}

fn process_name(process: Option<u32>) -> String {
    process.map_or_else(
        || "another process".to_owned(),
        |id| format!("process {id}"),
    )
}
