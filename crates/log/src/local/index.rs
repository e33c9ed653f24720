//! Where batches lie in chunks.

use std::sync::Arc;

use hashbrown::HashMap;
use headwater_base::{Offset, PartitionId};
use parking_lot::Mutex;

use crate::api::BatchMeta;

/// One batch and its place in the chunk's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IndexEntry {
    pub meta: BatchMeta,
    pub position: u32,
}

/// All batches of a chunk by partition, in order.
pub(super) type ChunkIndex = HashMap<PartitionId, Vec<IndexEntry>>;

/// What one partition has in one chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    pub chunk: u64,
    pub first: Offset,
    pub last: Offset,
    pub max_timestamp: i64,
    pub bytes: u64,
    /// In the footer of a sealed chunk; of an open one the index is in memory.
    pub stored: Option<StoredEntries>,
}

/// Where a footer holds a partition's entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoredEntries {
    pub position: u32,
    pub count: u32,
    pub crc: u32,
}

impl Slice {
    pub fn of(chunk: u64, meta: &BatchMeta) -> Self {
        Self {
            chunk,
            first: meta.base_offset,
            last: meta.last_offset,
            max_timestamp: meta.max_timestamp,
            bytes: u64::from(meta.bytes),
            stored: None,
        }
    }

    pub fn extend(&mut self, meta: &BatchMeta) {
        self.last = meta.last_offset;
        self.max_timestamp = self.max_timestamp.max(meta.max_timestamp);
        self.bytes += u64::from(meta.bytes);
    }

    /// The slice of a partition's entries; `None` for none.
    pub fn over(chunk: u64, entries: &[IndexEntry]) -> Option<Self> {
        let (first, rest) = entries.split_first()?;
        let mut slice = Self::of(chunk, &first.meta);
        rest.iter().for_each(|entry| slice.extend(&entry.meta));
        Some(slice)
    }
}

/// The entries from the batch that holds `from`, below `end`, until `max_bytes`; at least one if `at_least_one`.
pub(super) fn select(
    entries: &[IndexEntry],
    from: Offset,
    end: Offset,
    max_bytes: usize,
    at_least_one: bool,
) -> &[IndexEntry] {
    let first = entries.partition_point(|entry| entry.meta.last_offset < from);
    let mut bytes = 0;
    let rest = &entries[first..];
    let count = rest.iter().enumerate().take_while(|(i, entry)| {
        bytes += entry.meta.bytes as usize;
        entry.meta.last_offset < end && (bytes <= max_bytes || (at_least_one && *i == 0))
    });
    &rest[..count.count()]
}

/// Entries of sealed chunks, loaded on demand; bounded in bytes, the longest unused go first.
pub(super) struct IndexCache {
    bytes_max: usize,
    inner: Mutex<CacheInner>,
}

/// When last used, and the entries.
type Used = (u64, Arc<Vec<IndexEntry>>);

#[derive(Default)]
struct CacheInner {
    entries: HashMap<(u64, PartitionId), Used>,
    bytes: usize,
    clock: u64,
}

impl IndexCache {
    pub fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            inner: Mutex::default(),
        }
    }

    pub fn get(&self, chunk: u64, partition: PartitionId) -> Option<Arc<Vec<IndexEntry>>> {
        let mut inner = self.inner.lock();
        inner.clock += 1;
        let now = inner.clock;
        let (used, entries) = inner.entries.get_mut(&(chunk, partition))?;
        *used = now;
        Some(Arc::clone(entries))
    }

    pub fn put(&self, chunk: u64, partition: PartitionId, entries: Arc<Vec<IndexEntry>>) {
        let mut inner = self.inner.lock();
        inner.clock += 1;
        let now = inner.clock;
        inner.bytes += size_of_val(&entries[..]);
        if let Some((_, old)) = inner.entries.insert((chunk, partition), (now, entries)) {
            inner.bytes -= size_of_val(&old[..]);
        }
        while inner.bytes > self.bytes_max && inner.entries.len() > 1 {
            let oldest = inner
                .entries
                .iter()
                .min_by_key(|(_, (used, _))| *used)
                .map(|(key, _)| *key);
            if let Some((_, old)) = oldest.and_then(|key| inner.entries.remove(&key)) {
                inner.bytes -= size_of_val(&old[..]);
            }
        }
    }
}
