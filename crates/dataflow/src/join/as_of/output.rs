//! From pairs of a left row and a version to columns, by the condition that is left.

use std::collections::BTreeMap;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::SchemaRef;

use super::AsOf;
use crate::codec::RowReader;
use crate::delta::{Delta, RowKind, is_true};
use crate::eval::{Evaluator, Wanted, as_mask, batch};
use crate::operator::{OperatorError, StepContext};

/// Most rows of one delta.
const CHUNK_ROWS: usize = 8192;

type Pair = (Box<[u8]>, Option<Box<[u8]>>);

/// Left rows, each with its version or without one, and how often more or less they are in the result.
#[derive(Default)]
pub(super) struct Pairs(BTreeMap<Pair, i64>);

impl Pairs {
    pub(super) fn add(&mut self, left: &[u8], version: Option<&[u8]>, weight: i64) {
        let pair = (left.into(), version.map(Box::from));
        *self.0.entry(pair).or_default() += weight;
    }
}

impl AsOf {
    /// The result as deltas: what is taken back first, then what is new.
    pub(super) fn output(
        &self,
        pairs: Pairs,
        ctx: &mut StepContext,
    ) -> Result<Vec<Delta>, OperatorError> {
        let net: Vec<(Pair, i64)> = pairs.0.into_iter().filter(|(_, w)| *w != 0).collect();
        let mut matched = Pairs::default();
        for part in net.chunks(CHUNK_ROWS) {
            let held = self.held(part, ctx)?;
            for (((left, version), weight), held) in part.iter().zip(held) {
                if held || self.outer {
                    matched.add(left, version.as_deref().filter(|_| held), *weight);
                }
            }
        }
        let mut order: Vec<(&Pair, bool)> = Vec::new();
        for leaves in [true, false] {
            for (pair, weight) in matched.0.iter().filter(|(_, w)| (**w < 0) == leaves) {
                let times = usize::try_from(weight.unsigned_abs()).unwrap_or(usize::MAX);
                order.extend(std::iter::repeat_n((pair, leaves), times));
            }
        }
        let delta = |part: &[(&Pair, bool)]| self.delta(&self.schema, part);
        order.chunks(CHUNK_ROWS).map(delta).collect()
    }

    /// Which pairs have a version for which the condition holds. Those that it fails on are reported.
    fn held(
        &self,
        pairs: &[(Pair, i64)],
        ctx: &mut StepContext,
    ) -> Result<Vec<bool>, OperatorError> {
        let mut held: Vec<bool> = pairs.iter().map(|(pair, _)| pair.1.is_some()).collect();
        let Some(filter) = &self.filter else {
            return Ok(held);
        };
        let mut at: Vec<usize> = (0..pairs.len()).filter(|at| held[*at]).collect();
        let candidates: Vec<(&Pair, bool)> = at
            .iter()
            .map(|at| (&pairs[*at].0, pairs[*at].1 < 0))
            .collect();
        let mut candidates = self.delta(&self.pair_schema, &candidates)?;
        let mut eval = Evaluator {
            operator: &self.key,
            ctx,
        };
        let wanted = std::iter::once(Wanted {
            expr: filter,
            rows: None,
        });
        let mask = match eval.pass(wanted, &candidates)? {
            Ok(columns) => as_mask(&columns[0]).map_err(|e| self.broken(e))?,
            Err(good) => {
                candidates = eval.keep(&candidates, &good)?;
                for (row, at) in at.iter().enumerate() {
                    held[*at] = is_true(&good, row);
                }
                at.retain(|at| held[*at]);
                eval.mask(filter, &mut candidates)?
            }
        };
        for (row, at) in at.into_iter().enumerate() {
            held[at] = is_true(&mask, row);
        }
        Ok(held)
    }

    /// The columns of a side's rows; `None` is a row of NULLs.
    pub(super) fn read<'a>(
        &self,
        side: usize,
        rows: impl Iterator<Item = Option<&'a [u8]>>,
    ) -> Result<Vec<ArrayRef>, OperatorError> {
        let reader = RowReader::new(&self.sides[side].types);
        let mut reader = reader.map_err(|e| self.broken(e))?;
        for row in rows {
            match row {
                Some(row) => reader.push(row).map_err(|e| self.broken(e))?,
                None => reader.push_null(),
            }
        }
        reader.finish().map_err(|e| self.broken(e))
    }

    fn delta(&self, schema: &SchemaRef, pairs: &[(&Pair, bool)]) -> Result<Delta, OperatorError> {
        let mut columns = self.read(0, pairs.iter().map(|(pair, _)| Some(pair.0.as_ref())))?;
        columns.extend(self.read(1, pairs.iter().map(|(pair, _)| pair.1.as_deref()))?);
        let rows = batch(schema, columns, pairs.len()).map_err(|e| self.broken(e))?;
        let kind = |(_, leaves): &(&Pair, bool)| match leaves {
            true => RowKind::Delete,
            false => RowKind::Insert,
        };
        let leaves = pairs.iter().any(|(_, leaves)| *leaves);
        Ok(Delta {
            rows,
            kinds: leaves.then(|| pairs.iter().map(kind).collect()),
            origin: None,
        })
    }
}
