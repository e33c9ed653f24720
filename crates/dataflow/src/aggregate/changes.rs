//! The net changes of a step: each touched group's row before against its row after.

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array};
use datafusion::arrow::compute::kernels::cmp::not_distinct;
use datafusion::arrow::compute::{concat, interleave, take};

use super::Aggregate;
use super::accumulator::{Accumulator, Values};
use crate::codec::RowWriter;
use crate::delta::{Delta, RowKind};
use crate::eval::{batch, broken, row_text};
use crate::operator::{ErrorAt, OperatorError, RowError, StepContext};

const OVERFLOW: &str = "the sum does not fit its type";

/// Rows of groups, computed from the accumulators.
#[derive(Default)]
pub(super) struct Computed {
    groups: Vec<u32>,
    /// One array per call.
    columns: Vec<ArrayRef>,
    /// Rows that have no value; empty if all have.
    failed: Vec<bool>,
}

/// Rows as they were before the step, in pieces as batches came.
#[derive(Default)]
pub(super) struct Old {
    pieces: Vec<Computed>,
}

pub(super) fn compute(
    accumulators: &[Box<dyn Accumulator>],
    groups: Vec<u32>,
) -> Result<Computed, String> {
    let mut computed = Computed {
        groups,
        ..Computed::default()
    };
    for accumulator in accumulators {
        let Values { array, failed } = accumulator.values(&computed.groups)?;
        computed.columns.push(array);
        if let Some(failed) = failed {
            computed.failed.resize(computed.groups.len(), false);
            computed
                .failed
                .iter_mut()
                .zip(failed)
                .for_each(|(a, b)| *a |= b);
        }
    }
    Ok(computed)
}

impl Computed {
    pub(super) fn failed(&self, at: usize) -> bool {
        self.failed.get(at).copied().unwrap_or(false)
    }
}

impl Old {
    pub(super) fn remember(
        &mut self,
        accumulators: &[Box<dyn Accumulator>],
        groups: Vec<u32>,
    ) -> Result<(), String> {
        if !groups.is_empty() {
            self.pieces.push(compute(accumulators, groups)?);
        }
        Ok(())
    }

    /// All pieces as one.
    fn take(&mut self) -> Result<Computed, String> {
        let mut pieces = std::mem::take(&mut self.pieces);
        if pieces.len() < 2 {
            return Ok(pieces.pop().unwrap_or_default());
        }
        let mut all = Computed::default();
        for call in 0..pieces[0].columns.len() {
            let parts: Vec<&dyn Array> = pieces.iter().map(|p| p.columns[call].as_ref()).collect();
            all.columns.push(concat(&parts).map_err(|e| e.to_string())?);
        }
        for piece in &pieces {
            all.failed
                .extend((0..piece.groups.len()).map(|at| piece.failed(at)));
            all.groups.extend(&piece.groups);
        }
        Ok(all)
    }
}

/// One row of the output: which side it is computed on, and where.
struct Change {
    kind: RowKind,
    new: bool,
    at: usize,
}

impl Aggregate {
    pub(super) fn emit_changes(
        &mut self,
        ctx: &mut StepContext,
    ) -> Result<Vec<Delta>, OperatorError> {
        self.start_global(ctx)?;
        let touched = self.groups.end_step();
        if touched.is_empty() {
            return Ok(Vec::new());
        }
        let key = self.key.clone();
        let fail = |e: String| broken(&key, e);
        let old = self.old.take().map_err(fail)?;
        let (mut stay, mut gone) = (Vec::new(), Vec::new());
        for group in &touched {
            match self.groups.rows(*group) {
                0 if !self.is_global() => gone.push(*group),
                rows if rows < 0 => {
                    tracing::warn!(operator = key, "a row was taken back that was not there")
                }
                _ => stay.push(*group),
            }
        }
        let new = compute(&self.accumulators, stay).map_err(fail)?;
        let delta = self.changes(&touched, &old, &new, ctx).map_err(fail)?;
        self.forget(&gone);
        Ok(delta.into_iter().collect())
    }

    /// The only row of an aggregate without group columns is there from the first step on.
    fn start_global(&mut self, _ctx: &mut StepContext) -> Result<(), OperatorError> {
        if !self.is_global() {
            return Ok(());
        }
        let mut fresh = Vec::new();
        let ids = self.groups.enter(&[], 1, &mut fresh);
        let bound = self.groups.bound();
        self.accumulators.iter_mut().for_each(|a| a.grow(bound));
        if !self.groups.started {
            self.groups.touch(&ids);
        }
        Ok(())
    }

    fn changes(
        &mut self,
        touched: &[u32],
        old: &Computed,
        new: &Computed,
        ctx: &mut StepContext,
    ) -> Result<Option<Delta>, String> {
        let places = places(touched, old, new);
        let same = unchanged(&places, old, new)?;
        let mut changes = Vec::with_capacity(2 * touched.len());
        for (at, (before, after)) in places.into_iter().enumerate() {
            let failed = (
                before.is_some_and(|b| old.failed(b)),
                after.is_some_and(|a| new.failed(a)),
            );
            self.report(touched[at], failed, ctx)?;
            let before = before.filter(|b| !old.failed(*b));
            let after = after.filter(|a| !new.failed(*a));
            match (before, after) {
                (Some(b), Some(a)) if !same[at] => {
                    changes.push(Change {
                        kind: RowKind::UpdateBefore,
                        new: false,
                        at: b,
                    });
                    changes.push(Change {
                        kind: RowKind::UpdateAfter,
                        new: true,
                        at: a,
                    });
                }
                (Some(at), None) => changes.push(Change {
                    kind: RowKind::Delete,
                    new: false,
                    at,
                }),
                (None, Some(at)) => changes.push(Change {
                    kind: RowKind::Insert,
                    new: true,
                    at,
                }),
                _ => {}
            }
        }
        self.groups.started = true;
        match changes.is_empty() {
            true => Ok(None),
            false => self.assemble(&changes, old, new).map(Some),
        }
    }

    fn assemble(
        &self,
        changes: &[Change],
        old: &Computed,
        new: &Computed,
    ) -> Result<Delta, String> {
        let group = |c: &Change| {
            if c.new {
                new.groups[c.at]
            } else {
                old.groups[c.at]
            }
        };
        let groups: Vec<u32> = changes.iter().map(group).collect();
        let mut columns = match self.is_global() {
            true => Vec::new(),
            false => self.groups.columns(&groups).map_err(|e| e.to_string())?,
        };
        let places: Vec<(usize, usize)> =
            changes.iter().map(|c| (usize::from(c.new), c.at)).collect();
        for call in 0..self.accumulators.len() {
            let empty = || {
                new.columns
                    .get(call)
                    .or(old.columns.get(call))
                    .map(|c| c.slice(0, 0))
            };
            let side = |computed: &Computed| computed.columns.get(call).cloned().or_else(empty);
            let (Some(before), Some(after)) = (side(old), side(new)) else {
                return Err("no values".into());
            };
            columns.push(
                interleave(&[before.as_ref(), after.as_ref()], &places)
                    .map_err(|e| e.to_string())?,
            );
        }
        let kinds: Vec<RowKind> = changes.iter().map(|c| c.kind).collect();
        let all_inserts = kinds.iter().all(|k| *k == RowKind::Insert);
        Ok(Delta {
            rows: batch(&self.schema, columns, changes.len())?,
            kinds: (!all_inserts).then(|| kinds.into()),
            origin: None,
        })
    }

    /// Tells when a group's row begins or ends to be withheld: whether it was, and whether it is.
    fn report(
        &self,
        group: u32,
        (before, holds): (bool, bool),
        ctx: &mut StepContext,
    ) -> Result<(), String> {
        if before != holds {
            let at = ErrorAt::Withheld {
                key: self.group_text(group)?,
                holds,
            };
            ctx.errors.push(RowError {
                operator: self.key.clone(),
                message: OVERFLOW.to_owned(),
                at,
            });
        }
        Ok(())
    }

    pub(super) fn group_text(&self, group: u32) -> Result<String, String> {
        if self.is_global() {
            return Ok(String::new());
        }
        let columns = self.groups.columns(&[group]).map_err(|e| e.to_string())?;
        let fields: Vec<_> = self
            .schema
            .fields()
            .iter()
            .take(columns.len())
            .cloned()
            .collect();
        let schema = datafusion::arrow::datatypes::Schema::new(fields);
        Ok(row_text(
            &batch(&std::sync::Arc::new(schema), columns, 1)?,
            0,
        ))
    }

    /// Closed windows' results: each once, as an insert.
    pub(super) fn emit_groups(
        &mut self,
        groups: Vec<u32>,
        ctx: &mut StepContext,
    ) -> Result<Option<Delta>, String> {
        let new = compute(&self.accumulators, groups)?;
        let mut changes = Vec::new();
        for (at, group) in new.groups.iter().enumerate() {
            self.report(*group, (false, new.failed(at)), ctx)?;
            if !new.failed(at) {
                changes.push(Change {
                    kind: RowKind::Insert,
                    new: true,
                    at,
                });
            }
        }
        match changes.is_empty() {
            true => Ok(None),
            false => self
                .assemble(&changes, &Computed::default(), &new)
                .map(Some),
        }
    }
}

/// For each touched group, where its old and new rows stand. Both lists are in the order of `touched`, with gaps.
fn places(touched: &[u32], old: &Computed, new: &Computed) -> Vec<(Option<usize>, Option<usize>)> {
    let (mut before, mut after) = (0, 0);
    let next = |groups: &[u32], at: &mut usize, group: u32| {
        let there = groups.get(*at) == Some(&group);
        *at += usize::from(there);
        there.then(|| *at - 1)
    };
    let of = |group: &u32| {
        (
            next(&old.groups, &mut before, *group),
            next(&new.groups, &mut after, *group),
        )
    };
    touched.iter().map(of).collect()
}

/// Lists and structs by their encoding: arrow does not compare them.
fn nested_unchanged(
    both: &[(usize, usize, usize)],
    old: &ArrayRef,
    new: &ArrayRef,
    same: &mut [bool],
) -> Result<(), String> {
    let writer = RowWriter::new([old.data_type()]).map_err(|e| e.to_string())?;
    let encode = |column: &ArrayRef| writer.encode(std::slice::from_ref(column), column.len());
    let (old, new) = (encode(old), encode(new));
    for (at, before, after) in both {
        same[*at] &= old.get(*before) == new.get(*after);
    }
    Ok(())
}

/// For each touched group, whether it has the same values before and after.
fn unchanged(
    places: &[(Option<usize>, Option<usize>)],
    old: &Computed,
    new: &Computed,
) -> Result<Vec<bool>, String> {
    let mut same = vec![false; places.len()];
    let both = places
        .iter()
        .enumerate()
        .filter_map(|(at, (before, after))| Some((at, (*before)?, (*after)?)));
    let both: Vec<(usize, usize, usize)> = both.collect();
    if both.is_empty() {
        return Ok(same);
    }
    both.iter().for_each(|(at, _, _)| same[*at] = true);
    let aligned = |of: fn(&(usize, usize, usize)) -> usize, rows: usize| {
        both.len() == rows && both.iter().enumerate().all(|(at, b)| of(b) == at)
    };
    let as_they_are = aligned(|b| b.1, old.groups.len()) && aligned(|b| b.2, new.groups.len());
    let before = UInt32Array::from_iter_values(both.iter().map(|b| b.1 as u32));
    let after = UInt32Array::from_iter_values(both.iter().map(|b| b.2 as u32));
    for (old, new) in old.columns.iter().zip(&new.columns) {
        if old.data_type().is_nested() {
            nested_unchanged(&both, old, new, &mut same)?;
            continue;
        }
        let equal = match as_they_are {
            true => not_distinct(old, new),
            false => {
                take(old, &before, None).and_then(|a| not_distinct(&a, &take(new, &after, None)?))
            }
        };
        let equal: BooleanArray = equal.map_err(|e| e.to_string())?;
        both.iter()
            .zip(equal.values())
            .for_each(|((at, _, _), equal)| same[*at] &= equal);
    }
    Ok(same)
}
