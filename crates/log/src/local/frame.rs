//! Frames: what one write and one fdatasync make durable, one or more commits.
//!
//! ```text
//! frame | frame header, 32 | commit | commit | ... | zeros up to a multiple of 16 |
//!
//! frame header, little-endian           commit header, little-endian
//! byte  0 salt of the chunk   u64       byte  0 bytes of the commit  u32
//!       8 bytes of the frame  u32             4 entries              u32
//!      12 commits             u32             8 sequence number      u64
//!      16 first sequence no.  u64            16 zero                 u32
//!      28 CRC32C of 0-27      u32            20 CRC32C of 0-19 and the entries
//!
//! commit | commit header, 24 | entry, 40 | entry | ... | batch | batch | ... |
//!
//! entry
//! byte  0 topic id, partition index     16 + i32
//!      20 kind  1 append, 2 trim, 3 drop, 4 rewrite, 5 placed                   u8
//!      24 append, placed: base offset, trim: start, rewrite: first offset       i64
//!      32 append, placed: bytes of the batch   u32 | rewrite: behind the last   i64
//!      36 append, placed: CRC32C in its header u32 |
//! ```
//! A rewrite is followed by the batches that it places (format 2). Batches lie in the order of their entries.
//! The batches are not read a second time for a checksum of the frame. Each carries its own CRC32C over all but its first
//! 21 bytes; of those, length, base offset and CRC are repeated in the entry, leader epoch is zero and magic is 2. So
//! every byte of a commit is checked by recovery, with the same polynomial as one checksum over all would use.
//!
//! Sequence numbers count commits without a gap over all chunks. A frame of sequence `n` is written only after the
//! frame before it is synced: where an invalid frame is followed by a valid one, synced data has been damaged. The
//! salt keeps bytes inside records (which clients choose) from posing as frames.

use bytes::Bytes;
use headwater_base::{Offset, PartitionId};
use headwater_record::header::{CRC_FROM, HEADER_BYTES};

use super::bytes::{i64_at, partition_at, put, put_partition, u32_at, u64_at};

pub(super) const FRAME_HEADER_BYTES: usize = 32;
pub(super) const COMMIT_HEADER_BYTES: usize = 24;
pub(super) const ENTRY_BYTES: usize = 40;
pub(super) const FRAME_ALIGN: usize = 16;
/// The leader epoch of every batch: a local log has one leader for life.
pub(super) const LEADER_EPOCH: i32 = 0;

const KIND_APPEND: u8 = 1;
const KIND_TRIM: u8 = 2;
const KIND_DROP: u8 = 3;
const KIND_REWRITE: u8 = 4;
const KIND_PLACED: u8 = 5;

/// One line of a commit's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Append {
        partition: PartitionId,
        base_offset: Offset,
        bytes: u32,
        crc: u32,
    },
    Trim {
        partition: PartitionId,
        start: Offset,
    },
    Drop {
        partition: PartitionId,
    },
    /// From here on the range holds what the `Placed` entries behind this one say.
    Rewrite {
        partition: PartitionId,
        from: Offset,
        to: Offset,
    },
    Placed {
        partition: PartitionId,
        base_offset: Offset,
        bytes: u32,
        crc: u32,
    },
}

/// Bytes of a commit with so many entries and bytes of batches.
pub(super) fn commit_bytes(entries: usize, batch_bytes: usize) -> usize {
    COMMIT_HEADER_BYTES + entries * ENTRY_BYTES + batch_bytes
}

/// Lays a commit out: room for header and table, and the batches copied behind it.
pub(super) fn lay_out(buffer: &mut [u8], entries: usize, batches: impl Iterator<Item = Bytes>) {
    let (front, mut rest) = buffer.split_at_mut(COMMIT_HEADER_BYTES + entries * ENTRY_BYTES);
    front.fill(0);
    for batch in batches {
        let (place, behind) = rest.split_at_mut(batch.len());
        place.copy_from_slice(&batch);
        rest = behind;
    }
}

/// Fills in header and table once offsets and sequence number are known.
pub(super) fn finish_commit(buffer: &mut [u8], sequence: u64, entries: &[Entry]) {
    let bytes = buffer.len() as u32;
    put(buffer, 0, &bytes.to_le_bytes());
    put(buffer, 4, &(entries.len() as u32).to_le_bytes());
    put(buffer, 8, &sequence.to_le_bytes());
    for (i, entry) in entries.iter().enumerate() {
        put_entry(
            &mut buffer[COMMIT_HEADER_BYTES + i * ENTRY_BYTES..][..ENTRY_BYTES],
            entry,
        );
    }
    let crc = commit_crc(buffer, entries.len());
    put(buffer, 20, &crc.to_le_bytes());
}

fn commit_crc(commit: &[u8], entries: usize) -> u32 {
    let table = &commit[COMMIT_HEADER_BYTES..][..entries * ENTRY_BYTES];
    headwater_base::crc32c_both(&commit[..20], table)
}

fn put_entry(line: &mut [u8], entry: &Entry) {
    let (partition, kind, offset) = match *entry {
        Entry::Append {
            partition,
            base_offset,
            bytes,
            crc,
        }
        | Entry::Placed {
            partition,
            base_offset,
            bytes,
            crc,
        } => {
            put(line, 32, &bytes.to_le_bytes());
            put(line, 36, &crc.to_le_bytes());
            let kind = match entry {
                Entry::Placed { .. } => KIND_PLACED,
                _ => KIND_APPEND,
            };
            (partition, kind, base_offset)
        }
        Entry::Rewrite {
            partition,
            from,
            to,
        } => {
            put(line, 32, &to.to_le_bytes());
            (partition, KIND_REWRITE, from)
        }
        Entry::Trim { partition, start } => (partition, KIND_TRIM, start),
        Entry::Drop { partition } => (partition, KIND_DROP, 0),
    };
    put_partition(line, 0, partition);
    line[20] = kind;
    put(line, 24, &offset.to_le_bytes());
}

fn entry_at(line: &[u8]) -> Option<Entry> {
    let partition = partition_at(line, 0);
    match line[20] {
        KIND_APPEND => Some(Entry::Append {
            partition,
            base_offset: i64_at(line, 24),
            bytes: u32_at(line, 32),
            crc: u32_at(line, 36),
        }),
        KIND_TRIM => Some(Entry::Trim {
            partition,
            start: i64_at(line, 24),
        }),
        KIND_DROP => Some(Entry::Drop { partition }),
        KIND_REWRITE => Some(Entry::Rewrite {
            partition,
            from: i64_at(line, 24),
            to: i64_at(line, 32),
        }),
        KIND_PLACED => Some(Entry::Placed {
            partition,
            base_offset: i64_at(line, 24),
            bytes: u32_at(line, 32),
            crc: u32_at(line, 36),
        }),
        _ => None,
    }
}

/// The header of a frame whose commits take `commit_bytes`, and the zeros that end it.
pub(super) fn frame_header(
    salt: u64,
    first_sequence: u64,
    commits: usize,
    commit_bytes: usize,
) -> ([u8; 32], usize) {
    let unpadded = FRAME_HEADER_BYTES + commit_bytes;
    let padding = unpadded.next_multiple_of(FRAME_ALIGN) - unpadded;
    let mut header = [0; FRAME_HEADER_BYTES];
    put(&mut header, 0, &salt.to_le_bytes());
    put(&mut header, 8, &((unpadded + padding) as u32).to_le_bytes());
    put(&mut header, 12, &(commits as u32).to_le_bytes());
    put(&mut header, 16, &first_sequence.to_le_bytes());
    let crc = headwater_base::crc32c(&header[..28]);
    put(&mut header, 28, &crc.to_le_bytes());
    (header, padding)
}

/// A frame header as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub bytes: usize,
    pub commits: usize,
    pub first_sequence: u64,
}

/// The frame header at the front of `bytes`, if there is a valid one.
pub(super) fn parse_frame_header(bytes: &[u8], salt: u64) -> Option<FrameHeader> {
    let header = bytes.first_chunk::<FRAME_HEADER_BYTES>()?;
    if u64_at(header, 0) != salt || headwater_base::crc32c(&header[..28]) != u32_at(header, 28) {
        return None;
    }
    let first_sequence = u64_at(header, 16);
    Some(FrameHeader {
        bytes: u32_at(header, 8) as usize,
        commits: u32_at(header, 12) as usize,
        first_sequence,
    })
}

/// A commit as read: its table, and the batches with their places in the frame.
pub(super) struct ParsedCommit {
    pub sequence: u64,
    pub entries: Vec<Entry>,
    /// Per append and placed batch: its position from the front of the frame.
    pub positions: Vec<usize>,
}

/// The commits of the frame at the front of `bytes`, every byte of them checked; `None` where anything is amiss.
pub(super) fn parse_frame(bytes: &[u8], header: &FrameHeader) -> Option<Vec<ParsedCommit>> {
    let frame = bytes.get(..header.bytes)?;
    let mut commits = Vec::new();
    let mut at = FRAME_HEADER_BYTES;
    for i in 0..header.commits {
        let (commit, length) = parse_commit(frame, at)?;
        if commit.sequence != header.first_sequence.checked_add(i as u64)? {
            return None;
        }
        commits.push(commit);
        at += length;
    }
    let padding = frame.get(at..)?;
    (padding.len() < FRAME_ALIGN && padding.iter().all(|byte| *byte == 0)).then_some(commits)
}

fn parse_commit(frame: &[u8], at: usize) -> Option<(ParsedCommit, usize)> {
    let rest = frame.get(at..)?;
    let length = u32_at(rest.get(..COMMIT_HEADER_BYTES)?, 0) as usize;
    let commit = rest.get(..length)?;
    let count = u32_at(rest, 4) as usize;
    let table_bytes = count.checked_mul(ENTRY_BYTES)?;
    let table = commit.get(COMMIT_HEADER_BYTES..)?.get(..table_bytes)?;
    if commit_crc(commit, count) != u32_at(commit, 20) {
        return None;
    }
    let entries: Vec<Entry> = table
        .chunks_exact(ENTRY_BYTES)
        .map(entry_at)
        .collect::<Option<_>>()?;
    let mut positions = Vec::with_capacity(count);
    let mut place = COMMIT_HEADER_BYTES + table_bytes;
    for entry in &entries {
        if let Entry::Append { bytes, .. } | Entry::Placed { bytes, .. } = entry {
            let batch = commit.get(place..)?.get(..*bytes as usize)?;
            if !batch_is(batch, entry) {
                return None;
            }
            positions.push(at + place);
            place += batch.len();
        }
    }
    let sequence = u64_at(commit, 8);
    (place == length).then_some((
        ParsedCommit {
            sequence,
            entries,
            positions,
        },
        length,
    ))
}

/// Whether these bytes are, to the last one, the batch that the entry speaks of.
fn batch_is(batch: &[u8], entry: &Entry) -> bool {
    let (Entry::Append {
        base_offset, crc, ..
    }
    | Entry::Placed {
        base_offset, crc, ..
    }) = *entry
    else {
        return false;
    };
    batch_is_intact(batch, base_offset) && batch[17..21] == crc.to_be_bytes()
}

/// Whether these bytes are a whole batch of this base offset whose CRC holds.
pub(super) fn batch_is_intact(batch: &[u8], base_offset: Offset) -> bool {
    batch.len() >= HEADER_BYTES
        && batch[..8] == base_offset.to_be_bytes()
        && batch[8..12] == (batch.len() as i32 - 12).to_be_bytes()
        && batch[12..16] == LEADER_EPOCH.to_be_bytes()
        && batch[16] == 2
        && batch[17..21] == headwater_base::crc32c(&batch[CRC_FROM..]).to_be_bytes()
}
