//! A folder of the operating system.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use rustix::fs::{Advice, FallocateFlags, FlockOperation, fadvise, fallocate, flock};
use rustix::io::{Errno, ReadWriteFlags, preadv2, pwritev};

use super::direct::DirectFile;
use super::recycle::Recycler;
use super::{Disk, DiskFile, DiskLock};
use crate::local::pool::Pool;

/// Most parts that one system call takes (`IOV_MAX`).
const PARTS_MAX: usize = 1024;

/// Smaller reads go through the system's cache: there is little to save, and what is small is often read again.
const DIRECT_BYTES_MIN: usize = 32 * 1024;

/// See the module.
pub struct RealDisk {
    path: PathBuf,
    recycler: Arc<Recycler>,
    pool: Arc<Pool>,
}

impl RealDisk {
    /// Opens the folder, made if it is not there.
    pub fn new(path: &Path) -> io::Result<Self> {
        let missing: Vec<&Path> = path
            .ancestors()
            .take_while(|folder| !folder.exists())
            .collect();
        fs::create_dir_all(path)?;
        for folder in missing {
            // A new folder is only there after a power cut when the one that holds it has been synced.
            let parent = folder
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty())
                .unwrap_or(Path::new("."));
            File::open(parent)?.sync_all()?;
        }
        Ok(Self {
            path: path.to_owned(),
            recycler: Arc::default(),
            pool: Arc::default(),
        })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn file(&self, file: File) -> Arc<dyn DiskFile> {
        Arc::new(RealFile {
            file,
            direct: OnceLock::new(),
            direct_works: AtomicBool::new(true),
            recycler: Arc::clone(&self.recycler),
            pool: Arc::clone(&self.pool),
        })
    }

    /// Takes the space; that of removed files, too, where there is no other.
    fn preallocate(&self, file: &File, bytes: u64) -> io::Result<()> {
        self.recycler.close_done();
        match preallocate(file, bytes) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                match self.recycler.give_up_removed() {
                    true => preallocate(file, bytes),
                    false => Err(error),
                }
            }
            done => done,
        }
    }
}

impl Disk for RealDisk {
    fn path(&self) -> &Path {
        &self.path
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.at(name);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)?;
        if let Err(error) = self.preallocate(&file, bytes) {
            // The first error is the one to tell; a file left over is overwritten by the next try.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(self.file(file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.at(name))?;
        Ok(self.file(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.at(from), self.at(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.recycler.close_done();
        let path = self.at(name);
        // Without a handle it is removed all the same.
        let kept = File::open(&path);
        fs::remove_file(&path)?;
        if let Ok(file) = kept {
            // What is not kept in memory is fetched again.
            let _ = self.recycler.add(file, true);
        }
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn lock(&self, name: &str) -> io::Result<Result<Box<dyn DiskLock>, Option<u32>>> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.at(name))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut text = String::new();
                file.read_to_string(&mut text)?;
                return Ok(Err(text.trim().parse().ok()));
            }
            Err(error) => return Err(error.into()),
        }
        file.set_len(0)?;
        file.write_all(format!("{}\n", std::process::id()).as_bytes())?;
        Ok(Ok(Box::new(RealLock { _file: file })))
    }

    fn entropy(&self) -> u64 {
        RandomState::new().hash_one(std::process::id())
    }
}

/// The lock lives as long as the open file.
struct RealLock {
    _file: File,
}

impl DiskLock for RealLock {}

fn preallocate(file: &File, bytes: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes) {
        Ok(()) => Ok(()),
        Err(Errno::OPNOTSUPP) => write_zeros(file, bytes),
        Err(error) => Err(error.into()),
    }
}

/// For file systems that cannot preallocate: the space is taken by writing.
fn write_zeros(file: &File, bytes: u64) -> io::Result<()> {
    let zeros = vec![0; 1 << 20];
    let mut at = 0;
    while at < bytes {
        let length = zeros.len().min((bytes - at) as usize);
        file.write_all_at(&zeros[..length], at)?;
        at += length as u64;
    }
    Ok(())
}

struct RealFile {
    file: File,
    /// Opened when first needed.
    direct: OnceLock<Option<DirectFile>>,
    /// Until the file system refuses it.
    direct_works: AtomicBool,
    recycler: Arc<Recycler>,
    pool: Arc<Pool>,
}

impl RealFile {
    /// For a read of so many bytes from here.
    fn direct(&self, position: u64, bytes: usize) -> Option<&DirectFile> {
        // Where writes go past the cache nothing is in it; and looking makes the system read ahead.
        if bytes < DIRECT_BYTES_MIN || !self.recycler.is_idle() && self.is_cached(position) {
            return None;
        }
        self.direct_handle()
    }

    fn direct_handle(&self) -> Option<&DirectFile> {
        if !self.direct_works.load(Ordering::Relaxed) {
            return None;
        }
        let open = || DirectFile::open(&self.file);
        self.direct.get_or_init(open).as_ref()
    }

    /// Whether the system has what begins here in its cache.
    fn is_cached(&self, position: u64) -> bool {
        let mut probe = [0];
        let part = &mut [IoSliceMut::new(&mut probe)];
        matches!(
            preadv2(&self.file, part, position, ReadWriteFlags::NOWAIT),
            Ok(1)
        )
    }
}

/// Not a failure of the disk: this kind of I/O is not to be had.
fn is_refused(error: &io::Error) -> bool {
    let refused = [Errno::INVAL, Errno::OPNOTSUPP, Errno::NOTSUP].map(Errno::raw_os_error);
    error
        .raw_os_error()
        .is_some_and(|code| refused.contains(&code))
}

impl DiskFile for RealFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn write_at(&self, mut position: u64, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        self.recycler
            .release(parts.iter().map(|part| part.len()).sum());
        while !parts.is_empty() {
            let some = parts.len().min(PARTS_MAX);
            match pwritev(&self.file, &parts[..some], position) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    position += written as u64;
                    IoSlice::advance_slices(&mut parts, written);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn write_blocks(&self, position: u64, blocks: &[u8]) -> io::Result<bool> {
        let Some(direct) = self.direct_handle() else {
            return Ok(false);
        };
        match direct.write(position, blocks) {
            Ok(()) => {
                self.recycler.idle();
                Ok(true)
            }
            Err(error) if is_refused(&error) => {
                self.direct_works.store(false, Ordering::Relaxed);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, position)
    }

    fn read_bytes(&self, position: u64, bytes: usize) -> io::Result<Bytes> {
        if let Some(direct) = self.direct(position, bytes) {
            match direct.read(&self.pool, position, bytes) {
                Err(error) if is_refused(&error) => {
                    self.direct_works.store(false, Ordering::Relaxed);
                }
                done => return done,
            }
        }
        let mut lent = self.pool.lend(bytes);
        self.read_at(position, lent.bytes_mut())?;
        Ok(lent.freeze())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn data_end(&self) -> io::Result<u64> {
        // Preallocation does not move the end of the file: behind it nothing has been written.
        self.size()
    }

    fn will_be_read(&self) {
        if self.recycler.is_idle() {
            return;
        }
        // Only a hint: where it is not taken, every piece is read by itself.
        let _ = fadvise(&self.file, 0, None, Advice::WillNeed);
    }

    fn forget_cached(&self) {
        // Only a hint: where it is not taken, memory is recycled by the system, later.
        let _ = self
            .file
            .try_clone()
            .and_then(|file| self.recycler.add(file, false));
    }
}
