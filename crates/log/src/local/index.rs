//! Where batches lie in chunks.

use std::collections::BTreeMap;
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

/// What a chunk holds of one partition: what was appended, and every rewrite in the order in which they took effect.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    pub appended: Vec<IndexEntry>,
    pub appended_bytes: u32,
    pub rewrites: Vec<RewriteGroup>,
}

/// The batches that a rewrite put in place of what a range held; the range is theirs, gaps included.
#[derive(Clone, Debug)]
pub(super) struct RewriteGroup {
    pub from: Offset,
    pub to: Offset,
    pub entries: Vec<IndexEntry>,
}

/// Number of the group of appended batches; rewrites count from 1.
pub(super) const APPENDED: u32 = 0;

impl Groups {
    pub fn append(&mut self, entry: IndexEntry) {
        self.appended_bytes += entry.meta.bytes;
        self.appended.push(entry);
    }

    /// A group's entries; none for a group that is not there.
    pub fn entries(&self, group: u32) -> &[IndexEntry] {
        if group == APPENDED {
            return &self.appended;
        }
        let rewrite = self.rewrites.get(group as usize - 1);
        rewrite.map_or(&[], |rewrite| &rewrite.entries)
    }

    /// Slices over all of every group, in order, each with the group's entries.
    pub fn slices(&self, chunk: u64) -> impl Iterator<Item = (Slice, &[IndexEntry])> {
        let appended = Slice::over(chunk, &self.appended).map(|slice| (slice, &self.appended[..]));
        let rewrites = self.rewrites.iter().zip(1..).map(move |(rewrite, group)| {
            let slice =
                Slice::rewritten(chunk, group, (rewrite.from, rewrite.to), &rewrite.entries);
            (slice, &rewrite.entries[..])
        });
        appended.into_iter().chain(rewrites)
    }
}

/// All batches of a chunk by partition.
pub(super) type ChunkIndex = HashMap<PartitionId, Groups>;

/// A range of one partition's offsets that one chunk owns: what is there is in this group of this chunk or nowhere.
/// The slices of a partition follow each other without holes from its start to its durable end. A chunk without
/// slices has nothing that anybody needs, not even the knowledge of what it replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    pub chunk: u64,
    pub group: u32,
    pub first: Offset,
    pub last: Offset,
    /// None of its batches has a larger one.
    pub max_timestamp: i64,
    /// Of the batches within.
    pub bytes: u32,
    /// Of the group's batches before `first`.
    pub skipped: u32,
    /// In the footer of a sealed chunk; of an open one the index is in memory.
    pub stored: Option<StoredEntries>,
}

/// Where a footer holds a group's entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoredEntries {
    pub position: u32,
    pub count: u32,
    pub crc: u32,
}

impl Slice {
    /// A slice of what was appended that begins with this batch; `skipped` bytes of the group lie before it.
    pub fn of(chunk: u64, meta: &BatchMeta, skipped: u32) -> Self {
        Self {
            chunk,
            group: APPENDED,
            first: meta.base_offset,
            last: meta.last_offset,
            max_timestamp: meta.max_timestamp,
            bytes: meta.bytes,
            skipped,
            stored: None,
        }
    }

    pub fn extend(&mut self, meta: &BatchMeta) {
        self.last = meta.last_offset;
        self.max_timestamp = self.max_timestamp.max(meta.max_timestamp);
        self.bytes += meta.bytes;
    }

    /// The slice of a partition's appended entries; `None` for none.
    fn over(chunk: u64, entries: &[IndexEntry]) -> Option<Self> {
        let (first, rest) = entries.split_first()?;
        let mut slice = Self::of(chunk, &first.meta, 0);
        rest.iter().for_each(|entry| slice.extend(&entry.meta));
        Some(slice)
    }

    /// The slice of a rewrite.
    pub fn rewritten(
        chunk: u64,
        group: u32,
        (from, to): (Offset, Offset),
        entries: &[IndexEntry],
    ) -> Self {
        let timestamps = entries.iter().map(|entry| entry.meta.max_timestamp);
        Self {
            chunk,
            group,
            first: from,
            last: to - 1,
            max_timestamp: timestamps.max().unwrap_or(i64::MIN),
            bytes: entries.iter().map(|entry| entry.meta.bytes).sum(),
            skipped: 0,
            stored: None,
        }
    }

    /// Those of the group's entries that lie within, from the batch that holds `from` or the one behind it.
    pub fn within<'a>(&self, entries: &'a [IndexEntry], from: Offset) -> &'a [IndexEntry] {
        let from = from.max(self.first);
        let first = entries.partition_point(|entry| entry.meta.last_offset < from);
        let behind = entries.partition_point(|entry| entry.meta.last_offset <= self.last);
        &entries[first.min(behind)..behind]
    }
}

/// The first entries below `end` until `max_bytes`; at least one if `at_least_one`.
pub(super) fn select(
    entries: &[IndexEntry],
    end: Offset,
    max_bytes: usize,
    at_least_one: bool,
) -> &[IndexEntry] {
    let mut bytes = 0;
    let count = entries.iter().enumerate().take_while(|(i, entry)| {
        bytes += entry.meta.bytes as usize;
        entry.meta.last_offset < end && (bytes <= max_bytes || (at_least_one && *i == 0))
    });
    &entries[..count.count()]
}

/// Entries of sealed chunks, loaded on demand; bounded in bytes, the longest unused go first.
pub(super) struct IndexCache {
    bytes_max: usize,
    inner: Mutex<CacheInner>,
}

/// Chunk, partition, group.
pub(super) type GroupId = (u64, PartitionId, u32);

/// When last used, and the entries.
type Used = (u64, Arc<Vec<IndexEntry>>);

#[derive(Default)]
struct CacheInner {
    entries: HashMap<GroupId, Used>,
    /// By when last used.
    order: BTreeMap<u64, GroupId>,
    bytes: usize,
    clock: u64,
}

impl CacheInner {
    fn remove(&mut self, group: GroupId) {
        if let Some((used, old)) = self.entries.remove(&group) {
            self.order.remove(&used);
            self.bytes -= size_of_val(&old[..]);
        }
    }

    fn insert(&mut self, group: GroupId, entries: Arc<Vec<IndexEntry>>) {
        self.clock += 1;
        self.bytes += size_of_val(&entries[..]);
        self.order.insert(self.clock, group);
        self.entries.insert(group, (self.clock, entries));
    }
}

impl IndexCache {
    pub fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            inner: Mutex::default(),
        }
    }

    pub fn get(&self, group: GroupId) -> Option<Arc<Vec<IndexEntry>>> {
        let mut inner = self.inner.lock();
        let entries = Arc::clone(&inner.entries.get(&group)?.1);
        inner.remove(group);
        inner.insert(group, Arc::clone(&entries));
        Some(entries)
    }

    pub fn put(&self, group: GroupId, entries: Arc<Vec<IndexEntry>>) {
        let mut inner = self.inner.lock();
        inner.remove(group);
        inner.insert(group, entries);
        while inner.bytes > self.bytes_max && inner.entries.len() > 1 {
            let Some((_, oldest)) = inner.order.pop_first() else {
                break;
            };
            inner.remove(oldest);
        }
    }
}
