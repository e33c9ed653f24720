//! Memory for commits and large reads, used again: fresh memory has to be cleared, and fetched page by page from the system.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::disk::BLOCK_BYTES;
use super::pages::{PAGE_BYTES, Pages};

/// Kept for the next at most.
const KEPT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Pieces are multiples of it.
const STEP_BYTES: usize = 16 * 1024;
/// What is smaller is left to the allocator.
const PIECE_BYTES_MIN: usize = 64 * 1024;

/// What is not lent out now; what came back last is at the back.
#[derive(Default)]
pub(super) struct Pool(Mutex<VecDeque<Memory>>);

/// A piece of memory that goes back when it is dropped. What is in it is what was there before.
pub(super) struct Lent {
    memory: Memory,
    from: usize,
    bytes: usize,
    pool: Arc<Pool>,
}

enum Memory {
    Small(Vec<u8>),
    Large(Pages),
}

impl Memory {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Small(bytes) => bytes,
            Self::Large(pages) => pages.as_ref(),
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Small(bytes) => bytes,
            Self::Large(pages) => pages.as_mut(),
        }
    }

    fn len(&self) -> usize {
        self.bytes().len()
    }
}

impl Pool {
    /// So many bytes of memory.
    pub fn lend(self: &Arc<Self>, bytes: usize) -> Lent {
        let memory = match bytes < PIECE_BYTES_MIN {
            true => Memory::Small(vec![0; bytes]),
            false => self.piece(bytes),
        };
        self.lent(memory, 0, bytes)
    }

    /// So many bytes that begin where the disk's blocks may. What fits into large pages has them.
    pub fn lend_blocks(self: &Arc<Self>, bytes: usize) -> Lent {
        let whole = bytes.next_multiple_of(PAGE_BYTES);
        let large = fits(bytes, whole).then(|| {
            let found =
                self.find(|memory| matches!(memory, Memory::Large(_)) && memory.len() == whole);
            found.or_else(|| Pages::new(whole).map(Memory::Large))
        });
        let memory = large
            .flatten()
            .unwrap_or_else(|| self.piece(bytes + BLOCK_BYTES));
        // Should the offset not be known, the system refuses the call and the caller does without.
        let from = memory.bytes().as_ptr().align_offset(BLOCK_BYTES);
        let from = from.min(memory.len() - bytes);
        self.lent(memory, from, bytes)
    }

    fn lent(self: &Arc<Self>, memory: Memory, from: usize, bytes: usize) -> Lent {
        Lent {
            memory,
            from,
            bytes,
            pool: Arc::clone(self),
        }
    }

    fn piece(&self, bytes: usize) -> Memory {
        let wanted = bytes.next_multiple_of(STEP_BYTES);
        let found =
            self.find(|memory| matches!(memory, Memory::Small(_)) && fits(wanted, memory.len()));
        found.unwrap_or_else(|| Memory::Small(vec![0; wanted]))
    }

    fn find(&self, is_it: impl Fn(&Memory) -> bool) -> Option<Memory> {
        let mut kept = self.0.lock();
        let found = kept.iter().rposition(is_it)?;
        kept.remove(found)
    }
}

/// Not much more than is wanted: who holds it accounts for what is wanted.
fn fits(wanted: usize, length: usize) -> bool {
    (wanted..=wanted + wanted / 4).contains(&length)
}

impl Lent {
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory.bytes_mut()[self.from..self.from + self.bytes]
    }

    /// A part of it, which keeps all of it from going back.
    pub fn part(self, from: usize, to: usize) -> Bytes {
        Bytes::from_owner(self).slice(from..to)
    }

    /// All of it.
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.memory.bytes()[self.from..self.from + self.bytes]
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let memory = std::mem::replace(&mut self.memory, Memory::Small(Vec::new()));
        if memory.len() < PIECE_BYTES_MIN {
            return;
        }
        // What nobody has wanted for longest makes room, given back when the lock is free again.
        let mut surplus = Vec::new();
        let mut kept = self.pool.0.lock();
        kept.push_back(memory);
        let mut bytes: usize = kept.iter().map(Memory::len).sum();
        while bytes > KEPT_BYTES_MAX
            && let Some(oldest) = kept.pop_front()
        {
            bytes -= oldest.len();
            surplus.push(oldest);
        }
        drop(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back_when_the_last_part_is_dropped_and_is_bounded() {
        let pool = Arc::new(Pool::default());
        let mut lent = pool.lend(100_000);
        assert_eq!(lent.bytes_mut().len(), 100_000);
        lent.bytes_mut()[7] = 9;
        let part = lent.part(7, 8);
        assert_eq!(part[0], 9);
        assert_eq!(pool.0.lock().len(), 0);
        drop(part);
        assert_eq!(pool.0.lock().len(), 1);
        let again = pool.lend(90_000);
        assert_eq!((again.as_ref()[7], again.as_ref().len()), (9, 90_000));
        let many: Vec<Lent> = (0..40).map(|_| pool.lend(1024 * 1024)).collect();
        drop(many);
        let kept: usize = pool.0.lock().iter().map(Memory::len).sum();
        assert!(kept <= KEPT_BYTES_MAX);
    }

    #[test]
    fn what_nobody_wants_any_more_makes_room_for_what_is_wanted_again() {
        let pool = Arc::new(Pool::default());
        let unwanted: Vec<Lent> = (0..16).map(|_| pool.lend(1024 * 1024)).collect();
        drop(unwanted);
        let of = |pool: &Pool| pool.0.lock().iter().map(Memory::len).collect::<Vec<_>>();
        assert_eq!(of(&pool), [1024 * 1024; 16]);
        drop(pool.lend_blocks(PAGE_BYTES));
        assert_eq!(of(&pool)[13..], [1024 * 1024, PAGE_BYTES]);
        drop(pool.lend_blocks(PAGE_BYTES));
        assert_eq!(of(&pool).len(), 15);
    }

    #[test]
    fn small_pieces_are_not_kept_nor_large_ones_given_for_small() {
        let pool = Arc::new(Pool::default());
        drop(pool.lend(500));
        assert!(pool.0.lock().is_empty());
        drop(pool.lend(1024 * 1024));
        assert_eq!(pool.lend(100_000).memory.len(), 7 * STEP_BYTES);
        assert_eq!(pool.0.lock().len(), 2);
    }

    #[test]
    fn blocks_begin_at_borders_and_whole_pages_are_used_again() {
        let pool = Arc::new(Pool::default());
        for bytes in [BLOCK_BYTES, 300_000, PAGE_BYTES, 3 * PAGE_BYTES / 2] {
            let mut lent = pool.lend_blocks(bytes);
            lent.bytes_mut().fill(5);
            assert_eq!(lent.as_ref().len(), bytes);
            assert_eq!(lent.as_ref().as_ptr().align_offset(BLOCK_BYTES), 0);
        }
        let large = |memory: &&Memory| matches!(memory, Memory::Large(_));
        assert_eq!(pool.0.lock().iter().filter(large).count(), 1);
        let again = pool.lend_blocks(PAGE_BYTES);
        assert_eq!(again.as_ref()[PAGE_BYTES - 1], 5);
        assert_eq!(pool.0.lock().iter().filter(large).count(), 0);
        assert_eq!(pool.lend(2 * 1024 * 1024).memory.len(), PAGE_BYTES);
        drop(again);
        assert_eq!(pool.0.lock().iter().filter(large).count(), 1);
    }
}
