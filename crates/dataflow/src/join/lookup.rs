//! `FOR SYSTEM_TIME AS OF now()`: a left row meets what the right side holds at the end of its step, once and for all.
//!
//! Left rows wait for the end of the step, so that its result depends on what is in the step and not on which input comes first: a
//! replay of the step gives the same rows. They are not kept.

use std::io::{self, Read, Write};
use std::sync::Arc;

use headwater_sql::graph::{self as plan, Changelog};

use super::Join;
use crate::delta::{Delta, RowKind};
use crate::operator::{Due, Operator, OperatorError, StepContext};

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

    fn route(&self, input: usize, delta: &Delta) -> Result<Option<Vec<u32>>, OperatorError> {
        self.join.route(input, delta)
    }

    fn keep(&mut self, wanted: &dyn Fn(u32) -> bool) -> Result<(), OperatorError> {
        self.join.keep(wanted)
    }

    fn due(&self) -> Due {
        self.join.due()
    }

    fn state_bytes(&self) -> usize {
        self.join.state_bytes()
    }

    fn state_rows(&self) -> usize {
        self.join.state_rows()
    }

    fn snapshot(&self, out: &mut dyn Write) -> io::Result<()> {
        self.join.snapshot(out)
    }

    fn restore(&mut self, from: &mut dyn Read) -> io::Result<()> {
        self.join.restore(from)
    }
}

#[cfg(test)]
mod tests;
