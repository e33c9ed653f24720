//! INTERSECT and EXCEPT of changelogs: how often each distinct row is on either side, from which follows how often it is in the result.

use std::io::{self, Read, Write};

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use headwater_sql::graph as plan;

use crate::codec::persist::{expect_version, get_all, invalid, put_all, put_u32};
use crate::codec::types;
use crate::delta::{Delta, RowKind};
use crate::eval::{batch, broken};
use crate::keys::KeyTable;
use crate::operator::{Operator, OperatorError, StepContext};

const VERSION: u32 = 1;

pub(crate) struct SetOperation {
    key: String,
    schema: SchemaRef,
    types: Vec<DataType>,
    plan: plan::SetOperation,
    /// Distinct rows of both sides.
    rows: KeyTable,
    /// How often each is on the left and on the right.
    counts: [Vec<u32>; 2],
}

impl SetOperation {
    pub(crate) fn new(node: &plan::Node, plan: plan::SetOperation) -> Result<Self, OperatorError> {
        let types = types(&node.schema);
        Ok(Self {
            key: node.key.clone(),
            schema: node.schema.clone(),
            rows: KeyTable::new(types.clone()).map_err(|e| broken(&node.key, e))?,
            types,
            plan,
            counts: [Vec::new(), Vec::new()],
        })
    }

    /// How often a row is in the result.
    fn result(&self, id: u32) -> i64 {
        let [left, right] = [0, 1].map(|side: usize| i64::from(self.counts[side][id as usize]));
        match (self.plan.except, self.plan.all) {
            (true, true) => (left - right).max(0),
            (true, false) => i64::from(left > 0 && right == 0),
            (false, true) => left.min(right),
            (false, false) => i64::from(left > 0 && right > 0),
        }
    }

    fn columns(&self, delta: &Delta) -> Result<Vec<ArrayRef>, OperatorError> {
        let pairs = delta.rows.columns().iter().zip(&self.types);
        let columns = pairs.map(|(c, t)| cast(c, t)).collect::<Result<_, _>>();
        columns.map_err(|e| broken(&self.key, e))
    }

    /// Counts the rows; answers the distinct ones and how often each was in the result before, in order.
    fn count(&mut self, side: usize, ids: &[u32], delta: &Delta) -> Vec<(u32, i64)> {
        let bound = self.rows.id_bound();
        self.counts
            .iter_mut()
            .for_each(|c| c.resize(bound.max(c.len()), 0));
        let mut sorted = ids.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let touched = sorted.into_iter().map(|id| (id, self.result(id))).collect();
        let mut weights: Vec<(u32, i64)> = Vec::with_capacity(ids.len());
        weights.extend(
            (0..)
                .zip(ids)
                .map(|(row, id)| (*id, delta.kind(row).weight())),
        );
        // What leaves may come first in a delta that adds up.
        weights.sort_by_key(|(id, weight)| (*id, -weight));
        for (id, weight) in weights {
            let count = &mut self.counts[side][id as usize];
            *count = (i64::from(*count) + weight).clamp(0, i64::from(u32::MAX)) as u32;
        }
        touched
    }
}

impl Operator for SetOperation {
    fn push(
        &mut self,
        input: usize,
        delta: Delta,
        _ctx: &mut StepContext,
    ) -> Result<Vec<Delta>, OperatorError> {
        let columns = self.columns(&delta)?;
        let ids = self
            .rows
            .intern(&columns, delta.len(), None, &mut Vec::new());
        let touched = self.count(input, &ids, &delta);
        let changes = touched
            .into_iter()
            .map(|(id, before)| (id, self.result(id) - before));
        let changes: Vec<(u32, i64)> = changes.collect();
        let out = self.output(&changes)?;
        for (id, _) in changes {
            if self.counts.iter().all(|c| c[id as usize] == 0) {
                self.rows.remove(id);
            }
        }
        Ok(out)
    }

    fn finish(&mut self, _ctx: &mut StepContext) -> Result<Vec<Delta>, OperatorError> {
        self.rows.tidy();
        Ok(Vec::new())
    }

    fn route(&self, _input: usize, delta: &Delta) -> Result<Option<Vec<u32>>, OperatorError> {
        let columns = self.columns(delta)?;
        Ok(Some(self.rows.hashes(&columns, delta.len())))
    }

    fn keep(&mut self, wanted: &dyn Fn(u32) -> bool) -> Result<(), OperatorError> {
        let fail = |e: &dyn std::fmt::Display| broken(&self.key, e);
        let ids: Vec<u32> = self
            .rows
            .ids()
            .into_iter()
            .filter(|id| wanted(self.rows.hash(*id)))
            .collect();
        let mut rows = KeyTable::new(self.types.clone()).map_err(|e| fail(&e))?;
        for part in ids.chunks(8_192) {
            let columns = self.rows.columns(part).map_err(|e| fail(&e))?;
            rows.intern(&columns, part.len(), None, &mut Vec::new());
        }
        let of = |counts: &Vec<u32>| ids.iter().map(|id| counts[*id as usize]).collect();
        let counts = [of(&self.counts[0]), of(&self.counts[1])];
        (self.rows, self.counts) = (rows, counts);
        Ok(())
    }

    fn state_bytes(&self) -> usize {
        self.rows.bytes() + self.counts.iter().map(|c| c.capacity() * 4).sum::<usize>()
    }

    fn state_rows(&self) -> usize {
        self.rows.len()
    }

    fn snapshot(&self, out: &mut dyn Write) -> io::Result<()> {
        put_u32(out, VERSION)?;
        self.rows.save(out)?;
        self.counts
            .iter()
            .try_for_each(|counts| put_all(out, counts))
    }

    fn restore(&mut self, from: &mut dyn Read) -> io::Result<()> {
        expect_version(from, VERSION)?;
        self.rows.load(from)?;
        self.counts = [get_all(from)?, get_all(from)?];
        match self.counts.iter().all(|c| c.len() == self.rows.id_bound()) {
            true => Ok(()),
            false => Err(invalid("a set operation's counts do not fit its rows")),
        }
    }
}

impl SetOperation {
    fn output(&self, changes: &[(u32, i64)]) -> Result<Vec<Delta>, OperatorError> {
        let mut ids = Vec::new();
        let mut kinds = Vec::new();
        for leaves in [true, false] {
            for (id, weight) in changes.iter().filter(|c| c.1 != 0 && (c.1 < 0) == leaves) {
                let times = weight.unsigned_abs() as usize;
                ids.extend(std::iter::repeat_n(*id, times));
                let kind = if leaves {
                    RowKind::Delete
                } else {
                    RowKind::Insert
                };
                kinds.extend(std::iter::repeat_n(kind, times));
            }
        }
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let fail = |e: &dyn std::fmt::Display| broken(&self.key, e);
        let columns = self.rows.columns(&ids).map_err(|e| fail(&e))?;
        let rows = batch(&self.schema, columns, ids.len()).map_err(|e| fail(&e))?;
        let leaves = kinds.contains(&RowKind::Delete);
        Ok(vec![Delta {
            rows,
            kinds: leaves.then(|| kinds.into()),
            origin: None,
        }])
    }
}
