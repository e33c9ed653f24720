//! All rows of all inputs, duplicates included.

use datafusion::arrow::datatypes::SchemaRef;

use crate::delta::Delta;
use crate::eval::{batch, broken};
use crate::operator::{Operator, OperatorError, StepContext};

pub(crate) struct Union {
    pub key: String,
    pub schema: SchemaRef,
}

impl Operator for Union {
    fn push(
        &mut self,
        _input: usize,
        mut delta: Delta,
        _ctx: &mut StepContext,
    ) -> Result<Vec<Delta>, OperatorError> {
        let (columns, rows) = (delta.rows.columns().to_vec(), delta.len());
        delta.rows = batch(&self.schema, columns, rows).map_err(|e| broken(&self.key, e))?;
        Ok(vec![delta])
    }
}
