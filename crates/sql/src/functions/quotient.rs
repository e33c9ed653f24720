//! Quotients of NUMERICs: 16 digits behind the point and rounded to the last of them, as PostgreSQL gives 16 significant ones at least.
//! Arrow's division gives fewer where the type has no room for them, and cuts the rest off.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, AsArray, Decimal128Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Decimal128Type, i256};
use datafusion::arrow::error::ArrowError;
use datafusion::common::{DFSchema, DataFusionError, Result, exec_err, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};

/// Digits of a NUMERIC.
const DIGITS_MAX: i16 = 38;
/// Digits behind the point that a quotient has at least.
const SCALE: i16 = 16;

/// The division as a call of ours; `None` for what is none of NUMERICs.
pub(super) fn precise(division: &BinaryExpr, schema: &DFSchema) -> Result<Option<Expr>> {
    static QUOTIENT: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        let signature = Signature::any(2, Volatility::Immutable);
        Arc::new(Quotient { signature }.into())
    });
    let types = (
        division.left.get_type(schema),
        division.right.get_type(schema),
    );
    let (Ok(left), Ok(right)) = types else {
        return Ok(None);
    };
    if division.op != Operator::Divide
        || !(left.is_decimal() || right.is_decimal())
        || digits(&left).is_none()
        || digits(&right).is_none()
    {
        return Ok(None);
    }
    let args = vec![
        division.left.as_ref().clone(),
        division.right.as_ref().clone(),
    ];
    Ok(Some(Expr::ScalarFunction(ScalarFunction::new_udf(
        Arc::clone(&QUOTIENT),
        args,
    ))))
}

struct Digits {
    precision: i16,
    scale: i16,
}

impl Digits {
    fn data_type(&self) -> DataType {
        decimal(self.precision, self.scale)
    }
}

fn digits(data_type: &DataType) -> Option<Digits> {
    let (precision, scale) = match data_type {
        DataType::Decimal128(precision, scale) => (i16::from(*precision), i16::from(*scale)),
        DataType::Int8 | DataType::Int16 | DataType::Int32 => (10, 0),
        DataType::Int64 => (19, 0),
        _ => return None,
    };
    (scale >= 0).then_some(Digits { precision, scale })
}

fn decimal(precision: i16, scale: i16) -> DataType {
    let precision = u8::try_from(precision.min(DIGITS_MAX)).unwrap_or(1);
    DataType::Decimal128(precision, i8::try_from(scale).unwrap_or(0))
}

/// Of the quotient. Where not all digits that it could have find room, those before the point are fewer.
fn quotient(left: &Digits, right: &Digits) -> Digits {
    let scale = left.scale.max(SCALE);
    let precision = left.precision - left.scale + right.scale + scale;
    Digits {
        precision: precision.min(DIGITS_MAX),
        scale,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Quotient {
    signature: Signature,
}

impl ScalarUDFImpl for Quotient {
    fn name(&self) -> &str {
        "numeric_div"
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        Ok(written(args, Expr::to_string))
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(written(args, |arg| arg.schema_name().to_string()))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        match args {
            [left, right] => match (digits(left), digits(right)) {
                (Some(left), Some(right)) => Ok(quotient(&left, &right).data_type()),
                _ => plan_err!("{left} / {right} is no division of NUMERICs"),
            },
            _ => plan_err!("a division has two sides"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = args.args.as_slice() else {
            return exec_err!("a division has two sides");
        };
        let alone = matches!(
            (left, right),
            (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_))
        );
        let rows = if alone { 1 } else { args.number_rows };
        let (left, left_digits) = side(left, rows)?;
        let (right, right_digits) = side(right, rows)?;
        let of = quotient(&left_digits, &right_digits);
        // What the dividend is to be multiplied by, so that the quotient has its digits.
        let shift = u32::try_from(of.scale + right_digits.scale - left_digits.scale).unwrap_or(0);
        let bound = 10_i128.pow(u32::try_from(of.precision).unwrap_or(0));
        let each = left.iter().zip(right.iter()).map(|sides| match sides {
            (Some(left), Some(right)) => divided(left, right, shift, bound).map(Some),
            _ => Ok(None),
        });
        let quotients: Decimal128Array = each.collect::<Result<_>>()?;
        let quotients = quotients.with_data_type(of.data_type());
        Ok(match alone {
            true => ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(
                &quotients, 0,
            )?),
            false => ColumnarValue::Array(Arc::new(quotients)),
        })
    }
}

fn written(args: &[Expr], show: fn(&Expr) -> String) -> String {
    match args {
        [left, right] => format!("{} / {}", show(left), show(right)),
        _ => "numeric_div".to_owned(),
    }
}

fn side(value: &ColumnarValue, rows: usize) -> Result<(Decimal128Array, Digits)> {
    let array = value.to_array(rows)?;
    let Some(digits) = digits(array.data_type()) else {
        return exec_err!("{} is no NUMERIC", array.data_type());
    };
    let array = match array.data_type() {
        DataType::Decimal128(..) => array,
        _ => cast(&array, &digits.data_type())?,
    };
    Ok((array.as_primitive::<Decimal128Type>().clone(), digits))
}

/// `left * 10^shift / right`, halves away from zero.
fn divided(left: i128, right: i128, shift: u32, bound: i128) -> Result<i128> {
    if right == 0 {
        return Err(DataFusionError::ArrowError(
            Box::new(ArrowError::DivideByZero),
            None,
        ));
    }
    let narrow = 10_i128
        .checked_pow(shift)
        .and_then(|factor| left.checked_mul(factor));
    let quotient = match narrow {
        Some(dividend) => rounded(dividend, right),
        None => wide(left, right, shift),
    };
    match quotient.filter(|q| q.unsigned_abs() < bound.unsigned_abs()) {
        Some(quotient) => Ok(quotient),
        None => exec_err!("a quotient has more than 38 digits"),
    }
}

fn rounded(dividend: i128, divisor: i128) -> Option<i128> {
    let (quotient, rest) = (
        dividend.checked_div(divisor)?,
        dividend.checked_rem(divisor)?,
    );
    let up = rest.unsigned_abs() >= divisor.unsigned_abs() - rest.unsigned_abs();
    let away = if (dividend < 0) == (divisor < 0) {
        1
    } else {
        -1
    };
    quotient.checked_add(if up { away } else { 0 })
}

fn wide(left: i128, right: i128, shift: u32) -> Option<i128> {
    let factor = i256::from_i128(10).checked_pow(shift)?;
    let dividend = i256::from_i128(left).checked_mul(factor)?;
    let divisor = i256::from_i128(right);
    let quotient = dividend.checked_div(divisor)?.to_i128()?;
    let rest = dividend.checked_rem(divisor)?.to_i128()?;
    let up = rest.unsigned_abs() >= right.unsigned_abs() - rest.unsigned_abs();
    let away = if (left < 0) == (right < 0) { 1 } else { -1 };
    quotient.checked_add(if up { away } else { 0 })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const BOUND: i128 = 10_i128.pow(38);

    #[test]
    fn halves_are_rounded_away_from_zero() {
        assert_eq!(divided(1, 2, 0, BOUND).unwrap(), 1);
        assert_eq!(divided(-1, 2, 0, BOUND).unwrap(), -1);
        assert_eq!(divided(1, -2, 0, BOUND).unwrap(), -1);
        assert_eq!(divided(5, 3, 0, BOUND).unwrap(), 2);
        assert_eq!(divided(4, 3, 0, BOUND).unwrap(), 1);
        assert_eq!(divided(-4, 3, 2, BOUND).unwrap(), -133);
    }

    #[test]
    fn a_dividend_of_more_than_128_bits() {
        let sum = 10_i128.pow(30);
        assert_eq!(
            divided(2 * sum, 3 * sum, 16, BOUND).unwrap(),
            6_666_666_666_666_667
        );
        assert_eq!(
            divided(-2 * sum, 3 * sum, 16, BOUND).unwrap(),
            -6_666_666_666_666_667
        );
        assert!(divided(sum, 1, 16, BOUND).is_err());
        assert!(divided(sum, 0, 16, BOUND).is_err());
    }
}
