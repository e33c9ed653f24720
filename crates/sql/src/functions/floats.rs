//! One NaN and one zero, as PostgreSQL compares them: every NaN equals every other and is greater than all numbers, -0.0 equals 0.0.
//!
//! Arrow compares floats by IEEE's total order, in which a NaN with a sign (what `0.0 / 0.0` gives) is the least value and -0.0 is below 0.0. An
//! analyzer rule brings what is computed to one form where it is compared, ordered, grouped, or becomes a column. Columns and literals are so.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray};
use datafusion::arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue, exec_err};
use datafusion::logical_expr::expr::{ScalarFunction, Sort, WindowFunction};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::AnalyzerRule;

use super::rewrite;

const NAME: &str = "one_float";

/// 0.0 for -0.0, one NaN for all.
pub(crate) fn one_f64(value: f64) -> f64 {
    match value.is_nan() {
        true => f64::NAN,
        false => value + 0.0,
    }
}

/// As [`one_f64`].
pub(crate) fn one_f32(value: f32) -> f32 {
    match value.is_nan() {
        true => f32::NAN,
        false => value + 0.0,
    }
}

/// A column with one NaN and one zero; of other types as it is.
pub fn one_float(column: &ArrayRef) -> ArrayRef {
    fn mended<T: ArrowPrimitiveType>(
        column: &ArrayRef,
        odd: impl Fn(T::Native) -> bool,
        mend: impl Fn(T::Native) -> T::Native,
    ) -> ArrayRef {
        let floats = column.as_primitive::<T>();
        match floats.values().iter().any(|value| odd(*value)) {
            true => Arc::new(floats.unary::<_, T>(mend)),
            false => Arc::clone(column),
        }
    }
    match column.data_type() {
        DataType::Float64 => mended::<Float64Type>(
            column,
            |v| v.is_sign_negative() && (v == 0.0 || v.is_nan()),
            one_f64,
        ),
        DataType::Float32 => mended::<Float32Type>(
            column,
            |v| v.is_sign_negative() && (v == 0.0 || v.is_nan()),
            one_f32,
        ),
        _ => Arc::clone(column),
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OneFloat {
    signature: Signature,
}

impl ScalarUDFImpl for OneFloat {
    fn name(&self) -> &str {
        NAME
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        Ok(args.first().map(Expr::to_string).unwrap_or_default())
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let name = |arg: &Expr| arg.schema_name().to_string();
        Ok(args.first().map(name).unwrap_or_default())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        match args {
            [arg] => Ok(arg.clone()),
            _ => exec_err!("{NAME} takes one argument"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.as_slice() {
            [ColumnarValue::Array(column)] => Ok(ColumnarValue::Array(one_float(column))),
            [ColumnarValue::Scalar(value)] => Ok(ColumnarValue::Scalar(match value {
                ScalarValue::Float64(value) => ScalarValue::Float64(value.map(one_f64)),
                ScalarValue::Float32(value) => ScalarValue::Float32(value.map(one_f32)),
                other => other.clone(),
            })),
            _ => exec_err!("{NAME} takes one argument"),
        }
    }
}

/// The analyzer rule. Runs when all types are settled.
#[derive(Debug)]
pub(crate) struct OneFloats;

impl AnalyzerRule for OneFloats {
    fn name(&self) -> &'static str {
        "one_floats"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let done = plan.transform_up_with_subqueries(|node| {
            // What a filter is of is a condition; a values list knows no columns.
            let whole = !matches!(node, LogicalPlan::Filter(_) | LogicalPlan::Values(_));
            rewrite::in_node(node, |expr, schema| {
                let inner = expr.transform_up(|expr| compared(expr, schema))?;
                Ok(match whole && odd(plain(&inner.data), schema) {
                    true => Transformed::yes(one(inner.data, schema)),
                    false => inner,
                })
            })
        })?;
        Ok(done.data)
    }
}

/// Whether an expression is computed and of floats, so that it may be another NaN or zero.
fn odd(expr: &Expr, schema: &DFSchema) -> bool {
    let made = match expr {
        Expr::BinaryExpr(_) | Expr::Negative(_) | Expr::Cast(_) | Expr::TryCast(_) => true,
        Expr::Case(_) => true,
        Expr::ScalarFunction(call) => call.name() != NAME,
        _ => false,
    };
    made && expr.get_type(schema).is_ok_and(|t| t.is_floating())
}

/// Without its other name.
fn plain(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => plain(&alias.expr),
        expr => expr,
    }
}

fn one(expr: Expr, schema: &DFSchema) -> Expr {
    match expr {
        Expr::Alias(mut alias) => {
            alias.expr = Box::new(one(*alias.expr, schema));
            Expr::Alias(alias)
        }
        expr if odd(&expr, schema) => {
            static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
                let signature = Signature::any(1, Volatility::Immutable);
                Arc::new(OneFloat { signature }.into())
            });
            Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(&FUNCTION), vec![expr]))
        }
        expr => expr,
    }
}

/// Functions that compare their arguments.
const COMPARE: [&str; 3] = ["nullif", "greatest", "least"];

/// The operands of what compares or orders.
fn compared(mut expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let mut changed = false;
    let mut mend = |operand: &mut Expr| {
        if odd(operand, schema) {
            changed = true;
            let taken = std::mem::replace(operand, Expr::Literal(ScalarValue::Null, None));
            *operand = one(taken, schema);
        }
    };
    match &mut expr {
        Expr::BinaryExpr(binary) if compares(binary.op) => {
            mend(&mut binary.left);
            mend(&mut binary.right);
        }
        Expr::Between(between) => {
            mend(&mut between.expr);
            mend(&mut between.low);
            mend(&mut between.high);
        }
        Expr::InList(of) => {
            mend(&mut of.expr);
            of.list.iter_mut().for_each(mend);
        }
        Expr::Case(case) => {
            if let Some(subject) = &mut case.expr {
                mend(subject);
                case.when_then_expr.iter_mut().for_each(|(w, _)| mend(w));
            }
        }
        Expr::ScalarFunction(call) if COMPARE.contains(&call.name()) => {
            call.args.iter_mut().for_each(mend);
        }
        Expr::AggregateFunction(call) => {
            call.params.args.iter_mut().for_each(&mut mend);
            sorted(&mut call.params.order_by, &mut mend);
        }
        Expr::WindowFunction(call) => window(call, &mut mend),
        _ => {}
    }
    Ok(match changed {
        true => Transformed::yes(expr),
        false => Transformed::no(expr),
    })
}

fn window(call: &mut WindowFunction, mend: &mut impl FnMut(&mut Expr)) {
    call.params.args.iter_mut().for_each(&mut *mend);
    call.params.partition_by.iter_mut().for_each(&mut *mend);
    sorted(&mut call.params.order_by, mend);
}

fn sorted(by: &mut [Sort], mend: &mut impl FnMut(&mut Expr)) {
    by.iter_mut().for_each(|sort| mend(&mut sort.expr));
}

fn compares(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}
