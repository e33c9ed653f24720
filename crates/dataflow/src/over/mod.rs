//! Results that are a function of all rows of one key: window functions ([`Over`]), the sessions of an aggregate
//! ([`labels::Sessions`]) and the first rows in an order ([`top::Top`]).
//!
//! A key's rows are kept as a multiset of encoded rows; at the end of a step the keys that it touched are computed before and after, and the
//! difference goes out. Nothing depends on the order in which rows came.

mod changes;
mod gone;
pub(crate) mod labels;
mod list;
mod rows;
mod sessions;
#[cfg(test)]
mod tests;
pub(crate) mod top;

use std::io::{self, Read, Write};

use datafusion::arrow::array::{ArrayRef, UInt32Array};
use datafusion::arrow::compute::{concat_batches, take_record_batch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use hashbrown::HashMap;
use headwater_sql::graph as plan;
use headwater_sql::over::evaluate;

use crate::codec::hash::Fixed;
use crate::codec::persist::{expect_version, put_u32};
use crate::codec::{RowReader, RowWriter, types};
use crate::delta::{Delta, RowKind};
use crate::eval::{batch, broken, row_text};
use crate::operator::{ErrorAt, Operator, OperatorError, RowError, StepContext};
use crate::times::times_us;
use gone::Gone;
use rows::KeyedRows;

const VERSION: u32 = 1;
/// Rows that are computed at once; a key with more is computed alone.
const ROWS_AT_ONCE: usize = 16 * 1024;
/// Keys that are looked through at once for sessions that have ended.
const KEYS_AT_ONCE: usize = 1_024;

/// `OVER`.
pub(crate) struct Over {
    key: String,
    schema: SchemaRef,
    input: SchemaRef,
    plan: plan::Over,
    rows: KeyedRows,
    gone: Gone,
    /// Output column with the end of a row's session.
    session_end: Option<usize>,
    writer: RowWriter,
}

/// The results of some keys: their rows, and which key each is of.
struct Computed {
    rows: RecordBatch,
    /// For each key, what its functions failed with.
    failed: Vec<Option<String>>,
}

impl Over {
    pub(crate) fn new(
        node: &plan::Node,
        plan: &plan::Over,
        input: &SchemaRef,
    ) -> Result<Self, OperatorError> {
        let fail = |e: &dyn std::fmt::Display| broken(&node.key, e);
        Ok(Self {
            key: node.key.clone(),
            schema: node.schema.clone(),
            input: input.clone(),
            rows: KeyedRows::new(input, &plan.partition).map_err(|e| fail(&e))?,
            gone: Gone::of(node, &plan.partition),
            session_end: session_end(plan, input.fields().len()),
            writer: RowWriter::new(&types(&node.schema)).map_err(|e| fail(&e))?,
            plan: plan.clone(),
        })
    }

    /// Forgets the rows of sessions that have ended: no row can join them any more.
    fn end_sessions(&mut self, column: usize, watermark_us: i64) -> Result<(), String> {
        for keys in self.rows.keys().chunks(KEYS_AT_ONCE) {
            let rows = self.compute(keys)?.rows;
            let ended = times_us(rows.column(column))?;
            let ended: Vec<u32> = (0..)
                .zip(ended)
                .filter(|(_, end)| *end <= watermark_us)
                .map(|(row, _)| row)
                .collect();
            if ended.is_empty() {
                continue;
            }
            let width: Vec<usize> = (0..self.input.fields().len()).collect();
            let rows = take_record_batch(&rows, &UInt32Array::from(ended));
            let rows = rows
                .and_then(|rows| rows.project(&width))
                .map_err(|e| e.to_string())?;
            self.rows.take(&Delta {
                kinds: Some(vec![RowKind::Delete; rows.num_rows()].into()),
                rows,
                origin: None,
            });
            let touched = self.rows.touched();
            self.rows.settle(&touched);
            self.rows.end_step(&touched);
        }
        Ok(())
    }

    /// The results of keys from their rows as they are now.
    fn compute(&self, keys: &[u32]) -> Result<Computed, String> {
        match self.try_compute(keys) {
            Ok(rows) => Ok(Computed {
                rows,
                failed: vec![None; keys.len()],
            }),
            Err(_) => self.compute_each(keys),
        }
    }

    /// One key at a time, so that one that fails does not take others with it.
    fn compute_each(&self, keys: &[u32]) -> Result<Computed, String> {
        let (mut parts, mut failed) = (Vec::new(), Vec::new());
        for key in keys {
            match self.try_compute(std::slice::from_ref(key)) {
                Ok(rows) => {
                    parts.push(rows);
                    failed.push(None);
                }
                Err(message) => failed.push(Some(message)),
            }
        }
        let rows = concat_batches(&self.schema, &parts).map_err(|e| e.to_string())?;
        Ok(Computed { rows, failed })
    }

    fn try_compute(&self, keys: &[u32]) -> Result<RecordBatch, String> {
        let mut reader = RowReader::new(&types(&self.input)).map_err(|e| e.to_string())?;
        let mut parts = Vec::new();
        for (number, key) in (0..).zip(keys) {
            for (row, count) in self.rows.of_key(*key) {
                for _ in 0..count {
                    reader.push(row).map_err(|e| e.to_string())?;
                    parts.push(number);
                }
            }
        }
        let columns: Vec<ArrayRef> = reader.finish().map_err(|e| e.to_string())?;
        let rows = batch(&self.input, columns, parts.len())?;
        let (rows, _) = evaluate(&self.plan.stages, &rows, &parts).map_err(|e| {
            e.strip_backtrace()
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned()
        })?;
        let count = rows.num_rows();
        batch(&self.schema, rows.columns().to_vec(), count)
    }

    /// The difference that the step's rows make to the results of some keys.
    fn change(&mut self, keys: &[u32], ctx: &mut StepContext) -> Result<Option<Delta>, String> {
        let before = self.compute(keys)?;
        self.rows.settle(keys);
        let after = self.compute(keys)?;
        for (at, key) in keys.iter().enumerate() {
            let (was, is) = (&before.failed[at], &after.failed[at]);
            if was.is_some() != is.is_some() {
                let message = is.as_ref().or(was.as_ref()).cloned().unwrap_or_default();
                ctx.errors.push(RowError {
                    operator: self.key.clone(),
                    message,
                    at: ErrorAt::Withheld {
                        key: self.key_text(*key)?,
                        holds: is.is_some(),
                    },
                });
            }
        }
        difference(&self.writer, &before.rows, &after.rows)
    }

    fn key_text(&self, key: u32) -> Result<String, String> {
        let columns = self.rows.key_columns(&[key])?;
        let fields = self
            .plan
            .partition
            .iter()
            .map(|c| self.input.field(*c).clone());
        let schema = datafusion::arrow::datatypes::Schema::new(fields.collect::<Vec<_>>());
        Ok(row_text(
            &batch(&std::sync::Arc::new(schema), columns, 1)?,
            0,
        ))
    }
}

/// The output column with the end of a session, if the functions are those of sessions.
fn session_end(plan: &plan::Over, width: usize) -> Option<usize> {
    let exprs = plan.stages.iter().flat_map(|s| &s.exprs);
    let end = |e: &std::sync::Arc<dyn datafusion::physical_expr::window::WindowExpr>| {
        headwater_sql::plan::session_bound(e).is_some_and(|(_, end)| end)
    };
    Some(width + exprs.into_iter().position(end)?)
}

/// What leads from some rows to others: what leaves first, both in the order of the rows.
fn difference(
    writer: &RowWriter,
    before: &RecordBatch,
    after: &RecordBatch,
) -> Result<Option<Delta>, String> {
    let old = writer.encode(before.columns(), before.num_rows());
    let new = writer.encode(after.columns(), after.num_rows());
    let mut counts: HashMap<&[u8], i64, Fixed> = HashMap::with_hasher(Fixed::with_seed(0));
    (0..before.num_rows()).for_each(|row| *counts.entry(old.get(row)).or_default() -= 1);
    (0..after.num_rows()).for_each(|row| *counts.entry(new.get(row)).or_default() += 1);
    let mut leaves = Vec::new();
    for row in 0..before.num_rows() {
        if let Some(count) = counts.get_mut(old.get(row)).filter(|c| **c < 0) {
            *count += 1;
            leaves.push(row as u32);
        }
    }
    let mut comes = Vec::new();
    for row in 0..after.num_rows() {
        if let Some(count) = counts.get_mut(new.get(row)).filter(|c| **c > 0) {
            *count -= 1;
            comes.push(row as u32);
        }
    }
    if leaves.is_empty() && comes.is_empty() {
        return Ok(None);
    }
    let kinds = std::iter::repeat_n(RowKind::Delete, leaves.len())
        .chain(std::iter::repeat_n(RowKind::Insert, comes.len()));
    let kinds = (!leaves.is_empty()).then(|| kinds.collect());
    let picked = |rows: &RecordBatch, at: Vec<u32>| {
        take_record_batch(rows, &UInt32Array::from(at)).map_err(|e| e.to_string())
    };
    let parts = [picked(before, leaves)?, picked(after, comes)?];
    let rows = concat_batches(&after.schema(), &parts).map_err(|e| e.to_string())?;
    Ok(Some(Delta {
        rows,
        kinds,
        origin: None,
    }))
}

impl Operator for Over {
    fn push(
        &mut self,
        _input: usize,
        delta: Delta,
        ctx: &mut StepContext,
    ) -> Result<Vec<Delta>, OperatorError> {
        let fail = |e: String| broken(&self.key, e);
        let delta = self.gone.judge(&self.key, delta, ctx).map_err(fail)?;
        if !delta.is_empty() {
            self.rows.take(&delta);
        }
        Ok(Vec::new())
    }

    fn finish(&mut self, ctx: &mut StepContext) -> Result<Vec<Delta>, OperatorError> {
        let touched = self.rows.touched();
        let mut out = Vec::new();
        let mut from = 0;
        while from < touched.len() {
            let (mut to, mut rows) = (from, 0);
            while to < touched.len() && (to == from || rows < ROWS_AT_ONCE) {
                rows += self.rows.len_of(touched[to]);
                to += 1;
            }
            let keys = &touched[from..to];
            let change = self.change(keys, ctx).map_err(|e| broken(&self.key, e))?;
            out.extend(change);
            from = to;
        }
        self.rows.end_step(&touched);
        Ok(out)
    }

    fn retain(&mut self, older_than_us: i64) -> Result<(), OperatorError> {
        let keys = self.rows.keys();
        let columns = self
            .rows
            .key_columns(&keys)
            .map_err(|e| broken(&self.key, e))?;
        let old = self.gone.let_go(older_than_us, &keys, &columns);
        let old = old.map_err(|e| broken(&self.key, e))?;
        self.rows.forget(&old);
        Ok(())
    }

    fn closed(&mut self, watermark_us: i64) -> Result<(), OperatorError> {
        match self.session_end {
            Some(column) => self
                .end_sessions(column, watermark_us)
                .map_err(|e| broken(&self.key, e)),
            None => self.retain(watermark_us.saturating_add(1)),
        }
    }

    fn route(&self, _input: usize, delta: &Delta) -> Result<Option<Vec<u32>>, OperatorError> {
        Ok(self.rows.route(&delta.rows))
    }

    fn keep(&mut self, wanted: &dyn Fn(u32) -> bool) -> Result<(), OperatorError> {
        self.rows.keep(wanted);
        Ok(())
    }

    fn state_bytes(&self) -> usize {
        self.rows.bytes()
    }

    fn state_rows(&self) -> usize {
        self.rows.len()
    }

    fn snapshot(&self, out: &mut dyn Write) -> io::Result<()> {
        put_u32(out, VERSION)?;
        self.gone.save(out)?;
        self.rows.save(out)
    }

    fn restore(&mut self, from: &mut dyn Read) -> io::Result<()> {
        expect_version(from, VERSION)?;
        self.gone.load(from)?;
        self.rows.load(from)
    }
}
