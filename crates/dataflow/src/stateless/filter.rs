//! Rows that a condition holds for.

use headwater_sql::graph::PhysExpr;

use crate::delta::Delta;
use crate::eval::Evaluator;
use crate::operator::{Operator, OperatorError, StepContext};

pub(crate) struct Filter {
    pub key: String,
    pub predicate: PhysExpr,
}

impl Operator for Filter {
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
        let mask = eval.mask(&self.predicate, &mut delta)?;
        let kept = eval.keep(&delta, &mask)?;
        Ok(if kept.is_empty() {
            Vec::new()
        } else {
            vec![kept]
        })
    }
}
