//! One expression per output column.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray};
use datafusion::arrow::datatypes::{DataType, Float32Type, Float64Type, SchemaRef};
use headwater_sql::graph::PhysExpr;

use crate::delta::Delta;
use crate::eval::{Evaluator, batch};
use crate::operator::{Operator, OperatorError, StepContext};

pub(crate) struct Project {
    pub key: String,
    pub exprs: Vec<PhysExpr>,
    pub schema: SchemaRef,
}

impl Operator for Project {
    fn push(
        &mut self,
        _input: usize,
        mut delta: Delta,
        ctx: &mut StepContext,
    ) -> Result<Vec<Delta>, OperatorError> {
        let mut eval = Evaluator {
            operator: &self.key,
            ctx,
        };
        let columns = eval.all(&self.exprs, &mut delta)?;
        let columns = columns.into_iter().map(one_zero).collect();
        if delta.is_empty() {
            return Ok(Vec::new());
        }
        delta.rows = batch(&self.schema, columns, delta.len()).map_err(|e| eval.broken(e))?;
        Ok(vec![delta])
    }
}

/// -0.0 as 0.0: they are equal, and a row that was added with one has to leave with the other.
fn one_zero(column: ArrayRef) -> ArrayRef {
    fn mended<T: ArrowPrimitiveType>(
        column: ArrayRef,
        is_negative: impl Fn(T::Native) -> bool,
    ) -> ArrayRef {
        let floats = column.as_primitive::<T>();
        if !floats.values().iter().any(|value| is_negative(*value)) {
            return column;
        }
        let mend = |value| {
            if is_negative(value) {
                T::default_value()
            } else {
                value
            }
        };
        Arc::new(floats.unary::<_, T>(mend))
    }
    match column.data_type() {
        DataType::Float64 => mended::<Float64Type>(column, |v| v == 0.0 && v.is_sign_negative()),
        DataType::Float32 => mended::<Float32Type>(column, |v| v == 0.0 && v.is_sign_negative()),
        _ => column,
    }
}
