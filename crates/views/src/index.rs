//! From key to row: hashes and row ids only; the keys themselves stay in the chunks, compared there on a hit.
//!
//! Several rows of one key form a chain, newest first. Chains make the index exact for multisets and for changelogs that
//! add the new row of a key before they take back the old one.

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};

use crate::chunk::RowId;

#[derive(Debug)]
pub(crate) struct Index {
    heads: HashTable<Head>,
    /// Row -> the next older row of the same key.
    older: HashMap<RowId, RowId, FixedState>,
}

#[derive(Clone, Copy, Debug)]
struct Head {
    hash: u64,
    newest: RowId,
}

impl Index {
    pub fn new() -> Self {
        Self {
            heads: HashTable::new(),
            older: HashMap::with_hasher(FixedState::with_seed(1)),
        }
    }

    /// The newest row of a key. `same` says whether a row has the key that is looked for.
    pub fn newest(&self, hash: u64, same: impl Fn(RowId) -> bool) -> Option<RowId> {
        self.heads
            .find(hash, |head| head.hash == hash && same(head.newest))
            .map(|head| head.newest)
    }

    /// The row of the same key that came before `row`.
    pub fn older(&self, row: RowId) -> Option<RowId> {
        self.older.get(&row).copied()
    }

    /// Makes `row` the newest of its key.
    pub fn push(&mut self, hash: u64, row: RowId, same: impl Fn(RowId) -> bool) {
        match self
            .heads
            .find_mut(hash, |head| head.hash == hash && same(head.newest))
        {
            Some(head) => {
                self.older.insert(row, head.newest);
                head.newest = row;
            }
            None => {
                self.heads
                    .insert_unique(hash, Head { hash, newest: row }, |head| head.hash);
            }
        }
    }

    /// Takes `row` out of its key's chain. `newer` is the row before it in the chain, `None` if it is the newest.
    pub fn remove(&mut self, hash: u64, row: RowId, newer: Option<RowId>) {
        let below = self.older.remove(&row);
        match (newer, below) {
            (Some(newer), Some(below)) => {
                self.older.insert(newer, below);
            }
            (Some(newer), None) => {
                self.older.remove(&newer);
            }
            (None, below) => self.replace_head(hash, row, below),
        }
    }

    fn replace_head(&mut self, hash: u64, row: RowId, below: Option<RowId>) {
        let Ok(mut entry) = self.heads.find_entry(hash, |head| head.newest == row) else {
            return;
        };
        match below {
            Some(below) => entry.get_mut().newest = below,
            None => {
                entry.remove();
            }
        }
    }

    pub fn bytes(&self) -> usize {
        self.heads.allocation_size() + self.older.allocation_size()
    }
}
