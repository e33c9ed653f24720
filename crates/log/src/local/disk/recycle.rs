//! Memory of the system's page cache, used again: what old files hold in it is let go of in step with what is written.
//!
//! A page that was free for a while is dear: a virtual machine has given it back to its host and has to fetch it again (2.2 CPU
//! seconds per GB written, measured, against 0.3 for pages that were let go of a moment ago). So files that are cold, or removed,
//! stay in the cache until new bytes need the room. A removed file keeps its space on the disk as long, within a bound. None of it
//! where writes go past the cache.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rustix::fs::{Advice, fadvise};

/// Let go of at a time.
const STEP_BYTES: u64 = 1024 * 1024;
/// Removed files may take so much of the disk.
const REMOVED_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Cold files that have a name and wait their turn at most; each takes a descriptor.
const COLD_MAX: usize = 8;

/// An old file and how far its pages have been let go of.
struct Cold {
    file: File,
    at: u64,
    end: u64,
    removed: bool,
}

impl Cold {
    fn removed_bytes(&self) -> u64 {
        if self.removed { self.end } else { 0 }
    }
}

/// The old files of a folder, oldest first.
#[derive(Default)]
pub(super) struct Recycler {
    inner: Mutex<Inner>,
    /// What is written goes past the cache.
    is_idle: AtomicBool,
}

#[derive(Default)]
struct Inner {
    cold: VecDeque<Cold>,
    removed_bytes: u64,
    /// Bytes written for which nothing has been let go of yet.
    due_bytes: u64,
    /// Files that hold nothing any more. Closing one can take the disk a while: the writer does not do it.
    done: Vec<File>,
}

impl Recycler {
    /// From now on nothing is kept: writes go past the cache and need none of it.
    pub fn idle(&self) {
        self.is_idle.store(true, Ordering::Relaxed);
    }

    /// Whether writes go past the cache.
    pub fn is_idle(&self) -> bool {
        self.is_idle.load(Ordering::Relaxed)
    }

    /// A file that will hardly be read again, or (`removed`) that has no name any more.
    pub fn add(&self, file: File, removed: bool) -> io::Result<()> {
        if self.is_idle() {
            return Ok(fadvise(&file, 0, None, Advice::DontNeed)?);
        }
        let end = file.metadata()?.len();
        let mut inner = self.inner.lock();
        let cold = Cold {
            file,
            at: 0,
            end,
            removed,
        };
        inner.removed_bytes += cold.removed_bytes();
        inner.cold.push_back(cold);
        let named = |inner: &Inner| inner.cold.iter().filter(|cold| !cold.removed).count();
        while named(&inner) > COLD_MAX {
            let oldest = inner.cold.iter().position(|cold| !cold.removed);
            let Some(oldest) = oldest.and_then(|at| inner.cold.remove(at)) else {
                break;
            };
            let _ = fadvise(&oldest.file, 0, None, Advice::DontNeed);
        }
        while inner.removed_bytes > REMOVED_BYTES_MAX {
            let oldest = inner.cold.iter().position(|cold| cold.removed);
            let Some(oldest) = oldest.and_then(|at| inner.cold.remove(at)) else {
                break;
            };
            inner.removed_bytes -= oldest.removed_bytes();
            inner.done.push(oldest.file);
        }
        Ok(())
    }

    /// Makes room for bytes about to be written.
    pub fn release(&self, bytes: usize) {
        let mut inner = self.inner.lock();
        inner.due_bytes += bytes as u64;
        while inner.due_bytes >= STEP_BYTES {
            let Some(cold) = inner.cold.front_mut() else {
                inner.due_bytes = 0;
                return;
            };
            // Only a hint: where it is not taken, memory is found elsewhere.
            let length = std::num::NonZeroU64::new(STEP_BYTES);
            let _ = fadvise(&cold.file, cold.at, length, Advice::DontNeed);
            cold.at += STEP_BYTES;
            let finished = cold.at >= cold.end;
            inner.due_bytes -= STEP_BYTES;
            if finished && let Some(cold) = inner.cold.pop_front() {
                inner.removed_bytes -= cold.removed_bytes();
                inner.done.push(cold.file);
            }
        }
    }

    /// Closes what is done with.
    pub fn close_done(&self) {
        let done = std::mem::take(&mut self.inner.lock().done);
        drop(done);
    }

    /// Gives back the space of all removed files. False when there were none.
    pub fn give_up_removed(&self) -> bool {
        let mut inner = self.inner.lock();
        let before = inner.cold.len();
        inner.cold.retain(|cold| !cold.removed);
        inner.removed_bytes = 0;
        let given = before > inner.cold.len() || !inner.done.is_empty();
        inner.done.clear();
        given
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn file(bytes: u64) -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(bytes).unwrap();
        file
    }

    #[test]
    fn files_are_let_go_of_in_step_with_what_is_written_oldest_first() {
        let recycler = Recycler::default();
        recycler.add(file(3 * STEP_BYTES), true).unwrap();
        recycler.add(file(STEP_BYTES), false).unwrap();
        recycler.release(STEP_BYTES as usize / 2);
        assert_eq!(recycler.inner.lock().cold[0].at, 0);
        recycler.release(2 * STEP_BYTES as usize);
        assert_eq!(recycler.inner.lock().cold[0].at, 2 * STEP_BYTES);
        recycler.release(STEP_BYTES as usize);
        assert_eq!(recycler.inner.lock().cold.len(), 1);
        assert_eq!(recycler.inner.lock().removed_bytes, 0);
        assert_eq!(recycler.inner.lock().done.len(), 1);
        recycler.close_done();
        assert!(recycler.inner.lock().done.is_empty());
    }

    #[test]
    fn cold_files_do_not_pile_up_while_nothing_is_written() {
        let recycler = Recycler::default();
        for _ in 0..3 * COLD_MAX {
            recycler.add(file(STEP_BYTES), false).unwrap();
        }
        assert_eq!(recycler.inner.lock().cold.len(), COLD_MAX);
    }

    #[test]
    fn nothing_is_kept_where_writes_go_past_the_cache() {
        let recycler = Recycler::default();
        recycler.idle();
        recycler.add(file(STEP_BYTES), true).unwrap();
        recycler.add(file(STEP_BYTES), false).unwrap();
        assert!(recycler.inner.lock().cold.is_empty());
    }

    #[test]
    fn removed_files_take_a_bounded_part_of_the_disk_and_none_when_it_is_full() {
        let recycler = Recycler::default();
        recycler.add(file(STEP_BYTES), false).unwrap();
        for _ in 0..3 {
            recycler.add(file(REMOVED_BYTES_MAX / 2), true).unwrap();
        }
        assert_eq!(recycler.inner.lock().removed_bytes, REMOVED_BYTES_MAX);
        assert_eq!(recycler.inner.lock().cold.len(), 3);
        assert!(recycler.give_up_removed());
        assert_eq!(recycler.inner.lock().cold.len(), 1);
        assert!(!recycler.give_up_removed());
    }
}
