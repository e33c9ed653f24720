//! Aggregation by key: groups as dense ids, accumulators in columns, net changes at the end of each step.
//!
//! A row of the result is never stored: before a group is touched for the first time in a step, its old row is computed from the
//! accumulators; the end of the step compares it with the new one.

mod accumulator;
mod cells;
mod changes;
mod close;
mod count;
mod distinct;
mod exact;
mod extreme;
mod float;
mod input;
pub(crate) mod session;
mod state;
#[cfg(test)]
mod tests;
mod whole;

use std::io::{self, Read, Write};

use datafusion::arrow::datatypes::SchemaRef;
use headwater_sql::graph as plan;

use crate::delta::Delta;
use crate::eval::{broken, leniently};
use crate::operator::{Due, Operator, OperatorError, StepContext};
use accumulator::{Accumulator, Rows};
use changes::Old;
use close::Closing;
use input::Input;
use state::Groups;

/// `GROUP BY`, with running results or with one result per closed window.
pub(crate) struct Aggregate {
    key: String,
    schema: SchemaRef,
    plan: plan::Aggregate,
    groups: Groups,
    accumulators: Vec<Box<dyn Accumulator>>,
    closing: Option<Closing>,
    /// Group column by which state may be let go, see [`Operator::retain`].
    window_end: Option<usize>,
    /// Groups whose window ended before this have been let go.
    gone_us: i64,
    /// Rows as they were before this step, of the groups that it touched.
    old: Old,
}

impl Aggregate {
    /// `input`: the schema of its rows; `retracts`: whether they may be taken back.
    pub(crate) fn new(
        node: &plan::Node,
        plan: &plan::Aggregate,
        input: &SchemaRef,
        retracts: bool,
    ) -> Result<Self, OperatorError> {
        let fail = |e: String| broken(&node.key, e);
        let types = plan
            .group
            .iter()
            .map(|g| g.data_type(input))
            .collect::<Result<Vec<_>, _>>();
        let types = types.map_err(|e| fail(e.to_string()))?;
        let mut accumulators = Vec::new();
        for call in &plan.calls {
            let arg = call
                .arg
                .as_ref()
                .map(|a| a.data_type(input))
                .transpose()
                .map_err(|e| fail(e.to_string()))?;
            accumulators.push(accumulator::build(call, arg.as_ref(), retracts).map_err(fail)?);
        }
        Ok(Self {
            key: node.key.clone(),
            schema: node.schema.clone(),
            groups: Groups::new(types).map_err(|e| fail(e.to_string()))?,
            closing: plan.close.map(Closing::new),
            window_end: plan
                .close
                .or(node.props.window_end.filter(|w| *w < plan.group.len())),
            gone_us: i64::MIN,
            plan: plan.clone(),
            accumulators,
            old: Old::default(),
        })
    }

    fn is_global(&self) -> bool {
        self.plan.group.is_empty()
    }

    /// Takes the rows into groups and accumulators.
    fn absorb(&mut self, input: &Input) -> Result<(), String> {
        let mut fresh = Vec::new();
        let ids = self.groups.enter(&input.group, input.rows, &mut fresh);
        let bound = self.groups.bound();
        self.accumulators.iter_mut().for_each(|a| a.grow(bound));
        match &mut self.closing {
            Some(closing) => closing.register(&fresh, input)?,
            None => {
                let existing = self.groups.touch(&ids);
                self.old.remember(&self.accumulators, existing)?;
            }
        }
        self.groups.count(&ids, input.weights.as_deref());
        for (accumulator, call) in self.accumulators.iter_mut().zip(&input.calls) {
            let rows = Rows {
                groups: &ids,
                weights: input.weights.as_deref(),
                keep: call.keep.as_ref(),
            };
            accumulator.update(&rows, call.arg.as_ref())?;
        }
        Ok(())
    }

    fn forget(&mut self, groups: &[u32]) {
        if groups.is_empty() {
            return;
        }
        self.accumulators.iter_mut().for_each(|a| a.clear(groups));
        self.groups.remove(groups);
    }
}

impl Operator for Aggregate {
    fn push(
        &mut self,
        _input: usize,
        delta: Delta,
        ctx: &mut StepContext,
    ) -> Result<Vec<Delta>, OperatorError> {
        let Some(input) = self.read(delta, ctx)? else {
            return Ok(Vec::new());
        };
        self.absorb(&input).map_err(|e| broken(&self.key, e))?;
        Ok(Vec::new())
    }

    fn finish(&mut self, ctx: &mut StepContext) -> Result<Vec<Delta>, OperatorError> {
        match self.closing.is_some() {
            true => self.emit_closed(ctx),
            false => self.emit_changes(ctx),
        }
    }

    fn retain(&mut self, older_than_us: i64) -> Result<(), OperatorError> {
        self.let_go(older_than_us)
    }

    fn closed(&mut self, watermark_us: i64) -> Result<(), OperatorError> {
        self.let_go(watermark_us.saturating_add(1))
    }

    fn route(&self, _input: usize, delta: &Delta) -> Result<Option<Vec<u32>>, OperatorError> {
        if self.is_global() {
            return Ok(None);
        }
        let columns = leniently(&self.plan.group, &delta.rows).map_err(|e| broken(&self.key, e))?;
        Ok(Some(self.groups.hashes(&columns, delta.len())))
    }

    fn keep(&mut self, wanted: &dyn Fn(u32) -> bool) -> Result<(), OperatorError> {
        if self.is_global() {
            return Ok(());
        }
        let kept = self.groups.keep(wanted);
        self.accumulators.iter_mut().for_each(|a| a.renumber(&kept));
        if let Some(closing) = &mut self.closing {
            closing.renumber(&kept);
        }
        Ok(())
    }

    fn due(&self) -> Due {
        // The only row of an aggregate without groups comes with the first step, whatever it brings.
        let first = self.is_global() && !self.groups.started && self.closing.is_none();
        Due {
            watermark_us: self.closing.as_ref().and_then(Closing::next_us),
            clock_us: first.then_some(i64::MIN),
        }
    }

    fn state_bytes(&self) -> usize {
        let accumulators: usize = self.accumulators.iter().map(|a| a.bytes()).sum();
        accumulators + self.groups.bytes() + self.closing.as_ref().map_or(0, Closing::bytes)
    }

    fn state_rows(&self) -> usize {
        self.groups.len()
    }

    fn snapshot(&self, out: &mut dyn Write) -> io::Result<()> {
        self.save(out)
    }

    fn restore(&mut self, from: &mut dyn Read) -> io::Result<()> {
        self.load(from)
    }
}
