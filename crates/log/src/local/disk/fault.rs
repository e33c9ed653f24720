//! A disk in memory that does what real ones are allowed to do: forget what was not synced, tear the last write,
//! fail, be full, be slow. For tests of the log and of everything above it.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use headwater_record::fuzz::Mutator;
use parking_lot::Mutex;

use super::{BLOCK_BYTES, Disk, DiskFile, DiskLock};

const SECTOR_BYTES: usize = 512;

/// What of the unsynced is found after a power cut. What was synced always is.
#[derive(Clone, Copy, Debug)]
pub enum Survives {
    Nothing,
    /// Of the last unsynced write its first bytes, and every write before it.
    LastWriteUpTo(usize),
    /// Some sectors of the unsynced writes and perhaps the folder's changes, as the seed says.
    SomeSectors(u64),
}

/// See the module. Clones are the same disk.
#[derive(Clone)]
pub struct FaultDisk {
    inner: Arc<Mutex<Inner>>,
    path: PathBuf,
}

#[derive(Default)]
struct Inner {
    files: HashMap<u64, FileData>,
    names: BTreeMap<String, u64>,
    /// The folder as of the last `sync_dir`.
    durable_names: BTreeMap<String, u64>,
    next_id: u64,
    operations: u64,
    dies_at: Option<u64>,
    dead: bool,
    locked: bool,
    sync_fails: bool,
    sync_lies: bool,
    no_blocks: bool,
    writes_full: bool,
    free_bytes: Option<u64>,
    sync_takes: Duration,
    entropy: u64,
}

#[derive(Clone, Default)]
struct FileData {
    current: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
}

impl FaultDisk {
    pub fn new(seed: u64) -> Self {
        let inner = Inner {
            entropy: seed,
            ..Inner::default()
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            path: PathBuf::from("/fault"),
        }
    }

    /// The power goes off in the n-th changing operation from now: it and all later ones fail.
    pub fn die_after(&self, operations: u64) {
        let mut inner = self.inner.lock();
        inner.dies_at = Some(inner.operations + operations);
    }

    /// Changing operations so far.
    pub fn operations(&self) -> u64 {
        self.inner.lock().operations
    }

    pub fn is_dead(&self) -> bool {
        self.inner.lock().dead
    }

    /// From now on every sync fails, and as on Linux what it was to write counts as written from then on: it is read,
    /// but no later sync writes it.
    pub fn fail_sync(&self) {
        self.inner.lock().sync_fails = true;
    }

    /// Syncs work again.
    pub fn mend_sync(&self) {
        self.inner.lock().sync_fails = false;
    }

    /// Whether writes find, half-way, that there is no room, as on file systems that do not keep preallocated space.
    pub fn set_writes_full(&self, full: bool) {
        self.inner.lock().writes_full = full;
    }

    /// From now on a sync says yes and does nothing: what the log would be without its fdatasync.
    pub fn lie_about_sync(&self) {
        self.inner.lock().sync_lies = true;
    }

    /// From now on it takes no blocks, as file systems without direct I/O.
    pub fn refuse_blocks(&self) {
        self.inner.lock().no_blocks = true;
    }

    /// Limits what may still be created; `None` is no limit.
    pub fn set_free_bytes(&self, free: Option<u64>) {
        self.inner.lock().free_bytes = free;
    }

    pub fn set_sync_takes(&self, takes: Duration) {
        self.inner.lock().sync_takes = takes;
    }

    /// Bytes of the last write that is not synced, up to its last that is not zero, of any file; 0 without one.
    pub fn unsynced_bytes(&self) -> usize {
        let inner = self.inner.lock();
        inner
            .files
            .values()
            .filter_map(|file| file.unsynced.last())
            .filter_map(|write| write.1.iter().rposition(|byte| *byte != 0))
            .map(|last| last + 1)
            .max()
            .unwrap_or(0)
    }

    /// The disk as it is found when the power is back.
    pub fn after_power_cut(&self, survives: Survives) -> FaultDisk {
        let inner = self.inner.lock();
        let mut rng = Mutator::new(if let Survives::SomeSectors(seed) = survives {
            seed
        } else {
            0
        });
        let keep_names = matches!(survives, Survives::SomeSectors(_)) && rng.below(2) == 0;
        let names = if keep_names {
            &inner.names
        } else {
            &inner.durable_names
        }
        .clone();
        let mut files = HashMap::new();
        for id in names.values() {
            let mut content = inner.files[id].durable.clone();
            survive(&mut content, &inner.files[id].unsynced, survives, &mut rng);
            files.insert(
                *id,
                FileData {
                    current: content.clone(),
                    durable: content,
                    unsynced: Vec::new(),
                },
            );
        }
        let found = Inner {
            files,
            durable_names: names.clone(),
            names,
            next_id: inner.next_id,
            entropy: inner.entropy.wrapping_add(1),
            ..Inner::default()
        };
        FaultDisk {
            inner: Arc::new(Mutex::new(found)),
            path: self.path.clone(),
        }
    }

    /// Changes a file behind the log's back, as rot does.
    pub fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut inner = self.inner.lock();
        let id = inner.names[name];
        if let Some(file) = inner.files.get_mut(&id) {
            change(&mut file.current);
            file.durable = file.current.clone();
        }
    }

    /// A file's bytes.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let inner = self.inner.lock();
        inner
            .names
            .get(name)
            .map(|id| inner.files[id].current.clone())
    }

    /// Counts a changing operation; `Err` once the power is off. The operation that dies may still have begun.
    fn change<T>(&self, act: impl FnOnce(&mut Inner) -> io::Result<T>) -> io::Result<T> {
        let mut inner = self.inner.lock();
        if inner.dead {
            return Err(io::Error::other("the power is off"));
        }
        inner.operations += 1;
        if inner.dies_at.is_some_and(|at| inner.operations >= at) {
            inner.dead = true;
        }
        let result = act(&mut inner);
        if inner.dead {
            Err(io::Error::other("the power went off"))
        } else {
            result
        }
    }
}

fn survive(
    content: &mut [u8],
    unsynced: &[(usize, Vec<u8>)],
    survives: Survives,
    rng: &mut Mutator,
) {
    for (i, (position, data)) in unsynced.iter().enumerate() {
        let last = i + 1 == unsynced.len();
        let mut at = 0;
        for sector in data.chunks(SECTOR_BYTES) {
            let keep = match survives {
                Survives::Nothing => 0,
                Survives::LastWriteUpTo(_) if !last => sector.len(),
                Survives::LastWriteUpTo(cut) => cut.saturating_sub(at).min(sector.len()),
                Survives::SomeSectors(_) => sector.len() * rng.below(2),
            };
            content[position + at..position + at + keep].copy_from_slice(&sector[..keep]);
            at += sector.len();
        }
    }
}

fn not_found(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, name.to_owned())
}

impl Disk for FaultDisk {
    fn path(&self) -> &Path {
        &self.path
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        let id = self.change(|inner| {
            if let Some(free) = &mut inner.free_bytes {
                *free = free
                    .checked_sub(bytes)
                    .ok_or_else(|| io::Error::from(io::ErrorKind::StorageFull))?;
            }
            inner.next_id += 1;
            let zeros = vec![0; bytes as usize];
            let file = FileData {
                current: zeros.clone(),
                durable: zeros,
                unsynced: Vec::new(),
            };
            inner.files.insert(inner.next_id, file);
            inner.names.insert(name.to_owned(), inner.next_id);
            Ok(inner.next_id)
        })?;
        Ok(Arc::new(FaultFile {
            disk: self.clone(),
            id,
        }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let id = self
            .inner
            .lock()
            .names
            .get(name)
            .copied()
            .ok_or_else(|| not_found(name))?;
        Ok(Arc::new(FaultFile {
            disk: self.clone(),
            id,
        }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(|inner| {
            let id = inner.names.remove(from).ok_or_else(|| not_found(from))?;
            inner.names.insert(to.to_owned(), id);
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.change(|inner| {
            let id = inner.names.remove(name).ok_or_else(|| not_found(name))?;
            let bytes = inner.files[&id].current.len() as u64;
            inner.free_bytes = inner.free_bytes.map(|free| free + bytes);
            Ok(())
        })
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.inner.lock().names.keys().cloned().collect())
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.change(|inner| {
            if !inner.dead {
                inner.durable_names = inner.names.clone();
            }
            Ok(())
        })
    }

    fn lock(&self, _name: &str) -> io::Result<Result<Box<dyn DiskLock>, Option<u32>>> {
        let mut inner = self.inner.lock();
        if std::mem::replace(&mut inner.locked, true) {
            return Ok(Err(Some(std::process::id())));
        }
        Ok(Ok(Box::new(FaultLock(Arc::clone(&self.inner)))))
    }

    fn entropy(&self) -> u64 {
        let mut inner = self.inner.lock();
        inner.entropy = Mutator::new(inner.entropy).next_u64();
        inner.entropy
    }
}

struct FaultLock(Arc<Mutex<Inner>>);

impl DiskLock for FaultLock {}

impl Drop for FaultLock {
    fn drop(&mut self) {
        self.0.lock().locked = false;
    }
}

struct FaultFile {
    disk: FaultDisk,
    id: u64,
}

impl FaultFile {
    fn with<T>(&self, act: impl FnOnce(&FileData) -> io::Result<T>) -> io::Result<T> {
        let inner = self.disk.inner.lock();
        if inner.dead {
            return Err(io::Error::other("the power is off"));
        }
        act(inner.files.get(&self.id).ok_or_else(|| not_found("file"))?)
    }
}

impl DiskFile for FaultFile {
    fn size(&self) -> io::Result<u64> {
        self.with(|file| Ok(file.current.len() as u64))
    }

    fn write_at(&self, position: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let data: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        self.disk.change(|inner| {
            let file = inner
                .files
                .get_mut(&self.id)
                .ok_or_else(|| not_found("file"))?;
            let (from, to) = (position as usize, position as usize + data.len());
            if to > file.current.len() {
                // The log only writes into what it has preallocated.
                return Err(io::Error::other("a write behind the preallocated"));
            }
            let data = match inner.writes_full {
                true => data[..data.len() / 2].to_vec(),
                false => data,
            };
            file.current[from..from + data.len()].copy_from_slice(&data);
            file.unsynced.push((from, data));
            match inner.writes_full {
                true => Err(io::ErrorKind::StorageFull.into()),
                false => Ok(()),
            }
        })
    }

    fn write_blocks(&self, position: u64, blocks: &[u8]) -> io::Result<bool> {
        if self.disk.inner.lock().no_blocks {
            return Ok(false);
        }
        let fits = |number: usize| number.is_multiple_of(BLOCK_BYTES);
        let aligned = blocks.as_ptr().align_offset(BLOCK_BYTES) == 0;
        if !aligned || !fits(blocks.len()) || !fits(position as usize) {
            return Err(io::Error::other("a write of what is no block"));
        }
        self.write_at(position, &mut [IoSlice::new(blocks)])?;
        Ok(true)
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.with(|file| {
            let from = position as usize;
            let bytes = file
                .current
                .get(from..from + buffer.len())
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            buffer.copy_from_slice(bytes);
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        let takes = self.disk.inner.lock().sync_takes;
        if !takes.is_zero() {
            std::thread::sleep(takes);
        }
        self.disk.change(|inner| {
            if inner.dead || (inner.sync_lies && !inner.sync_fails) {
                return Ok(());
            }
            let file = inner
                .files
                .get_mut(&self.id)
                .ok_or_else(|| not_found("file"))?;
            if inner.sync_fails {
                file.unsynced.clear();
                return Err(io::Error::other("input/output error"));
            }
            for (position, data) in file.unsynced.drain(..) {
                file.durable[position..position + data.len()].copy_from_slice(&data);
            }
            Ok(())
        })
    }

    fn data_end(&self) -> io::Result<u64> {
        self.with(|file| {
            Ok(file
                .current
                .iter()
                .rposition(|byte| *byte != 0)
                .map_or(0, |at| at as u64 + 1))
        })
    }

    fn forget_cached(&self) {}
}
