//! Files that hold parts of a pipeline's state: what does not fit in memory, and what snapshots refer to.
//!
//! ```text
//! <id>.part = bytes | CRC-32C u32 le
//! ```
//! A file never changes and lives as long as the running state or a kept snapshot uses it. Only what a snapshot refers to is synced. A
//! part that is missing or rotten is found when it is read: the pipeline then begins again from its input.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use headwater_base::{PartId, SpillStore};
use parking_lot::Mutex;

use crate::codec::corrupt;

/// Pause before a write to a full disk is tried again.
const FULL_PAUSE: Duration = Duration::from_millis(200);
const CRC_BYTES: usize = 4;

/// Whoever waits while the disk is full: told why (`None`: there is room again), answers whether to go on waiting.
type OnFull = Box<dyn Fn(Option<&str>) -> bool + Send + Sync>;

/// Generation and step of a snapshot.
pub type PinKey = (u64, u64);

/// See the module's description.
pub struct SpillDir {
    dir: PathBuf,
    parts: Mutex<Parts>,
    /// A part could not be read.
    damaged: AtomicBool,
    on_full: Mutex<Option<OnFull>>,
}

#[derive(Default)]
struct Parts {
    next: PartId,
    /// Users of each part: the running state, and snapshots.
    uses: HashMap<PartId, u32>,
    unsynced: HashSet<PartId>,
    pinned: BTreeMap<PinKey, Vec<PartId>>,
}

impl std::fmt::Debug for SpillDir {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SpillDir({})", self.dir.display())
    }
}

impl SpillDir {
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            parts: Mutex::new(Parts::default()),
            damaged: AtomicBool::new(false),
            on_full: Mutex::new(None),
        }
    }

    pub fn when_full(&self, on_full: OnFull) {
        *self.on_full.lock() = Some(on_full);
    }

    /// Removes what none of these snapshots refers to. At a start, before there is a running state.
    pub fn tidy(&self, pinned: BTreeMap<PinKey, Vec<PartId>>) {
        let mut parts = Parts::default();
        for id in pinned.values().flatten() {
            *parts.uses.entry(*id).or_default() += 1;
        }
        parts.pinned = pinned;
        let mut there = HashSet::new();
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let id = name
                .to_str()
                .and_then(|n| n.strip_suffix(".part")?.parse::<PartId>().ok());
            match id.filter(|id| parts.uses.contains_key(id)) {
                Some(id) => {
                    there.insert(id);
                }
                None => {
                    let _ = fs::remove_file(entry.path());
                }
            }
            parts.next = parts.next.max(id.unwrap_or(0));
        }
        parts.uses.retain(|id, _| there.contains(id));
        *self.parts.lock() = parts;
        self.damaged.store(false, Ordering::Release);
    }

    /// A snapshot will refer to these too: they stay until it is unpinned.
    pub fn pin(&self, key: PinKey, ids: &[PartId]) {
        let mut parts = self.parts.lock();
        for id in ids {
            *parts.uses.entry(*id).or_default() += 1;
        }
        parts.pinned.entry(key).or_default().extend(ids);
    }

    /// The snapshot is gone.
    pub fn unpin(&self, key: PinKey) {
        let gone = self.parts.lock().pinned.remove(&key).unwrap_or_default();
        gone.into_iter().for_each(|id| self.remove(id));
    }

    /// What the snapshot refers to.
    pub fn pinned(&self, key: PinKey) -> Vec<PartId> {
        self.parts
            .lock()
            .pinned
            .get(&key)
            .cloned()
            .unwrap_or_default()
    }

    /// Makes the parts safe. Bytes that had not been.
    pub fn sync(&self, ids: &[PartId]) -> io::Result<u64> {
        let mut bytes = 0;
        for id in ids {
            if self.parts.lock().unsynced.contains(id) {
                let file = File::open(self.path(*id))?;
                file.sync_all()?;
                bytes += file.metadata()?.len();
                self.parts.lock().unsynced.remove(id);
            }
        }
        if bytes > 0 {
            File::open(&self.dir)?.sync_all()?;
        }
        Ok(bytes)
    }

    /// A part that is needed could not be read.
    pub fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Acquire)
    }

    fn path(&self, id: PartId) -> PathBuf {
        self.dir.join(format!("{id:016}.part"))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.write_all(&headwater_base::crc32c(bytes).to_le_bytes())
    }

    fn read(&self, id: PartId) -> io::Result<Vec<u8>> {
        let mut bytes = fs::read(self.path(id))?;
        let at = bytes
            .len()
            .checked_sub(CRC_BYTES)
            .ok_or_else(|| corrupt("a part of the state is cut"))?;
        let crc = bytes.split_off(at);
        if headwater_base::crc32c(&bytes).to_le_bytes() == crc[..] {
            Ok(bytes)
        } else {
            Err(corrupt("a part of the state is rotten"))
        }
    }

    /// Whether it is worth to wait for room on the disk.
    fn wait_for_room(&self, error: &io::Error) -> bool {
        let full = matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        );
        let reason = format!("no room for its state on the disk: {error}");
        let waits = full
            && self
                .on_full
                .lock()
                .as_ref()
                .is_some_and(|told| told(Some(&reason)));
        if waits {
            std::thread::sleep(FULL_PAUSE);
        }
        waits
    }
}

impl SpillStore for SpillDir {
    fn put(&self, bytes: &[u8]) -> io::Result<PartId> {
        let id = {
            let mut parts = self.parts.lock();
            parts.next += 1;
            parts.next
        };
        let path = self.path(id);
        let mut waited = false;
        while let Err(error) = self.write(&path, bytes) {
            let _ = fs::remove_file(&path);
            if !self.wait_for_room(&error) {
                return Err(error);
            }
            waited = true;
        }
        if waited && let Some(told) = &*self.on_full.lock() {
            told(None);
        }
        let mut parts = self.parts.lock();
        parts.uses.insert(id, 1);
        parts.unsynced.insert(id);
        Ok(id)
    }

    fn get(&self, id: PartId) -> io::Result<Vec<u8>> {
        self.read(id).map_err(|error| {
            self.damaged.store(true, Ordering::Release);
            io::Error::new(
                error.kind(),
                format!("{}: {error}", self.path(id).display()),
            )
        })
    }

    fn adopt(&self, id: PartId) -> io::Result<()> {
        let mut parts = self.parts.lock();
        let uses = parts
            .uses
            .get_mut(&id)
            .ok_or_else(|| corrupt("a part of it is missing"))?;
        *uses += 1;
        Ok(())
    }

    fn remove(&self, id: PartId) {
        let mut parts = self.parts.lock();
        let Some(uses) = parts.uses.get_mut(&id) else {
            return;
        };
        *uses -= 1;
        if *uses == 0 {
            parts.uses.remove(&id);
            parts.unsynced.remove(&id);
            drop(parts);
            let _ = fs::remove_file(self.path(id));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn files(dir: &Path) -> usize {
        fs::read_dir(dir).unwrap().count()
    }

    #[test]
    fn a_part_lives_while_somebody_uses_it() {
        let dir = tempfile::tempdir().unwrap();
        let spill = SpillDir::new(dir.path());
        let (a, b) = (spill.put(b"a").unwrap(), spill.put(b"b").unwrap());
        spill.pin((1, 7), &[a]);
        spill.remove(a);
        spill.remove(b);
        assert_eq!(
            (spill.get(a).unwrap(), files(dir.path())),
            (b"a".to_vec(), 1)
        );
        assert_eq!(spill.sync(&[a]).unwrap(), 5);
        assert_eq!(spill.sync(&[a]).unwrap(), 0, "once is enough");
        spill.unpin((1, 7));
        assert_eq!(files(dir.path()), 0);
    }

    #[test]
    fn a_start_removes_what_no_snapshot_has_and_adopts_what_one_has() {
        let dir = tempfile::tempdir().unwrap();
        let spill = SpillDir::new(dir.path());
        let (a, b) = (spill.put(b"a").unwrap(), spill.put(b"b").unwrap());
        let again = SpillDir::new(dir.path());
        again.tidy(BTreeMap::from([((1, 1), vec![a, 99])]));
        assert_eq!(files(dir.path()), 1);
        assert!(again.adopt(99).is_err(), "it is missing");
        again.adopt(a).unwrap();
        again.unpin((1, 1));
        assert_eq!(again.get(a).unwrap(), b"a");
        assert!(again.put(b"c").unwrap() > b, "names are not used again");
    }

    #[test]
    fn rot_at_any_place_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let spill = SpillDir::new(dir.path());
        let id = spill.put(b"state").unwrap();
        let path = spill.path(id);
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            fs::write(&path, &bad).unwrap();
            assert!(spill.get(id).is_err(), "byte {at}");
            assert!(spill.is_damaged());
        }
        fs::write(&path, &good[..3]).unwrap();
        assert!(spill.get(id).is_err());
        fs::write(&path, &good).unwrap();
        assert_eq!(spill.get(id).unwrap(), b"state");
    }
}
