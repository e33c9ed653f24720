//! Memory for commits and large reads, used again: fresh memory has to be cleared, and fetched page by page from the system.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

/// Kept for the next at most.
const KEPT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Pieces are multiples of it.
const STEP_BYTES: usize = 16 * 1024;
/// What is smaller is left to the allocator.
const PIECE_BYTES_MIN: usize = 64 * 1024;

/// What is not lent out now.
#[derive(Default)]
pub(super) struct Pool(Mutex<Vec<Vec<u8>>>);

/// A piece of memory that goes back when it is dropped. What is in it is what was there before.
pub(super) struct Lent {
    memory: Vec<u8>,
    bytes: usize,
    pool: Arc<Pool>,
}

impl Pool {
    /// So many bytes of memory.
    pub fn lend(self: &Arc<Self>, bytes: usize) -> Lent {
        let pool = Arc::clone(self);
        if bytes < PIECE_BYTES_MIN {
            let memory = vec![0; bytes];
            return Lent {
                memory,
                bytes,
                pool,
            };
        }
        let wanted = bytes.next_multiple_of(STEP_BYTES);
        // Not much more than is wanted: who holds it accounts for what is wanted.
        let fits = |length: usize| (wanted..=wanted + wanted / 4).contains(&length);
        let mut kept = self.0.lock();
        let found = kept.iter().position(|piece| fits(piece.len()));
        let found = found.map(|at| kept.swap_remove(at));
        drop(kept);
        Lent {
            memory: found.unwrap_or_else(|| vec![0; wanted]),
            bytes,
            pool,
        }
    }
}

impl Lent {
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[..self.bytes]
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
        &self.memory[..self.bytes]
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        if memory.len() < PIECE_BYTES_MIN {
            return;
        }
        let mut kept = self.pool.0.lock();
        let bytes: usize = kept.iter().map(Vec::len).sum();
        if bytes + memory.len() <= KEPT_BYTES_MAX {
            kept.push(memory);
        }
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
        let kept: usize = pool.0.lock().iter().map(Vec::len).sum();
        assert!(kept <= KEPT_BYTES_MAX);
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
}
