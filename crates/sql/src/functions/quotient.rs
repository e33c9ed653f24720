//! Quotients of NUMERICs have 16 digits behind the point, as PostgreSQL gives 16 significant ones at least. Arrow's division gives four digits
//! more than its dividend has, so the dividend gets more first.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator, cast};

/// Digits of a NUMERIC.
const DIGITS_MAX: i16 = 38;
/// Digits behind the point that a quotient gets if there is room.
const SCALE: i16 = 16;
/// What Arrow's division adds to the digits of its dividend.
const ADDED: i16 = 4;

/// The division with more digits, rounded to its last; `None` for what is none of NUMERICs or has no room for more.
pub(super) fn precise(division: &BinaryExpr, schema: &DFSchema) -> Result<Option<Expr>> {
    let (Some(left), Some(right)) = (
        digits(&division.left, schema),
        digits(&division.right, schema),
    ) else {
        return Ok(None);
    };
    if division.op != Operator::Divide || !(left.decimal || right.decimal) {
        return Ok(None);
    }
    let whole = left.precision - left.scale;
    // While it divides, the dividend is as large as all of these together.
    let room = DIGITS_MAX - ADDED - right.scale - whole;
    let scale = room.min(SCALE + 1 - ADDED);
    if scale <= left.scale {
        return Ok(None);
    }
    let dividend = cast(
        division.left.as_ref().clone(),
        decimal(whole + scale, scale),
    );
    let quotient = Expr::BinaryExpr(BinaryExpr::new(
        Box::new(dividend),
        Operator::Divide,
        division.right.clone(),
    ));
    let scale = scale + ADDED - 1;
    Ok(Some(cast(
        quotient,
        decimal(whole + right.scale + scale, scale),
    )))
}

struct Digits {
    precision: i16,
    scale: i16,
    decimal: bool,
}

fn digits(expr: &Expr, schema: &DFSchema) -> Option<Digits> {
    let (precision, scale, decimal) = match expr.get_type(schema).ok()? {
        DataType::Decimal128(precision, scale) => (i16::from(precision), i16::from(scale), true),
        DataType::Int8 | DataType::Int16 | DataType::Int32 => (10, 0, false),
        DataType::Int64 => (19, 0, false),
        _ => return None,
    };
    (scale >= 0).then_some(Digits {
        precision,
        scale,
        decimal,
    })
}

fn decimal(precision: i16, scale: i16) -> DataType {
    let precision = u8::try_from(precision.min(DIGITS_MAX)).unwrap_or(1);
    DataType::Decimal128(precision, i8::try_from(scale).unwrap_or(0))
}
