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

use bytes::Bytes;
use parking_lot::Mutex;

use super::chunk::Chunk;
use super::pool::{Lent, Pool};

/// Of a window; the last of a chunk that is being written may be shorter.
const WINDOW_BYTES: u64 = 2 * 1024 * 1024;
/// Windows kept.
const KEPT_MAX: usize = 16;
/// Windows in memory, with those that answers on their way still hold.
const ALIVE_MAX: usize = 28;
/// Windows read ahead of whoever reads on.
const AHEAD: u64 = 4;
/// Places where readers have been last.
const TRACKS_MAX: usize = 32;
/// Windows are worth it when so many percent of them are asked for.
const ASKED_PERCENT_MIN: usize = 40;
/// Where they are not, of so many reads some in a row try them all the same.
const TRIAL_EVERY: usize = 256;
/// So many.
const TRIAL_READS: usize = 32;

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
    pub fn get(&self, pool: &Arc<Pool>, mut at: usize, bytes: usize) -> Bytes {
        let mut split: Option<Lent> = None;
        let mut filled = 0;
        for part in &self.parts {
            if at >= part.len() {
                at -= part.len();
                continue;
            }
            let piece = &part[at..part.len().min(at + bytes - filled)];
            if piece.len() == bytes {
                return part.slice(at..at + bytes);
            }
            let split = split.get_or_insert_with(|| pool.lend(bytes));
            split.bytes_mut()[filled..filled + piece.len()].copy_from_slice(piece);
            filled += piece.len();
            at = 0;
        }
        split
            .filter(|_| filled == bytes)
            .map_or_else(Bytes::new, Lent::freeze)
    }
}

/// What lies in one window of what is wanted.
struct Piece {
    number: u64,
    from: u64,
    to: u64,
}

fn pieces(from: u64, end: u64) -> impl Iterator<Item = Piece> {
    (from / WINDOW_BYTES..=(end - 1) / WINDOW_BYTES).map(move |number| {
        let begin = number * WINDOW_BYTES;
        Piece {
            number,
            from: from.max(begin),
            to: end.min(begin + WINDOW_BYTES),
        }
    })
}

impl Piece {
    fn is_in(&self, window: &Bytes) -> bool {
        self.number * WINDOW_BYTES + window.len() as u64 >= self.to
    }

    fn of(&self, window: &Bytes) -> Bytes {
        let begin = self.number * WINDOW_BYTES;
        window.slice((self.from - begin) as usize..(self.to - begin) as usize)
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
        let mut parts = Vec::new();
        for piece in pieces(from, end) {
            let window = self.window(chunk, piece.number, piece.to)?;
            parts.push(piece.of(&window));
        }
        Ok(Run {
            parts,
            is_shared: true,
        })
    }

    /// The same, where all of it is there already and nobody has to wait.
    pub fn loaded(&self, chunk: &Chunk, from: u64, bytes: usize) -> Option<Run> {
        let end = from + bytes as u64;
        let mut inner = self.inner.lock();
        let of = |piece: Piece| {
            let slot = inner.find(chunk.number, piece.number)?;
            let held = slot.try_lock()?;
            held.as_ref()
                .filter(|bytes| piece.is_in(bytes))
                .map(|bytes| piece.of(bytes))
        };
        let parts = pieces(from, end).map(of).collect::<Option<Vec<_>>>()?;
        inner.track(chunk.number, end);
        Some(Run {
            parts,
            is_shared: true,
        })
    }

    /// Whether all of it is there.
    pub fn has(&self, chunk: &Chunk, from: u64, bytes: usize) -> bool {
        let inner = self.inner.lock();
        pieces(from, from + bytes as u64).all(|piece| inner.holds(chunk.number, &piece))
    }

    /// The windows behind what has been read up to `end`, as chunk and number, which nobody has asked for yet: they are to be
    /// read now. Each has its place from here on.
    pub fn due(&self, chunk: &Chunk, end: u64) -> Vec<(u64, u64)> {
        let in_chunk = chunk.durable_end().div_ceil(WINDOW_BYTES);
        let next = end.div_ceil(WINDOW_BYTES);
        let place = |number: u64| match number < in_chunk {
            true => (chunk.number, number),
            false => (chunk.number + 1, number - in_chunk),
        };
        let mut inner = self.inner.lock();
        if !inner.are_wanted() {
            return Vec::new();
        }
        let due: Vec<_> = (next..next + AHEAD)
            .map(place)
            .filter(|(chunk, number)| !inner.is_kept(*chunk, *number))
            .collect();
        for (chunk, number) in &due {
            inner.slot(*chunk, *number);
        }
        due
    }

    /// Reads a window ahead, unless it has lost its place.
    ///
    /// # Errors
    /// The disk's.
    pub fn read_ahead(&self, chunk: &Chunk, number: u64) -> io::Result<()> {
        let begin = number * WINDOW_BYTES;
        let is_due = begin < chunk.durable_end()
            && self.alive.load(Ordering::Relaxed) < ALIVE_MAX
            && self.inner.lock().is_kept(chunk.number, number);
        if is_due {
            self.window(chunk, number, begin + 1)?;
        }
        Ok(())
    }

    /// Takes note that of so many bytes that were read only some were `asked` for.
    pub fn asked(&self, chunk: &Chunk, from: u64, bytes: usize, asked: usize) {
        let mut inner = self.inner.lock();
        for piece in pieces(from, from + bytes as u64) {
            let within = (piece.to - piece.from) as usize;
            inner.asked(chunk.number, piece.number, asked * within / bytes);
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
        self.track(chunk, end);
        if !near {
            return false;
        }
        self.untried += 1;
        self.are_wanted()
    }

    fn are_wanted(&self) -> bool {
        self.asked_percent >= ASKED_PERCENT_MIN || self.untried % TRIAL_EVERY < TRIAL_READS
    }

    fn track(&mut self, chunk: u64, end: u64) {
        if self.tracks.len() == TRACKS_MAX {
            self.tracks.pop_front();
        }
        self.tracks.push_back((chunk, end));
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

    fn holds(&self, chunk: u64, piece: &Piece) -> bool {
        let same = |kept: &&Kept| (kept.chunk, kept.number) == (chunk, piece.number);
        let slot = self
            .kept
            .iter()
            .find(same)
            .and_then(|kept| kept.slot.try_lock());
        slot.is_some_and(|held| held.as_ref().is_some_and(|bytes| piece.is_in(bytes)))
    }

    /// One that is kept; from now on it is the one used last.
    fn find(&mut self, chunk: u64, number: u64) -> Option<Arc<Slot>> {
        let same = |kept: &Kept| (kept.chunk, kept.number) == (chunk, number);
        let at = self.kept.iter().position(same)?;
        let kept = self.kept.remove(at)?;
        let slot = Arc::clone(&kept.slot);
        self.kept.push_back(kept);
        Some(slot)
    }

    fn slot(&mut self, chunk: u64, number: u64) -> Arc<Slot> {
        if let Some(slot) = self.find(chunk, number) {
            return slot;
        }
        let slot = Arc::<Slot>::default();
        self.kept.push_back(Kept {
            chunk,
            number,
            slot: Arc::clone(&slot),
            asked_bytes: 0,
        });
        if self.kept.len() > KEPT_MAX
            && let Some(oldest) = self.kept.pop_front()
            && oldest.slot.try_lock().is_some_and(|held| held.is_some())
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

    const CHUNK_BYTES: usize = 60 * 1024 * 1024;

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
            assert!(read.get(&Arc::default(), 0, bytes) == expected[from..from + bytes]);
            let middle = read.get(&Arc::default(), bytes / 3, bytes / 2);
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
                let read = windows.read(&chunk, from as u64, 600).unwrap();
                assert!(read.get(&Arc::default(), 0, 600) == expected[from..from + 600]);
            }
        }
    }

    #[test]
    fn windows_behind_a_reader_are_read_ahead_once_and_then_need_no_disk() {
        let windows = Windows::default();
        let (chunk, expected) = chunk();
        chunk.set_durable_end(CHUNK_BYTES as u64);
        assert!(windows.loaded(&chunk, 5, 10).is_none());
        let due = windows.due(&chunk, 2 * WINDOW_BYTES);
        assert_eq!(due, (2..2 + AHEAD).map(|n| (1, n)).collect::<Vec<_>>());
        assert!(windows.due(&chunk, 2 * WINDOW_BYTES).is_empty());
        let from = 3 * WINDOW_BYTES - 70;
        assert!(!windows.has(&chunk, from, 100));
        for (_, number) in due {
            windows.read_ahead(&chunk, number).unwrap();
        }
        assert!(windows.has(&chunk, from, 100));
        let run = windows.loaded(&chunk, from, 100).unwrap();
        assert!(run.get(&Arc::default(), 0, 100) == expected[from as usize..][..100]);
        // Behind the last window of a chunk follows the first of the next.
        let last = CHUNK_BYTES as u64 / WINDOW_BYTES - 1;
        let due = windows.due(&chunk, last * WINDOW_BYTES);
        assert_eq!(due[..2], [(1, last), (2, 0)]);
    }

    #[test]
    fn what_lost_its_place_is_not_read_ahead() {
        let windows = Windows::default();
        let (chunk, _) = chunk();
        chunk.set_durable_end(CHUNK_BYTES as u64);
        windows.read_ahead(&chunk, 1).unwrap();
        assert_eq!(windows.alive.load(Ordering::Relaxed), 0);
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
