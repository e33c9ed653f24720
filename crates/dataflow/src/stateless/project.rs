//! One expression per output column.

use datafusion::arrow::datatypes::SchemaRef;
use headwater_sql::functions::floats::one_float;
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
        // What is equal is the same: a row that was added with one zero has to leave with the other.
        let columns = columns.iter().map(one_float).collect();
        if delta.is_empty() {
            return Ok(Vec::new());
        }
        delta.rows = batch(&self.schema, columns, delta.len()).map_err(|e| eval.broken(e))?;
        Ok(vec![delta])
    }
}
