//! Literals and casts: JSON, bytes, arrays and times in the forms that PostgreSQL reads.

use datafusion::sql::sqlparser::ast::{
    AccessExpr, Array, ArrayElemTypeDef, CastKind, CharacterLength, DataType, Expr, Spanned,
    Subscript, Value, ValueWithSpan,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::{call, number, text};
use crate::functions::pg::array_literal;

/// Whether an expression gives JSON, as far as its spelling says.
pub(super) fn is_json(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_json(inner),
        Expr::Cast { data_type, .. } => json_name(data_type).is_some(),
        Expr::Function(function) => {
            let name = function.name.to_string().to_lowercase();
            let other = ["exists", "typeof", "length", "text", "keys", "contains"];
            let given = ["json", "to_json", "array_to_json", "row_to_json"];
            given.iter().any(|g| name.starts_with(g)) && !other.iter().any(|o| name.contains(o))
        }
        _ => false,
    }
}

/// The function that reads text as this type of JSON.
pub(super) fn json_name(data_type: &DataType) -> Option<&'static str> {
    match data_type {
        DataType::JSON => Some("json_in"),
        DataType::JSONB => Some("jsonb_in"),
        _ => None,
    }
}

pub(super) fn literal(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Some(text),
            _ => None,
        },
        Expr::Nested(inner) => literal(inner),
        _ => None,
    }
}

/// The text of a time as DataFusion reads it, where that is another.
pub(super) fn normal(data_type: &DataType, written: &str) -> Option<String> {
    match data_type {
        DataType::Timestamp(..) => crate::literal::timestamp(written),
        DataType::Interval { .. } => crate::literal::interval(written),
        _ => None,
    }
}

/// A pattern with another escape than the backslash.
pub(super) fn like_pattern(pattern: &Expr, escape: &ValueWithSpan) -> Expr {
    call(
        "like_escape",
        vec![pattern.clone(), Expr::Value(escape.clone())],
        pattern.span(),
    )
}

/// `a[:2]` and `a[3:]` with both bounds; `(a).b` and `a[1].b` with the field as DataFusion reads it.
pub(super) fn slices(root: &Expr, chain: &[AccessExpr]) -> Option<Expr> {
    let is_field = |access: &AccessExpr| matches!(access, AccessExpr::Dot(Expr::Identifier(_)));
    // What precedes is the name of a column.
    let named = match root {
        Expr::Identifier(_) => chain.iter().take_while(|access| is_field(access)).count(),
        _ => 0,
    };
    let open = |access: &AccessExpr| {
        matches!(access, AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, .. })
            if lower_bound.is_none() || upper_bound.is_none())
    };
    if !chain.iter().any(open) && !chain.iter().skip(named).any(is_field) {
        return None;
    }
    let closed = |access: &AccessExpr| match access {
        AccessExpr::Subscript(Subscript::Slice {
            lower_bound,
            upper_bound,
            stride,
        }) => AccessExpr::Subscript(Subscript::Slice {
            lower_bound: Some(lower_bound.clone().unwrap_or_else(|| number(1))),
            upper_bound: Some(
                upper_bound
                    .clone()
                    .unwrap_or_else(|| number(i64::from(i32::MAX))),
            ),
            stride: stride.clone(),
        }),
        AccessExpr::Dot(Expr::Identifier(field)) => {
            let name = match field.quote_style {
                Some(_) => field.value.clone(),
                None => field.value.to_lowercase(),
            };
            AccessExpr::Dot(text(name))
        }
        other => other.clone(),
    };
    let (column, rest) = chain.split_at(named);
    Some(Expr::CompoundFieldAccess {
        root: Box::new(root.clone()),
        access_chain: column
            .iter()
            .cloned()
            .chain(rest.iter().map(closed))
            .collect(),
    })
}

pub(super) fn cast(whole: &Expr, inner: &Expr, data_type: &DataType, span: Span) -> Option<Expr> {
    if let Some(name) = json_name(data_type) {
        return Some(call(name, vec![inner.clone()], span));
    }
    if let Some(value) = literal(inner).and_then(|written| normal(data_type, written)) {
        let mut whole = whole.clone();
        if let Expr::Cast { expr, .. } = &mut whole {
            **expr = text(value);
        }
        return Some(whole);
    }
    match data_type {
        DataType::Bytea if literal(inner).is_some() => {
            Some(call("bytea_in", vec![inner.clone()], span))
        }
        DataType::Array(
            ArrayElemTypeDef::SquareBracket(..) | ArrayElemTypeDef::AngleBracket(..),
        ) => {
            let items = array_literal(literal(inner)?).ok()?;
            let null = || Expr::value(Value::Null);
            let elem = items
                .into_iter()
                .map(|item| item.map_or_else(null, text))
                .collect();
            let array = Expr::Array(Array { elem, named: true });
            let Expr::Cast {
                kind,
                data_type,
                format,
                ..
            } = whole
            else {
                return None;
            };
            Some(Expr::Cast {
                kind: kind.clone(),
                expr: Box::new(array),
                data_type: data_type.clone(),
                array: false,
                format: format.clone(),
            })
        }
        DataType::Varchar(Some(length))
        | DataType::CharacterVarying(Some(length))
        | DataType::CharVarying(Some(length)) => {
            let CharacterLength::IntegerLength { length, .. } = length else {
                return None;
            };
            Some(call(
                "left",
                vec![whole.clone(), number(i64::try_from(*length).ok()?)],
                span,
            ))
        }
        _ => None,
    }
}

/// Literals in the forms that DataFusion reads; `None` where they are so already.
/// Whether a number with an exponent has more than 38 digits.
fn is_out_of_numerics(written: &str) -> bool {
    let Some((digits, exponent)) = written.split_once(['e', 'E']) else {
        return false;
    };
    let digits = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    exponent
        .parse::<i32>()
        .is_ok_and(|e| e.saturating_abs().saturating_add(digits) > 38)
}

pub(super) fn forms(expr: &Expr, span: Span) -> Option<Expr> {
    match expr {
        Expr::TypedString(typed) => match json_name(&typed.data_type) {
            Some(name) => Some(call(name, vec![Expr::Value(typed.value.clone())], span)),
            None => {
                let written = literal(&Expr::Value(typed.value.clone()))?.to_owned();
                let value = normal(&typed.data_type, &written)?;
                let mut typed = typed.clone();
                typed.value.value = Value::SingleQuotedString(value);
                Some(Expr::TypedString(typed))
            }
        },
        Expr::Interval(interval) => {
            let value = crate::literal::interval(literal(&interval.value)?)?;
            let mut interval = interval.clone();
            interval.value = Box::new(text(value));
            Some(Expr::Interval(interval))
        }
        Expr::Value(value) => match &value.value {
            Value::UnicodeStringLiteral(written) => Some(text(written.clone())),
            // What no NUMERIC of ours can hold is a DOUBLE.
            Value::Number(written, _) if is_out_of_numerics(written) => Some(Expr::Cast {
                kind: CastKind::Cast,
                expr: Box::new(text(written.clone())),
                data_type: DataType::DoublePrecision,
                array: false,
                format: None,
            }),
            _ => None,
        },
        _ => None,
    }
}
