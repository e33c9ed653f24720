//! VALUES and SELECT without FROM: rows that are known when the view is planned.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, new_empty_array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::{DFSchema, DataFusionError, ScalarValue};
use datafusion::logical_expr::{EmptyRelation, Expr, LogicalPlan, Values};

use super::Refused;
use super::build::{Builder, ROW, nullable};
use crate::graph::{NodeId, Op};

pub(super) fn constant(builder: &mut Builder<'_>, plan: &LogicalPlan) -> Result<NodeId, Refused> {
    let rows = match plan {
        LogicalPlan::Values(values) => listed(builder, values)?,
        LogicalPlan::EmptyRelation(empty) => none_or_one(empty)?,
        _ => RecordBatch::new_empty(nullable(plan.schema().as_arrow())),
    };
    let schema = rows.schema();
    Ok(builder.add_with(Op::Constant { rows }, Vec::new(), schema, None))
}

fn none_or_one(empty: &EmptyRelation) -> Result<RecordBatch, Refused> {
    let fields = empty.schema.fields();
    let row = |present: Option<bool>| -> ArrayRef {
        Arc::new(
            present
                .into_iter()
                .collect::<Vec<bool>>()
                .into_iter()
                .map(Some)
                .collect::<BooleanArray>(),
        )
    };
    match (empty.produce_one_row, fields.is_empty()) {
        (one, true) => {
            let schema = Arc::new(Schema::new(vec![Field::new(ROW, DataType::Boolean, true)]));
            Ok(batch(schema, vec![row(one.then_some(true))])?)
        }
        (false, false) => Ok(RecordBatch::new_empty(nullable(empty.schema.as_arrow()))),
        (true, false) => {
            let nulls = fields
                .iter()
                .map(|f| datafusion::arrow::array::new_null_array(f.data_type(), 1));
            Ok(batch(nullable(empty.schema.as_arrow()), nulls.collect())?)
        }
    }
}

fn listed(builder: &Builder<'_>, values: &Values) -> Result<RecordBatch, Refused> {
    let schema = nullable(values.schema.as_arrow());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for (index, field) in schema.fields().iter().enumerate() {
        let cells = values.values.iter().filter_map(|row| row.get(index));
        let cells = cells
            .map(|expr| value(builder, expr))
            .collect::<Result<Vec<_>, _>>()?;
        columns.push(if cells.is_empty() {
            new_empty_array(field.data_type())
        } else {
            cells_of(cells, field.data_type())?
        });
    }
    Ok(batch(schema, columns)?)
}

fn cells_of(cells: Vec<ScalarValue>, wanted: &DataType) -> Result<ArrayRef, DataFusionError> {
    let cells = cells
        .into_iter()
        .map(|cell| cell.cast_to(wanted))
        .collect::<Result<Vec<_>, _>>()?;
    let column = ScalarValue::iter_to_array(cells)?;
    Ok(cast(&column, wanted)?)
}

/// A value that no row is needed for.
fn value(builder: &Builder<'_>, expr: &Expr) -> Result<ScalarValue, Refused> {
    let physical = builder.timeless_expr(expr, &DFSchema::empty())?;
    let one = RecordBatch::try_new_with_options(
        Arc::new(Schema::empty()),
        Vec::new(),
        &RecordBatchOptions::new().with_row_count(Some(1)),
    );
    let column = physical
        .evaluate(&one.map_err(DataFusionError::from)?)?
        .into_array(1)?;
    Ok(ScalarValue::try_from_array(&column, 0)?)
}

fn batch(schema: SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch, DataFusionError> {
    Ok(RecordBatch::try_new(schema, columns)?)
}
