//! The seam between the log and a file system: one flat folder. Knows nothing of what is in the files.

mod direct;
pub mod fault;
mod real;
mod recycle;

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

pub use fault::FaultDisk;
pub use real::RealDisk;

/// Positions, lengths and memory of what goes past the system's cache are multiples of it: no disk in use has larger
/// sectors.
pub const BLOCK_BYTES: usize = 4096;

/// A folder of files. What it did is only certain after [`DiskFile::sync_data`] and [`Disk::sync_dir`].
pub trait Disk: Send + Sync + 'static {
    /// Where it is, for messages.
    fn path(&self) -> &Path;
    /// Makes (or replaces) a file that takes the space of `bytes` from the disk now. It reads as zeros, or ends early.
    /// On failure nothing of it is left.
    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn DiskFile>>;
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    fn list(&self) -> io::Result<Vec<String>>;
    fn sync_dir(&self) -> io::Result<()>;
    /// Takes the folder for this process until the guard is dropped; `Err(Some(process))` when somebody has it.
    fn lock(&self, name: &str) -> io::Result<Result<Box<dyn DiskLock>, Option<u32>>>;
    /// A number that nobody outside can guess.
    fn entropy(&self) -> u64;
}

/// Holds a folder; dropping it lets go.
pub trait DiskLock: Send + Sync {}

/// An open file. Positions are in bytes from its front.
pub trait DiskFile: Send + Sync {
    fn size(&self) -> io::Result<u64>;
    /// Writes all of `parts`, one behind the other.
    fn write_at(&self, position: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()>;
    /// Writes whole blocks of [`BLOCK_BYTES`] past the system's cache, from memory that begins at such a multiple, too.
    /// False where there is no such thing: then they have to be written as usual.
    fn write_blocks(&self, position: u64, blocks: &[u8]) -> io::Result<bool>;
    /// Fills `buffer` or fails.
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<()>;
    /// So many bytes, or an error: for large pieces, which need not take the system's memory.
    fn read_bytes(&self, position: u64, bytes: usize) -> io::Result<Bytes> {
        let mut buffer = BytesMut::zeroed(bytes);
        self.read_at(position, &mut buffer)?;
        Ok(buffer.freeze())
    }
    fn sync_data(&self) -> io::Result<()>;
    /// A position from which on all bytes are zero, or the file has ended.
    fn data_end(&self) -> io::Result<u64>;
    /// A hint that all of the file will be read soon, in small pieces.
    fn will_be_read(&self) {}
    /// A hint that the file will hardly be read soon: the system may use its memory for other files.
    fn forget_cached(&self);
}
