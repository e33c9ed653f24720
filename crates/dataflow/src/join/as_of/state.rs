//! Left rows and versions by key, each in the order of time, and when there is something to let go of.
//!
//! Snapshot: version, watermark, number of keys; for each its bytes, its left rows (time, count, bytes) and its versions (the same, in their
//! order).

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::ops::Bound;

use crate::codec::hash;
use crate::codec::persist::{
    expect_version, get_bytes, get_len, get_u64, put_bytes, put_u32, put_u64,
};

const VERSION: u32 = 1;
/// State is looked through for what can go in pieces of time of this length, microseconds.
const PIECE_US: i64 = 1_000_000;
/// What a row costs beside its bytes: its time, its count and its place in the tree; a key's trees; and a key that waits.
const ROW_BYTES: usize = 64;
const KEY_BYTES: usize = 160;
const WAITING_BYTES: usize = 48;

/// A row that comes or goes.
pub(super) struct Change {
    /// `None`: it matches nothing.
    pub key: Option<Vec<u8>>,
    pub time: i64,
    pub row: Box<[u8]>,
    pub weight: i64,
}

/// Of a row, or of its place among others of its time.
type Bytes = Box<[u8]>;

/// A version's time, and the bytes that say which of that time follows which.
pub(super) type Place = (i64, Box<[u8]>);

#[derive(Default)]
pub(super) struct OfKey {
    /// Counts of rows.
    left: BTreeMap<(i64, Box<[u8]>), i64>,
    versions: BTreeMap<Place, (Box<[u8]>, i64)>,
}

impl OfKey {
    /// The version that is valid at a time.
    pub(super) fn valid_at(&self, time: i64) -> Option<&[u8]> {
        let end = Bound::Excluded((time.saturating_add(1), Box::default()));
        let valid = self.versions.range((Bound::Unbounded, end)).next_back();
        valid.map(|(_, (row, _))| row.as_ref())
    }

    fn before(&self, place: &Place) -> Option<&[u8]> {
        let earlier = (Bound::Unbounded, Bound::Excluded(place));
        let earlier = self.versions.range::<Place, _>(earlier).next_back();
        earlier.map(|(_, (row, _))| row.as_ref())
    }

    fn begins_after(&self, place: &Place) -> Option<i64> {
        let after = (Bound::Excluded(place), Bound::Unbounded);
        let next = self.versions.range::<Place, _>(after).next();
        next.map(|((time, _), _)| *time)
    }

    fn rows(&self) -> usize {
        self.left.len() + self.versions.len()
    }

    fn bytes(&self) -> usize {
        let left: usize = self.left.keys().map(|(_, row)| row.len()).sum();
        let versions = self.versions.iter();
        let versions: usize = versions
            .map(|((_, order), (row, _))| order.len() + row.len())
            .sum();
        left + versions + self.rows() * ROW_BYTES
    }

    /// Left rows before `left_us` and versions that were followed by another at or before `version_us` go.
    fn let_go(&mut self, left_us: i64, version_us: i64) {
        self.left = self.left.split_off(&(left_us, Box::default()));
        let end = Bound::Excluded((version_us.saturating_add(1), Box::default()));
        let newest = self.versions.range((Bound::Unbounded, end)).next_back();
        if let Some(newest) = newest.map(|(place, _)| place.clone()) {
            self.versions = self.versions.split_off(&newest);
        }
    }
}

#[derive(Default)]
pub(super) struct State {
    keys: BTreeMap<Box<[u8]>, OfKey>,
    /// The keys that have something to let go of when this piece of time has passed.
    waiting: BTreeMap<i64, BTreeSet<Box<[u8]>>>,
    /// Nothing waits.
    for_ever: bool,
    rows: usize,
    bytes: usize,
}

impl State {
    pub(super) fn of(&self, key: &[u8]) -> &OfKey {
        static NONE: OfKey = OfKey {
            left: BTreeMap::new(),
            versions: BTreeMap::new(),
        };
        self.keys.get(key).unwrap_or(&NONE)
    }

    /// Changes a key's rows; the change tells by how many rows and bytes.
    fn change(
        &mut self,
        key: &[u8],
        time: i64,
        change: impl FnOnce(&mut OfKey) -> Option<(bool, usize)>,
    ) {
        if !self.keys.contains_key(key) {
            self.keys.insert(key.into(), OfKey::default());
            self.bytes += key.len() + KEY_BYTES;
        }
        let Some(of_key) = self.keys.get_mut(key) else {
            return;
        };
        match change(of_key) {
            Some((true, bytes)) => (self.rows, self.bytes) = (self.rows + 1, self.bytes + bytes),
            Some((false, bytes)) => (self.rows, self.bytes) = (self.rows - 1, self.bytes - bytes),
            None => {}
        }
        if of_key.rows() == 0 {
            self.keys.remove(key);
            self.bytes -= key.len() + KEY_BYTES;
        }
        self.wait(key, time);
    }

    fn wait(&mut self, key: &[u8], time: i64) {
        if self.for_ever {
            return;
        }
        let piece = self.waiting.entry(time.div_euclid(PIECE_US)).or_default();
        if !piece.contains(key) {
            piece.insert(key.into());
        }
    }

    /// A left row comes or goes, so often.
    pub(super) fn left(&mut self, key: &[u8], time: i64, row: Box<[u8]>, weight: i64) {
        self.change(key, time, |of_key| {
            let bytes = row.len() + ROW_BYTES;
            match of_key.left.entry((time, row)) {
                Entry::Vacant(entry) => {
                    entry.insert(weight);
                    Some((true, bytes))
                }
                Entry::Occupied(mut entry) => {
                    *entry.get_mut() += weight;
                    (*entry.get() == 0).then(|| {
                        entry.remove();
                        (false, bytes)
                    })
                }
            }
        });
    }

    /// A version comes or goes. Tells of each left row for which another one is valid now: the row, how often it is there, the version that
    /// was valid and the one that is.
    pub(super) fn version(
        &mut self,
        key: &[u8],
        place: Place,
        row: Box<[u8]>,
        weight: i64,
        mut moved: impl FnMut(&[u8], i64, Option<&[u8]>, Option<&[u8]>),
    ) {
        self.change(key, place.0, |of_key| {
            let count = of_key.versions.get(&place).map_or(0, |(_, count)| *count);
            if count != 0 && count + weight != 0 {
                of_key.versions.insert(place, (row, count + weight));
                return None;
            }
            let comes = count == 0;
            let until = of_key.begins_after(&place).unwrap_or(i64::MAX);
            let earlier = of_key.before(&place);
            let (was, is) = match comes {
                true => (earlier, Some(row.as_ref())),
                false => (Some(row.as_ref()), earlier),
            };
            let from = (place.0, Box::default());
            if place.0 < until {
                let lefts = of_key.left.range(from..(until, Box::default()));
                lefts.for_each(|((_, left), count)| moved(left, *count, was, is));
            }
            let bytes = place.1.len() + row.len() + ROW_BYTES;
            match comes {
                true => of_key.versions.insert(place, (row, weight)),
                false => of_key.versions.remove(&place),
            };
            Some((comes, bytes))
        });
    }

    /// Lets go of what no row in time asks for any more. `slack_us`: how far behind the watermark rows in time may be, by side.
    pub(super) fn let_go(&mut self, watermark_us: i64, slack_us: [i64; 2]) {
        if watermark_us == i64::MAX {
            *self = Self::default();
            return;
        }
        let [left, right] = slack_us.map(|slack| watermark_us.saturating_sub(slack));
        let both = left.min(right);
        while let Some(first) = self.waiting.first_entry() {
            if first.key().saturating_add(1).saturating_mul(PIECE_US) > both {
                break;
            }
            for key in first.remove() {
                let Some(of_key) = self.keys.get_mut(&key) else {
                    continue;
                };
                let (rows, bytes) = (of_key.rows(), of_key.bytes());
                of_key.let_go(right, both);
                self.rows -= rows - of_key.rows();
                self.bytes -= bytes - of_key.bytes();
                if of_key.rows() == 0 {
                    self.bytes -= key.len() + KEY_BYTES;
                    self.keys.remove(&key);
                }
            }
        }
    }

    /// The time past which something can be let go.
    pub(super) fn due_us(&self) -> Option<i64> {
        let piece = *self.waiting.first_key_value()?.0;
        Some(piece.saturating_add(1).saturating_mul(PIECE_US))
    }

    /// Nothing is ever let go.
    pub(super) fn keep_for_ever(&mut self) {
        self.for_ever = true;
        self.waiting.clear();
    }

    pub(super) fn keep(&mut self, wanted: &dyn Fn(u32) -> bool) {
        self.keys.retain(|key, _| wanted(hash::of_bytes(key)));
        self.count();
    }

    /// Counts anew what there is and when it can go.
    fn count(&mut self) {
        self.waiting.clear();
        let keys = std::mem::take(&mut self.keys);
        (self.rows, self.bytes) = (0, 0);
        for (key, of_key) in &keys {
            self.rows += of_key.rows();
            self.bytes += of_key.bytes() + key.len() + KEY_BYTES;
            let lefts = of_key.left.keys().map(|(time, _)| time);
            let versions = of_key.versions.keys().map(|(time, _)| time);
            lefts.chain(versions).for_each(|time| self.wait(key, *time));
        }
        self.keys = keys;
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.waiting.values().map(BTreeSet::len).sum::<usize>() * WAITING_BYTES
    }

    pub(super) fn save(&self, gone_us: i64, out: &mut dyn Write) -> io::Result<()> {
        put_u32(out, VERSION)?;
        put_u64(out, gone_us as u64)?;
        put_u64(out, self.keys.len() as u64)?;
        for (key, of_key) in &self.keys {
            put_bytes(out, key)?;
            put_u64(out, of_key.left.len() as u64)?;
            for ((time, row), count) in &of_key.left {
                put_row(*time, *count, row, out)?;
            }
            put_u64(out, of_key.versions.len() as u64)?;
            for ((time, _), (row, count)) in &of_key.versions {
                put_row(*time, *count, row, out)?;
            }
        }
        Ok(())
    }

    /// The watermark and the rows that were saved. `order`: the bytes by which versions follow each other.
    pub(super) fn load(
        from: &mut dyn Read,
        order: &mut dyn FnMut(&[Bytes]) -> io::Result<Vec<Bytes>>,
    ) -> io::Result<(i64, Self)> {
        expect_version(from, VERSION)?;
        let gone_us = get_u64(from)? as i64;
        let mut state = Self::default();
        for _ in 0..get_len(from)? {
            let key: Box<[u8]> = get_bytes(from)?.into();
            let mut of_key = OfKey::default();
            for _ in 0..get_len(from)? {
                let (time, count, row) = get_row(from)?;
                of_key.left.insert((time, row), count);
            }
            let (mut times, mut rows) = (Vec::new(), Vec::new());
            for _ in 0..get_len(from)? {
                let (time, count, row) = get_row(from)?;
                times.push((time, count));
                rows.push(row);
            }
            let orders = order(&rows)?;
            for (((time, count), order), row) in times.into_iter().zip(orders).zip(rows) {
                of_key.versions.insert((time, order), (row, count));
            }
            state.keys.insert(key, of_key);
        }
        state.count();
        Ok((gone_us, state))
    }
}

fn put_row(time: i64, count: i64, row: &[u8], out: &mut dyn Write) -> io::Result<()> {
    put_u64(out, time as u64)?;
    put_u64(out, count as u64)?;
    put_bytes(out, row)
}

fn get_row(from: &mut dyn Read) -> io::Result<(i64, i64, Box<[u8]>)> {
    let (time, count) = (get_u64(from)? as i64, get_u64(from)? as i64);
    Ok((time, count, get_bytes(from)?.into()))
}
