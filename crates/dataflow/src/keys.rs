//! Keys of rows as dense ids: groups of an aggregate, keys of a join, distinct values.
//!
//! One fixed-width column is kept as a word, anything else as encoded bytes in an arena. Ids of removed keys are used again, last
//! removed first, so the same steps always give the same ids.

use std::io::{self, Read, Write};

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::DataType;
use hashbrown::HashTable;

use crate::codec::persist::{get_all, get_bytes, get_u32, invalid, put_all, put_bytes, put_u32};
use crate::codec::words::{from_words, is_word, to_words};
use crate::codec::{Arena, Damaged, RowReader, RowWriter, Span, Unkept, hash};

/// Stands for "no id".
pub(crate) const NONE: u32 = u32::MAX;

/// Of the key NULL where keys are words.
const NULL_HASH: u32 = 0x9E37_79B9;

pub(crate) struct KeyTable {
    types: Vec<DataType>,
    writer: RowWriter,
    index: HashTable<u32>,
    keys: Keys,
    free: Vec<u32>,
}

enum Keys {
    Words { values: Vec<i64>, null: u32 },
    Bytes { entries: Vec<Entry>, arena: Arena },
}

#[derive(Clone, Copy)]
struct Entry {
    span: Span,
    hash: u32,
}

impl KeyTable {
    pub(crate) fn new(types: Vec<DataType>) -> Result<Self, Unkept> {
        let writer = RowWriter::new(&types)?;
        Ok(Self {
            keys: Keys::empty(&types),
            types,
            writer,
            index: HashTable::new(),
            free: Vec::new(),
        })
    }

    /// One more than the largest id ever given: what arrays by id must hold.
    pub(crate) fn id_bound(&self) -> usize {
        match &self.keys {
            Keys::Words { values, .. } => values.len(),
            Keys::Bytes { entries, .. } => entries.len(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.id_bound() - self.free.len()
    }

    /// The ids of these rows' keys, new ones where needed; `NONE` where `wanted` is false. `fresh` gets each new id with the
    /// first row that has it.
    pub(crate) fn intern(
        &mut self,
        columns: &[ArrayRef],
        rows: usize,
        wanted: Option<&NullBuffer>,
        fresh: &mut Vec<(u32, u32)>,
    ) -> Vec<u32> {
        let skip = |row: usize| wanted.is_some_and(|w| w.is_null(row));
        match &mut self.keys {
            Keys::Words { values, null } => {
                let column = &columns[0];
                let words = to_words(column).unwrap_or_else(|| vec![0; rows].into());
                let mut place = Words {
                    index: &mut self.index,
                    values,
                    null,
                    free: &mut self.free,
                };
                let mut last = None;
                (0..rows)
                    .map(|row| match (skip(row), column.is_null(row)) {
                        (true, _) => NONE,
                        (false, true) => place.null(row, fresh),
                        (false, false) => {
                            let word = words[row];
                            match last {
                                Some((w, id)) if w == word => id,
                                _ => {
                                    let id = place.id(word, row, fresh);
                                    last = Some((word, id));
                                    id
                                }
                            }
                        }
                    })
                    .collect()
            }
            Keys::Bytes { entries, arena } => {
                let encoded = self.writer.encode(columns, rows);
                let mut place = Bytes {
                    index: &mut self.index,
                    entries,
                    arena,
                    free: &mut self.free,
                };
                let mut last: (&[u8], u32) = (&[], NONE);
                (0..rows)
                    .map(|row| {
                        if skip(row) {
                            return NONE;
                        }
                        let key = encoded.get(row);
                        if last.1 == NONE || last.0 != key {
                            last = (key, place.id(key, row, fresh));
                        }
                        last.1
                    })
                    .collect()
            }
        }
    }

    /// Hash of each row's key, as [`KeyTable::hash`] tells of its id. Nothing is kept.
    pub(crate) fn hashes(&self, columns: &[ArrayRef], rows: usize) -> Vec<u32> {
        match &self.keys {
            Keys::Words { .. } => {
                let column = &columns[0];
                let words = to_words(column).unwrap_or_else(|| vec![0; rows].into());
                let of = |row: usize| match column.is_null(row) {
                    true => NULL_HASH,
                    false => hash::of_word(words[row]),
                };
                (0..rows).map(of).collect()
            }
            Keys::Bytes { .. } => {
                let encoded = self.writer.encode(columns, rows);
                (0..rows)
                    .map(|row| hash::of_bytes(encoded.get(row)))
                    .collect()
            }
        }
    }

    /// The hash of a key, the same in every table of the same types.
    pub(crate) fn hash(&self, id: u32) -> u32 {
        match &self.keys {
            Keys::Words { null, .. } if *null == id => NULL_HASH,
            keys => keys.hash(id),
        }
    }

    /// The ids of all keys, in ascending order.
    pub(crate) fn ids(&self) -> Vec<u32> {
        let mut dead = vec![false; self.id_bound()];
        self.free.iter().for_each(|id| dead[*id as usize] = true);
        (0..dead.len() as u32)
            .filter(|id| !dead[*id as usize])
            .collect()
    }

    /// The key columns of these ids.
    pub(crate) fn columns(&self, ids: &[u32]) -> Result<Vec<ArrayRef>, Damaged> {
        match &self.keys {
            Keys::Words { values, null } => {
                let words = ids.iter().map(|id| values[*id as usize]).collect();
                let nulls = match *null {
                    NONE => None,
                    null => Some(
                        ids.iter()
                            .map(|id| *id != null)
                            .collect::<Vec<bool>>()
                            .into(),
                    ),
                };
                let column = from_words(&self.types[0], words, nulls);
                Ok(vec![column.ok_or(Damaged("key does not fit its type"))?])
            }
            Keys::Bytes { entries, arena } => {
                let mut reader = RowReader::new(&self.types).map_err(|_| Damaged("key type"))?;
                for id in ids {
                    reader.push(arena.get(entries[*id as usize].span))?;
                }
                reader.finish()
            }
        }
    }

    /// Order of two keys that never changes: of words by value, of others by their bytes.
    pub(crate) fn compare(&self, a: u32, b: u32) -> std::cmp::Ordering {
        match &self.keys {
            Keys::Words { values, null } => {
                (a == *null, values[a as usize]).cmp(&(b == *null, values[b as usize]))
            }
            Keys::Bytes { entries, arena } => arena
                .get(entries[a as usize].span)
                .cmp(arena.get(entries[b as usize].span)),
        }
    }

    /// Forgets a key; its id will be given again.
    pub(crate) fn remove(&mut self, id: u32) {
        let hash = match &mut self.keys {
            Keys::Words { null, .. } if *null == id => {
                *null = NONE;
                self.free.push(id);
                return;
            }
            Keys::Words { values, .. } => hash::of_word(values[id as usize]),
            Keys::Bytes { entries, arena } => {
                let entry = &mut entries[id as usize];
                arena.free(entry.span);
                entry.span = Span::NONE;
                entry.hash
            }
        };
        if let Ok(entry) = self
            .index
            .find_entry(hash::spread(hash), |other| *other == id)
        {
            entry.remove();
        }
        self.free.push(id);
    }

    /// Gives back space that removed keys took; for the end of a step.
    pub(crate) fn tidy(&mut self) {
        if let Keys::Bytes { entries, arena } = &mut self.keys
            && arena.wasteful()
        {
            arena.compact(entries.iter_mut().map(|e| &mut e.span));
        }
    }

    /// Forgets all keys but these, which become ids 0, 1, ... in this order. Holds no more memory than they need.
    pub(crate) fn keep(&mut self, ids: &[u32]) {
        let mut index = HashTable::with_capacity(ids.len());
        match &mut self.keys {
            Keys::Words { values, null } => {
                let kept: Vec<i64> = ids.iter().map(|id| values[*id as usize]).collect();
                let null_now = ids.iter().position(|id| id == null);
                *null = null_now.map_or(NONE, |at| at as u32);
                *values = kept;
            }
            Keys::Bytes { entries, arena } => {
                let mut fresh = Arena::default();
                let moved = |id: &u32| {
                    let entry = entries[*id as usize];
                    Entry {
                        span: fresh.put(arena.get(entry.span)),
                        hash: entry.hash,
                    }
                };
                *entries = ids.iter().map(moved).collect();
                *arena = fresh;
            }
        }
        let keys = &self.keys;
        for id in 0..ids.len() as u32 {
            if !matches!(keys, Keys::Words { null, .. } if *null == id) {
                index.insert_unique(hash::spread(keys.hash(id)), id, |other| {
                    hash::spread(keys.hash(*other))
                });
            }
        }
        (self.index, self.free) = (index, Vec::new());
    }

    pub(crate) fn bytes(&self) -> usize {
        let keys = match &self.keys {
            Keys::Words { values, .. } => values.capacity() * size_of::<i64>(),
            Keys::Bytes { entries, arena } => {
                entries.capacity() * size_of::<Entry>() + arena.bytes()
            }
        };
        keys + self.index.allocation_size() + self.free.capacity() * size_of::<u32>()
    }

    pub(crate) fn save(&self, out: &mut dyn Write) -> io::Result<()> {
        put_all(out, &self.free)?;
        match &self.keys {
            Keys::Words { values, null } => {
                put_u32(out, *null)?;
                put_all(out, values)
            }
            Keys::Bytes { entries, arena } => {
                put_u32(out, entries.len() as u32)?;
                for entry in entries {
                    match entry.span {
                        Span::NONE => put_bytes(out, &[])?,
                        span => put_bytes(out, arena.get(span))?,
                    }
                }
                Ok(())
            }
        }
    }

    pub(crate) fn load(&mut self, from: &mut dyn Read) -> io::Result<()> {
        self.free = get_all(from)?;
        self.index.clear();
        match &mut self.keys {
            Keys::Words { values, null } => {
                *null = get_u32(from)?;
                *values = get_all(from)?;
            }
            Keys::Bytes { entries, arena } => {
                (*entries, *arena) = (Vec::new(), Arena::default());
                for _ in 0..get_u32(from)? {
                    let key = get_bytes(from)?;
                    entries.push(Entry {
                        span: arena.put(&key),
                        hash: hash::of_bytes(&key),
                    });
                }
            }
        }
        self.reindex()
    }

    fn reindex(&mut self) -> io::Result<()> {
        let mut dead = vec![false; self.id_bound()];
        for id in &self.free {
            *dead
                .get_mut(*id as usize)
                .ok_or_else(|| invalid("freed key out of range"))? = true;
        }
        let (keys, index) = (&mut self.keys, &mut self.index);
        for id in (0..dead.len()).filter(|id| !dead[*id]) {
            let hash = match keys {
                Keys::Words { null, .. } if *null == id as u32 => continue,
                _ => keys.hash(id as u32),
            };
            index.insert_unique(hash::spread(hash), id as u32, |other| {
                hash::spread(keys.hash(*other))
            });
        }
        if let Keys::Bytes { entries, arena } = keys {
            for (id, entry) in entries.iter_mut().enumerate().filter(|(id, _)| dead[*id]) {
                debug_assert!(dead[id]);
                arena.free(entry.span);
                entry.span = Span::NONE;
            }
        }
        Ok(())
    }
}

impl Keys {
    fn empty(types: &[DataType]) -> Self {
        match types {
            [one] if is_word(one) => Self::Words {
                values: Vec::new(),
                null: NONE,
            },
            _ => Self::Bytes {
                entries: Vec::new(),
                arena: Arena::default(),
            },
        }
    }

    fn hash(&self, id: u32) -> u32 {
        match self {
            Self::Words { values, .. } => hash::of_word(values[id as usize]),
            Self::Bytes { entries, .. } => entries[id as usize].hash,
        }
    }
}

struct Words<'a> {
    index: &'a mut HashTable<u32>,
    values: &'a mut Vec<i64>,
    null: &'a mut u32,
    free: &'a mut Vec<u32>,
}

impl Words<'_> {
    #[inline]
    fn id(&mut self, word: i64, row: usize, fresh: &mut Vec<(u32, u32)>) -> u32 {
        let hash = hash::spread(hash::of_word(word));
        if let Some(id) = self
            .index
            .find(hash, |id| self.values[*id as usize] == word)
        {
            return *id;
        }
        let id = self.place(word);
        let values = &*self.values;
        self.index.insert_unique(hash, id, |id| {
            hash::spread(hash::of_word(values[*id as usize]))
        });
        fresh.push((id, row as u32));
        id
    }

    fn null(&mut self, row: usize, fresh: &mut Vec<(u32, u32)>) -> u32 {
        if *self.null == NONE {
            *self.null = self.place(0);
            fresh.push((*self.null, row as u32));
        }
        *self.null
    }

    fn place(&mut self, word: i64) -> u32 {
        match self.free.pop() {
            Some(id) => {
                self.values[id as usize] = word;
                id
            }
            None => {
                self.values.push(word);
                self.values.len() as u32 - 1
            }
        }
    }
}

struct Bytes<'a> {
    index: &'a mut HashTable<u32>,
    entries: &'a mut Vec<Entry>,
    arena: &'a mut Arena,
    free: &'a mut Vec<u32>,
}

impl Bytes<'_> {
    #[inline]
    fn id(&mut self, key: &[u8], row: usize, fresh: &mut Vec<(u32, u32)>) -> u32 {
        let hash = hash::of_bytes(key);
        let same = |id: &u32| {
            let entry = self.entries[*id as usize];
            entry.hash == hash && self.arena.get(entry.span) == key
        };
        if let Some(id) = self.index.find(hash::spread(hash), same) {
            return *id;
        }
        let entry = Entry {
            span: self.arena.put(key),
            hash,
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.entries[id as usize] = entry;
                id
            }
            None => {
                self.entries.push(entry);
                self.entries.len() as u32 - 1
            }
        };
        let entries = &*self.entries;
        self.index.insert_unique(hash::spread(hash), id, |id| {
            hash::spread(entries[*id as usize].hash)
        });
        fresh.push((id, row as u32));
        id
    }
}
