//! One side of a join: its rows as compact bytes, each distinct row of a key once with its count, the rows of a key as a list.

use std::io::{self, Read, Write};

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use hashbrown::HashTable;

use crate::codec::persist::{get_all, get_bytes, get_u32, invalid, put_all, put_bytes, put_u32};
use crate::codec::{Arena, Damaged, EncodedRows, RowReader, RowWriter, Span, Unkept, hash};
use crate::keys::NONE;

pub(super) struct Side {
    types: Vec<DataType>,
    writer: RowWriter,
    arena: Arena,
    rows: Vec<Row>,
    free: Vec<u32>,
    /// Row by key and bytes.
    index: HashTable<u32>,
    /// Last row of each key's list.
    heads: Vec<u32>,
}

/// 40 bytes beside the row's own.
#[derive(Clone, Copy)]
struct Row {
    span: Span,
    hash: u32,
    key: u32,
    next: u32,
    prev: u32,
    /// How many rows are like this one; 0: the place is free.
    count: u32,
    /// Of a left row under a residual condition: how many right rows match.
    matches: u32,
}

/// What a change did to the state.
pub(super) struct Applied {
    pub row: u32,
    /// The change as it took effect: less than wished when more left than was there.
    pub weight: i64,
}

impl Side {
    pub(super) fn new(schema: &SchemaRef) -> Result<Self, Unkept> {
        let types: Vec<DataType> = schema
            .fields()
            .iter()
            .map(|f| f.data_type().clone())
            .collect();
        Ok(Self {
            writer: RowWriter::new(&types)?,
            types,
            arena: Arena::default(),
            rows: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            heads: Vec::new(),
        })
    }

    pub(super) fn grow(&mut self, keys: usize) {
        self.heads.resize(keys.max(self.heads.len()), NONE);
    }

    pub(super) fn encode(&self, rows: &RecordBatch) -> EncodedRows {
        self.writer.encode(rows.columns(), rows.num_rows())
    }

    /// Adds the row `weight` times, or takes it away. `None`: it was not there.
    pub(super) fn apply(&mut self, key: u32, bytes: &[u8], weight: i64) -> Option<Applied> {
        let hash = hash::mixed(hash::of_bytes(bytes), key);
        let same = |at: &u32| {
            let row = &self.rows[*at as usize];
            row.hash == hash && row.key == key && self.arena.get(row.span) == bytes
        };
        match self.index.find(hash::spread(hash), same).copied() {
            Some(row) => {
                let count = i64::from(self.rows[row as usize].count);
                let after = (count + weight).clamp(0, i64::from(u32::MAX));
                self.rows[row as usize].count = after as u32;
                Some(Applied {
                    row,
                    weight: after - count,
                })
            }
            None if weight > 0 => Some(Applied {
                row: self.insert(key, bytes, hash, weight as u32),
                weight,
            }),
            None => None,
        }
    }

    fn insert(&mut self, key: u32, bytes: &[u8], hash: u32, count: u32) -> u32 {
        let next = self.heads[key as usize];
        let row = Row {
            span: self.arena.put(bytes),
            hash,
            key,
            next,
            prev: NONE,
            count,
            matches: 0,
        };
        let at = match self.free.pop() {
            Some(at) => {
                self.rows[at as usize] = row;
                at
            }
            None => {
                self.rows.push(row);
                self.rows.len() as u32 - 1
            }
        };
        self.link(at);
        at
    }

    fn link(&mut self, at: u32) {
        let Row {
            hash, key, next, ..
        } = self.rows[at as usize];
        if next != NONE {
            self.rows[next as usize].prev = at;
        }
        self.heads[key as usize] = at;
        let rows = &self.rows;
        self.index.insert_unique(hash::spread(hash), at, |at| {
            hash::spread(rows[*at as usize].hash)
        });
    }

    /// Frees the row's place if none like it is left. Apart from [`Side::apply`], so that rows that left can still be read.
    pub(super) fn sweep(&mut self, at: u32) {
        let Row {
            span,
            hash,
            key,
            next,
            prev,
            count,
            ..
        } = self.rows[at as usize];
        if count > 0 || span == Span::NONE {
            return;
        }
        match prev {
            NONE => self.heads[key as usize] = next,
            prev => self.rows[prev as usize].next = next,
        }
        if next != NONE {
            self.rows[next as usize].prev = prev;
        }
        if let Ok(entry) = self
            .index
            .find_entry(hash::spread(hash), |other| *other == at)
        {
            entry.remove();
        }
        self.arena.free(span);
        self.rows[at as usize].span = Span::NONE;
        self.free.push(at);
    }

    /// The key's rows, newest first.
    pub(super) fn of_key(&self, key: u32) -> impl Iterator<Item = u32> {
        let mut at = self.heads[key as usize];
        std::iter::from_fn(move || {
            let row = (at != NONE).then_some(at)?;
            at = self.rows[row as usize].next;
            Some(row)
        })
    }

    pub(super) fn is_empty(&self, key: u32) -> bool {
        self.heads[key as usize] == NONE
    }

    pub(super) fn count(&self, row: u32) -> u32 {
        self.rows[row as usize].count
    }

    pub(super) fn matches(&mut self, row: u32) -> &mut u32 {
        &mut self.rows[row as usize].matches
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
                row => reader.push(self.arena.get(self.rows[row as usize].span))?,
            }
        }
        reader.finish()
    }

    pub(super) fn tidy(&mut self) {
        if self.arena.wasteful() {
            self.arena
                .compact(self.rows.iter_mut().map(|r| &mut r.span));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len() - self.free.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.arena.bytes()
            + self.rows.capacity() * size_of::<Row>()
            + self.index.allocation_size()
            + (self.heads.capacity() + self.free.capacity()) * 4
    }

    pub(super) fn save(&self, out: &mut dyn Write) -> io::Result<()> {
        put_all(out, &self.free)?;
        put_all(out, &self.heads)?;
        put_u32(out, self.rows.len() as u32)?;
        for row in &self.rows {
            put_all(out, &[row.key, row.next, row.prev, row.count, row.matches])?;
            match row.span {
                Span::NONE => put_bytes(out, &[])?,
                span => put_bytes(out, self.arena.get(span))?,
            }
        }
        Ok(())
    }

    pub(super) fn load(&mut self, from: &mut dyn Read) -> io::Result<()> {
        self.free = get_all(from)?;
        self.heads = get_all(from)?;
        self.arena = Arena::default();
        self.rows.clear();
        self.index.clear();
        for at in 0..get_u32(from)? {
            let numbers = get_all::<u32>(from)?;
            let [key, next, prev, count, matches] = numbers[..] else {
                return Err(invalid("a join's row is cut"));
            };
            let bytes = get_bytes(from)?;
            let hash = hash::mixed(hash::of_bytes(&bytes), key);
            let span = if count > 0 {
                self.arena.put(&bytes)
            } else {
                Span::NONE
            };
            self.rows.push(Row {
                span,
                hash,
                key,
                next,
                prev,
                count,
                matches,
            });
            if count > 0 {
                let rows = &self.rows;
                self.index.insert_unique(hash::spread(hash), at, |at| {
                    hash::spread(rows[*at as usize].hash)
                });
            }
        }
        self.check()
    }

    /// Links must lead to rows, or reading would.
    fn check(&self) -> io::Result<()> {
        let there = |at: u32| at == NONE || self.rows.get(at as usize).is_some_and(|r| r.count > 0);
        let linked = self
            .rows
            .iter()
            .filter(|r| r.count > 0)
            .all(|r| there(r.next) && there(r.prev) && (r.key as usize) < self.heads.len());
        let free = self
            .free
            .iter()
            .all(|at| self.rows.get(*at as usize).is_some_and(|r| r.count == 0));
        match linked && free && self.heads.iter().all(|at| there(*at)) {
            true => Ok(()),
            false => Err(invalid("a join's rows are linked wrongly")),
        }
    }
}
