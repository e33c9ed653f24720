//! One side of a join: its rows as compact bytes, the rows of a key as a list. What is kept beside a row's bytes depends on what its
//! side needs: 12 bytes where rows are only ever added, 28 where any row may leave.

use std::collections::HashMap;
use std::io::{self, Read, Write};

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use hashbrown::HashTable;

use crate::codec::persist::{get_all, get_u32, invalid, put_all, put_u32};
use crate::codec::{Arena, Damaged, EncodedRows, RowReader, RowWriter, Span, Unkept, hash, types};
use crate::keys::NONE;

/// How a row is found that came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    /// Only how many rows a key has counts: the rows are not kept.
    Counted,
    /// Rows are only ever added: each has its own place.
    Never,
    /// A key has at most a few rows.
    Walk,
    /// A key may have many: there is an index.
    Indexed,
}

/// Vectors by place; those that this side has no need of stay empty.
pub(super) struct Side {
    lookup: Lookup,
    types: Vec<DataType>,
    writer: RowWriter,
    arena: Arena,
    spans: Vec<Span>,
    next: Vec<u32>,
    free: Vec<u32>,
    /// How many rows are like this one. Not of sides whose rows are never merged.
    counts: Vec<u32>,
    /// Under a residual condition, of a preserved side: how many rows of the other side match.
    matches: Vec<u32>,
    index: HashTable<u32>,
    hashes: Vec<u32>,
    prev: Vec<u32>,
    /// First row of each key's list; of a counted side how many rows the key has.
    heads: Vec<u32>,
}

/// What a change did to the state.
pub(super) struct Applied {
    /// Place of the row; if its last copy left, the place is free already.
    pub row: u32,
    /// The change as it took effect: less than wished when more left than was there.
    pub weight: i64,
}

impl Side {
    pub(super) fn new(schema: &SchemaRef, lookup: Lookup) -> Result<Self, Unkept> {
        Self::of_types(types(schema), lookup)
    }

    fn of_types(types: Vec<DataType>, lookup: Lookup) -> Result<Self, Unkept> {
        Ok(Self {
            lookup,
            writer: RowWriter::new(&types)?,
            types,
            arena: Arena::default(),
            spans: Vec::new(),
            next: Vec::new(),
            free: Vec::new(),
            counts: Vec::new(),
            matches: Vec::new(),
            index: HashTable::new(),
            hashes: Vec::new(),
            prev: Vec::new(),
            heads: Vec::new(),
        })
    }

    /// The same side without rows.
    fn fresh(&self) -> Result<Self, Unkept> {
        Self::of_types(self.types.clone(), self.lookup)
    }

    fn nothing(&self) -> u32 {
        if self.lookup == Lookup::Counted {
            0
        } else {
            NONE
        }
    }

    pub(super) fn grow(&mut self, keys: usize) {
        self.heads
            .resize(keys.max(self.heads.len()), self.nothing());
    }

    /// Whether equal rows share a place.
    pub(super) fn merges(&self) -> bool {
        self.lookup != Lookup::Never
    }

    pub(super) fn encode(&self, rows: &RecordBatch) -> EncodedRows {
        // Of a counted side, too: only weights matter there, but rows that cancel out are told apart by their bytes.
        self.writer.encode(rows.columns(), rows.num_rows())
    }

    /// Adds the row `weight` times, or takes it away. `None`: it was not there.
    pub(super) fn apply(&mut self, key: u32, bytes: &[u8], weight: i64) -> Option<Applied> {
        if self.lookup == Lookup::Counted {
            let count = i64::from(self.heads[key as usize]);
            let after = (count + weight).clamp(0, i64::from(u32::MAX));
            self.heads[key as usize] = after as u32;
            return (after != count).then_some(Applied {
                row: NONE,
                weight: after - count,
            });
        }
        if self.lookup == Lookup::Never && weight > 0 {
            let row = self.insert(key, bytes, 0, 1);
            return Some(Applied { row, weight: 1 });
        }
        let hash = match self.lookup {
            Lookup::Indexed => hash::mixed(hash::of_bytes(bytes), key),
            _ => 0,
        };
        match self.find(key, bytes, hash) {
            Some((row, before)) => {
                let count = i64::from(self.count(row));
                let after = (count + weight).clamp(0, i64::from(u32::MAX));
                match after {
                    0 => self.remove(key, row, before),
                    after => self.counts[row as usize] = after as u32,
                }
                let weight = after - count;
                Some(Applied { row, weight })
            }
            None if weight > 0 => Some(Applied {
                row: self.insert(key, bytes, hash, weight.min(i64::from(u32::MAX)) as u32),
                weight,
            }),
            None => None,
        }
    }

    /// The row's place, and the one before it in its key's list.
    fn find(&self, key: u32, bytes: &[u8], hash: u32) -> Option<(u32, u32)> {
        let same = |at: u32| self.arena.get(self.spans[at as usize]) == bytes;
        if self.lookup == Lookup::Indexed {
            let alike = |at: &u32| self.hashes[*at as usize] == hash && same(*at);
            let row = *self.index.find(hash::spread(hash), alike)?;
            return Some((row, self.prev[row as usize]));
        }
        let (mut before, mut at) = (NONE, self.first(key));
        while at != NONE {
            if same(at) {
                return Some((at, before));
            }
            (before, at) = (at, self.next(at));
        }
        None
    }

    fn insert(&mut self, key: u32, bytes: &[u8], hash: u32, count: u32) -> u32 {
        let span = self.arena.put(bytes);
        let head = self.heads[key as usize];
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                self.spans.push(Span::NONE);
                self.next.push(NONE);
                self.spans.len() as u32 - 1
            }
        };
        let place = at as usize;
        (self.spans[place], self.next[place]) = (span, head);
        self.heads[key as usize] = at;
        if self.merges() {
            put(&mut self.counts, place, count);
        }
        if place < self.matches.len() {
            self.matches[place] = 0;
        }
        if self.lookup == Lookup::Indexed {
            put(&mut self.hashes, place, hash);
            put(&mut self.prev, place, NONE);
            if head != NONE {
                self.prev[head as usize] = at;
            }
            let hashes = &self.hashes;
            self.index.insert_unique(hash::spread(hash), at, |at| {
                hash::spread(hashes[*at as usize])
            });
        }
        at
    }

    fn remove(&mut self, key: u32, at: u32, before: u32) {
        let next = self.next(at);
        match before {
            NONE => self.heads[key as usize] = next,
            before => self.next[before as usize] = next,
        }
        if self.lookup == Lookup::Indexed {
            if next != NONE {
                self.prev[next as usize] = before;
            }
            let hash = self.hashes[at as usize];
            if let Ok(entry) = self
                .index
                .find_entry(hash::spread(hash), |other| *other == at)
            {
                entry.remove();
            }
        }
        self.release(at);
    }

    fn release(&mut self, at: u32) {
        self.arena.free(self.spans[at as usize]);
        self.spans[at as usize] = Span::NONE;
        if self.merges() {
            self.counts[at as usize] = 0;
        }
        self.free.push(at);
    }

    /// The key's newest row; [`NONE`] if there is none.
    pub(super) fn first(&self, key: u32) -> u32 {
        match self.lookup {
            Lookup::Counted => NONE,
            _ => self.heads[key as usize],
        }
    }

    /// The row before this one in time, of the same key.
    pub(super) fn next(&self, at: u32) -> u32 {
        self.next[at as usize]
    }

    /// The key's rows, newest first.
    pub(super) fn of_key(&self, key: u32) -> impl Iterator<Item = u32> {
        let mut at = self.first(key);
        std::iter::from_fn(move || {
            let row = (at != NONE).then_some(at)?;
            at = self.next(row);
            Some(row)
        })
    }

    pub(super) fn is_empty(&self, key: u32) -> bool {
        self.heads[key as usize] == self.nothing()
    }

    /// How many rows are at this place; 0: it is free.
    pub(super) fn count(&self, row: u32) -> u32 {
        match self.lookup {
            Lookup::Counted => 0,
            Lookup::Never => u32::from(self.spans[row as usize] != Span::NONE),
            _ => self.counts[row as usize],
        }
    }

    pub(super) fn matches(&mut self, row: u32) -> &mut u32 {
        if self.matches.len() <= row as usize {
            self.matches
                .resize(self.spans.len().max(row as usize + 1), 0);
        }
        &mut self.matches[row as usize]
    }

    /// The rows as columns; [`NONE`] is a row of NULLs.
    pub(super) fn columns(
        &self,
        rows: impl Iterator<Item = u32>,
    ) -> Result<Vec<ArrayRef>, Damaged> {
        let mut reader = RowReader::new(&self.types).map_err(|_| Damaged("row type"))?;
        for row in rows {
            match row {
                NONE => reader.push_null(),
                row => reader.push(self.arena.get(self.spans[row as usize]))?,
            }
        }
        reader.finish()
    }

    pub(super) fn tidy(&mut self) {
        if self.arena.wasteful() {
            self.arena.compact(self.spans.iter_mut());
        }
    }

    /// Places in use; of a counted side, keys.
    pub(super) fn len(&self) -> usize {
        match self.lookup {
            Lookup::Counted => self.heads.iter().filter(|count| **count > 0).count(),
            _ => self.spans.len() - self.free.len(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let words = [
            &self.next,
            &self.free,
            &self.counts,
            &self.matches,
            &self.hashes,
            &self.prev,
            &self.heads,
        ];
        self.arena.bytes()
            + self.spans.capacity() * size_of::<Span>()
            + self.index.allocation_size()
            + words.iter().map(|w| w.capacity() * 4).sum::<usize>()
    }

    /// Lets go of rows of one key, given by their places in ascending order. For sides whose rows are only added.
    pub(super) fn forget(&mut self, key: u32, places: &[u32]) {
        let (mut before, mut at) = (NONE, self.first(key));
        while at != NONE {
            let next = self.next(at);
            if places.binary_search(&at).is_err() {
                before = at;
            } else {
                self.remove(key, at, before);
            }
            at = next;
        }
    }

    /// A side with the rows of these keys only; the first of them becomes key 0, and so on. `moved`: where each place went.
    pub(super) fn only(
        &self,
        keys: &[u32],
        moved: &mut HashMap<u32, (u32, u32)>,
    ) -> Result<Self, Unkept> {
        let mut kept = self.fresh()?;
        kept.heads = vec![self.nothing(); keys.len()];
        for (key, old) in (0u32..).zip(keys) {
            if self.lookup == Lookup::Counted {
                kept.heads[key as usize] = self.heads[*old as usize];
                continue;
            }
            let mut rows: Vec<u32> = self.of_key(*old).collect();
            rows.reverse();
            for row in rows {
                let bytes = self.arena.get(self.spans[row as usize]);
                let hash = match self.lookup {
                    Lookup::Indexed => hash::mixed(hash::of_bytes(bytes), key),
                    _ => 0,
                };
                let at = kept.insert(key, bytes, hash, self.count(row));
                moved.insert(row, (key, at));
                if let Some(matches) = self.matches.get(row as usize) {
                    *kept.matches(at) = *matches;
                }
            }
        }
        kept.spans.shrink_to_fit();
        kept.next.shrink_to_fit();
        Ok(kept)
    }

    pub(super) fn save(&self, out: &mut dyn Write) -> io::Result<()> {
        put_u32(out, self.lookup as u32)?;
        for words in [
            &self.heads,
            &self.free,
            &self.next,
            &self.counts,
            &self.matches,
        ] {
            put_all(out, words)?;
        }
        let length = |span: &Span| match *span {
            Span::NONE => NONE,
            span => self.arena.get(span).len() as u32,
        };
        put_all(out, &self.spans.iter().map(length).collect::<Vec<_>>())?;
        for span in self.spans.iter().filter(|s| **s != Span::NONE) {
            out.write_all(self.arena.get(*span))?;
        }
        Ok(())
    }

    pub(super) fn load(&mut self, from: &mut dyn Read) -> io::Result<()> {
        if get_u32(from)? != self.lookup as u32 {
            return Err(invalid("a join's side was kept in another way"));
        }
        *self = self.fresh().map_err(|e| invalid(e.to_string()))?;
        for words in [
            &mut self.heads,
            &mut self.free,
            &mut self.next,
            &mut self.counts,
            &mut self.matches,
        ] {
            *words = get_all(from)?;
        }
        let mut bytes = Vec::new();
        for length in get_all::<u32>(from)? {
            let span = match length {
                NONE => Span::NONE,
                length => {
                    bytes.clear();
                    let read = from.take(u64::from(length)).read_to_end(&mut bytes)?;
                    if read != length as usize {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    self.arena.put(&bytes)
                }
            };
            self.spans.push(span);
        }
        self.check()?;
        self.reindex();
        Ok(())
    }

    /// Links must lead to rows, or reading would.
    fn check(&self) -> io::Result<()> {
        if self.lookup == Lookup::Counted {
            return Ok(());
        }
        let places = self.spans.len();
        let there = |at: u32| {
            at == NONE
                || self
                    .spans
                    .get(at as usize)
                    .is_some_and(|s| *s != Span::NONE)
        };
        let linked = self.next.len() == places
            && (0..places).all(|at| self.spans[at] == Span::NONE || there(self.next[at]));
        let counted = !self.merges()
            || (self.counts.len() == places
                && (0..places).all(|at| (self.counts[at] == 0) == (self.spans[at] == Span::NONE)));
        let free = self
            .free
            .iter()
            .all(|at| self.spans.get(*at as usize) == Some(&Span::NONE));
        match linked && counted && free && self.heads.iter().all(|at| there(*at)) {
            true => Ok(()),
            false => Err(invalid("a join's rows are linked wrongly")),
        }
    }

    /// What is not written because it follows from the lists.
    fn reindex(&mut self) {
        if self.lookup != Lookup::Indexed {
            return;
        }
        self.hashes = vec![0; self.spans.len()];
        self.prev = vec![NONE; self.spans.len()];
        for key in 0..self.heads.len() as u32 {
            let (mut before, mut at) = (NONE, self.first(key));
            while at != NONE {
                let bytes = self.arena.get(self.spans[at as usize]);
                let hash = hash::mixed(hash::of_bytes(bytes), key);
                (self.hashes[at as usize], self.prev[at as usize]) = (hash, before);
                let hashes = &self.hashes;
                self.index.insert_unique(hash::spread(hash), at, |at| {
                    hash::spread(hashes[*at as usize])
                });
                (before, at) = (at, self.next[at as usize]);
            }
        }
    }
}

fn put(values: &mut Vec<u32>, at: usize, value: u32) {
    if values.len() <= at {
        values.resize(at + 1, 0);
    }
    values[at] = value;
}
