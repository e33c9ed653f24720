//! Frames on their way past the system's page cache: copied into whole blocks, which the disk takes from our memory.
//!
//! ```text
//! block   |  frame n-1 ..... | frame n ............                       |
//! write 1 |  frame n-1 ..... | zeros |
//! write 2                    .       .
//!         |  the same bytes  | frame n, to the end of a block, then zeros |
//! ```
//! The block in which a frame begins holds the end of the frame before it, which is durable. It is written again with the same
//! bytes in front, so that whichever sectors of it a power cut lets through, those bytes are there. A write through the
//! cache does no less: the system, too, writes whole blocks. Knows nothing of what frames hold.

use std::io;
use std::sync::Arc;

use super::chunk::Chunk;
use super::disk::BLOCK_BYTES;
use super::pool::{Lent, Pool};

/// Copied and written at a time, from one large page.
const STAGE_BYTES: usize = 2 * 1024 * 1024;

/// See the module. One for the writer.
#[derive(Default)]
pub(super) struct Stage {
    pool: Arc<Pool>,
    /// Taken when first needed.
    memory: Option<Lent>,
    /// What lies in front of the next frame in its block.
    front: Option<Front>,
    /// The disk takes no blocks.
    refused: bool,
}

/// The bytes from a block's beginning up to a position.
struct Front {
    chunk: u64,
    position: u64,
    bytes: Vec<u8>,
}

impl Stage {
    /// Writes all of `parts`, one behind the other. False when they have to be written as usual: the disk takes no blocks,
    /// or the last one would not fit into the chunk.
    ///
    /// # Errors
    /// The write failed; some of it may have been written. It may be tried again in the same place.
    pub fn write(&mut self, chunk: &Chunk, position: u64, parts: &[&[u8]]) -> io::Result<bool> {
        let bytes: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let end = position + bytes;
        if self.refused || end.next_multiple_of(BLOCK_BYTES as u64) > chunk.bytes {
            self.front = None;
            return Ok(false);
        }
        let front = self.front(chunk, position)?;
        let mut blocks = Blocks {
            chunk,
            at: position - front.len() as u64,
            room: self
                .memory
                .get_or_insert_with(|| self.pool.lend_blocks(STAGE_BYTES))
                .bytes_mut(),
            filled: 0,
        };
        let whole = [&front[..]].into_iter().chain(parts.iter().copied());
        let written = blocks.write_all(whole)?;
        self.refused = written.is_none();
        self.front = written.map(|bytes| Front {
            chunk: chunk.number,
            position: end,
            bytes,
        });
        Ok(self.front.is_some())
    }

    /// What lies in front of this position in its block: known from the write before, or read.
    fn front(&mut self, chunk: &Chunk, position: u64) -> io::Result<Vec<u8>> {
        let known = |front: &&Front| (front.chunk, front.position) == (chunk.number, position);
        if let Some(front) = self.front.as_ref().filter(known) {
            return Ok(front.bytes.clone());
        }
        let mut bytes = vec![0; (position % BLOCK_BYTES as u64) as usize];
        if !bytes.is_empty() {
            chunk
                .file
                .read_at(position - bytes.len() as u64, &mut bytes)?;
        }
        Ok(bytes)
    }
}

/// Blocks being filled.
struct Blocks<'a> {
    chunk: &'a Chunk,
    /// Where the room's first byte goes.
    at: u64,
    room: &'a mut [u8],
    filled: usize,
}

impl Blocks<'_> {
    /// Writes everything. Gives what is in the last block when that is not full; `None` when the disk takes no blocks.
    fn write_all<'b>(
        &mut self,
        parts: impl Iterator<Item = &'b [u8]>,
    ) -> io::Result<Option<Vec<u8>>> {
        for mut part in parts {
            while !part.is_empty() {
                let (now, later) = part.split_at(part.len().min(self.room.len() - self.filled));
                self.room[self.filled..self.filled + now.len()].copy_from_slice(now);
                self.filled += now.len();
                part = later;
                if self.filled == self.room.len() && !self.flush()? {
                    return Ok(None);
                }
            }
        }
        let whole = self.filled.next_multiple_of(BLOCK_BYTES);
        let left = self.room[self.filled / BLOCK_BYTES * BLOCK_BYTES..self.filled].to_vec();
        self.room[self.filled..whole].fill(0);
        self.filled = whole;
        Ok(self.flush()?.then_some(left))
    }

    fn flush(&mut self) -> io::Result<bool> {
        let blocks = &self.room[..self.filled];
        if !blocks.is_empty() && !self.chunk.file.write_blocks(self.at, blocks)? {
            return Ok(false);
        }
        self.at += self.filled as u64;
        self.filled = 0;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use headwater_record::fuzz::Mutator;

    use super::*;
    use crate::local::chunk::CHUNK_HEADER_BYTES;
    use crate::local::disk::{Disk, FaultDisk, RealDisk};

    /// Writes pieces one behind the other, by a new stage now and then, and compares what is read.
    fn check(disk: &dyn Disk, seed: u64) {
        let chunk = Chunk::create(disk, seed, 8 * 1024 * 1024).unwrap();
        let mut rng = Mutator::new(seed);
        let mut expected = vec![0; CHUNK_HEADER_BYTES];
        chunk.file.read_at(0, &mut expected).unwrap();
        let mut stage = Stage::default();
        for _ in 0..40 {
            if rng.below(5) == 0 {
                stage = Stage::default();
            }
            let most = [100, 5000, 70_000, 3 * STAGE_BYTES / 2][rng.below(4)];
            let parts: Vec<Vec<u8>> = (0..1 + rng.below(3))
                .map(|_| vec![1 + rng.below(250) as u8; rng.below(most)])
                .collect();
            let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            let position = expected.len() as u64;
            if !stage.write(&chunk, position, &parts).unwrap() {
                break;
            }
            expected.extend(parts.concat());
            let mut found = vec![0; expected.len()];
            chunk.file.read_at(0, &mut found).unwrap();
            assert!(found == expected, "seed {seed}");
        }
        assert!(expected.len() > STAGE_BYTES);
    }

    #[test]
    fn frames_lie_one_behind_the_other_whatever_their_sizes() {
        (0..20).for_each(|seed| check(&FaultDisk::new(seed), seed));
        let folder = tempfile::tempdir_in(".").unwrap();
        check(&RealDisk::new(folder.path()).unwrap(), 1);
    }

    #[test]
    fn what_does_not_fit_or_is_not_taken_is_left_to_be_written_as_usual() {
        let disk = FaultDisk::new(1);
        let chunk = Arc::new(Chunk::create(&disk, 1, 10_000).unwrap());
        let mut stage = Stage::default();
        assert!(stage.write(&chunk, 64, &[&[1; 8000]]).unwrap());
        assert!(!stage.write(&chunk, 8064, &[&[2; 1000]]).unwrap());
        disk.refuse_blocks();
        assert!(!Stage::default().write(&chunk, 64, &[&[3; 10]]).unwrap());
    }
}
