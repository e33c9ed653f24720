//! A chunk: one preallocated file of the WAL.
//!
//! ```text
//! file  wal-00000000000000000042.chunk
//!       | chunk header, 64 | frames (see `frame`) ... | zeros | footer (see `footer`), once sealed |
//!
//! header, little-endian
//! byte  0 "HWCHUNK1"
//!       8 format         u32   1, or 2: with rewrites
//!      16 number         u64   as in the file name
//!      24 salt           u64   drawn at creation; starts every frame of this chunk
//!      32 bytes          u64   that the file may take; it ends behind the last frame until it is sealed
//!      60 CRC32C         u32   over bytes 0-59
//! ```
//! A file is made under a temporary name, filled, synced, renamed and the folder synced, so that every file of this
//! name has a whole header.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::bytes::{put, u32_at, u64_at};
use super::disk::{Disk, DiskFile};

pub(super) const CHUNK_HEADER_BYTES: usize = 64;
pub(super) const FORMAT: u32 = 2;
const MAGIC: &[u8; 8] = b"HWCHUNK1";
const TEMPORARY: &str = "wal.tmp";

/// An open chunk.
pub(super) struct Chunk {
    pub number: u64,
    pub salt: u64,
    pub bytes: u64,
    pub file: Arc<dyn DiskFile>,
    /// Partitions that readers have begun to read here.
    pub readers: AtomicU32,
    durable_end: AtomicU64,
}

/// What is wrong with a chunk's header.
pub(super) enum HeaderFault {
    NewerFormat(u32),
    Damaged(&'static str),
    Io(io::Error),
}

pub(super) fn file_name(number: u64) -> String {
    format!("wal-{number:020}.chunk")
}

/// The chunk number of a file name; `None` for other files.
pub(super) fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix("wal-")?
        .strip_suffix(".chunk")?
        .parse()
        .ok()
}

impl Chunk {
    /// Makes a new, empty chunk and syncs it.
    pub fn create(disk: &dyn Disk, number: u64, bytes: u64) -> io::Result<Chunk> {
        let file = disk.create(TEMPORARY, bytes)?;
        let salt = disk.entropy() | 1;
        let header = encode(number, salt, bytes);
        file.write_at(0, &mut [IoSlice::new(&header)])?;
        file.sync_data()?;
        disk.rename(TEMPORARY, &file_name(number))?;
        disk.sync_dir()?;
        Ok(Chunk {
            number,
            salt,
            bytes,
            file,
            readers: AtomicU32::new(0),
            durable_end: AtomicU64::new(0),
        })
    }

    pub fn open(disk: &dyn Disk, number: u64) -> Result<Chunk, HeaderFault> {
        let file = disk.open(&file_name(number)).map_err(HeaderFault::Io)?;
        let size = file.size().map_err(HeaderFault::Io)?;
        if size < CHUNK_HEADER_BYTES as u64 {
            return Err(HeaderFault::Damaged("the file is shorter than its header"));
        }
        let mut header = [0; CHUNK_HEADER_BYTES];
        file.read_at(0, &mut header).map_err(HeaderFault::Io)?;
        if &header[..8] != MAGIC || headwater_base::crc32c(&header[..60]) != u32_at(&header, 60) {
            return Err(HeaderFault::Damaged("this is not the header of a chunk"));
        }
        if u32_at(&header, 8) > FORMAT {
            return Err(HeaderFault::NewerFormat(u32_at(&header, 8)));
        }
        if u64_at(&header, 16) != number {
            return Err(HeaderFault::Damaged(
                "the chunk has another number than its file name says",
            ));
        }
        let bytes = u64_at(&header, 32);
        if size > bytes {
            return Err(HeaderFault::Damaged(
                "the file is larger than its header says",
            ));
        }
        Ok(Chunk {
            number,
            salt: u64_at(&header, 24),
            bytes,
            file,
            readers: AtomicU32::new(0),
            durable_end: AtomicU64::new(0),
        })
    }

    /// What has been written and synced up to here since the start does not change any more; there may be more.
    pub fn durable_end(&self) -> u64 {
        self.durable_end.load(Ordering::Relaxed)
    }

    pub fn set_durable_end(&self, end: u64) {
        self.durable_end.store(end, Ordering::Relaxed);
    }

    pub fn name(&self) -> String {
        file_name(self.number)
    }
}

fn encode(number: u64, salt: u64, bytes: u64) -> [u8; CHUNK_HEADER_BYTES] {
    let mut header = [0; CHUNK_HEADER_BYTES];
    put(&mut header, 0, MAGIC);
    put(&mut header, 8, &FORMAT.to_le_bytes());
    put(&mut header, 16, &number.to_le_bytes());
    put(&mut header, 24, &salt.to_le_bytes());
    put(&mut header, 32, &bytes.to_le_bytes());
    let crc = headwater_base::crc32c(&header[..60]);
    put(&mut header, 60, &crc.to_le_bytes());
    header
}
