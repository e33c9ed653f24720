//! What readers behind the cached tail share: windows of chunks, read at once.
//!
//! The batches of one partition lie scattered between those of others. Who reads many partitions, or with many readers, would go
//! to the disk for each; in windows it goes once for all. That is wasted on whoever reads one of many partitions, so it is
//! measured: where little of the windows is asked for, reads are exact again, but for a trial now and then. Random reads are
//! always exact. Windows are the disk's bytes as they are; batches are checked by whoever takes them.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

use super::chunk::Chunk;

/// Of a window; the last of a chunk that is being written may be shorter.
const WINDOW_BYTES: u64 = 2 * 1024 * 1024;
/// Windows kept.
const KEPT_MAX: usize = 10;
/// Windows in memory, with those that answers on their way still hold.
const ALIVE_MAX: usize = 20;
/// Places where readers have been last.
const TRACKS_MAX: usize = 32;
/// Windows are worth it when so many percent of them are asked for.
const ASKED_PERCENT_MIN: usize = 40;
/// Where they are not, one of so many reads tries them all the same.
const TRIAL_EVERY: usize = 256;

/// See the module.
pub(super) struct Windows {
    inner: Mutex<Inner>,
    /// Windows in memory.
    alive: Arc<AtomicUsize>,
}

struct Inner {
    /// The one used last is at the back.
    kept: VecDeque<Kept>,
    /// Chunk, and where a read ended.
    tracks: VecDeque<(u64, u64)>,
    /// How much of a window is asked for, of late.
    asked_percent: usize,
    untried: usize,
}

struct Kept {
    chunk: u64,
    number: u64,
    slot: Arc<Slot>,
    asked_bytes: usize,
}

/// Held while it is being read, so that others wait for it.
type Slot = Mutex<Option<Bytes>>;

/// Bytes of a chunk, in one or more parts.
pub(super) struct Run {
    parts: Vec<Bytes>,
    /// The memory is there for others, too.
    is_shared: bool,
}

impl Run {
    /// Read for this one reader.
    pub fn exact(chunk: &Chunk, from: u64, bytes: usize) -> io::Result<Self> {
        Ok(Self {
            parts: vec![chunk.file.read_bytes(from, bytes)?],
            is_shared: false,
        })
    }

    pub fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// So many of the bytes, from `at` on; copied only where they lie in two parts. Empty where there are not so many.
    pub fn get(&self, mut at: usize, bytes: usize) -> Bytes {
        let mut split = BytesMut::new();
        for part in &self.parts {
            if at >= part.len() {
                at -= part.len();
                continue;
            }
            let rest = bytes - split.len();
            let piece = at..part.len().min(at + rest);
            if piece.len() == bytes {
                return part.slice(piece);
            }
            split.reserve(rest);
            split.extend_from_slice(&part[piece]);
            at = 0;
            if split.len() == bytes {
                return split.freeze();
            }
        }
        Bytes::new()
    }
}

/// Counts a window while anybody has a part of it.
struct Alive {
    bytes: Bytes,
    alive: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for Alive {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for Windows {
    fn default() -> Self {
        Self {
            inner: Mutex::new(Inner {
                kept: VecDeque::new(),
                tracks: VecDeque::new(),
                asked_percent: 100,
                untried: 0,
            }),
            alive: Arc::default(),
        }
    }
}

impl Windows {
    /// So many durable bytes of a chunk.
    ///
    /// # Errors
    /// The disk's.
    pub fn read(&self, chunk: &Arc<Chunk>, from: u64, bytes: usize) -> io::Result<Run> {
        let end = from + bytes as u64;
        if !self.inner.lock().is_worth(chunk.number, from, end)
            || self.alive.load(Ordering::Relaxed) >= ALIVE_MAX
        {
            return Run::exact(chunk, from, bytes);
        }
        let (first, last) = (from / WINDOW_BYTES, (end - 1) / WINDOW_BYTES);
        let mut parts = Vec::with_capacity((last - first + 1) as usize);
        for number in first..=last {
            let begin = number * WINDOW_BYTES;
            let to = end.min(begin + WINDOW_BYTES);
            let window = self.window(chunk, number, to)?;
            parts.push(window.slice((from.max(begin) - begin) as usize..(to - begin) as usize));
        }
        Ok(Run {
            parts,
            is_shared: true,
        })
    }

    /// Takes note that of so many bytes that were read only some were `asked` for.
    pub fn asked(&self, chunk: &Chunk, from: u64, bytes: usize, asked: usize) {
        let end = from + bytes as u64;
        let mut inner = self.inner.lock();
        for number in from / WINDOW_BYTES..=(end - 1) / WINDOW_BYTES {
            let begin = number * WINDOW_BYTES;
            let within = end.min(begin + WINDOW_BYTES) - from.max(begin);
            inner.asked(chunk.number, number, asked * within as usize / bytes);
        }
    }

    /// Reads a window if it is not there. `to` is the last byte wanted of it.
    fn window(&self, chunk: &Chunk, number: u64, to: u64) -> io::Result<Bytes> {
        let begin = number * WINDOW_BYTES;
        let slot = self.inner.lock().slot(chunk.number, number);
        let mut held = slot.lock();
        let covers = |bytes: &&Bytes| begin + bytes.len() as u64 >= to;
        if let Some(bytes) = held.as_ref().filter(covers) {
            return Ok(bytes.clone());
        }
        let end = chunk.durable_end().max(to).min(begin + WINDOW_BYTES);
        let bytes = chunk.file.read_bytes(begin, (end - begin) as usize)?;
        self.alive.fetch_add(1, Ordering::Relaxed);
        let alive = Arc::clone(&self.alive);
        let bytes = Bytes::from_owner(Alive { bytes, alive });
        *held = Some(bytes.clone());
        Ok(bytes)
    }
}

impl Inner {
    /// Whether to read this by windows. Takes note of where the reader is.
    fn is_worth(&mut self, chunk: u64, from: u64, end: u64) -> bool {
        let near = self.is_kept(chunk, from / WINDOW_BYTES) || self.is_on_track(chunk, from);
        if self.tracks.len() == TRACKS_MAX {
            self.tracks.pop_front();
        }
        self.tracks.push_back((chunk, end));
        if !near {
            return false;
        }
        self.untried += 1;
        self.asked_percent >= ASKED_PERCENT_MIN || self.untried.is_multiple_of(TRIAL_EVERY)
    }

    /// Whether somebody has read not far before here.
    fn is_on_track(&self, chunk: u64, from: u64) -> bool {
        let near = |(other, end): &(u64, u64)| match *other == chunk {
            true => end.abs_diff(from) <= 2 * WINDOW_BYTES,
            false => other + 1 == chunk && from < WINDOW_BYTES,
        };
        self.tracks.iter().any(near)
    }

    fn is_kept(&self, chunk: u64, number: u64) -> bool {
        self.kept
            .iter()
            .any(|kept| (kept.chunk, kept.number) == (chunk, number))
    }

    fn slot(&mut self, chunk: u64, number: u64) -> Arc<Slot> {
        let found = self
            .kept
            .iter()
            .position(|kept| (kept.chunk, kept.number) == (chunk, number));
        let kept = found.and_then(|at| self.kept.remove(at));
        let kept = kept.unwrap_or_else(|| Kept {
            chunk,
            number,
            slot: Arc::default(),
            asked_bytes: 0,
        });
        let slot = Arc::clone(&kept.slot);
        self.kept.push_back(kept);
        if self.kept.len() > KEPT_MAX
            && let Some(oldest) = self.kept.pop_front()
        {
            let percent = oldest.asked_bytes * 100 / WINDOW_BYTES as usize;
            self.asked_percent = (self.asked_percent * 7 + percent.min(100)) / 8;
        }
        slot
    }

    fn asked(&mut self, chunk: u64, number: u64, bytes: usize) {
        let same = |kept: &&mut Kept| (kept.chunk, kept.number) == (chunk, number);
        if let Some(kept) = self.kept.iter_mut().rev().find(same) {
            kept.asked_bytes += bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::IoSlice;

    use super::*;
    use crate::local::disk::FaultDisk;

    const CHUNK_BYTES: usize = 24 * 1024 * 1024;

    fn chunk() -> (Arc<Chunk>, Vec<u8>) {
        let disk = FaultDisk::new(1);
        let chunk = Arc::new(Chunk::create(&disk, 1, CHUNK_BYTES as u64).unwrap());
        let bytes: Vec<u8> = (0..CHUNK_BYTES / 4)
            .flat_map(|n| (n as u32).to_le_bytes())
            .collect();
        chunk.file.write_at(0, &mut [IoSlice::new(&bytes)]).unwrap();
        (chunk, bytes)
    }

    /// Reads pieces of this size at this distance from each other.
    fn walk(windows: &Windows, bytes: usize, distance: usize) {
        let (chunk, expected) = chunk();
        chunk.set_durable_end(CHUNK_BYTES as u64);
        for from in (0..CHUNK_BYTES - bytes).step_by(distance) {
            let read = windows.read(&chunk, from as u64, bytes).unwrap();
            windows.asked(&chunk, from as u64, bytes, bytes);
            assert!(read.get(0, bytes) == expected[from..from + bytes]);
            let middle = read.get(bytes / 3, bytes / 2);
            assert!(middle == expected[from + bytes / 3..][..bytes / 2]);
        }
    }

    #[test]
    fn who_reads_on_is_served_from_windows_also_across_their_borders() {
        let windows = Windows::default();
        walk(&windows, 300_001, 300_001);
        walk(&windows, 3_000_001, 3_000_001);
        assert_eq!(windows.inner.lock().kept.len(), KEPT_MAX);
        assert!(windows.inner.lock().asked_percent > 90);
        assert_eq!(windows.alive.load(Ordering::Relaxed), KEPT_MAX);
    }

    #[test]
    fn windows_are_given_up_when_little_of_them_is_asked_for() {
        let windows = Windows::default();
        for _ in 0..5 {
            walk(&windows, 100_000, 1_500_000);
        }
        assert!(windows.inner.lock().asked_percent < ASKED_PERCENT_MIN);
    }

    #[test]
    fn random_reads_leave_no_windows() {
        let windows = Windows::default();
        walk(&windows, 10_000, 5 * 1024 * 1024);
        assert!(windows.inner.lock().kept.is_empty());
    }

    #[test]
    fn what_is_written_behind_a_short_window_is_seen() {
        let (chunk, expected) = chunk();
        let windows = Windows::default();
        for end in [1000, 2000, 1_000_000] {
            chunk.set_durable_end(end as u64);
            for from in [0, end - 700] {
                let read = windows.read(&chunk, from as u64, 600).unwrap().get(0, 600);
                assert!(read == expected[from..from + 600]);
            }
        }
    }

    #[test]
    fn answers_that_are_held_keep_no_more_than_so_many_windows() {
        let windows = Windows::default();
        let (chunk, _) = chunk();
        chunk.set_durable_end(CHUNK_BYTES as u64);
        let mut held = Vec::new();
        for _ in 0..10 {
            for from in (0..CHUNK_BYTES as u64 - 200_000).step_by(200_000) {
                held.push(windows.read(&chunk, from, 200_000).unwrap());
                windows.asked(&chunk, from, 200_000, 200_000);
            }
        }
        assert_eq!(windows.alive.load(Ordering::Relaxed), ALIVE_MAX);
        drop(held);
        assert!(windows.alive.load(Ordering::Relaxed) <= KEPT_MAX);
    }
}
