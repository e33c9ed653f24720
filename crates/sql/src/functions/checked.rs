//! Integer `+ - *` and unary `-` that fail on overflow instead of wrapping, casts that round, casts to TEXT in PostgreSQL's form.
//!
//! An analyzer rule puts them in place of DataFusion's operators after type coercion; their names and thus the names of result
//! columns stay those of the operators.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::compute::kernels::numeric;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, exec_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    BinaryExpr, Cast, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, cast,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::physical_expr_common::datum::apply;

use super::{pg, rewrite};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Add,
    Sub,
    Mul,
    Neg,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Add => "checked_add",
            Self::Sub => "checked_sub",
            Self::Mul => "checked_mul",
            Self::Neg => "checked_neg",
        }
    }

    fn sign(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub | Self::Neg => "-",
            Self::Mul => "*",
        }
    }

    fn of(operator: Operator) -> Option<Self> {
        match operator {
            Operator::Plus => Some(Self::Add),
            Operator::Minus => Some(Self::Sub),
            Operator::Multiply => Some(Self::Mul),
            _ => None,
        }
    }

    fn function(self) -> Arc<ScalarUDF> {
        static ALL: LazyLock<[Arc<ScalarUDF>; 4]> = LazyLock::new(|| {
            [Kind::Add, Kind::Sub, Kind::Mul, Kind::Neg]
                .map(|kind| Arc::new(Checked::new(kind).into()))
        });
        Arc::clone(&ALL[self as usize])
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    kind: Kind,
    signature: Signature,
}

impl Checked {
    fn new(kind: Kind) -> Self {
        let args = if kind == Kind::Neg { 1 } else { 2 };
        Self {
            kind,
            signature: Signature::any(args, Volatility::Immutable),
        }
    }

    fn written(&self, args: &[Expr], show: fn(&Expr) -> String) -> String {
        let sign = self.kind.sign();
        match args {
            [arg] => format!("(- {})", show(arg)),
            [left, right] => format!("{} {sign} {}", show(left), show(right)),
            _ => self.kind.name().to_owned(),
        }
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        Ok(self.written(args, Expr::to_string))
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(self.written(args, |arg| arg.schema_name().to_string()))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        match args.first() {
            Some(data_type) => Ok(data_type.clone()),
            None => exec_err!("{} needs arguments", self.kind.name()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match (self.kind, args.args.as_slice()) {
            (Kind::Neg, [ColumnarValue::Array(array)]) => {
                Ok(ColumnarValue::Array(numeric::neg(array.as_ref())?))
            }
            (Kind::Neg, [ColumnarValue::Scalar(scalar)]) => {
                Ok(ColumnarValue::Scalar(scalar.arithmetic_negate()?))
            }
            (Kind::Add, [left, right]) => apply(left, right, numeric::add),
            (Kind::Sub, [left, right]) => apply(left, right, numeric::sub),
            (Kind::Mul, [left, right]) => apply(left, right, numeric::mul),
            _ => exec_err!("{} got a wrong number of arguments", self.kind.name()),
        }
    }
}

/// The analyzer rule.
#[derive(Debug)]
pub(crate) struct CheckIntegers;

impl AnalyzerRule for CheckIntegers {
    fn name(&self) -> &str {
        "check_integers"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite::everywhere(plan, rewrite_expr)
    }
}

fn rewrite_expr(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let integer = |e: &Expr| e.get_type(schema).is_ok_and(|t| t.is_integer());
    expr.transform_up(|expr| match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if Kind::of(op).is_some() && integer(&left) && integer(&right) =>
        {
            let kind = Kind::of(op).unwrap_or(Kind::Add);
            Ok(Transformed::yes(call(kind, vec![*left, *right])))
        }
        Expr::Cast(Cast { expr, field })
            if *field.data_type() == DataType::Utf8 && is_written_otherwise(&expr, schema) =>
        {
            match pg::function("__text") {
                Some(text) => Ok(Transformed::yes(text.call(vec![*expr]))),
                None => Ok(Transformed::no(Expr::Cast(Cast { expr, field }))),
            }
        }
        // PostgreSQL rounds; a cast by itself would cut off.
        Expr::Cast(Cast { expr, field }) if field.data_type().is_integer() && !is_rint(&expr) => {
            let rounded = match expr.get_type(schema)? {
                t if t.is_floating() => match pg::function("rint") {
                    Some(rint) => rint.call(vec![*expr]),
                    None => *expr,
                },
                DataType::Decimal128(_, scale) if scale > 0 => {
                    cast(*expr, DataType::Decimal128(38, 0))
                }
                _ => return Ok(Transformed::no(Expr::Cast(Cast { expr, field }))),
            };
            Ok(Transformed::yes(Expr::Cast(Cast::new_from_field(
                Box::new(rounded),
                field,
            ))))
        }
        // PostgreSQL rounds a DOUBLE's halves to the even neighbour.
        Expr::ScalarFunction(round) if is_round(&round, schema) => match pg::function("rint") {
            Some(rint) => Ok(Transformed::yes(rint.call(round.args))),
            None => Ok(Transformed::no(Expr::ScalarFunction(round))),
        },
        Expr::Negative(arg) if integer(&arg) => Ok(Transformed::yes(call(Kind::Neg, vec![*arg]))),
        other => Ok(Transformed::no(other)),
    })
}

/// Whether Arrow's text of a value is not PostgreSQL's.
fn is_written_otherwise(expr: &Expr, schema: &DFSchema) -> bool {
    expr.get_type(schema).is_ok_and(|t| {
        matches!(
            t,
            DataType::Timestamp(..) | DataType::Interval(_) | DataType::List(_)
        )
    })
}

fn is_round(call: &ScalarFunction, schema: &DFSchema) -> bool {
    let floating = |e: &Expr| e.get_type(schema).is_ok_and(|t| t.is_floating());
    call.name() == "round" && matches!(call.args.as_slice(), [arg] if floating(arg))
}

fn is_rint(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if call.name() == "rint")
}

fn call(kind: Kind, args: Vec<Expr>) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(kind.function(), args))
}
