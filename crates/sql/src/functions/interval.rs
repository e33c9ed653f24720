//! `number * INTERVAL '...'`, as PostgreSQL has it: DataFusion has no such operation.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, AsArray, IntervalMonthDayNanoArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
};
use datafusion::common::{DFSchema, Result, exec_err};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;

const NAME: &str = "interval_times";
const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

/// Plans the multiplication of an interval with a whole number, in either order.
#[derive(Debug)]
pub(crate) struct IntervalTimes;

impl ExprPlanner for IntervalTimes {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        if expr.op != BinaryOperator::Multiply {
            return Ok(PlannerResult::Original(expr));
        }
        let of = |side: &Expr| side.get_type(schema);
        let (left, right) = (of(&expr.left)?, of(&expr.right)?);
        let args = match (left == INTERVAL, right == INTERVAL) {
            (true, false) if right.is_integer() => vec![expr.left, expr.right],
            (false, true) if left.is_integer() => vec![expr.right, expr.left],
            _ => return Ok(PlannerResult::Original(expr)),
        };
        Ok(PlannerResult::Planned(function().call(args)))
    }
}

fn function() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(Times::new().into()));
    Arc::clone(&UDF)
}

/// `interval_times(interval, number)`. Overflow is an error.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Times(Signature);

impl Times {
    fn new() -> Self {
        Self(Signature::exact(
            vec![INTERVAL, DataType::Int64],
            Volatility::Immutable,
        ))
    }
}

impl ScalarUDFImpl for Times {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(INTERVAL)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [intervals, numbers] = arrays.as_slice() else {
            return exec_err!("{NAME} takes an interval and a number");
        };
        let numbers = cast(numbers, &DataType::Int64)?;
        let intervals = intervals.as_primitive::<IntervalMonthDayNanoType>();
        let numbers = numbers.as_primitive::<Int64Type>();
        let product = |row: usize| match intervals.is_null(row) || numbers.is_null(row) {
            true => Ok(None),
            false => times(intervals.value(row), numbers.value(row)).map(Some),
        };
        let products: Result<IntervalMonthDayNanoArray> = (0..numbers.len()).map(product).collect();
        Ok(ColumnarValue::Array(Arc::new(products?)))
    }
}

fn times(interval: IntervalMonthDayNano, number: i64) -> Result<IntervalMonthDayNano> {
    let small = |part: i32| i32::try_from(i64::from(part).checked_mul(number)?).ok();
    let product = || {
        Some(IntervalMonthDayNano::new(
            small(interval.months)?,
            small(interval.days)?,
            interval.nanoseconds.checked_mul(number)?,
        ))
    };
    match product() {
        Some(product) => Ok(product),
        None => exec_err!("{number} times the interval is out of range"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn parts_are_multiplied_and_overflow_is_an_error() {
        let minute = IntervalMonthDayNano::new(1, 2, 60_000_000_000);
        assert_eq!(
            times(minute, -3).unwrap(),
            IntervalMonthDayNano::new(-3, -6, -180_000_000_000)
        );
        assert!(times(minute, i64::MAX).is_err());
    }
}
