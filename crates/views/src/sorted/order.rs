//! In which order the rows of runs are: by the bytes of arrow's row format, the key's columns first, then all others.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, Int64Array, UInt32Array};
use datafusion::arrow::compute::take_record_batch;
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::row::{RowConverter, Rows, SortField};

use crate::error::ViewError;

/// Name of the column that says how often a row is there, past all others.
const WEIGHT: &str = "#";

#[derive(Debug)]
pub(crate) struct Order {
    view: SchemaRef,
    /// Key columns, other columns, weight.
    stored: SchemaRef,
    /// The view's column of each stored one.
    columns: Vec<usize>,
    key: usize,
    whole: RowConverter,
}

impl Order {
    /// `key`: the columns by which rows are looked up, which may be none.
    pub fn new(view: &SchemaRef, key: &[usize]) -> Result<Self, ArrowError> {
        let rest = (0..view.fields().len()).filter(|column| !key.contains(column));
        let columns: Vec<usize> = key.iter().copied().chain(rest).collect();
        let field = |column: &usize| {
            let field = view.field(*column);
            Field::new(format!("c{column}"), field.data_type().clone(), true)
        };
        let mut fields: Vec<Field> = columns.iter().map(field).collect();
        let sort = fields.iter().map(|f| SortField::new(f.data_type().clone()));
        let whole = RowConverter::new(sort.collect())?;
        fields.push(Field::new(WEIGHT, DataType::Int64, false));
        Ok(Self {
            view: Arc::clone(view),
            stored: Arc::new(Schema::new(fields)),
            columns,
            key: key.len(),
            whole,
        })
    }

    /// The stored column of a column of the view.
    pub fn place_of(&self, column: usize) -> usize {
        self.columns
            .iter()
            .position(|c| *c == column)
            .unwrap_or(column)
    }

    pub fn view(&self) -> &SchemaRef {
        &self.view
    }

    /// The bytes that rows are sorted by. `batch`: stored columns.
    pub fn keys(&self, batch: &RecordBatch) -> Result<Rows, ArrowError> {
        self.whole
            .convert_columns(&batch.columns()[..self.columns.len()])
    }

    /// How the bytes of rows begin whose first key columns have these values (arrays of one row).
    pub fn prefix(&self, values: &[ArrayRef]) -> Result<Vec<u8>, ArrowError> {
        if values.len() > self.key {
            return Err(ArrowError::InvalidArgumentError(
                "more values than key columns".into(),
            ));
        }
        let fields = self.stored.fields().iter().take(values.len());
        let sort = fields
            .map(|f| SortField::new(f.data_type().clone()))
            .collect();
        let rows = RowConverter::new(sort)?.convert_columns(values)?;
        Ok(rows.row(0).as_ref().to_vec())
    }

    /// A view's rows, each once or gone once, as stored columns.
    pub fn store(
        &self,
        rows: &RecordBatch,
        adds: Option<&[bool]>,
    ) -> Result<RecordBatch, ArrowError> {
        let weight = |row: usize| {
            if adds.is_none_or(|adds| adds[row]) {
                1
            } else {
                -1
            }
        };
        let weights: Int64Array = (0..rows.num_rows()).map(|row| Some(weight(row))).collect();
        let columns = self
            .columns
            .iter()
            .map(|column| Arc::clone(rows.column(*column)));
        self.with_weights(columns.collect(), weights)
    }

    /// Stored columns with other weights.
    pub fn with_weights(
        &self,
        mut columns: Vec<ArrayRef>,
        weights: Int64Array,
    ) -> Result<RecordBatch, ArrowError> {
        columns.truncate(self.columns.len());
        columns.push(Arc::new(weights));
        RecordBatch::try_new(Arc::clone(&self.stored), columns)
    }

    /// The rows as the view has them, each as often as it is there.
    pub fn show(&self, stored: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let weights = weights(stored);
        let once = weights.values().iter().all(|weight| *weight == 1);
        let repeated = || {
            let each = (0u32..).zip(weights.values());
            let all = each.flat_map(|(row, weight)| {
                std::iter::repeat_n(row, usize::try_from(*weight).unwrap_or(0))
            });
            take_record_batch(stored, &UInt32Array::from_iter_values(all))
        };
        let stored = if once { stored.clone() } else { repeated()? };
        let mut columns = vec![None; self.columns.len()];
        for (at, column) in self.columns.iter().enumerate() {
            columns[*column] = Some(Arc::clone(stored.column(at)));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(stored.num_rows()));
        let columns = columns.into_iter().flatten().collect();
        RecordBatch::try_new_with_options(Arc::clone(&self.view), columns, &options)
    }

    /// Whether a batch that was read has the stored columns.
    pub fn check(&self, batch: &RecordBatch) -> Result<(), ViewError> {
        if batch.schema().fields() == self.stored.fields() {
            return Ok(());
        }
        Err(ViewError::Snapshot(
            "a part has other columns than the view".into(),
        ))
    }
}

pub(crate) fn weights(stored: &RecordBatch) -> &Int64Array {
    stored
        .column(stored.num_columns() - 1)
        .as_primitive::<Int64Type>()
}
