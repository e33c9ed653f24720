//! The footer of a sealed chunk: which batches it holds, and every partition's extent after its last commit.
//!
//! ```text
//! ... frames | zeros | entries of partition A | of B | ... | directory | trailer, 64 | end of file
//!
//! entry, 44                          directory line, 64                      extent line, 44
//! byte  0 base offset       i64      byte  0 topic id, index    16 + i32     byte  0 topic id, index  16 + i32
//!       8 last offset delta u32           20 entries            u32                20 born in chunk     u64
//!      12 max timestamp     i64           24 first offset       i64                28 start             i64
//!      20 producer id       i64           32 last offset        i64                36 end               i64
//!      28 producer epoch    i16           40 max timestamp      i64
//!      30 attributes        i16           48 bytes of batches   u32          directory
//!      32 base sequence     i32           52 group              u32          | lines u32 | extents u32 | lines | extents |
//!      36 bytes             u32           56 place of entries   u32
//!      40 place of batch    u32           60 CRC32C of entries  u32
//!
//! trailer
//! byte  0 "HWSEALED"
//!       8 salt                  u64
//!      16 place of directory    u64
//!      24 bytes of directory    u32
//!      28 CRC32C of directory   u32
//!      32 first sequence number u64
//!      40 last sequence number  u64
//!      60 CRC32C of 0-59        u32
//! ```
//! Group 0 are the batches that were appended to the partition; 1, 2... (format 2) are its rewrites in this chunk in the
//! order in which they took effect: first and last offset are those of the range, which may hold no batch at all. All
//! lines of a partition stand together, by group.
//!
//! Little-endian. The trailer is written when the rest is synced, so a valid trailer has a whole footer.

use std::io::{self, IoSlice};
use std::sync::Arc;

use headwater_base::PartitionId;

use super::bytes::{PARTITION_BYTES, i64_at, partition_at, put, put_partition, u32_at, u64_at};
use super::chunk::Chunk;
use super::index::{ChunkIndex, IndexEntry, Slice, StoredEntries};
use super::ledger::{Extent, Ledger};
use crate::api::{BatchMeta, ReadError};

pub(super) const ENTRY_BYTES: usize = 44;
pub(super) const LINE_BYTES: usize = 64;
pub(super) const EXTENT_BYTES: usize = PARTITION_BYTES + 24;
pub(super) const TRAILER_BYTES: usize = 64;
/// Bytes of a footer besides entries, lines and extents.
pub(super) const FIXED_BYTES: usize = TRAILER_BYTES + 8;
const MAGIC: &[u8; 8] = b"HWSEALED";

/// What opening a sealed chunk reads.
pub(super) struct Sealed {
    pub slices: Vec<(PartitionId, Slice)>,
    pub ledger: Ledger,
    pub sequences: (u64, u64),
}

/// What is to be known of a full chunk to seal it.
pub(super) struct Full {
    pub chunk: Arc<Chunk>,
    /// Behind the last frame.
    pub frames_end: u64,
    pub index: Arc<ChunkIndex>,
    /// As of the last commit in it.
    pub ledger: Ledger,
    pub sequences: (u64, u64),
}

/// Writes the footer and syncs it, then the trailer.
pub(super) fn seal(full: &Full) -> io::Result<()> {
    let Full {
        chunk,
        index,
        ledger,
        sequences,
        ..
    } = full;
    let body_bytes = body_bytes(index, ledger) + TRAILER_BYTES;
    let Some(body_position) = chunk
        .bytes
        .checked_sub(body_bytes as u64)
        .filter(|at| *at >= full.frames_end)
    else {
        // The room was promised when the commits were taken; rather no footer than one over commits.
        return Err(io::Error::other("no room for the footer behind the frames"));
    };
    let (body, directory_at) = encode_body(chunk.number, body_position as usize, index, ledger);
    chunk
        .file
        .write_at(body_position, &mut [IoSlice::new(&body)])?;
    chunk.file.sync_data()?;
    let directory = &body[directory_at..];
    let mut trailer = [0; TRAILER_BYTES];
    put(&mut trailer, 0, MAGIC);
    put(&mut trailer, 8, &chunk.salt.to_le_bytes());
    put(
        &mut trailer,
        16,
        &(body_position + directory_at as u64).to_le_bytes(),
    );
    put(&mut trailer, 24, &(directory.len() as u32).to_le_bytes());
    put(
        &mut trailer,
        28,
        &headwater_base::crc32c(directory).to_le_bytes(),
    );
    put(&mut trailer, 32, &sequences.0.to_le_bytes());
    put(&mut trailer, 40, &sequences.1.to_le_bytes());
    let crc = headwater_base::crc32c(&trailer[..60]);
    put(&mut trailer, 60, &crc.to_le_bytes());
    chunk.file.write_at(
        chunk.bytes - TRAILER_BYTES as u64,
        &mut [IoSlice::new(&trailer)],
    )?;
    chunk.file.sync_data()
}

fn body_bytes(index: &ChunkIndex, ledger: &Ledger) -> usize {
    8 + index_bytes(index) + ledger.partitions.len() * EXTENT_BYTES
}

/// What entries and lines take.
pub(super) fn index_bytes(index: &ChunkIndex) -> usize {
    let groups = index.values().flat_map(|groups| groups.slices(0));
    groups
        .map(|(_, entries)| LINE_BYTES + entries.len() * ENTRY_BYTES)
        .sum()
}

/// Entries and directory, and where in it the directory begins.
fn encode_body(
    number: u64,
    body_position: usize,
    index: &ChunkIndex,
    ledger: &Ledger,
) -> (Vec<u8>, usize) {
    let mut partitions: Vec<_> = index.iter().collect();
    partitions.sort_unstable_by_key(|(partition, _)| **partition);
    let mut body = Vec::with_capacity(body_bytes(index, ledger));
    let mut lines = Vec::with_capacity(partitions.len());
    for (partition, groups) in partitions {
        for (slice, entries) in groups.slices(number) {
            let at = body.len();
            entries
                .iter()
                .for_each(|entry| body.extend_from_slice(&encode_entry(entry)));
            let stored = StoredEntries {
                position: (body_position + at) as u32,
                count: entries.len() as u32,
                crc: headwater_base::crc32c(&body[at..]),
            };
            lines.push(encode_line(*partition, &slice, &stored));
        }
    }
    let directory_at = body.len();
    body.extend_from_slice(&(lines.len() as u32).to_le_bytes());
    body.extend_from_slice(&(ledger.partitions.len() as u32).to_le_bytes());
    lines.iter().for_each(|line| body.extend_from_slice(line));
    let mut extents: Vec<_> = ledger.partitions.iter().collect();
    extents.sort_unstable_by_key(|(partition, _)| **partition);
    extents.iter().for_each(|(partition, extent)| {
        body.extend_from_slice(&encode_extent(**partition, extent))
    });
    (body, directory_at)
}

fn encode_entry(entry: &IndexEntry) -> [u8; ENTRY_BYTES] {
    let meta = &entry.meta;
    let mut out = [0; ENTRY_BYTES];
    put(&mut out, 0, &meta.base_offset.to_le_bytes());
    put(
        &mut out,
        8,
        &((meta.last_offset - meta.base_offset) as u32).to_le_bytes(),
    );
    put(&mut out, 12, &meta.max_timestamp.to_le_bytes());
    put(&mut out, 20, &meta.producer_id.to_le_bytes());
    put(&mut out, 28, &meta.producer_epoch.to_le_bytes());
    put(&mut out, 30, &meta.attributes.to_le_bytes());
    put(&mut out, 32, &meta.base_sequence.to_le_bytes());
    put(&mut out, 36, &meta.bytes.to_le_bytes());
    put(&mut out, 40, &entry.position.to_le_bytes());
    out
}

fn decode_entry(bytes: &[u8]) -> IndexEntry {
    let base_offset = i64_at(bytes, 0);
    let word = u32_at(bytes, 28);
    let meta = BatchMeta {
        base_offset,
        last_offset: base_offset + i64::from(u32_at(bytes, 8)),
        max_timestamp: i64_at(bytes, 12),
        producer_id: i64_at(bytes, 20),
        producer_epoch: word as i16,
        base_sequence: u32_at(bytes, 32) as i32,
        attributes: (word >> 16) as i16,
        bytes: u32_at(bytes, 36),
    };
    IndexEntry {
        meta,
        position: u32_at(bytes, 40),
    }
}

fn encode_line(partition: PartitionId, slice: &Slice, stored: &StoredEntries) -> [u8; LINE_BYTES] {
    let mut out = [0; LINE_BYTES];
    put_partition(&mut out, 0, partition);
    put(&mut out, 20, &stored.count.to_le_bytes());
    put(&mut out, 24, &slice.first.to_le_bytes());
    put(&mut out, 32, &slice.last.to_le_bytes());
    put(&mut out, 40, &slice.max_timestamp.to_le_bytes());
    put(&mut out, 48, &slice.bytes.to_le_bytes());
    put(&mut out, 52, &slice.group.to_le_bytes());
    put(&mut out, 56, &stored.position.to_le_bytes());
    put(&mut out, 60, &stored.crc.to_le_bytes());
    out
}

fn decode_line(chunk: u64, bytes: &[u8]) -> (PartitionId, Slice) {
    let stored = StoredEntries {
        count: u32_at(bytes, 20),
        position: u32_at(bytes, 56),
        crc: u32_at(bytes, 60),
    };
    let slice = Slice {
        chunk,
        group: u32_at(bytes, 52),
        first: i64_at(bytes, 24),
        last: i64_at(bytes, 32),
        max_timestamp: i64_at(bytes, 40),
        bytes: u32_at(bytes, 48),
        skipped: 0,
        stored: Some(stored),
    };
    (partition_at(bytes, 0), slice)
}

fn encode_extent(partition: PartitionId, extent: &Extent) -> [u8; EXTENT_BYTES] {
    let mut out = [0; EXTENT_BYTES];
    put_partition(&mut out, 0, partition);
    put(&mut out, 20, &extent.born.to_le_bytes());
    put(&mut out, 28, &extent.start.to_le_bytes());
    put(&mut out, 36, &extent.end.to_le_bytes());
    out
}

/// The directory of a sealed chunk; `None` when there is no whole footer, so that the frames have to be replayed.
pub(super) fn read(chunk: &Chunk) -> io::Result<Option<Sealed>> {
    if chunk.file.size()? < chunk.bytes {
        return Ok(None);
    }
    let trailer_at = chunk.bytes - TRAILER_BYTES as u64;
    let mut trailer = [0; TRAILER_BYTES];
    chunk.file.read_at(trailer_at, &mut trailer)?;
    let whole =
        &trailer[..8] == MAGIC && headwater_base::crc32c(&trailer[..60]) == u32_at(&trailer, 60);
    if !whole || u64_at(&trailer, 8) != chunk.salt {
        return Ok(None);
    }
    let (at, length) = (u64_at(&trailer, 16), u32_at(&trailer, 24));
    if at.checked_add(u64::from(length)) != Some(trailer_at) {
        return Ok(None);
    }
    let mut directory = vec![0; length as usize];
    chunk.file.read_at(at, &mut directory)?;
    if headwater_base::crc32c(&directory) != u32_at(&trailer, 28) {
        return Ok(None);
    }
    let sequences = (u64_at(&trailer, 32), u64_at(&trailer, 40));
    Ok(
        decode_directory(chunk.number, &directory).map(|(slices, ledger)| Sealed {
            slices,
            ledger,
            sequences,
        }),
    )
}

fn decode_directory(chunk: u64, directory: &[u8]) -> Option<(Vec<(PartitionId, Slice)>, Ledger)> {
    let counts = directory.get(..8)?;
    let lines_bytes = (u32_at(counts, 0) as usize).checked_mul(LINE_BYTES)?;
    let extents_bytes = (u32_at(counts, 4) as usize).checked_mul(EXTENT_BYTES)?;
    let lines = directory[8..].get(..lines_bytes)?;
    let extents = directory[8 + lines_bytes..].get(..extents_bytes)?;
    let slices = lines
        .chunks_exact(LINE_BYTES)
        .map(|line| decode_line(chunk, line))
        .collect();
    let extent = |bytes: &[u8]| {
        let extent = Extent {
            born: u64_at(bytes, 20),
            start: i64_at(bytes, 28),
            end: i64_at(bytes, 36),
        };
        (partition_at(bytes, 0), extent)
    };
    let partitions = extents.chunks_exact(EXTENT_BYTES).map(extent).collect();
    Some((slices, Ledger { partitions }))
}

/// A partition's entries in a sealed chunk, checked.
pub(super) fn read_entries(
    chunk: &Chunk,
    stored: &StoredEntries,
) -> Result<Vec<IndexEntry>, ReadError> {
    let length = stored.count as usize * ENTRY_BYTES;
    if u64::from(stored.position) + length as u64 > chunk.bytes {
        return Err(rotten(chunk, stored));
    }
    let mut bytes = vec![0; length];
    chunk.file.read_at(u64::from(stored.position), &mut bytes)?;
    if headwater_base::crc32c(&bytes) != stored.crc {
        return Err(rotten(chunk, stored));
    }
    Ok(bytes.chunks_exact(ENTRY_BYTES).map(decode_entry).collect())
}

fn rotten(chunk: &Chunk, stored: &StoredEntries) -> ReadError {
    let what = format!(
        "the index at byte {} of {} does not match its checksum",
        stored.position,
        chunk.name()
    );
    ReadError::Corrupt(what)
}
