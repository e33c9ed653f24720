//! Expressions over batches, with failures narrowed to the rows that cause them.
//!
//! Kernels fail a whole batch for one bad row (a division by zero, an overflow). The batch is halved until the bad rows stand
//! alone; they are reported and left out, the rest goes on.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, new_empty_array, new_null_array,
};
use datafusion::arrow::compute::{cast, concat};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::physical_expr::PhysicalExpr;

use crate::delta::{Delta, Origin, is_true};
use crate::operator::{ErrorAt, OperatorError, RowError, StepContext};

const ROW_TEXT_CHARS_MAX: usize = 200;

/// Who evaluates, and where its failures go.
pub(crate) struct Evaluator<'a> {
    pub operator: &'a str,
    pub ctx: &'a mut StepContext,
}

/// An expression, and the rows that need its value (`None`: all); under others it may fail and is NULL.
pub(crate) struct Wanted<'a> {
    pub expr: &'a Arc<dyn PhysicalExpr>,
    pub rows: Option<&'a BooleanArray>,
}

impl Evaluator<'_> {
    /// Every expression over the delta's rows. Rows that one of them fails on are reported, and are gone from the delta.
    pub(crate) fn all(
        &mut self,
        exprs: &[Arc<dyn PhysicalExpr>],
        delta: &mut Delta,
    ) -> Result<Vec<ArrayRef>, OperatorError> {
        loop {
            let wanted = exprs.iter().map(|expr| Wanted { expr, rows: None });
            match self.pass(wanted, delta)? {
                Ok(columns) => return Ok(columns),
                Err(good) => *delta = self.keep(delta, &good)?,
            }
        }
    }

    /// One pass: the columns, or which rows are good.
    pub(crate) fn pass<'w>(
        &mut self,
        wanted: impl Iterator<Item = Wanted<'w>>,
        delta: &Delta,
    ) -> Result<Result<Vec<ArrayRef>, BooleanArray>, OperatorError> {
        let mut failed: Vec<(usize, String)> = Vec::new();
        let mut columns = Vec::new();
        for one in wanted {
            match evaluate(one.expr, &delta.rows) {
                Ok(column) => columns.push(column),
                Err(_) => columns
                    .push(narrow(&one, &delta.rows, &mut failed).map_err(|e| self.broken(e))?),
            }
        }
        if failed.is_empty() {
            return Ok(Ok(columns));
        }
        failed.sort();
        failed.dedup_by_key(|(row, _)| *row);
        let mut good = vec![true; delta.len()];
        for (row, message) in failed {
            good[row] = false;
            self.report(delta, row, message);
        }
        Ok(Err(good.into()))
    }

    pub(crate) fn keep(&self, delta: &Delta, good: &BooleanArray) -> Result<Delta, OperatorError> {
        delta.filter(good).map_err(|e| self.broken(e))
    }

    /// A predicate over the delta's rows, which lose those that it fails on.
    pub(crate) fn mask(
        &mut self,
        predicate: &Arc<dyn PhysicalExpr>,
        delta: &mut Delta,
    ) -> Result<BooleanArray, OperatorError> {
        let columns = self.all(std::slice::from_ref(predicate), delta)?;
        as_mask(&columns[0]).map_err(|e| self.broken(e))
    }

    pub(crate) fn broken(&self, reason: impl std::fmt::Display) -> OperatorError {
        broken(self.operator, reason)
    }

    fn report(&mut self, delta: &Delta, row: usize, message: String) {
        let at = match &delta.origin {
            Some(Origin {
                source,
                partition,
                offset,
                ..
            }) => ErrorAt::Row {
                source: *source,
                partition: partition[row],
                offset: offset[row],
            },
            None => ErrorAt::Withheld {
                key: row_text(&delta.rows, row),
                holds: delta.kind(row).adds(),
            },
        };
        self.ctx.errors.push(RowError {
            operator: self.operator.to_owned(),
            message,
            at,
        });
    }
}

/// Expressions over rows, NULL where one fails: for finding a row's place, where a failing row may go anywhere.
pub(crate) fn leniently(
    exprs: &[Arc<dyn PhysicalExpr>],
    rows: &RecordBatch,
) -> Result<Vec<ArrayRef>, String> {
    let one = |expr| match evaluate(expr, rows) {
        Ok(column) => Ok(column),
        Err(_) => narrow(&Wanted { expr, rows: None }, rows, &mut Vec::new()),
    };
    exprs.iter().map(one).collect()
}

pub(crate) fn broken(operator: &str, reason: impl std::fmt::Display) -> OperatorError {
    OperatorError {
        operator: operator.to_owned(),
        reason: reason.to_string(),
    }
}

pub(crate) fn as_mask(column: &ArrayRef) -> Result<BooleanArray, String> {
    match column.data_type() {
        DataType::Boolean => Ok(column.as_boolean().clone()),
        DataType::Null => Ok(BooleanArray::new_null(column.len())),
        other => Err(format!("a condition gave {other} instead of BOOLEAN")),
    }
}

fn evaluate(expr: &Arc<dyn PhysicalExpr>, rows: &RecordBatch) -> Result<ArrayRef, String> {
    if rows.num_rows() == 0 {
        // A constant that fails would fail here too, with no row to blame.
        let data_type = expr.data_type(&rows.schema());
        return data_type
            .map(|t| new_empty_array(&t))
            .map_err(|e| e.strip_backtrace());
    }
    let value = expr
        .evaluate(rows)
        .and_then(|value| value.into_array(rows.num_rows()));
    value.map_err(|e| first_line(&e.strip_backtrace()))
}

fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}

/// The column with NULL in place of the rows that fail; those that are wanted are listed.
fn narrow(
    one: &Wanted<'_>,
    rows: &RecordBatch,
    failed: &mut Vec<(usize, String)>,
) -> Result<ArrayRef, String> {
    let data_type = one
        .expr
        .data_type(&rows.schema())
        .map_err(|e| e.strip_backtrace())?;
    let mut parts = Vec::new();
    let mut todo = vec![(0, rows.num_rows())];
    while let Some((start, count)) = todo.pop() {
        match evaluate(one.expr, &rows.slice(start, count)) {
            Ok(part) => parts.push(part),
            Err(_) if count > 1 => {
                todo.extend([(start + count / 2, count - count / 2), (start, count / 2)])
            }
            Err(message) => {
                if one.rows.is_none_or(|wanted| is_true(wanted, start)) {
                    failed.push((start, message));
                }
                parts.push(new_null_array(&data_type, 1));
            }
        }
    }
    let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
    concat(&parts).map_err(|e| e.to_string())
}

/// A batch of `schema`; columns are cast where an expression gave a kindred type (a view of text, say).
pub(crate) fn batch(
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch, String> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let fields = schema.fields().iter();
    let fits = fields
        .clone()
        .zip(&columns)
        .all(|(f, c)| f.data_type() == c.data_type() && (f.is_nullable() || c.null_count() == 0));
    if fits {
        return RecordBatch::try_new_with_options(schema.clone(), columns, &options)
            .map_err(|e| e.to_string());
    }
    let cast_all: Result<Vec<_>, _> = fields
        .clone()
        .zip(&columns)
        .map(|(f, c)| cast(c, f.data_type()))
        .collect();
    let columns = cast_all.map_err(|e| e.to_string())?;
    let open: Vec<Arc<Field>> = fields
        .zip(&columns)
        .map(|(f, c)| match c.null_count() {
            0 => f.clone(),
            _ => Arc::new(f.as_ref().clone().with_nullable(true)),
        })
        .collect();
    let schema = Arc::new(Schema::new_with_metadata(open, schema.metadata().clone()));
    RecordBatch::try_new_with_options(schema, columns, &options).map_err(|e| e.to_string())
}

/// A row for people: `column=value, ...`, cut when it is long.
pub(crate) fn row_text(rows: &RecordBatch, row: usize) -> String {
    let options = FormatOptions::default()
        .with_null("NULL")
        .with_display_error(true);
    let mut text = String::new();
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        if let Ok(shown) = ArrayFormatter::try_new(column, &options) {
            let comma = if text.is_empty() { "" } else { ", " };
            text.push_str(&format!("{comma}{}={}", field.name(), shown.value(row)));
        }
        if text.chars().count() > ROW_TEXT_CHARS_MAX {
            return text
                .chars()
                .take(ROW_TEXT_CHARS_MAX)
                .chain("...".chars())
                .collect();
        }
    }
    text
}
