//! Rows of windows that have closed, for their own partition or here, do not pass; they are reported.

use std::io::{self, Read, Write};

use datafusion::arrow::array::BooleanArray;
use headwater_sql::graph as plan;

use crate::codec::persist::{expect_version, get_u64, put_u32, put_u64};
use crate::delta::Delta;
use crate::eval::broken;
use crate::operator::{Operator, OperatorError, StepContext};
use crate::times::times_us;

const VERSION: u32 = 1;

pub(crate) struct Gate {
    key: String,
    plan: plan::Gate,
    /// The watermark of the last step.
    closed_us: i64,
}

impl Gate {
    pub(crate) fn new(node: &plan::Node, plan: &plan::Gate) -> Self {
        Self {
            key: node.key.clone(),
            plan: plan.clone(),
            closed_us: i64::MIN,
        }
    }

    /// Which rows are in time.
    fn judge(&self, delta: &Delta) -> Result<BooleanArray, String> {
        let times = times_us(delta.rows.column(self.plan.column))?;
        let own = delta.origin.as_ref().map(|o| &o.watermark);
        let watermark = |row: usize| own.map_or(i64::MIN, |w| w[row]).max(self.closed_us);
        let in_time = |(row, time): (usize, &i64)| match self.plan.session {
            true => Some(*time >= watermark(row)),
            false => Some(*time > watermark(row)),
        };
        Ok(times.iter().enumerate().map(in_time).collect())
    }
}

impl Operator for Gate {
    fn push(
        &mut self,
        _input: usize,
        delta: Delta,
        ctx: &mut StepContext,
    ) -> Result<Vec<Delta>, OperatorError> {
        let in_time = self.judge(&delta).map_err(|e| broken(&self.key, e))?;
        let passed = ctx.in_time(&self.key, delta, &in_time);
        Ok(vec![passed.map_err(|e| broken(&self.key, e))?])
    }

    fn finish(&mut self, ctx: &mut StepContext) -> Result<Vec<Delta>, OperatorError> {
        self.closed_us = self.closed_us.max(ctx.watermark_us);
        Ok(Vec::new())
    }

    fn snapshot(&self, out: &mut dyn Write) -> io::Result<()> {
        put_u32(out, VERSION)?;
        put_u64(out, self.closed_us as u64)
    }

    fn restore(&mut self, from: &mut dyn Read) -> io::Result<()> {
        expect_version(from, VERSION)?;
        self.closed_us = get_u64(from)? as i64;
        Ok(())
    }
}
