//! Rows by key as multisets: each key's distinct rows in the order of their encoding, with counts; and a step's [`Changes`].

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::ops::Range;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;

use super::changes::Changes;
use crate::codec::persist::{get_bytes, get_u32, invalid, put_bytes, put_u32};
use crate::codec::{Arena, RowWriter, Span, Unkept, types};
use crate::delta::Delta;
use crate::keys::KeyTable;

pub(super) struct KeyedRows {
    /// Input columns of the key.
    columns: Vec<usize>,
    keys: KeyTable,
    arena: Arena,
    /// By key.
    lists: Vec<Vec<Entry>>,
    /// Distinct rows of all keys.
    len: usize,
    changes: Changes<()>,
}

#[derive(Clone, Copy)]
struct Entry {
    span: Span,
    count: u32,
}

impl KeyedRows {
    pub(super) fn new(input: &SchemaRef, columns: &[usize]) -> Result<Self, Unkept> {
        let all = types(input);
        let key = columns.iter().map(|c| all[*c].clone()).collect();
        Ok(Self {
            columns: columns.to_vec(),
            keys: KeyTable::new(key)?,
            arena: Arena::default(),
            lists: Vec::new(),
            len: 0,
            changes: Changes::new(RowWriter::new(&all)?),
        })
    }

    fn key_of(&self, rows: &RecordBatch) -> Vec<ArrayRef> {
        self.columns
            .iter()
            .map(|c| rows.column(*c).clone())
            .collect()
    }

    pub(super) fn route(&self, rows: &RecordBatch) -> Option<Vec<u32>> {
        (!self.columns.is_empty()).then(|| self.keys.hashes(&self.key_of(rows), rows.num_rows()))
    }

    /// Remembers changes until [`KeyedRows::settle`].
    pub(super) fn take(&mut self, delta: &Delta) {
        let columns = self.key_of(&delta.rows);
        let keys = self
            .keys
            .intern(&columns, delta.len(), None, &mut Vec::new());
        self.lists.resize(self.keys.id_bound(), Vec::new());
        self.changes.take(delta, keys, std::iter::repeat(()));
    }

    /// The keys of the changes since the last step, in ascending order, each once. The changes are put in the order of keys and rows.
    pub(super) fn touched(&mut self) -> Vec<u32> {
        self.changes.sort();
        self.changes.runs().map(|(key, _)| key).collect()
    }

    /// Applies the changes to these keys, which are in ascending order.
    pub(super) fn settle(&mut self, keys: &[u32]) {
        for key in keys {
            let old = std::mem::take(&mut self.lists[*key as usize]);
            self.len -= old.len();
            let merged = self.merged(old, self.changes.of_key(*key));
            self.len += merged.len();
            self.lists[*key as usize] = merged;
        }
    }

    fn merged(&mut self, old: Vec<Entry>, mut changes: Range<usize>) -> Vec<Entry> {
        let mut merged = Vec::with_capacity(old.len() + changes.len());
        let mut old = old.into_iter().peekable();
        while !changes.is_empty() {
            let (row, weight, rest) = self.changes.next(changes);
            changes = rest;
            while let Some(entry) = old.next_if(|e| self.arena.get(e.span) < row) {
                merged.push(entry);
            }
            let there = old.next_if(|e| self.arena.get(e.span) == row);
            // More may leave than was there; a row is never owed.
            let count = (i64::from(there.map_or(0, |e| e.count)) + weight)
                .clamp(0, i64::from(u32::MAX)) as u32;
            match (there, count) {
                (Some(entry), 0) => self.arena.free(entry.span),
                (Some(entry), count) => merged.push(Entry { count, ..entry }),
                (None, 0) => {}
                (None, count) => merged.push(Entry {
                    span: self.arena.put(row),
                    count,
                }),
            }
        }
        merged.extend(old);
        merged
    }

    /// Forgets the changes, and the keys among these that have no rows.
    pub(super) fn end_step(&mut self, touched: &[u32]) {
        self.changes.clear();
        let empty = |key: &u32| self.lists[*key as usize].is_empty();
        let empty: Vec<u32> = touched.iter().copied().filter(empty).collect();
        self.forget(&empty);
    }

    pub(super) fn forget(&mut self, keys: &[u32]) {
        for key in keys {
            let list = std::mem::take(&mut self.lists[*key as usize]);
            self.len -= list.len();
            list.iter().for_each(|e| self.arena.free(e.span));
            self.keys.remove(*key);
        }
        self.keys.tidy();
        if self.arena.wasteful() {
            let spans = self.lists.iter_mut().flatten().map(|e| &mut e.span);
            self.arena.compact(spans);
        }
    }

    pub(super) fn keep(&mut self, wanted: &dyn Fn(u32) -> bool) {
        if self.columns.is_empty() {
            return;
        }
        let mut ids = self.keys.ids();
        ids.retain(|id| wanted(self.keys.hash(*id)));
        self.keys.keep(&ids);
        self.lists = ids
            .iter()
            .map(|id| std::mem::take(&mut self.lists[*id as usize]))
            .collect();
        self.len = self.lists.iter().map(Vec::len).sum();
        let spans = self.lists.iter_mut().flatten().map(|e| &mut e.span);
        self.arena.compact(spans);
    }

    /// A key's rows and how often each is there.
    pub(super) fn of_key(&self, key: u32) -> impl Iterator<Item = (&[u8], u32)> {
        let list = self.lists[key as usize].iter();
        list.map(|e| (self.arena.get(e.span), e.count))
    }

    pub(super) fn len_of(&self, key: u32) -> usize {
        self.lists[key as usize].len()
    }

    pub(super) fn keys(&self) -> Vec<u32> {
        self.keys.ids()
    }

    pub(super) fn key_columns(&self, keys: &[u32]) -> Result<Vec<ArrayRef>, String> {
        match self.columns.is_empty() {
            true => Ok(Vec::new()),
            false => self.keys.columns(keys).map_err(|e| e.to_string()),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn bytes(&self) -> usize {
        self.keys.bytes()
            + self.arena.bytes()
            + self.lists.capacity() * size_of::<Vec<Entry>>()
            + self.len * size_of::<Entry>()
    }

    pub(super) fn save(&self, out: &mut dyn Write) -> io::Result<()> {
        self.keys.save(out)?;
        put_u32(out, self.lists.len() as u32)?;
        for list in &self.lists {
            put_u32(out, list.len() as u32)?;
            for entry in list {
                put_u32(out, entry.count)?;
                put_bytes(out, self.arena.get(entry.span))?;
            }
        }
        Ok(())
    }

    pub(super) fn load(&mut self, from: &mut dyn Read) -> io::Result<()> {
        self.keys.load(from)?;
        (self.arena, self.lists, self.len) = (Arena::default(), Vec::new(), 0);
        if get_u32(from)? as usize != self.keys.id_bound() {
            return Err(invalid("keys and their lists of rows differ in number"));
        }
        for _ in 0..self.keys.id_bound() {
            let mut list = Vec::new();
            for _ in 0..get_u32(from)? {
                let count = get_u32(from)?;
                let span = self.arena.put(&get_bytes(from)?);
                list.push(Entry { span, count });
            }
            self.len += list.len();
            self.lists.push(list);
        }
        let live: BTreeSet<u32> = self.keys.ids().into_iter().collect();
        let strays = (0..)
            .zip(&self.lists)
            .any(|(key, l)| !l.is_empty() && !live.contains(&key));
        match strays {
            true => Err(invalid("there are rows of a key that is free")),
            false => Ok(()),
        }
    }
}
