//! `DISTINCT` before another accumulator: a value enters it when its count in the group leaves 0, and leaves with its last row.

use std::io::{self, Read, Write};

use datafusion::arrow::array::{ArrayRef, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::DataType;
use hashbrown::HashMap;

use super::accumulator::{Accumulator, Rows, Values, renumbered};
use crate::codec::Unkept;
use crate::codec::hash::Fixed;
use crate::codec::persist::{get_all, put_all};
use crate::keys::KeyTable;

pub(crate) struct Distinct {
    inner: Box<dyn Accumulator>,
    /// Every value once, whatever the number of groups that have it.
    values: KeyTable,
    /// In how many groups each value is.
    uses: Vec<u32>,
    /// Count by group (upper half) and value id (lower). Never 0; one below 0 awaits its row within the step.
    counts: HashMap<u64, i64, Fixed>,
}

impl Distinct {
    pub(crate) fn new(arg: &DataType, inner: Box<dyn Accumulator>) -> Result<Self, Unkept> {
        Ok(Self {
            inner,
            values: KeyTable::new(vec![arg.clone()])?,
            uses: Vec::new(),
            counts: HashMap::with_hasher(Fixed::with_seed(0)),
        })
    }

    /// How the set of distinct values changes: 1, 0 or -1.
    fn count(&mut self, group: usize, value: u32, weight: i64) -> i64 {
        if weight == 0 {
            return 0;
        }
        let count = self
            .counts
            .entry(pair(group as u32, value))
            .or_insert_with(|| {
                self.uses[value as usize] += 1;
                0
            });
        let before = *count > 0;
        *count += weight;
        let after = *count > 0;
        if *count == 0 {
            self.counts.remove(&pair(group as u32, value));
            self.uses[value as usize] -= 1;
        }
        i64::from(after) - i64::from(before)
    }

    fn drop_unused(&mut self, values: &[u32]) {
        for value in values {
            // Listed twice, it is gone the second time: the mark keeps it from being freed again.
            if self.uses[*value as usize] == 0 {
                self.uses[*value as usize] = u32::MAX;
                self.values.remove(*value);
            }
        }
        self.values.tidy();
    }
}

fn pair(group: u32, value: u32) -> u64 {
    (u64::from(group) << 32) | u64::from(value)
}

impl Accumulator for Distinct {
    fn grow(&mut self, groups: usize) {
        self.inner.grow(groups);
    }

    fn update(&mut self, rows: &Rows<'_>, arg: Option<&ArrayRef>) -> Result<(), String> {
        let arg = arg.ok_or("DISTINCT without an argument")?;
        let wanted = rows.keep.map(|keep| keep.clone().into());
        let mut fresh = Vec::new();
        let ids = self.values.intern(
            std::slice::from_ref(arg),
            rows.groups.len(),
            wanted.as_ref(),
            &mut fresh,
        );
        self.uses.resize(self.values.id_bound(), 0);
        fresh.iter().for_each(|(id, _)| self.uses[*id as usize] = 0);
        let (mut picked, mut groups, mut weights, mut left) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        rows.each(|row, group, weight| {
            let change = self.count(group, ids[row], weight);
            if change != 0 {
                picked.push(row as u32);
                groups.push(group as u32);
                weights.push(change);
            }
            if weight < 0 {
                left.push(ids[row]);
            }
        });
        self.drop_unused(&left);
        let arg = take(arg, &UInt32Array::from(picked), None).map_err(|e| e.to_string())?;
        self.inner.update(
            &Rows {
                groups: &groups,
                weights: Some(&weights),
                keep: None,
            },
            Some(&arg),
        )
    }

    fn clear(&mut self, groups: &[u32]) {
        self.inner.clear(groups);
        let gone: hashbrown::HashSet<u32, Fixed> = groups.iter().copied().collect();
        let mut left = Vec::new();
        self.counts.retain(|pair, _| {
            let stays = !gone.contains(&((*pair >> 32) as u32));
            if !stays {
                left.push(*pair as u32);
            }
            stays
        });
        // The order in which ids are freed decides which are given next.
        left.sort_unstable();
        left.iter()
            .for_each(|value| self.uses[*value as usize] -= 1);
        self.drop_unused(&left);
    }

    fn renumber(&mut self, kept: &[u32]) {
        self.inner.renumber(kept);
        let numbers = renumbered(kept);
        let counts = std::mem::take(&mut self.counts);
        let stay = |(pair, count): (u64, i64)| {
            let group = numbers.get(&((pair >> 32) as u32))?;
            Some((*group, pair as u32, count))
        };
        let counts: Vec<(u32, u32, i64)> = counts.into_iter().filter_map(stay).collect();
        let mut used: Vec<u32> = counts.iter().map(|c| c.1).collect();
        used.sort_unstable();
        used.dedup();
        self.values.keep(&used);
        self.uses = vec![0; used.len()];
        let values = renumbered(&used);
        self.counts = HashMap::with_capacity_and_hasher(counts.len(), Fixed::with_seed(0));
        for (group, value, count) in counts {
            let value = values[&value];
            self.uses[value as usize] += 1;
            self.counts.insert(pair(group, value), count);
        }
    }

    fn values(&self, groups: &[u32]) -> Result<Values, String> {
        self.inner.values(groups)
    }

    fn bytes(&self) -> usize {
        self.inner.bytes()
            + self.values.bytes()
            + self.uses.capacity() * 4
            + self.counts.allocation_size()
    }

    fn save(&self, out: &mut dyn Write) -> io::Result<()> {
        self.inner.save(out)?;
        self.values.save(out)?;
        put_all(out, &self.uses)?;
        let mut counts: Vec<(u64, i64)> = self
            .counts
            .iter()
            .map(|(pair, count)| (*pair, *count))
            .collect();
        counts.sort_unstable();
        put_all(
            out,
            &counts.iter().map(|(pair, _)| *pair).collect::<Vec<_>>(),
        )?;
        put_all(
            out,
            &counts.iter().map(|(_, count)| *count).collect::<Vec<_>>(),
        )
    }

    fn load(&mut self, from: &mut dyn Read) -> io::Result<()> {
        self.inner.load(from)?;
        self.values.load(from)?;
        self.uses = get_all(from)?;
        let (pairs, counts) = (get_all::<u64>(from)?, get_all::<i64>(from)?);
        self.counts.clear();
        self.counts.extend(pairs.into_iter().zip(counts));
        Ok(())
    }
}
