//! The groups of an aggregate: their keys, how many rows each has, which the current step has touched; and the operator's snapshot.

use std::io::{self, Read, Write};

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;

use super::Aggregate;
use super::accumulator::picked;
use crate::codec::persist::{
    expect_version, get_all, get_u32, get_u64, invalid, put_all, put_u32, put_u64,
};
use crate::codec::{Damaged, Unkept};
use crate::keys::KeyTable;

const VERSION: u32 = 2;

pub(super) struct Groups {
    keys: KeyTable,
    /// Rows in each group; 0 for ids that are free.
    rows: Vec<i64>,
    /// The last step that touched each group.
    touched_in: Vec<u32>,
    step: u32,
    /// Groups touched in this step, in the order of their first row.
    touched: Vec<u32>,
    /// There are no group columns: the only group exists whatever its rows.
    pub global: bool,
    /// A result has been given at least once.
    pub started: bool,
}

impl Groups {
    pub(super) fn new(types: Vec<DataType>) -> Result<Self, Unkept> {
        Ok(Self {
            global: types.is_empty(),
            keys: KeyTable::new(types)?,
            rows: Vec::new(),
            touched_in: Vec::new(),
            step: 1,
            touched: Vec::new(),
            started: false,
        })
    }

    /// The group of each row; `fresh` gets the new groups with their first row.
    pub(super) fn enter(
        &mut self,
        columns: &[ArrayRef],
        rows: usize,
        fresh: &mut Vec<(u32, u32)>,
    ) -> Vec<u32> {
        let ids = self.keys.intern(columns, rows, None, fresh);
        self.rows.resize(self.bound(), 0);
        self.touched_in.resize(self.bound(), 0);
        ids
    }

    /// Marks the groups; those that had a row of the result and had not been touched in this step are returned.
    pub(super) fn touch(&mut self, ids: &[u32]) -> Vec<u32> {
        let mut existing = Vec::new();
        for id in ids {
            let at = *id as usize;
            if self.touched_in[at] != self.step {
                self.touched_in[at] = self.step;
                self.touched.push(*id);
                if self.rows[at] > 0 || (self.global && self.started) {
                    existing.push(*id);
                }
            }
        }
        existing
    }

    pub(super) fn count(&mut self, ids: &[u32], weights: Option<&[i64]>) {
        match weights {
            None => ids.iter().for_each(|id| self.rows[*id as usize] += 1),
            Some(weights) => ids
                .iter()
                .zip(weights)
                .for_each(|(id, w)| self.rows[*id as usize] += w),
        }
    }

    /// Ends the step: the groups that it touched.
    pub(super) fn end_step(&mut self) -> Vec<u32> {
        self.step = self.step.wrapping_add(1);
        if self.step == 0 {
            self.touched_in.fill(0);
            self.step = 1;
        }
        std::mem::take(&mut self.touched)
    }

    pub(super) fn rows(&self, id: u32) -> i64 {
        self.rows[id as usize]
    }

    pub(super) fn columns(&self, ids: &[u32]) -> Result<Vec<ArrayRef>, Damaged> {
        self.keys.columns(ids)
    }

    pub(super) fn sort(&self, ids: &mut [u32]) {
        ids.sort_by(|a, b| self.keys.compare(*a, *b));
    }

    pub(super) fn remove(&mut self, ids: &[u32]) {
        for id in ids {
            self.keys.remove(*id);
            self.rows[*id as usize] = 0;
            self.touched_in[*id as usize] = 0;
        }
        self.keys.tidy();
    }

    /// The groups' hashes of these rows, see [`crate::Operator::route`].
    pub(super) fn hashes(&self, columns: &[ArrayRef], rows: usize) -> Vec<u32> {
        self.keys.hashes(columns, rows)
    }

    /// Forgets all groups whose hash is not wanted and numbers the others anew: their former ids, in the order of the new ones.
    pub(super) fn keep(&mut self, wanted: &dyn Fn(u32) -> bool) -> Vec<u32> {
        let mut ids = self.keys.ids();
        ids.retain(|id| wanted(self.keys.hash(*id)));
        self.keys.keep(&ids);
        self.rows = picked(&self.rows, &ids);
        self.touched_in = vec![0; ids.len()];
        self.touched = Vec::new();
        self.step = 1;
        ids
    }

    /// All groups that have rows, by id.
    pub(super) fn live(&self) -> Vec<u32> {
        (0..self.rows.len() as u32)
            .filter(|id| self.rows[*id as usize] != 0)
            .collect()
    }

    pub(super) fn bound(&self) -> usize {
        self.keys.id_bound()
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.keys.bytes() + self.rows.capacity() * 8 + self.touched_in.capacity() * 4
    }
}

impl Aggregate {
    pub(super) fn save(&self, out: &mut dyn Write) -> io::Result<()> {
        put_u32(out, VERSION)?;
        put_u32(out, u32::from(self.groups.started))?;
        self.groups.keys.save(out)?;
        put_all(out, &self.groups.rows)?;
        put_u64(out, self.gone_us as u64)?;
        if let Some(closing) = &self.closing {
            closing.save(out)?;
        }
        self.accumulators.iter().try_for_each(|a| a.save(out))
    }

    pub(super) fn load(&mut self, from: &mut dyn Read) -> io::Result<()> {
        expect_version(from, VERSION)?;
        self.groups.started = get_u32(from)? != 0;
        self.groups.keys.load(from)?;
        self.groups.rows = get_all(from)?;
        self.gone_us = get_u64(from)? as i64;
        if self.groups.rows.len() != self.groups.bound() {
            return Err(invalid("groups and their row counts differ in number"));
        }
        self.groups.touched_in = vec![0; self.groups.bound()];
        self.groups.touched.clear();
        if let Some(closing) = &mut self.closing {
            closing.load(from)?;
        }
        self.accumulators
            .iter_mut()
            .try_for_each(|a| a.load(from))?;
        let bound = self.groups.bound();
        self.accumulators.iter_mut().for_each(|a| a.grow(bound));
        Ok(())
    }
}
