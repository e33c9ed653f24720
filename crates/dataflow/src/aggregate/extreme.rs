//! `min` and `max`: of rows that only come, the best value per group; of rows that may leave, every value with its count in one ordered
//! tree over (group, value), so that the next best is known when the best one leaves.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;

use super::accumulator::{Accumulator, Rows, Values, picked, renumbered};
use super::cells::{Cell, TextCell, WideCell, WordCell};
use crate::codec::kind::Kind;
use crate::codec::persist::{get_all, get_u64, put_all, put_u64};
use crate::codec::words::is_word;

pub(crate) fn extreme(
    arg: &DataType,
    returns: &DataType,
    max: bool,
    retracts: bool,
) -> Result<Box<dyn Accumulator>, String> {
    match Kind::of(arg) {
        _ if is_word(arg) => Ok(of::<WordCell>(returns, max, retracts)),
        Ok(Kind::Wide) => Ok(of::<WideCell>(returns, max, retracts)),
        Ok(Kind::Bytes) => Ok(of::<TextCell>(returns, max, retracts)),
        _ => Err(format!("{arg} has no order for min and max")),
    }
}

fn of<C: Cell>(returns: &DataType, max: bool, retracts: bool) -> Box<dyn Accumulator> {
    let returns = returns.clone();
    match retracts {
        true => Box::new(Tree::<C> {
            returns,
            max,
            counts: BTreeMap::new(),
            heap_bytes: 0,
        }),
        false => Box::new(Best::<C> {
            returns,
            max,
            best: Vec::new(),
            heap_bytes: 0,
        }),
    }
}

/// The best value per group, for rows that only come.
struct Best<C: Cell> {
    returns: DataType,
    max: bool,
    best: Vec<Option<C>>,
    heap_bytes: usize,
}

impl<C: Cell> Accumulator for Best<C> {
    fn grow(&mut self, groups: usize) {
        self.best.resize(groups, None);
    }

    fn update(&mut self, rows: &Rows<'_>, arg: Option<&ArrayRef>) -> Result<(), String> {
        let column = C::column(arg.ok_or("min or max without an argument")?)?;
        let better = if self.max {
            Ordering::Greater
        } else {
            Ordering::Less
        };
        rows.each(|row, group, weight| {
            let best = &mut self.best[group];
            if weight > 0
                && best
                    .as_ref()
                    .is_none_or(|b| C::compare(&column, row, b) == better)
            {
                let value = C::at(&column, row);
                self.heap_bytes += value.heap_bytes();
                self.heap_bytes -= best.replace(value).map_or(0, |old| old.heap_bytes());
            }
        });
        Ok(())
    }

    fn clear(&mut self, groups: &[u32]) {
        for group in groups {
            self.heap_bytes -= self.best[*group as usize]
                .take()
                .map_or(0, |old| old.heap_bytes());
        }
    }

    fn renumber(&mut self, kept: &[u32]) {
        self.best = picked(&self.best, kept);
        self.heap_bytes = self.best.iter().flatten().map(Cell::heap_bytes).sum();
    }

    fn values(&self, groups: &[u32]) -> Result<Values, String> {
        let best: Vec<Option<&C>> = groups
            .iter()
            .map(|g| self.best[*g as usize].as_ref())
            .collect();
        Ok(Values::fine(C::array(&self.returns, &best)?))
    }

    fn bytes(&self) -> usize {
        self.best.capacity() * size_of::<Option<C>>() + self.heap_bytes
    }

    fn save(&self, out: &mut dyn Write) -> io::Result<()> {
        put_u64(out, self.best.len() as u64)?;
        let there: Vec<u32> = (0..)
            .zip(&self.best)
            .filter(|(_, b)| b.is_some())
            .map(|(g, _)| g)
            .collect();
        put_all(out, &there)?;
        self.best
            .iter()
            .flatten()
            .try_for_each(|best| best.save(out))
    }

    fn load(&mut self, from: &mut dyn Read) -> io::Result<()> {
        let groups = get_u64(from)? as usize;
        let there: Vec<u32> = get_all(from)?;
        (self.best, self.heap_bytes) = (Vec::new(), 0);
        for group in there {
            let value = C::load(from)?;
            self.heap_bytes += value.heap_bytes();
            self.best.resize(group as usize + 1, None);
            self.best[group as usize] = Some(value);
        }
        self.best.resize(groups.max(self.best.len()), None);
        Ok(())
    }
}

/// All values of all groups with their counts.
struct Tree<C: Cell> {
    returns: DataType,
    max: bool,
    /// Counts are never 0. One below 0 awaits its row within the step.
    counts: BTreeMap<(u32, C), i64>,
    heap_bytes: usize,
}

impl<C: Cell> Tree<C> {
    fn group(&self, group: u32) -> impl DoubleEndedIterator<Item = (&(u32, C), &i64)> {
        let start = (group, C::least());
        let end = match group.checked_add(1) {
            Some(next) => std::ops::Bound::Excluded((next, C::least())),
            None => std::ops::Bound::Unbounded,
        };
        self.counts.range((std::ops::Bound::Included(start), end))
    }

    fn add(&mut self, group: u32, value: C, weight: i64) {
        let heap_bytes = value.heap_bytes();
        match self.counts.entry((group, value)) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(weight);
                self.heap_bytes += heap_bytes;
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                *entry.get_mut() += weight;
                if *entry.get() == 0 {
                    entry.remove();
                    self.heap_bytes -= heap_bytes;
                }
            }
        }
    }
}

impl<C: Cell> Accumulator for Tree<C> {
    fn grow(&mut self, _groups: usize) {}

    fn update(&mut self, rows: &Rows<'_>, arg: Option<&ArrayRef>) -> Result<(), String> {
        let column = C::column(arg.ok_or("min or max without an argument")?)?;
        rows.each(|row, group, weight| self.add(group as u32, C::at(&column, row), weight));
        Ok(())
    }

    fn clear(&mut self, groups: &[u32]) {
        for group in groups {
            let gone: Vec<(u32, C)> = self.group(*group).map(|(key, _)| key.clone()).collect();
            for key in gone {
                self.heap_bytes -= key.1.heap_bytes();
                self.counts.remove(&key);
            }
        }
    }

    fn renumber(&mut self, kept: &[u32]) {
        let numbers = renumbered(kept);
        self.heap_bytes = 0;
        for ((group, value), count) in std::mem::take(&mut self.counts) {
            if let Some(group) = numbers.get(&group) {
                self.add(*group, value, count);
            }
        }
    }

    fn values(&self, groups: &[u32]) -> Result<Values, String> {
        let best = |group: &u32| {
            let mut values = self
                .group(*group)
                .filter(|(_, count)| **count > 0)
                .map(|((_, value), _)| value);
            if self.max {
                values.next_back()
            } else {
                values.next()
            }
        };
        let best: Vec<Option<&C>> = groups.iter().map(best).collect();
        Ok(Values::fine(C::array(&self.returns, &best)?))
    }

    fn bytes(&self) -> usize {
        // B-tree nodes are about three quarters full.
        self.counts.len() * size_of::<((u32, C), i64)>() * 4 / 3 + self.heap_bytes
    }

    fn save(&self, out: &mut dyn Write) -> io::Result<()> {
        put_all(
            out,
            &self
                .counts
                .keys()
                .map(|(group, _)| *group)
                .collect::<Vec<_>>(),
        )?;
        put_all(out, &self.counts.values().copied().collect::<Vec<_>>())?;
        self.counts
            .keys()
            .try_for_each(|(_, value)| value.save(out))
    }

    fn load(&mut self, from: &mut dyn Read) -> io::Result<()> {
        let (groups, counts) = (get_all::<u32>(from)?, get_all::<i64>(from)?);
        (self.counts, self.heap_bytes) = (BTreeMap::new(), 0);
        for (group, count) in groups.into_iter().zip(counts) {
            self.add(group, C::load(from)?, count);
        }
        Ok(())
    }
}
