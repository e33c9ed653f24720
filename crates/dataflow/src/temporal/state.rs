//! The rows of a temporal filter by the time at which something happens to them next.
//!
//! Snapshot: version, clock, number of entries; for each its time, whether it comes or goes, until when it is there, how often, its bytes.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use crate::codec::hash;
use crate::codec::persist::{
    expect_version, get_bytes, get_len, get_u32, get_u64, put_bytes, put_u32, put_u64,
};

const VERSION: u32 = 1;
/// What an entry costs beside its row: its key, count and place in the tree.
const ENTRY_BYTES: usize = 80;

/// Time, then whether the row comes (with the end of its time) or goes, then the row: what happens is in an order of its own.
type Key = (i64, Option<i64>, Box<[u8]>);

pub(super) struct State {
    /// The latest clock seen: a clock that is set back does not bring rows back.
    now_us: i64,
    entries: BTreeMap<Key, i64>,
    row_bytes: usize,
}

impl Default for State {
    fn default() -> Self {
        Self {
            now_us: i64::MIN,
            entries: BTreeMap::new(),
            row_bytes: 0,
        }
    }
}

/// A row whose time has come.
pub(super) struct Turn {
    /// It appears; otherwise it goes.
    pub comes: bool,
    pub row: Box<[u8]>,
    /// How often the row is there (less than none while a retraction came before its row).
    pub count: i64,
}

impl State {
    pub fn advance(&mut self, now_us: i64) -> i64 {
        self.now_us = self.now_us.max(now_us);
        self.now_us
    }

    /// Something will happen to a row at `at`: it appears, until `comes`, or it goes (`None`).
    pub fn add(&mut self, at: i64, comes: Option<i64>, row: &[u8], weight: i64) {
        match self.entries.entry((at, comes, row.into())) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(weight);
                self.row_bytes += row.len();
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                *entry.get_mut() += weight;
                if *entry.get() == 0 {
                    entry.remove();
                    self.row_bytes -= row.len();
                }
            }
        }
    }

    /// What has happened up to now, earliest first. Rows that came and went in between are left out.
    pub fn turns(&mut self) -> Vec<Turn> {
        if self.next().is_none_or(|next| next > self.now_us) {
            return Vec::new();
        }
        let later = match self.now_us.checked_add(1) {
            Some(next) => self.entries.split_off(&(next, None, Box::default())),
            None => BTreeMap::new(),
        };
        let past = std::mem::replace(&mut self.entries, later);
        let mut turns = Vec::new();
        for ((_, comes, row), count) in past {
            self.row_bytes -= row.len();
            match comes {
                Some(until) if until <= self.now_us => {}
                Some(until) => {
                    if until < i64::MAX {
                        self.add(until, None, &row, count);
                    }
                    turns.push(Turn {
                        comes: true,
                        row,
                        count,
                    });
                }
                None => turns.push(Turn {
                    comes: false,
                    row,
                    count,
                }),
            }
        }
        turns
    }

    pub fn next(&self) -> Option<i64> {
        self.entries.keys().next().map(|(at, _, _)| *at)
    }

    pub fn keep(&mut self, wanted: &dyn Fn(u32) -> bool) {
        self.entries
            .retain(|(_, _, row), _| wanted(hash::of_bytes(row)));
        self.row_bytes = self.entries.keys().map(|(_, _, row)| row.len()).sum();
    }

    pub fn rows(&self) -> usize {
        self.entries.len()
    }

    pub fn bytes(&self) -> usize {
        self.row_bytes + self.entries.len() * ENTRY_BYTES
    }

    pub fn snapshot(&self, out: &mut dyn Write) -> io::Result<()> {
        put_u32(out, VERSION)?;
        put_u64(out, self.now_us as u64)?;
        put_u64(out, self.entries.len() as u64)?;
        for ((at, comes, row), count) in &self.entries {
            put_u64(out, *at as u64)?;
            put_u32(out, u32::from(comes.is_some()))?;
            put_u64(out, comes.unwrap_or_default() as u64)?;
            put_u64(out, *count as u64)?;
            put_bytes(out, row)?;
        }
        Ok(())
    }

    pub fn restore(from: &mut dyn Read) -> io::Result<Self> {
        expect_version(from, VERSION)?;
        let mut state = Self {
            now_us: get_u64(from)? as i64,
            ..Self::default()
        };
        for _ in 0..get_len(from)? {
            let at = get_u64(from)? as i64;
            let comes = get_u32(from)? != 0;
            let until = get_u64(from)? as i64;
            let count = get_u64(from)? as i64;
            let row = get_bytes(from)?;
            state.add(at, comes.then_some(until), &row, count);
        }
        Ok(state)
    }
}
