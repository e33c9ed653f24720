//! Reading the frames of a chunk that is not sealed.

use std::io;

use headwater_record::BatchHeader;

use super::chunk::{CHUNK_HEADER_BYTES, Chunk};
use super::frame::{
    Entry, FRAME_ALIGN, FrameHeader, ParsedCommit, parse_frame, parse_frame_header,
};
use super::index::{ChunkIndex, IndexEntry, RewriteGroup};
use super::ledger::Ledger;
use crate::api::BatchMeta;

/// What a chunk's frames hold.
pub(super) struct Replayed {
    pub index: ChunkIndex,
    /// Behind the last whole frame.
    pub position: usize,
    /// From here on all is zero; more than `position` where something is left of a torn write.
    pub data_end: usize,
    pub sequences: Option<(u64, u64)>,
    /// The last whole frame; it ends at `position`.
    pub last_frame: Vec<u8>,
}

/// Why a chunk cannot be replayed.
pub(super) enum ReplayFault {
    Io(io::Error),
    /// At this byte something is amiss that no torn write explains.
    Damaged(usize, String),
}

/// Folds the frames into `ledger`. The first frame must have the sequence number `expected`.
pub(super) fn replay(
    chunk: &Chunk,
    expected: u64,
    ledger: &mut Ledger,
) -> Result<Replayed, ReplayFault> {
    let data_end = chunk
        .file
        .data_end()
        .map_err(ReplayFault::Io)?
        .min(chunk.bytes) as usize;
    let mut bytes = vec![0; data_end.max(CHUNK_HEADER_BYTES)];
    chunk.file.read_at(0, &mut bytes).map_err(ReplayFault::Io)?;
    let mut walk = Walk {
        bytes,
        at: CHUNK_HEADER_BYTES,
        chunk,
        expected,
        index: ChunkIndex::new(),
    };
    let mut sequences = None;
    let mut last_frame_at = walk.at;
    while let Some((header, commits)) = walk.next_frame() {
        for commit in &commits {
            walk.fold(commit, ledger)
                .map_err(|what| ReplayFault::Damaged(walk.at, what.to_owned()))?;
        }
        let next = header.first_sequence + header.commits as u64;
        let (first, _) = sequences.unwrap_or((header.first_sequence, 0));
        sequences = Some((first, next - 1));
        walk.expected = next;
        last_frame_at = walk.at;
        walk.at += header.bytes;
    }
    walk.check_tail()?;
    let used = walk
        .bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |at| at + 1);
    Ok(Replayed {
        position: walk.at,
        data_end: used.max(walk.at),
        index: walk.index,
        sequences,
        last_frame: walk.bytes[last_frame_at..walk.at].to_vec(),
    })
}

struct Walk<'a> {
    /// The chunk's bytes, without the zeros at its end.
    bytes: Vec<u8>,
    at: usize,
    chunk: &'a Chunk,
    /// Sequence number of the next frame.
    expected: u64,
    index: ChunkIndex,
}

impl Walk<'_> {
    fn next_frame(&mut self) -> Option<(FrameHeader, Vec<ParsedCommit>)> {
        let header = parse_frame_header(self.bytes.get(self.at..)?, self.chunk.salt)?;
        let end = self.at + header.bytes;
        if end > self.bytes.len() && end as u64 <= self.chunk.bytes {
            // The frame ends in zeros.
            self.bytes.resize(end, 0);
        }
        if header.first_sequence != self.expected || header.commits == 0 {
            return None;
        }
        Some((header, parse_frame(&self.bytes[self.at..], &header)?))
    }

    fn fold(&mut self, commit: &ParsedCommit, ledger: &mut Ledger) -> Result<(), &'static str> {
        let mut positions = commit.positions.iter();
        for entry in &commit.entries {
            let mut last_offset = 0;
            match entry {
                Entry::Append {
                    partition, bytes, ..
                } => {
                    let found = self.entry_at(positions.next(), *bytes)?;
                    last_offset = found.meta.last_offset;
                    self.index.entry(*partition).or_default().append(found);
                }
                Entry::Placed {
                    partition, bytes, ..
                } => {
                    let found = self.entry_at(positions.next(), *bytes)?;
                    let groups = self.index.get_mut(partition);
                    let rewrite = groups.and_then(|groups| groups.rewrites.last_mut());
                    place(rewrite.ok_or("a batch is placed without a rewrite")?, found)?;
                }
                Entry::Rewrite {
                    partition,
                    from,
                    to,
                } => {
                    let groups = self.index.entry(*partition).or_default();
                    groups.rewrites.push(RewriteGroup {
                        from: *from,
                        to: *to,
                        entries: Vec::new(),
                    });
                }
                Entry::Drop { partition } => drop(self.index.remove(partition)),
                Entry::Trim { .. } => {}
            }
            ledger.apply(self.chunk.number, entry, last_offset)?;
        }
        Ok(())
    }

    /// The index entry of a batch of the frame at hand.
    fn entry_at(&self, position: Option<&usize>, bytes: u32) -> Result<IndexEntry, &'static str> {
        let at = self.at + position.ok_or("a commit has fewer batches than entries")?;
        let header = BatchHeader::parse(&self.bytes[at..at + bytes as usize])
            .map_err(|_| "a batch has no valid header")?;
        Ok(IndexEntry {
            meta: BatchMeta::from(&header),
            position: at as u32,
        })
    }

    /// What lies behind the last whole frame may be the rest of one torn write, which was never synced. A whole frame
    /// there was written after the torn one had been synced: then the torn one is not torn but damaged.
    fn check_tail(&self) -> Result<(), ReplayFault> {
        let mut at = self.at;
        while at < self.bytes.len() {
            if let Some(header) = parse_frame_header(&self.bytes[at..], self.chunk.salt)
                && header.first_sequence > self.expected
            {
                let what = format!(
                    "commit {} cannot be read, though commit {} at byte {at}, written later, is there",
                    self.expected, header.first_sequence
                );
                return Err(ReplayFault::Damaged(self.at, what));
            }
            at += FRAME_ALIGN;
        }
        Ok(())
    }
}

/// Takes a batch into the rewrite that it belongs to.
fn place(rewrite: &mut RewriteGroup, entry: IndexEntry) -> Result<(), &'static str> {
    let before = rewrite.entries.last();
    let next = before.map_or(rewrite.from, |entry| entry.meta.last_offset + 1);
    let meta = &entry.meta;
    if meta.base_offset < next
        || meta.last_offset < meta.base_offset
        || meta.last_offset >= rewrite.to
    {
        return Err("a batch is placed outside of its rewrite");
    }
    rewrite.entries.push(entry);
    Ok(())
}
