//! What a batch is to an aggregate: its group columns, arguments and filters, less the rows that fail or are late.

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray};
use datafusion::arrow::buffer::{BooleanBuffer, NullBuffer};
use datafusion::arrow::compute::filter;
use headwater_sql::graph::PhysExpr;

use super::Aggregate;
use crate::delta::Delta;
use crate::eval::{Evaluator, Wanted, as_mask};
use crate::operator::{OperatorError, StepContext};

pub(super) struct Input {
    pub rows: usize,
    pub group: Vec<ArrayRef>,
    pub calls: Vec<Call>,
    pub weights: Option<Vec<i64>>,
}

pub(super) struct Call {
    pub arg: Option<ArrayRef>,
    /// Rows that count: FILTER holds, the argument is not NULL.
    pub keep: Option<BooleanBuffer>,
}

impl Aggregate {
    /// The delta's rows that are to be counted in, if any.
    pub(super) fn read(
        &self,
        mut delta: Delta,
        ctx: &mut StepContext,
    ) -> Result<Option<Input>, OperatorError> {
        let (mut group, mut args, mut filters);
        let mut eval = Evaluator {
            operator: &self.key,
            ctx,
        };
        loop {
            filters = self.filters(&mut eval, &mut delta)?;
            let wanted = self
                .plan
                .group
                .iter()
                .map(|expr| Wanted { expr, rows: None });
            let calls = self.plan.calls.iter().zip(&filters);
            let calls = calls.filter_map(|(c, f)| {
                Some(Wanted {
                    expr: c.arg.as_ref()?,
                    rows: f.as_ref(),
                })
            });
            match eval.pass(wanted.chain(calls), &delta)? {
                Ok(mut columns) => {
                    args = columns.split_off(self.plan.group.len());
                    group = columns;
                    break;
                }
                Err(good) => delta = eval.keep(&delta, &good)?,
            }
        }
        let on_time = self.judge(&group, &delta, eval.ctx);
        if let Some(good) = on_time.map_err(|e| eval.broken(e))? {
            let keep = |a: &ArrayRef| filter(a, &good).map_err(|e| eval.broken(e));
            group = group.iter().map(keep).collect::<Result<_, _>>()?;
            args = args.iter().map(keep).collect::<Result<_, _>>()?;
            filters = filters
                .iter()
                .map(|f| f.as_ref().map(|f| keep_mask(f, &good)).transpose())
                .collect::<Result<_, _>>()
                .map_err(|e: String| eval.broken(e))?;
            delta = eval.keep(&delta, &good)?;
        }
        if delta.is_empty() {
            return Ok(None);
        }
        Ok(Some(Input {
            rows: delta.len(),
            group,
            calls: self.calls(args, filters),
            weights: delta.weights(),
        }))
    }

    /// Each call's FILTER over the delta's rows, which lose those that one fails on.
    fn filters(
        &self,
        eval: &mut Evaluator<'_>,
        delta: &mut Delta,
    ) -> Result<Vec<Option<BooleanArray>>, OperatorError> {
        let exprs: Vec<PhysExpr> = self
            .plan
            .calls
            .iter()
            .filter_map(|c| c.filter.clone())
            .collect();
        let mut masks = eval.all(&exprs, delta)?.into_iter();
        let mut mask = |wanted: bool| if wanted { masks.next() } else { None };
        let of_calls = self.plan.calls.iter().map(|c| mask(c.filter.is_some()));
        let of_calls = of_calls.map(|m| m.map(|m| as_mask(&m)).transpose());
        of_calls
            .collect::<Result<_, _>>()
            .map_err(|e| eval.broken(e))
    }

    fn calls(&self, args: Vec<ArrayRef>, filters: Vec<Option<BooleanArray>>) -> Vec<Call> {
        let mut args = args.into_iter();
        let calls = self.plan.calls.iter().zip(filters);
        calls
            .map(|(call, filter)| {
                let arg = call.arg.as_ref().and_then(|_| args.next());
                let there = arg
                    .as_ref()
                    .and_then(|a| a.logical_nulls())
                    .filter(|n| n.null_count() > 0);
                let keep = both(filter.map(|f| trues(&f)), there.map(NullBuffer::into_inner));
                Call { arg, keep }
            })
            .collect()
    }
}

fn keep_mask(mask: &BooleanArray, good: &BooleanArray) -> Result<BooleanArray, String> {
    let kept: ArrayRef = std::sync::Arc::new(mask.clone());
    as_mask(&filter(&kept, good).map_err(|e| e.to_string())?)
}

fn trues(mask: &BooleanArray) -> BooleanBuffer {
    match mask.nulls() {
        Some(nulls) => mask.values() & nulls.inner(),
        None => mask.values().clone(),
    }
}

fn both(a: Option<BooleanBuffer>, b: Option<BooleanBuffer>) -> Option<BooleanBuffer> {
    match (a, b) {
        (Some(a), Some(b)) => Some(&a & &b),
        (a, b) => a.or(b),
    }
}
