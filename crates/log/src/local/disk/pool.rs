//! Memory for large reads, used again: fresh memory has to be cleared, and fetched page by page from the system.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

/// Kept for the next reads at most.
const KEPT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Pieces are multiples of it.
const PIECE_BYTES: usize = 64 * 1024;

/// What is not lent out now.
#[derive(Default)]
pub(super) struct Pool(Mutex<Vec<Vec<u8>>>);

/// A piece of memory that goes back when it is dropped. What is in it is what was read last.
pub(super) struct Lent {
    memory: Vec<u8>,
    pool: Arc<Pool>,
}

impl Pool {
    /// A piece of at least so many bytes.
    pub fn lend(self: &Arc<Self>, bytes: usize) -> Lent {
        let wanted = bytes.next_multiple_of(PIECE_BYTES).max(PIECE_BYTES);
        // Not much more than is wanted: what an answer holds is accounted for by what is wanted.
        let fits = |length: usize| (wanted..=wanted + wanted / 4).contains(&length);
        let mut kept = self.0.lock();
        let found = kept.iter().position(|piece| fits(piece.len()));
        let found = found.map(|at| kept.swap_remove(at));
        drop(kept);
        Lent {
            memory: found.unwrap_or_else(|| vec![0; wanted]),
            pool: Arc::clone(self),
        }
    }
}

impl Lent {
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory
    }

    /// A part of it, which keeps all of it from going back.
    pub fn part(self, from: usize, to: usize) -> Bytes {
        Bytes::from_owner(self).slice(from..to)
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.memory
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
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
        lent.bytes_mut()[7] = 9;
        let part = lent.part(7, 8);
        assert_eq!(part[0], 9);
        assert_eq!(pool.0.lock().len(), 0);
        drop(part);
        assert_eq!(pool.0.lock().len(), 1);
        assert!(pool.lend(90_000).memory.len() >= 100_000, "the same piece");
        assert_eq!(pool.lend(10_000_000).memory.len(), 153 * PIECE_BYTES);
        let many: Vec<Lent> = (0..40).map(|_| pool.lend(1024 * 1024)).collect();
        drop(many);
        let kept: usize = pool.0.lock().iter().map(Vec::len).sum();
        assert!(kept <= KEPT_BYTES_MAX);
    }
}
