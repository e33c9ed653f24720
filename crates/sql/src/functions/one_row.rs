//! `__one_row(s)`: what a scalar subquery gave, where `s` holds how many rows it had (`n`) and its value (`v`). More than one is an error of
//! the row that asked.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

pub(crate) const NAME: &str = "__one_row";

#[derive(Debug, PartialEq, Eq, Hash)]
struct OneRow {
    signature: Signature,
}

pub(super) fn one_row() -> Arc<ScalarUDF> {
    let signature = Signature::any(1, Volatility::Immutable);
    Arc::new(OneRow { signature }.into())
}

impl ScalarUDFImpl for OneRow {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        match args {
            [DataType::Struct(fields)] if fields.len() == 2 => Ok(fields[1].data_type().clone()),
            _ => plan_err!("{NAME} is not to be called"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(pairs) = args.args.into_iter().next() else {
            return exec_err!("{NAME} got no argument");
        };
        let pairs = pairs.into_array(args.number_rows)?;
        let pairs = pairs.as_struct();
        let counts = pairs.column(0).as_primitive::<Int64Type>();
        let many =
            |row: usize| pairs.is_valid(row) && counts.is_valid(row) && counts.value(row) > 1;
        if (0..pairs.len()).any(many) {
            return exec_err!("more than one row was returned by a subquery used as an expression");
        }
        let values = pairs.column(1);
        Ok(ColumnarValue::Array(match pairs.nulls() {
            Some(nulls) => datafusion::arrow::compute::nullif(
                values,
                &datafusion::arrow::array::BooleanArray::new(!nulls.inner(), None),
            )?,
            None => Arc::clone(values),
        }))
    }
}
