//! `OVER`: the rows of whole partitions in one order that does not depend on how they came, and DataFusion's window functions over them.
//!
//! Views and ad-hoc queries compute the same here. Rows that are equal by the ORDER BY follow each other by all their columns, first to last,
//! ascending, NULL last. Knows no state and no changes.

pub(crate) mod exec;

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, UInt32Array};
use datafusion::arrow::compute::{SortOptions, concat, take_record_batch};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::Result;
use datafusion::physical_expr::window::WindowExpr;

/// How rows that the ORDER BY does not tell apart follow each other.
pub const TIES: SortOptions = SortOptions {
    descending: false,
    nulls_first: false,
};

/// Window functions over one ORDER BY.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Columns of the stage's input and how they are sorted.
    pub order: Vec<(usize, SortOptions)>,
    /// Over columns of the stage's input; each adds one column after it.
    pub exprs: Vec<Arc<dyn WindowExpr>>,
}

/// The columns by which rows are put in their one order: those of the ORDER BY, then all others.
pub fn total_order(order: &[(usize, SortOptions)], width: usize) -> Vec<(usize, SortOptions)> {
    let mut total: Vec<(usize, SortOptions)> = Vec::with_capacity(width);
    let rest = (0..width).map(|column| (column, TIES));
    for (column, options) in order.iter().copied().chain(rest) {
        if total.iter().all(|(known, _)| *known != column) {
            total.push((column, options));
        }
    }
    total
}

/// What puts rows into an order: memcomparable bytes a row.
pub fn sorter(schema: &Schema, order: &[(usize, SortOptions)]) -> Result<RowConverter> {
    let field = |(column, options): &(usize, SortOptions)| {
        SortField::new_with_options(schema.field(*column).data_type().clone(), *options)
    };
    Ok(RowConverter::new(order.iter().map(field).collect())?)
}

/// The bytes of rows in an order.
pub fn sort_keys(rows: &RecordBatch, order: &[(usize, SortOptions)]) -> Result<Rows> {
    let columns: Vec<ArrayRef> = order
        .iter()
        .map(|(column, _)| Arc::clone(rows.column(*column)))
        .collect();
    Ok(sorter(&rows.schema(), order)?.convert_columns(&columns)?)
}

/// Rows of whole partitions, sorted, with the columns of all stages; and the partition of each. `parts`: the partition of each row.
///
/// # Errors
/// What a window function says, an overflow for example; of which partition is not told.
pub fn evaluate(
    stages: &[Stage],
    rows: &RecordBatch,
    parts: &[u32],
) -> Result<(RecordBatch, Vec<u32>)> {
    let (mut rows, mut parts) = (rows.clone(), parts.to_vec());
    for stage in stages {
        (rows, parts) = one_stage(stage, &rows, &parts)?;
    }
    Ok((rows, parts))
}

fn one_stage(stage: &Stage, rows: &RecordBatch, parts: &[u32]) -> Result<(RecordBatch, Vec<u32>)> {
    let order = total_order(&stage.order, rows.num_columns());
    let mut sorted: Vec<u32> = (0..rows.num_rows() as u32).collect();
    if order.is_empty() {
        sorted.sort_by_key(|row| parts[*row as usize]);
    } else {
        let keys = sort_keys(rows, &order)?;
        sorted.sort_unstable_by(|a, b| {
            let (a, b) = (*a as usize, *b as usize);
            (parts[a], keys.row(a), a).cmp(&(parts[b], keys.row(b), b))
        });
    }
    let parts: Vec<u32> = sorted.iter().map(|row| parts[*row as usize]).collect();
    let rows = match rows.num_columns() {
        0 => rows.clone(),
        _ => take_record_batch(rows, &UInt32Array::from(sorted))?,
    };
    let mut pieces: Vec<Vec<ArrayRef>> = vec![Vec::new(); stage.exprs.len()];
    let mut from = 0;
    for run in parts.chunk_by(|a, b| a == b) {
        let part = rows.slice(from, run.len());
        from += run.len();
        for (expr, pieces) in stage.exprs.iter().zip(&mut pieces) {
            pieces.push(expr.evaluate(&part)?);
        }
    }
    Ok((with_columns(&rows, stage, &pieces)?, parts))
}

fn with_columns(
    rows: &RecordBatch,
    stage: &Stage,
    pieces: &[Vec<ArrayRef>],
) -> Result<RecordBatch> {
    let mut columns = rows.columns().to_vec();
    let mut fields: Vec<Arc<Field>> = rows.schema().fields().iter().cloned().collect();
    for (expr, pieces) in stage.exprs.iter().zip(pieces) {
        let field = expr.field()?;
        let pieces: Vec<&dyn Array> = pieces.iter().map(AsRef::as_ref).collect();
        columns.push(match pieces.is_empty() {
            true => datafusion::arrow::array::new_empty_array(field.data_type()),
            false => concat(&pieces)?,
        });
        fields.push(Arc::new(field.as_ref().clone().with_nullable(true)));
    }
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        schema, columns, &options,
    )?)
}

/// Whether values of a type can be put in an order.
pub fn is_sortable(data_type: &DataType) -> bool {
    RowConverter::supports_fields(&[SortField::new(data_type.clone())])
}
