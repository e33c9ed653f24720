//! From pairs of rows to columns: one side's rows are in the batch that came, the other's in state.

use datafusion::arrow::array::{Array, ArrayRef, UInt32Array};
use datafusion::arrow::compute::take;

use super::{Arrived, Join};
use crate::delta::{Delta, RowKind, is_true};
use crate::eval::{Evaluator, batch};
use crate::keys::NONE;
use crate::operator::{OperatorError, StepContext};

/// Most rows of one delta.
const CHUNK_ROWS: usize = 8192;

/// One row of the result, `weight` times. Which number is a place in state and which one a row of the batch depends on the side
/// that drives; [`NONE`] on the right stands for NULLs.
#[derive(Clone, Copy)]
pub(super) struct Pair {
    pub left: u32,
    pub right: u32,
    pub weight: i64,
}

pub(super) type Pairs = Vec<Pair>;

impl Join {
    /// The pairs that the residual condition holds for.
    pub(super) fn matching(
        &self,
        pairs: Pairs,
        arrived: &Arrived,
        side: usize,
        ctx: &mut StepContext,
    ) -> Result<Pairs, OperatorError> {
        let Some(filter) = &self.filter else {
            return Ok(pairs);
        };
        let (paired, mut out): (Pairs, Pairs) = pairs.into_iter().partition(|p| p.right != NONE);
        for part in paired.chunks(CHUNK_ROWS) {
            let rows: Vec<u32> = (0..part.len() as u32).collect();
            let mut candidates = self.rows(part, &rows, arrived, side)?;
            let numbered = UInt32Array::from(rows);
            // Failing rows vanish from the delta; the numbers tell which stayed.
            let before = candidates.len();
            let mut eval = Evaluator {
                operator: &self.key,
                ctx,
            };
            let wanted = std::iter::once(crate::eval::Wanted {
                expr: filter,
                rows: None,
            });
            let first = eval.pass(wanted, &candidates)?;
            let mask = match first {
                Ok(columns) => crate::eval::as_mask(&columns[0]).map_err(|e| self.broken(e))?,
                Err(good) => {
                    candidates = eval.keep(&candidates, &good)?;
                    let stayed: Vec<u32> = (0..before)
                        .filter(|at| is_true(&good, *at))
                        .map(|at| at as u32)
                        .collect();
                    let mask = eval.mask(filter, &mut candidates)?;
                    let kept = stayed
                        .iter()
                        .enumerate()
                        .filter(|(at, _)| is_true(&mask, *at));
                    out.extend(kept.map(|(_, at)| part[*at as usize]));
                    continue;
                }
            };
            out.extend(
                numbered
                    .values()
                    .iter()
                    .filter(|at| is_true(&mask, **at as usize))
                    .map(|at| part[*at as usize]),
            );
        }
        Ok(out)
    }

    /// The pairs as deltas: what is taken back first, then what is new.
    pub(super) fn output(
        &self,
        pairs: &[Pair],
        arrived: &Arrived,
        side: usize,
    ) -> Result<Vec<Delta>, OperatorError> {
        let mut order: Vec<u32> = Vec::with_capacity(pairs.len());
        for leaves in [true, false] {
            for (at, pair) in (0u32..)
                .zip(pairs)
                .filter(|(_, p)| p.weight != 0 && (p.weight < 0) == leaves)
            {
                order.extend(std::iter::repeat_n(at, pair.weight.unsigned_abs() as usize));
            }
        }
        let parts = order.chunks(CHUNK_ROWS);
        parts
            .map(|part| self.rows(pairs, part, arrived, side))
            .collect()
    }

    /// One delta of the pairs at `order`.
    fn rows(
        &self,
        pairs: &[Pair],
        order: &[u32],
        arrived: &Arrived,
        side: usize,
    ) -> Result<Delta, OperatorError> {
        let pair = |at: &u32| pairs[*at as usize];
        let from_batch = |at: &u32| {
            if side == 0 {
                pair(at).left
            } else {
                pair(at).right
            }
        };
        let from_state = |at: &u32| {
            if side == 0 {
                pair(at).right
            } else {
                pair(at).left
            }
        };
        let places: Vec<u32> = order.iter().map(from_batch).collect();
        let ours = self.taken(&arrived.delta, &places)?;
        let theirs = self.sides[1 - side]
            .columns(order.iter().map(from_state))
            .map_err(|e| self.broken(e))?;
        let mut columns = Vec::with_capacity(ours.len() + theirs.len());
        let (left, right) = if side == 0 {
            (ours, theirs)
        } else {
            (theirs, ours)
        };
        columns.extend(left);
        columns.extend(right);
        let rows = batch(&self.schema, columns, order.len()).map_err(|e| self.broken(e))?;
        let kind = |at: &u32| {
            if pair(at).weight < 0 {
                RowKind::Delete
            } else {
                RowKind::Insert
            }
        };
        let leaves = order.iter().any(|at| pair(at).weight < 0);
        let known = self.append_only[side] && !places.contains(&NONE);
        Ok(Delta {
            rows,
            kinds: leaves.then(|| order.iter().map(kind).collect()),
            origin: arrived
                .delta
                .origin
                .as_ref()
                .filter(|_| known)
                .map(|o| o.take(&places)),
        })
    }

    /// The batch's columns at `places`; [`NONE`] is a row of NULLs.
    fn taken(&self, delta: &Delta, places: &[u32]) -> Result<Vec<ArrayRef>, OperatorError> {
        let as_it_is =
            places.len() == delta.len() && (0..).zip(places).all(|(at, place)| at == *place);
        if as_it_is {
            return Ok(delta.rows.columns().to_vec());
        }
        let places: UInt32Array = places.iter().map(|p| (*p != NONE).then_some(*p)).collect();
        let taken = delta
            .rows
            .columns()
            .iter()
            .map(|c| take(c, &places, None))
            .collect::<Result<Vec<_>, _>>();
        let taken = taken.map_err(|e| self.broken(e))?;
        debug_assert!(taken.iter().all(|c| c.len() == places.len()));
        Ok(taken)
    }
}
