//! Rows that are there from one time on and until another, by the step's clock: `WHERE ts > now() - INTERVAL '1 hour'`.
//!
//! A row comes out when its first moment has come, and is taken back at the first moment that is no longer its own. State: the rows that
//! something will still happen to, ordered by when, so a step touches only those whose time has come.

mod state;
#[cfg(test)]
mod tests;

use std::io::{self, Read, Write};
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, BooleanArray};
use datafusion::arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use datafusion::arrow::record_batch::RecordBatch;
use headwater_sql::graph::{Node, PhysExpr, Temporal as Plan};

use crate::codec::{RowReader, RowWriter, hash, types};
use crate::delta::{Delta, RowKind};
use crate::eval::{Evaluator, broken};
use crate::operator::{Due, Operator, OperatorError, StepContext};
use state::{State, Turn};

pub(crate) struct Temporal {
    key: String,
    schema: SchemaRef,
    /// The row is there from the latest of these times on ...
    from: Vec<PhysExpr>,
    /// ... and until the earliest of these.
    until: Vec<PhysExpr>,
    writer: RowWriter,
    state: State,
}

/// When a row is there: `from <= now < until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    from: i64,
    until: i64,
}

impl Temporal {
    pub(crate) fn new(node: &Node, plan: &Plan) -> Result<Self, OperatorError> {
        Ok(Self {
            writer: RowWriter::new(&types(&node.schema)).map_err(|e| broken(&node.key, e))?,
            key: node.key.clone(),
            schema: Arc::clone(&node.schema),
            from: plan.from.clone(),
            until: plan.until.clone(),
            state: State::default(),
        })
    }

    /// When each row is there; rows whose times cannot be computed are reported and gone.
    fn spans(
        &self,
        delta: &mut Delta,
        ctx: &mut StepContext,
    ) -> Result<Vec<Option<Span>>, OperatorError> {
        let exprs: Vec<PhysExpr> = self.from.iter().chain(&self.until).cloned().collect();
        let mut eval = Evaluator {
            operator: &self.key,
            ctx,
        };
        let columns = eval.all(&exprs, delta)?;
        let mut spans = vec![
            Some(Span {
                from: i64::MIN,
                until: i64::MAX
            });
            delta.len()
        ];
        for (index, column) in columns.iter().enumerate() {
            let times = column
                .as_primitive_opt::<TimestampMicrosecondType>()
                .ok_or_else(|| broken(&self.key, "a bound is no time"))?;
            for (row, slot) in spans.iter_mut().enumerate() {
                *slot = slot.filter(|_| times.is_valid(row)).map(|span| {
                    match index < self.from.len() {
                        true => Span {
                            from: span.from.max(times.value(row)),
                            ..span
                        },
                        false => Span {
                            until: span.until.min(times.value(row)),
                            ..span
                        },
                    }
                });
            }
        }
        Ok(spans)
    }

    /// Rows whose time has come, as one delta.
    fn turned(&self, turns: Vec<Turn>) -> Result<Vec<Delta>, OperatorError> {
        let damaged = |e: crate::codec::Damaged| broken(&self.key, e);
        let mut reader = RowReader::new(&types(&self.schema)).map_err(|e| broken(&self.key, e))?;
        let mut kinds = Vec::new();
        for turn in turns {
            for _ in 0..turn.count.unsigned_abs() {
                reader.push(&turn.row).map_err(damaged)?;
                let adds = turn.comes == (turn.count > 0);
                kinds.push(if adds {
                    RowKind::Insert
                } else {
                    RowKind::Delete
                });
            }
        }
        if kinds.is_empty() {
            return Ok(Vec::new());
        }
        let columns = reader.finish().map_err(damaged)?;
        let rows = crate::eval::batch(&self.schema, columns, kinds.len())
            .map_err(|e| broken(&self.key, e))?;
        let kinds = kinds.iter().any(|k| !k.adds()).then(|| kinds.into());
        Ok(vec![Delta {
            rows,
            kinds,
            origin: None,
        }])
    }

    fn hashes(&self, rows: &RecordBatch) -> Vec<u32> {
        let encoded = self.writer.encode(rows.columns(), rows.num_rows());
        (0..rows.num_rows())
            .map(|row| hash::of_bytes(encoded.get(row)))
            .collect()
    }
}

impl Operator for Temporal {
    fn push(
        &mut self,
        _input: usize,
        mut delta: Delta,
        ctx: &mut StepContext,
    ) -> Result<Vec<Delta>, OperatorError> {
        let now = self.state.advance(ctx.now_us);
        // What has come to be since the last step comes first: the rows of this one may take it back.
        let turns = self.state.turns();
        let mut out = self.turned(turns)?;
        let spans = self.spans(&mut delta, ctx)?;
        let encoded = self.writer.encode(delta.rows.columns(), delta.len());
        let mut shown = Vec::with_capacity(delta.len());
        for (row, span) in spans.into_iter().enumerate() {
            let Some(span) = span.filter(|span| span.from < span.until && now < span.until) else {
                shown.push(false);
                continue;
            };
            let weight = delta.kind(row).weight();
            let visible = span.from <= now;
            shown.push(visible);
            if !visible {
                self.state
                    .add(span.from, Some(span.until), encoded.get(row), weight);
            } else if span.until < i64::MAX {
                self.state.add(span.until, None, encoded.get(row), weight);
            }
        }
        let kept = delta
            .filter(&BooleanArray::from(shown))
            .map_err(|e| broken(&self.key, e))?;
        if !kept.is_empty() {
            out.push(kept);
        }
        Ok(out)
    }

    fn finish(&mut self, ctx: &mut StepContext) -> Result<Vec<Delta>, OperatorError> {
        self.state.advance(ctx.now_us);
        let turns = self.state.turns();
        self.turned(turns)
    }

    fn route(&self, _input: usize, delta: &Delta) -> Result<Option<Vec<u32>>, OperatorError> {
        Ok(Some(self.hashes(&delta.rows)))
    }

    fn keep(&mut self, wanted: &dyn Fn(u32) -> bool) -> Result<(), OperatorError> {
        self.state.keep(wanted);
        Ok(())
    }

    fn due(&self) -> Due {
        Due {
            watermark_us: None,
            clock_us: self.state.next(),
        }
    }

    fn state_bytes(&self) -> usize {
        self.state.bytes()
    }

    fn state_rows(&self) -> usize {
        self.state.rows()
    }

    fn snapshot(&self, out: &mut dyn Write) -> io::Result<()> {
        self.state.snapshot(out)
    }

    fn restore(&mut self, from: &mut dyn Read) -> io::Result<()> {
        self.state = State::restore(from)?;
        Ok(())
    }
}
