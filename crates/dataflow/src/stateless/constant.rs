//! Rows that a query states itself: given once, at the end of the first step.

use std::io::{self, Read, Write};

use datafusion::arrow::record_batch::RecordBatch;

use crate::codec::persist::{expect_version, get_u32, put_u32};
use crate::delta::Delta;
use crate::operator::{Due, Operator, OperatorError, StepContext};

const VERSION: u32 = 1;

pub(crate) struct Constant {
    pub rows: RecordBatch,
    pub given: bool,
}

impl Operator for Constant {
    fn push(
        &mut self,
        _input: usize,
        _delta: Delta,
        _ctx: &mut StepContext,
    ) -> Result<Vec<Delta>, OperatorError> {
        Ok(Vec::new())
    }

    fn finish(&mut self, _ctx: &mut StepContext) -> Result<Vec<Delta>, OperatorError> {
        if std::mem::replace(&mut self.given, true) {
            return Ok(Vec::new());
        }
        Ok(vec![Delta::inserts(self.rows.clone())])
    }

    fn due(&self) -> Due {
        Due {
            clock_us: (!self.given).then_some(i64::MIN),
            ..Due::default()
        }
    }

    fn snapshot(&self, out: &mut dyn Write) -> io::Result<()> {
        put_u32(out, VERSION)?;
        put_u32(out, u32::from(self.given))
    }

    fn restore(&mut self, from: &mut dyn Read) -> io::Result<()> {
        expect_version(from, VERSION)?;
        self.given = get_u32(from)? != 0;
        Ok(())
    }
}
