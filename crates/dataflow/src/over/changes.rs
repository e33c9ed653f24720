//! A step's changes to rows of keys until they are applied: remembered as they come, then in order, the same row once with what is left of it.
//!
//! Knows nothing of the rows that are kept.

use std::ops::Range;

use crate::codec::{EncodedRows, RowWriter};
use crate::delta::Delta;

/// `At`: what a key's rows are in the order of, before their bytes.
pub(super) struct Changes<At> {
    writer: RowWriter,
    batches: Vec<EncodedRows>,
    changes: Vec<Change<At>>,
}

#[derive(Clone, Copy)]
pub(super) struct Change<At> {
    pub(super) key: u32,
    pub(super) at: At,
    batch: u32,
    row: u32,
    weight: i64,
}

impl<At: Copy + Ord> Changes<At> {
    pub(super) fn new(writer: RowWriter) -> Self {
        Self {
            writer,
            batches: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// Remembers the rows of a delta, with the key and the place of each.
    pub(super) fn take(
        &mut self,
        delta: &Delta,
        keys: Vec<u32>,
        places: impl IntoIterator<Item = At>,
    ) {
        let batch = self.batches.len() as u32;
        self.batches
            .push(self.writer.encode(delta.rows.columns(), delta.len()));
        let rows = keys.into_iter().zip(places).enumerate();
        self.changes.extend(rows.map(|(row, (key, at))| Change {
            key,
            at,
            batch,
            row: row as u32,
            weight: delta.kind(row).weight(),
        }));
    }

    /// Puts them in the order of keys, places and rows.
    pub(super) fn sort(&mut self) {
        let batches = &self.batches;
        let row = |c: &Change<At>| batches[c.batch as usize].get(c.row as usize);
        self.changes.sort_by(|a, b| {
            let places = (a.key, a.at).cmp(&(b.key, b.at));
            places.then_with(|| row(a).cmp(row(b)))
        });
    }

    /// Keys, with the range of the changes of each. They are sorted.
    pub(super) fn runs(&self) -> impl Iterator<Item = (u32, Range<usize>)> {
        let mut from = 0;
        let runs = self.changes.chunk_by(|a, b| a.key == b.key);
        runs.map(move |run| {
            let range = from..from + run.len();
            from = range.end;
            (run[0].key, range)
        })
    }

    /// The changes of a key. They are sorted.
    pub(super) fn of_key(&self, key: u32) -> Range<usize> {
        let from = self.changes.partition_point(|c| c.key < key);
        from..self.changes.partition_point(|c| c.key <= key)
    }

    pub(super) fn get(&self, index: usize) -> Change<At> {
        self.changes[index]
    }

    /// The row of the first of these changes, how often it comes (or leaves) in all of them, and the changes that are left. They are sorted.
    pub(super) fn next(&self, changes: Range<usize>) -> (&[u8], i64, Range<usize>) {
        let row = |c: &Change<At>| self.batches[c.batch as usize].get(c.row as usize);
        let first = row(&self.changes[changes.start]);
        let same = |c: &&Change<At>| row(c) == first;
        let run = self.changes[changes.clone()].iter().take_while(same);
        let (weight, len) = run.fold((0, 0), |(weight, len), c| (weight + c.weight, len + 1));
        (first, weight, changes.start + len..changes.end)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.changes.clear();
        self.batches.clear();
    }
}
