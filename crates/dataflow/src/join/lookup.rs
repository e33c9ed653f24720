//! `FOR SYSTEM_TIME AS OF now()`: a left row meets what the right side holds at the end of its step, once and for all.
//!
//! Left rows wait for the end of the step, so that its result depends on what is in the step and not on which input comes first: a
//! replay of the step gives the same rows. They are not kept.

use std::sync::Arc;

use headwater_sql::graph::{self as plan, Changelog};

use super::Join;
use crate::delta::{Delta, RowKind};
use crate::operator::{Operator, OperatorError, StepContext, state_of};

pub(crate) struct LookUp {
    /// Between steps its left side is empty.
    join: Join,
    /// Left rows of this step.
    waiting: Vec<Delta>,
}

impl LookUp {
    pub(crate) fn new(
        node: &plan::Node,
        plan: &plan::Join,
        inputs: [&plan::Node; 2],
    ) -> Result<Self, OperatorError> {
        // As a side that only grows it would not find its rows again, to forget them.
        let mut left = inputs[0].clone();
        left.props.changelog = Changelog::Retracting;
        let mut join = Join::new(node, plan, [&left, inputs[1]])?;
        join.append_only[0] = true;
        Ok(Self {
            join,
            waiting: Vec::new(),
        })
    }

    /// What the rows meet now.
    fn meet(&mut self, delta: Delta, ctx: &mut StepContext) -> Result<Vec<Delta>, OperatorError> {
        let gone = Delta {
            rows: delta.rows.clone(),
            kinds: Some(Arc::from(vec![RowKind::Delete; delta.len()])),
            origin: None,
        };
        let met = self.join.push(0, delta, ctx)?;
        let told = ctx.errors.len();
        self.join.push(0, gone, ctx)?;
        // They failed when they came.
        ctx.errors.truncate(told);
        Ok(met)
    }
}

impl Operator for LookUp {
    fn push(
        &mut self,
        input: usize,
        delta: Delta,
        ctx: &mut StepContext,
    ) -> Result<Vec<Delta>, OperatorError> {
        if input == 0 {
            self.waiting.push(delta);
            return Ok(Vec::new());
        }
        self.join.push(input, delta, ctx)
    }

    fn finish(&mut self, ctx: &mut StepContext) -> Result<Vec<Delta>, OperatorError> {
        let mut met = Vec::new();
        for delta in std::mem::take(&mut self.waiting) {
            met.extend(self.meet(delta, ctx)?);
        }
        met.extend(self.join.finish(ctx)?);
        Ok(met)
    }

    state_of!(join);
}

#[cfg(test)]
mod tests;
