//! From pairs of rows to columns: one side's rows are in the batch that came, the other's in state.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::SchemaRef;
use headwater_sql::graph::JoinKind;

use super::{Arrived, Join};
use crate::delta::{Delta, RowKind, is_true};
use crate::eval::{Evaluator, Wanted, as_mask, batch};
use crate::keys::NONE;
use crate::operator::{OperatorError, StepContext};

/// Most rows of one delta.
const CHUNK_ROWS: usize = 8192;

/// One row of the result, `weight` times: a row of the batch and one of the other side's state, [`NONE`] for NULLs.
#[derive(Clone, Copy)]
pub(super) struct Out {
    pub ours: u32,
    pub theirs: u32,
    pub weight: i64,
    /// Of a mark join.
    pub mark: bool,
}

impl Out {
    pub(super) fn pair(ours: u32, theirs: u32, weight: i64) -> Self {
        Self {
            ours,
            theirs,
            weight,
            mark: false,
        }
    }
}

impl Join {
    /// The pairs that the residual condition holds for, in their order.
    pub(super) fn matching(
        &self,
        pairs: Vec<Out>,
        arrived: &Arrived,
        side: usize,
        ctx: &mut StepContext,
    ) -> Result<Vec<Out>, OperatorError> {
        let Some(filter) = &self.filter else {
            return Ok(pairs);
        };
        let mut held = Vec::new();
        for part in pairs.chunks(CHUNK_ROWS) {
            let rows: Vec<u32> = (0..part.len() as u32).collect();
            let columns = self.both(part, &rows, arrived, side)?;
            let mut candidates =
                self.delta(&self.pair_schema, columns, (part, &rows), arrived, side)?;
            let mut eval = Evaluator {
                operator: &self.key,
                ctx,
            };
            let wanted = std::iter::once(Wanted {
                expr: filter,
                rows: None,
            });
            // Failing rows vanish from the delta; the numbers tell which stayed.
            let (mask, stayed) = match eval.pass(wanted, &candidates)? {
                Ok(columns) => (as_mask(&columns[0]).map_err(|e| self.broken(e))?, rows),
                Err(good) => {
                    candidates = eval.keep(&candidates, &good)?;
                    let stayed = rows.into_iter().filter(|at| is_true(&good, *at as usize));
                    (eval.mask(filter, &mut candidates)?, stayed.collect())
                }
            };
            let kept = stayed.iter().enumerate();
            held.extend(
                kept.filter(|(at, _)| is_true(&mask, *at))
                    .map(|(_, at)| part[*at as usize]),
            );
        }
        Ok(held)
    }

    /// The result as deltas: what is taken back first, then what is new.
    pub(super) fn output(
        &self,
        outs: &[Out],
        arrived: &Arrived,
        side: usize,
    ) -> Result<Vec<Delta>, OperatorError> {
        let mut order: Vec<u32> = Vec::with_capacity(outs.len());
        for leaves in [true, false] {
            for (at, out) in (0u32..)
                .zip(outs)
                .filter(|(_, o)| o.weight != 0 && (o.weight < 0) == leaves)
            {
                order.extend(std::iter::repeat_n(at, out.weight.unsigned_abs() as usize));
            }
        }
        let parts = order.chunks(CHUNK_ROWS);
        parts
            .map(|part| {
                let columns = if self.kind.only_left() {
                    self.left(outs, part, arrived, side)?
                } else {
                    self.both(outs, part, arrived, side)?
                };
                self.delta(&self.schema, columns, (outs, part), arrived, side)
            })
            .collect()
    }

    /// Left columns and, of a mark join, the mark.
    fn left(
        &self,
        outs: &[Out],
        order: &[u32],
        arrived: &Arrived,
        side: usize,
    ) -> Result<Vec<ArrayRef>, OperatorError> {
        let mut columns = if side == 0 && order.iter().all(|at| outs[*at as usize].ours != NONE) {
            self.taken(arrived, outs, order)?
        } else {
            self.kept(outs, order, 0)?
        };
        if self.kind == JoinKind::Mark {
            let marks: BooleanArray = order
                .iter()
                .map(|at| Some(outs[*at as usize].mark))
                .collect();
            columns.push(Arc::new(marks));
        }
        Ok(columns)
    }

    /// Left columns, then right columns.
    fn both(
        &self,
        outs: &[Out],
        order: &[u32],
        arrived: &Arrived,
        side: usize,
    ) -> Result<Vec<ArrayRef>, OperatorError> {
        let ours = self.taken(arrived, outs, order)?;
        let theirs = self.kept(outs, order, 1 - side)?;
        let (mut columns, right) = if side == 0 {
            (ours, theirs)
        } else {
            (theirs, ours)
        };
        columns.extend(right);
        Ok(columns)
    }

    fn kept(
        &self,
        outs: &[Out],
        order: &[u32],
        side: usize,
    ) -> Result<Vec<ArrayRef>, OperatorError> {
        self.sides[side]
            .columns(order.iter().map(|at| outs[*at as usize].theirs))
            .map_err(|e| self.broken(e))
    }

    /// One delta of the result's rows at `order`.
    fn delta(
        &self,
        schema: &SchemaRef,
        columns: Vec<ArrayRef>,
        (outs, order): (&[Out], &[u32]),
        arrived: &Arrived,
        side: usize,
    ) -> Result<Delta, OperatorError> {
        let rows = batch(schema, columns, order.len()).map_err(|e| self.broken(e))?;
        let out = |at: &u32| outs[*at as usize];
        let kind = |at: &u32| {
            if out(at).weight < 0 {
                RowKind::Delete
            } else {
                RowKind::Insert
            }
        };
        let leaves = order.iter().any(|at| out(at).weight < 0);
        let known = self.append_only[side] && order.iter().all(|at| out(at).ours != NONE);
        let origin = arrived.delta.origin.as_ref().filter(|_| known);
        Ok(Delta {
            rows,
            kinds: leaves.then(|| order.iter().map(kind).collect()),
            origin: origin
                .map(|o| o.take(&order.iter().map(|at| out(at).ours).collect::<Vec<_>>())),
        })
    }

    /// The batch's columns; [`NONE`] is a row of NULLs.
    fn taken(
        &self,
        arrived: &Arrived,
        outs: &[Out],
        order: &[u32],
    ) -> Result<Vec<ArrayRef>, OperatorError> {
        let delta = &arrived.delta;
        let ours = || order.iter().map(|at| outs[*at as usize].ours);
        if order.len() == delta.len() && (0..).zip(ours()).all(|(at, place)| at == place) {
            return Ok(delta.rows.columns().to_vec());
        }
        let places: UInt32Array = ours().map(|p| (p != NONE).then_some(p)).collect();
        let columns = delta.rows.columns().iter();
        let taken = columns
            .map(|c| take(c, &places, None))
            .collect::<Result<_, _>>();
        taken.map_err(|e| self.broken(e))
    }
}
