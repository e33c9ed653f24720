//! Operators whose meaning depends on the types of their operands, where PostgreSQL's is not DataFusion's.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, Operator, ScalarUDF, binary_expr, cast};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::pg;

#[derive(Debug)]
pub(crate) struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let types = (expr.left.get_type(schema)?, expr.right.get_type(schema)?);
        if let Some(planned) = intervals(&expr, &types) {
            return Ok(PlannerResult::Planned(planned));
        }
        let Some((name, swapped)) = function(&expr.op, &types.0, &types.1) else {
            return Ok(PlannerResult::Original(expr));
        };
        let Some(function) = pg::function(name) else {
            return Ok(PlannerResult::Original(expr));
        };
        let args = match swapped {
            true => vec![expr.right, expr.left],
            false => vec![expr.left, expr.right],
        };
        Ok(PlannerResult::Planned(call(&function, args)))
    }
}

fn call(function: &Arc<ScalarUDF>, args: Vec<Expr>) -> Expr {
    function.call(args)
}

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

/// Intervals are compared by their length, and a date with an interval is a time.
fn intervals(expr: &RawBinaryExpr, (left, right): &(DataType, DataType)) -> Option<Expr> {
    let comparison = match expr.op {
        BinaryOperator::Eq => Operator::Eq,
        BinaryOperator::NotEq => Operator::NotEq,
        BinaryOperator::Lt => Operator::Lt,
        BinaryOperator::LtEq => Operator::LtEq,
        BinaryOperator::Gt => Operator::Gt,
        BinaryOperator::GtEq => Operator::GtEq,
        BinaryOperator::Plus | BinaryOperator::Minus
            if *left == DataType::Date32 && *right == INTERVAL =>
        {
            let op = if expr.op == BinaryOperator::Plus {
                Operator::Plus
            } else {
                Operator::Minus
            };
            let time = cast(
                expr.left.clone(),
                DataType::Timestamp(TimeUnit::Microsecond, None),
            );
            return Some(binary_expr(time, op, expr.right.clone()));
        }
        _ => return None,
    };
    let order =
        pg::function("interval_order").filter(|_| *left == INTERVAL && *right == INTERVAL)?;
    let of = |side: &Expr| order.call(vec![side.clone()]);
    Some(binary_expr(of(&expr.left), comparison, of(&expr.right)))
}

/// The function that an operator stands for, and whether its operands change places.
fn function(
    op: &BinaryOperator,
    left: &DataType,
    right: &DataType,
) -> Option<(&'static str, bool)> {
    let text = |t: &DataType| t.is_string() || t.is_null();
    let date = |t: &DataType| *t == DataType::Date32;
    let time = |t: &DataType| matches!(t, DataType::Timestamp(..));
    Some(match op {
        BinaryOperator::AtArrow if text(left) && text(right) => ("jsonb_contains", false),
        BinaryOperator::ArrowAt if text(left) && text(right) => ("jsonb_contains", true),
        BinaryOperator::Multiply
            if *left == INTERVAL && right.is_numeric() && !right.is_integer() =>
        {
            ("interval_scale", false)
        }
        BinaryOperator::Multiply
            if *right == INTERVAL && left.is_numeric() && !left.is_integer() =>
        {
            ("interval_scale", true)
        }
        BinaryOperator::Divide if *left == INTERVAL && right.is_numeric() => {
            ("interval_divide", false)
        }
        BinaryOperator::Plus if date(left) && right.is_integer() => ("date_plus_days", false),
        BinaryOperator::Plus if left.is_integer() && date(right) => ("date_plus_days", true),
        BinaryOperator::Minus if date(left) && right.is_integer() => ("date_minus_days", false),
        BinaryOperator::Minus if date(left) && date(right) => ("date_minus_date", false),
        BinaryOperator::Minus if (time(left) || date(left)) && (time(right) || date(right)) => {
            ("time_minus_time", false)
        }
        _ => return None,
    })
}
