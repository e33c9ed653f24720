//! Snapshot files: a pipeline's whole state after one step, so that only the steps since need to be run again.
//!
//! ```text
//! magic "HWSNAP\0" + version u8 | generation u64 | step u64 | fingerprint length u64 + text | parts u64 + u64* | body length u64 + body | CRC-32C u32 of all before
//! ```
//! Integers little endian. Parts are files of their own ([`super::spill`]) that the state in the body refers to. Written to a temporary name, synced, renamed, folder synced; the newest two are kept. A file that is
//! torn, rotten or of another version is passed over: an older one or the input itself gives the same state.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use headwater_base::PartId;

use super::spill::{PinKey, SpillDir};
use crate::codec::{corrupt, get_bytes, get_u64, put_bytes, put_u64};

/// Version of the layout of the file and of everything in the body that is the engine's own.
pub const SNAPSHOT_VERSION: u8 = 3;
const MAGIC: &[u8; 7] = b"HWSNAP\0";
const CRC_BYTES: usize = 4;
const KEPT: usize = 2;
/// One snapshot of a pipeline is written at a time.
const TEMPORARY: &str = "next.tmp";

/// What a snapshot is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotId {
    pub generation: u64,
    pub step: u64,
    /// Of the flows whose state it holds.
    pub fingerprint: String,
}

/// The folder of one pipeline's snapshots.
#[derive(Clone, Debug)]
pub struct SnapshotDir {
    dir: PathBuf,
    spill: Arc<SpillDir>,
}

impl SnapshotDir {
    /// Names are encoded so that no pipeline's name can leave the folder.
    pub fn new(state_dir: &Path, pipeline: &str) -> Self {
        let mut name = String::new();
        for byte in pipeline.bytes() {
            if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' {
                name.push(char::from(byte));
            } else {
                name.push_str(&format!("%{byte:02x}"));
            }
        }
        let dir = state_dir.join(name);
        Self {
            spill: Arc::new(SpillDir::new(&dir.join("parts"))),
            dir,
        }
    }

    /// The parts of its state.
    pub fn spill(&self) -> &Arc<SpillDir> {
        &self.spill
    }

    /// Writes one for good, with the parts that are pinned for it, and lets go of the oldest. Bytes that had to be written.
    pub fn write(&self, id: &SnapshotId, body: &[u8]) -> io::Result<u64> {
        let written = self.write_file(id, body);
        if written.is_err() {
            self.spill.unpin((id.generation, id.step));
        }
        written
    }

    fn write_file(&self, id: &SnapshotId, body: &[u8]) -> io::Result<u64> {
        fs::create_dir_all(&self.dir)?;
        let parts = self.spill.pinned((id.generation, id.step));
        let synced = self.spill.sync(&parts)?;
        let head = encode_head(id, &parts, body.len())?;
        let name = format!("{:020}-{:020}.snap", id.generation, id.step);
        let temporary = self.dir.join(TEMPORARY);
        let done = write_synced(&temporary, &head, body)
            .and_then(|()| fs::rename(&temporary, self.dir.join(name)));
        if let Err(error) = done {
            // On a full disk the half of it would take the room that the next attempt needs.
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        File::open(&self.dir)?.sync_all()?;
        for old in self.files().into_iter().skip(KEPT) {
            let key = key_of(&old);
            fs::remove_file(old)?;
            key.into_iter().for_each(|key| self.spill.unpin(key));
        }
        Ok((head.len() + body.len() + CRC_BYTES) as u64 + synced)
    }

    /// Forgets all snapshots: the state begins again from the input.
    pub fn discard(&self) {
        for file in self.files() {
            let _ = fs::remove_file(file);
        }
        self.spill.tidy(BTreeMap::new());
    }

    /// Removes what a crash left in the middle of a write, and parts that no snapshot has.
    pub fn tidy(&self) {
        let parts = |path: PathBuf| Some((key_of(&path)?, parts_of(&path).ok()?));
        self.spill
            .tidy(self.files().into_iter().filter_map(parts).collect());
        let Ok(entries) = fs::read_dir(&self.dir) else {
            return;
        };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            if path.extension().is_some_and(|extension| extension == "tmp") {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// The newest readable one that `fits`.
    pub fn newest(&self, fits: impl Fn(&SnapshotId) -> bool) -> Option<(SnapshotId, Vec<u8>)> {
        for path in self.files() {
            let read = fs::read(&path).and_then(|bytes| decode(&bytes));
            match read {
                Ok((id, body)) if fits(&id) => return Some((id, body)),
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "passing over a snapshot")
                }
            }
        }
        None
    }

    /// The second newest one is the one that must stay recoverable.
    pub fn oldest_kept_step(&self, generation: u64) -> Option<u64> {
        let prefix = format!("{generation:020}-");
        let steps = self.files().into_iter().filter_map(|path| {
            let name = path
                .file_name()?
                .to_str()?
                .strip_prefix(&prefix)?
                .to_owned();
            name.strip_suffix(".snap")?.parse::<u64>().ok()
        });
        steps.min()
    }

    pub fn remove(&self) {
        let _ = fs::remove_dir_all(&self.dir);
    }

    /// Newest first.
    fn files(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(&self.dir) else {
            return Vec::new();
        };
        let mut files: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        files.retain(|path| {
            path.extension()
                .is_some_and(|extension| extension == "snap")
        });
        files.sort_unstable_by(|a, b| b.cmp(a));
        files
    }
}

/// The body may be as large as the state: it is written from where it is.
fn write_synced(path: &Path, head: &[u8], body: &[u8]) -> io::Result<()> {
    let crc = headwater_base::crc32c_both(head, body);
    let mut file = File::create(path)?;
    file.write_all(head)?;
    file.write_all(body)?;
    file.write_all(&crc.to_le_bytes())?;
    file.sync_all()
}

fn key_of(path: &Path) -> Option<PinKey> {
    let name = path.file_name()?.to_str()?.strip_suffix(".snap")?;
    let (generation, step) = name.split_once('-')?;
    Some((generation.parse().ok()?, step.parse().ok()?))
}

/// The parts that a file refers to, without reading all of it. What they say is only believed once the checksum was seen.
fn parts_of(path: &Path) -> io::Result<Vec<PartId>> {
    let mut file = io::BufReader::new(File::open(path)?);
    let mut head = [0; MAGIC.len() + 1];
    file.read_exact(&mut head)?;
    if head[MAGIC.len()] != SNAPSHOT_VERSION {
        return Err(corrupt("another version"));
    }
    get_u64(&mut file)?;
    get_u64(&mut file)?;
    get_bytes(&mut file)?;
    get_parts(&mut file)
}

fn get_parts(from: &mut impl Read) -> io::Result<Vec<PartId>> {
    (0..get_u64(from)?).map(|_| get_u64(from)).collect()
}

/// Everything before the body.
fn encode_head(id: &SnapshotId, parts: &[PartId], body_bytes: usize) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(128);
    out.extend_from_slice(MAGIC);
    out.push(SNAPSHOT_VERSION);
    put_u64(&mut out, id.generation)?;
    put_u64(&mut out, id.step)?;
    put_bytes(&mut out, id.fingerprint.as_bytes())?;
    put_u64(&mut out, parts.len() as u64)?;
    parts.iter().try_for_each(|id| put_u64(&mut out, *id))?;
    put_u64(&mut out, body_bytes as u64)?;
    Ok(out)
}

fn decode(bytes: &[u8]) -> io::Result<(SnapshotId, Vec<u8>)> {
    let Some((covered, crc)) = bytes.split_last_chunk::<4>() else {
        return Err(corrupt("too short"));
    };
    if headwater_base::crc32c(covered) != u32::from_le_bytes(*crc) {
        return Err(corrupt("its checksum does not match"));
    }
    let Some(mut rest) = covered.strip_prefix(MAGIC) else {
        return Err(corrupt("not a snapshot"));
    };
    let version = rest.split_off_first().copied();
    if version != Some(SNAPSHOT_VERSION) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a snapshot of another version",
        ));
    }
    let generation = get_u64(&mut rest)?;
    let step = get_u64(&mut rest)?;
    let fingerprint =
        String::from_utf8(get_bytes(&mut rest)?).map_err(|_| corrupt("fingerprint"))?;
    get_parts(&mut rest)?;
    Ok((
        SnapshotId {
            generation,
            step,
            fingerprint,
        },
        get_bytes(&mut rest)?,
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn id(step: u64) -> SnapshotId {
        SnapshotId {
            generation: 1,
            step,
            fingerprint: "f".into(),
        }
    }

    #[test]
    fn keeps_two_and_falls_back_when_the_newest_is_rotten() {
        let dir = tempfile::tempdir().unwrap();
        let snapshots = SnapshotDir::new(dir.path(), "a/../b");
        for step in 1..=3 {
            snapshots
                .write(&id(step), format!("state {step}").as_bytes())
                .unwrap();
        }
        assert_eq!(snapshots.files().len(), KEPT);
        assert_eq!(snapshots.oldest_kept_step(1), Some(2));
        assert_eq!(
            snapshots.newest(|_| true),
            Some((id(3), b"state 3".to_vec()))
        );
        let newest = snapshots.files().remove(0);
        let mut bytes = fs::read(&newest).unwrap();
        for position in 0..bytes.len() {
            bytes[position] ^= 1;
            fs::write(&newest, &bytes).unwrap();
            assert_eq!(
                snapshots.newest(|_| true),
                Some((id(2), b"state 2".to_vec())),
                "byte {position}"
            );
            bytes[position] ^= 1;
        }
        fs::write(&newest, &bytes[..bytes.len() - 5]).unwrap();
        assert_eq!(snapshots.newest(|_| true).unwrap().0, id(2));
        assert_eq!(snapshots.newest(|id| id.step > 2), None);
        assert!(dir.path().join("a%2f%2e%2e%2fb").is_dir());
    }

    #[test]
    fn leaves_nothing_half_written() {
        let dir = tempfile::tempdir().unwrap();
        let snapshots = SnapshotDir::new(dir.path(), "p");
        let own = dir.path().join("p");
        // A folder in its place: the rename fails.
        fs::create_dir_all(own.join(format!("{:020}-{:020}.snap", 1, 7)).join("x")).unwrap();
        assert!(snapshots.write(&id(7), b"state").is_err());
        assert!(!own.join(TEMPORARY).exists());
        fs::write(own.join(TEMPORARY), b"half").unwrap();
        fs::write(own.join("0-1.snap.tmp"), b"half").unwrap();
        snapshots.tidy();
        assert_eq!(fs::read_dir(&own).unwrap().count(), 1);
    }
}
