//! Direct I/O: bytes go between the disk and our memory without a copy in the system's page cache.
//!
//! Pages of the cache are dear to get (see [`super::recycle`]). What is written is read from the log's own cache of the tail, and a
//! read from further behind would push out what others read. Positions, lengths and memory must be multiples of
//! [`BLOCK_BYTES`]. Where a file system has no direct I/O the caller reads and writes as usual.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::OFlags;

use super::BLOCK_BYTES;
use crate::local::pool::Pool;

/// A handle for direct reads and writes of a file.
pub(super) struct DirectFile(File);

impl DirectFile {
    /// Another handle on an open file, whatever its name is by now. `None` where the system or the file system has no such thing.
    pub fn open(file: &File) -> Option<Self> {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlags::DIRECT.bits() as i32)
            .open(path)
            .ok()
            .map(Self)
    }

    /// Writes whole blocks.
    pub fn write(&self, position: u64, blocks: &[u8]) -> io::Result<()> {
        self.0.write_all_at(blocks, position)
    }

    /// Reads so many bytes, or fails.
    pub fn read(&self, pool: &Arc<Pool>, position: u64, bytes: usize) -> io::Result<Bytes> {
        let front = (position % BLOCK_BYTES as u64) as usize;
        let whole = (front + bytes).next_multiple_of(BLOCK_BYTES);
        let mut lent = pool.lend_blocks(whole);
        let memory = lent.bytes_mut();
        let (mut read, block) = (0, position - front as u64);
        // The last block may end behind the end of the file.
        while read < front + bytes {
            let rest = &mut memory[read..];
            match self.0.read_at(rest, block + read as u64) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(some) => read += some,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(lent.part(front, front + bytes))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn direct_reads_give_what_ordinary_ones_give_wherever_they_begin_and_end() {
        let file = tempfile::tempfile_in(".").unwrap();
        let bytes: Vec<u8> = (0..3 * BLOCK_BYTES as u32 + 77)
            .map(|n| (n / 3) as u8)
            .collect();
        file.write_all_at(&bytes, 0).unwrap();
        let pool = Arc::default();
        let Some(direct) = DirectFile::open(&file) else {
            return;
        };
        for (from, length) in [
            (0, bytes.len()),
            (1, 10),
            (4095, 4098),
            (8192, 4096),
            (12_300, 65),
        ] {
            match direct.read(&pool, from as u64, length) {
                Ok(read) => assert_eq!(read, bytes[from..from + length], "{from}+{length}"),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::InvalidInput),
            }
        }
        assert!(direct.read(&pool, 12_300, 4096).is_err());
    }
}
