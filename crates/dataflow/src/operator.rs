//! What every operator offers, and what it is told of the step it runs in.

use std::io::{self, Read, Write};

use datafusion::arrow::array::BooleanArray;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::record_batch::RecordBatch;

use crate::delta::Delta;

/// The step in which an operator runs. The same steps over the same rows give the same results.
pub struct StepContext {
    /// The step's clock, microseconds since the epoch.
    pub now_us: i64,
    /// The watermark of this dataflow's input at the end of this step, microseconds; `i64::MIN` none, `i64::MAX` input has ended.
    pub watermark_us: i64,
    /// Rows that could not be computed in this step.
    pub errors: Vec<RowError>,
    /// Rows that came after their window had closed.
    pub late: Vec<LateRow>,
}

impl StepContext {
    /// Reports late rows of a delta. A late correction is told once, by its new row.
    pub(crate) fn tell_late(
        &mut self,
        operator: &str,
        delta: &Delta,
        late: impl Iterator<Item = u32>,
    ) -> Result<(), ArrowError> {
        let told: Vec<u32> = late
            .filter(|row| delta.kind(*row as usize).adds())
            .collect();
        if told.is_empty() {
            return Ok(());
        }
        let Delta { rows, origin, .. } = delta.take(&told)?;
        self.late.push(LateRow {
            operator: operator.to_owned(),
            rows,
            origin,
        });
        Ok(())
    }

    /// The rows that came in time; the others are reported.
    pub(crate) fn in_time(
        &mut self,
        operator: &str,
        delta: Delta,
        in_time: &BooleanArray,
    ) -> Result<Delta, ArrowError> {
        if in_time.true_count() == delta.len() {
            return Ok(delta);
        }
        let late = (0..delta.len() as u32).filter(|row| !in_time.value(*row as usize));
        self.tell_late(operator, &delta, late)?;
        delta.filter(in_time)
    }
}

/// A row that an expression failed on. It is left out of the result and reported.
#[derive(Clone, Debug)]
pub struct RowError {
    /// Operator key (`Node::key`).
    pub operator: String,
    pub message: String,
    pub at: ErrorAt,
}

#[derive(Clone, Debug)]
pub enum ErrorAt {
    /// Stateless so far: the source row is known, the runtime writes a dead letter.
    Row {
        source: u32,
        partition: i32,
        offset: i64,
    },
    /// Past a stateful operator: the row with this key is withheld while the error holds.
    Withheld { key: String, holds: bool },
}

/// Late rows of one delta, as they would have entered the aggregate.
#[derive(Clone, Debug)]
pub struct LateRow {
    pub operator: String,
    pub rows: RecordBatch,
    /// Source, partition, offset of each row where known.
    pub origin: Option<crate::delta::Origin>,
}

/// The earliest times at which state has to be looked at without new rows, microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Of the watermark.
    pub watermark_us: Option<i64>,
    /// Of the step's clock.
    pub clock_us: Option<i64>,
}

impl Due {
    /// The earlier of both, each for itself.
    pub fn or(self, other: Self) -> Self {
        let earlier = |a: Option<i64>, b: Option<i64>| a.into_iter().chain(b).min();
        Self {
            watermark_us: earlier(self.watermark_us, other.watermark_us),
            clock_us: earlier(self.clock_us, other.clock_us),
        }
    }
}

/// One node of a running graph. Owned by one task.
pub trait Operator: Send {
    /// Takes rows of one input, answers what follows from them at once (stateless operators and joins) or keeps them for
    /// [`Operator::finish`].
    fn push(
        &mut self,
        input: usize,
        delta: Delta,
        ctx: &mut StepContext,
    ) -> Result<Vec<Delta>, OperatorError>;

    /// The end of a step: aggregates answer their net changes, closed windows are emitted.
    fn finish(&mut self, _ctx: &mut StepContext) -> Result<Vec<Delta>, OperatorError> {
        Ok(Vec::new())
    }

    /// Lets go of state that only results older than this still need (event time, microseconds). Says nothing downstream, whose views let go
    /// of the same rows by themselves. Called between steps.
    fn retain(&mut self, _older_than_us: i64) -> Result<(), OperatorError> {
        Ok(())
    }

    /// Windows that ended at or before this have been given out and never will be again: their state may go. Called between steps.
    fn closed(&mut self, _watermark_us: i64) -> Result<(), OperatorError> {
        Ok(())
    }

    /// Where the state of these rows is: a hash of each row's key. `None`: the state has no keys and stays whole.
    ///
    /// What lets a large state be divided among instances of the operator, each of which keeps, spills and restores its part on its own.
    fn route(&self, _input: usize, _delta: &Delta) -> Result<Option<Vec<u32>>, OperatorError> {
        Ok(None)
    }

    /// Forgets every key whose hash (as of [`Operator::route`]) is not wanted.
    fn keep(&mut self, _wanted: &dyn Fn(u32) -> bool) -> Result<(), OperatorError> {
        Ok(())
    }

    /// When [`Operator::finish`] has something to do although no row has come.
    fn due(&self) -> Due {
        Due::default()
    }

    /// Bytes of memory that its state holds.
    fn state_bytes(&self) -> usize {
        0
    }

    /// Rows (groups, keys) in its state, for people to see.
    fn state_rows(&self) -> usize {
        0
    }

    /// Writes its whole state, versioned, in its own encoding.
    fn snapshot(&self, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }

    /// Takes the state that [`Operator::snapshot`] wrote.
    fn restore(&mut self, _from: &mut dyn Read) -> io::Result<()> {
        Ok(())
    }
}

/// The part of [`Operator`] that one around another leaves to it: the state, how it is divided, kept and let go.
macro_rules! state_of {
    ($inner:ident) => {
        fn retain(&mut self, older_than_us: i64) -> Result<(), $crate::operator::OperatorError> {
            self.$inner.retain(older_than_us)
        }

        fn closed(&mut self, watermark_us: i64) -> Result<(), $crate::operator::OperatorError> {
            self.$inner.closed(watermark_us)
        }

        fn route(
            &self,
            input: usize,
            delta: &$crate::delta::Delta,
        ) -> Result<Option<Vec<u32>>, $crate::operator::OperatorError> {
            self.$inner.route(input, delta)
        }

        fn keep(
            &mut self,
            wanted: &dyn Fn(u32) -> bool,
        ) -> Result<(), $crate::operator::OperatorError> {
            self.$inner.keep(wanted)
        }

        fn due(&self) -> $crate::operator::Due {
            self.$inner.due()
        }

        fn state_bytes(&self) -> usize {
            self.$inner.state_bytes()
        }

        fn state_rows(&self) -> usize {
            self.$inner.state_rows()
        }

        fn snapshot(&self, out: &mut dyn std::io::Write) -> std::io::Result<()> {
            self.$inner.snapshot(out)
        }

        fn restore(&mut self, from: &mut dyn std::io::Read) -> std::io::Result<()> {
            self.$inner.restore(from)
        }
    };
}
pub(crate) use state_of;

/// A failure of the operator itself, not of a row: the pipeline stops with it, others live on.
#[derive(Debug, thiserror::Error)]
#[error("operator {operator}: {reason}")]
pub struct OperatorError {
    pub operator: String,
    pub reason: String,
}
