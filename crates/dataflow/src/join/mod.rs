//! Inner and left joins of changelogs. Both sides are kept by key as multisets of encoded rows; a row that comes or goes on one side
//! meets what the other side holds at that moment, so a step's deltas may come in any order.
//!
//! A left row without a match is out there with NULLs: the first match takes that back, the loss of the last one brings it again.

mod output;
mod push;
mod side;
mod state;
#[cfg(test)]
mod tests;

use std::io::{self, Read, Write};
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;
use headwater_sql::graph as plan;

use crate::codec::EncodedRows;
use crate::delta::Delta;
use crate::eval::{Evaluator, broken};
use crate::keys::KeyTable;
use crate::operator::{Operator, OperatorError, StepContext};
use side::Side;

const LEFT: usize = 0;

pub(crate) struct Join {
    key: String,
    schema: SchemaRef,
    kind: plan::JoinKind,
    /// Key expressions, left and right.
    on: [Vec<Arc<dyn PhysicalExpr>>; 2],
    key_types: Vec<DataType>,
    filter: Option<Arc<dyn PhysicalExpr>>,
    /// Keys of both sides.
    keys: KeyTable,
    sides: [Side; 2],
    /// Whether a side's rows are only ever added: what it drives keeps its origin.
    append_only: [bool; 2],
}

/// A batch of one side, ready to meet the other.
struct Arrived {
    delta: Delta,
    /// Key of each row, [`crate::keys::NONE`] for NULL.
    keys: Vec<u32>,
    rows: EncodedRows,
    /// Rows that take part and how often, those that leave first.
    changes: Vec<(u32, i64)>,
}

impl Join {
    pub(crate) fn new(
        node: &plan::Node,
        plan: &plan::Join,
        inputs: [&SchemaRef; 2],
        append_only: [bool; 2],
    ) -> Result<Self, OperatorError> {
        let fail = |e: &dyn std::fmt::Display| broken(&node.key, e);
        let types = plan
            .on
            .iter()
            .map(|(left, _)| left.data_type(inputs[0]))
            .collect::<Result<Vec<_>, _>>();
        let key_types = types.map_err(|e| fail(&e))?;
        let side = |schema: &SchemaRef| Side::new(schema).map_err(|e| fail(&e));
        Ok(Self {
            key: node.key.clone(),
            schema: node.schema.clone(),
            kind: plan.kind,
            on: [
                plan.on.iter().map(|o| o.0.clone()).collect(),
                plan.on.iter().map(|o| o.1.clone()).collect(),
            ],
            keys: KeyTable::new(key_types.clone()).map_err(|e| fail(&e))?,
            key_types,
            filter: plan.filter.clone(),
            sides: [side(inputs[0])?, side(inputs[1])?],
            append_only,
        })
    }

    fn is_left(&self) -> bool {
        self.kind == plan::JoinKind::Left
    }

    fn arrive(
        &mut self,
        side: usize,
        mut delta: Delta,
        ctx: &mut StepContext,
    ) -> Result<Arrived, OperatorError> {
        let mut eval = Evaluator {
            operator: &self.key,
            ctx,
        };
        let columns = eval.all(&self.on[side], &mut delta)?;
        let columns: Result<Vec<ArrayRef>, _> = columns
            .iter()
            .zip(&self.key_types)
            .map(|(c, t)| {
                if c.data_type() == t {
                    Ok(c.clone())
                } else {
                    cast(c, t)
                }
            })
            .collect();
        let columns = columns.map_err(|e| eval.broken(e))?;
        let there = columns.iter().fold(None, |nulls, c| {
            NullBuffer::union(nulls.as_ref(), c.logical_nulls().as_ref())
        });
        let keys = self
            .keys
            .intern(&columns, delta.len(), there.as_ref(), &mut Vec::new());
        self.sides
            .iter_mut()
            .for_each(|s| s.grow(self.keys.id_bound()));
        let rows = self.sides[side].encode(&delta.rows);
        let changes = net(&delta, &rows);
        Ok(Arrived {
            delta,
            keys,
            rows,
            changes,
        })
    }
}

/// The net count of each row of a batch. Rows that only come stay as they are; else equal rows are added up, and those that leave come
/// first, so that nothing is taken back before it is there.
fn net(delta: &Delta, rows: &EncodedRows) -> Vec<(u32, i64)> {
    let Some(weights) = delta.weights() else {
        return (0..delta.len() as u32).map(|row| (row, 1)).collect();
    };
    let mut first = hashbrown::HashMap::with_capacity_and_hasher(
        weights.len(),
        crate::codec::hash::Fixed::with_seed(0),
    );
    let mut net: Vec<(u32, i64)> = Vec::with_capacity(weights.len());
    for (row, weight) in (0u32..).zip(weights) {
        let at = *first.entry(rows.get(row as usize)).or_insert(net.len());
        match net.get_mut(at) {
            Some(entry) => entry.1 += weight,
            None => net.push((row, weight)),
        }
    }
    let (leave, come): (Vec<_>, Vec<_>) =
        net.into_iter().filter(|n| n.1 != 0).partition(|n| n.1 < 0);
    leave.into_iter().chain(come).collect()
}

impl Operator for Join {
    fn push(
        &mut self,
        input: usize,
        delta: Delta,
        ctx: &mut StepContext,
    ) -> Result<Vec<Delta>, OperatorError> {
        if delta.is_empty() {
            return Ok(Vec::new());
        }
        let arrived = self.arrive(input, delta, ctx)?;
        match input {
            LEFT => self.push_left(&arrived, ctx),
            _ => self.push_right(&arrived, ctx),
        }
    }

    fn finish(&mut self, _ctx: &mut StepContext) -> Result<Vec<Delta>, OperatorError> {
        self.tidy();
        Ok(Vec::new())
    }

    fn state_bytes(&self) -> usize {
        self.keys.bytes() + self.sides.iter().map(Side::bytes).sum::<usize>()
    }

    fn state_rows(&self) -> usize {
        self.sides.iter().map(Side::len).sum()
    }

    fn snapshot(&self, out: &mut dyn Write) -> io::Result<()> {
        self.save(out)
    }

    fn restore(&mut self, from: &mut dyn Read) -> io::Result<()> {
        self.load(from)
    }
}
