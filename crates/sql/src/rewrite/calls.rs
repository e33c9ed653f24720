//! Functions whose meaning lies in how they are called, and those that have another name here.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, TimezoneInfo,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::literals::{is_json, literal};
use super::{call, elements, number, plain, text};

pub(super) fn arguments(function: &Function) -> Option<&[FunctionArg]> {
    match &function.args {
        FunctionArguments::List(list) if function.over.is_none() => Some(&list.args),
        _ => None,
    }
}

/// Functions whose meaning lies in how they are called.
pub(super) fn named(function: &Function, span: Span) -> Option<Expr> {
    let name = function.name.to_string().to_lowercase();
    match name.as_str() {
        "localtimestamp" => {
            let now = call("now", Vec::new(), span);
            Some(call("timezone", vec![text("UTC"), now], span))
        }
        "to_json" | "to_jsonb" => to_json(function, &name, span),
        "json_build_object" | "jsonb_build_object" | "json_build_array" | "jsonb_build_array" => {
            json_build(function, &name, span)
        }
        "make_interval" => make_interval(function, span),
        "ceiling" => renamed(function, "ceil", span),
        "age" => age(function, span),
        "array_replace" => renamed(function, "array_replace_all", span),
        // An empty array has no length in PostgreSQL.
        "array_length" | "array_upper" => {
            let length = renamed(function, "array_length", span)?;
            Some(as_int(call("nullif", vec![length, number(0)], span)))
        }
        "cardinality" | "array_ndims" | "array_position" => {
            Some(as_int(renamed(function, &name, span)?))
        }
        "array_lower" => array_lower(function, span),
        "trim_array" => trim_array(function, span),
        "array_fill" => array_fill(function, span),
        _ => super::flink::named(function, &name, span),
    }
}

fn plain_arguments(function: &Function) -> Option<Vec<Expr>> {
    Some(
        arguments(function)?
            .iter()
            .filter_map(plain)
            .cloned()
            .collect(),
    )
}

fn to_json(function: &Function, name: &str, span: Span) -> Option<Expr> {
    let [arg] = arguments(function)? else {
        return None;
    };
    let inner = plain(arg).filter(|inner| is_json(inner))?;
    let target = if name == "to_json" {
        "json_in"
    } else {
        "jsonb_in"
    };
    Some(call(target, vec![inner.clone()], span))
}

/// Which of the arguments are JSON goes in front of them.
fn json_build(function: &Function, name: &str, span: Span) -> Option<Expr> {
    let args = plain_arguments(function)?;
    // Visited once more inside of something that was rewritten.
    if args
        .first()
        .and_then(literal)
        .is_some_and(|mask| mask.starts_with(MASK))
    {
        return None;
    }
    let mask: String = args
        .iter()
        .map(|arg| if is_json(arg) { '1' } else { '0' })
        .collect();
    let mut all = vec![text(format!("{MASK}{mask}"))];
    all.extend(args);
    Some(call(name, all, span))
}

/// Of one time: since midnight.
fn age(function: &Function, span: Span) -> Option<Expr> {
    let [time] = arguments(function)? else {
        return None;
    };
    let midnight = Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(call("current_date", Vec::new(), span)),
        data_type: DataType::Timestamp(None, TimezoneInfo::None),
        array: false,
        format: None,
    };
    Some(call("age", vec![midnight, plain(time)?.clone()], span))
}

/// 1, or nothing for an empty array.
fn array_lower(function: &Function, span: Span) -> Option<Expr> {
    let length = renamed(function, "array_length", span)?;
    let length = call("nullif", vec![length, number(0)], span);
    Some(call(
        "least",
        vec![
            length.clone(),
            call("div", vec![length.clone(), length], span),
        ],
        span,
    ))
}

fn trim_array(function: &Function, span: Span) -> Option<Expr> {
    let args = plain_arguments(function)?;
    let [array, count] = args.as_slice() else {
        return None;
    };
    let last = Expr::BinaryOp {
        left: Box::new(as_int(call("cardinality", vec![array.clone()], span))),
        op: BinaryOperator::Minus,
        right: Box::new(count.clone()),
    };
    Some(call(
        "array_slice",
        vec![array.clone(), number(1), last],
        span,
    ))
}

fn array_fill(function: &Function, span: Span) -> Option<Expr> {
    let args = plain_arguments(function)?;
    let [value, lengths] = args.as_slice() else {
        return None;
    };
    let [length] = elements(lengths)? else {
        return None;
    };
    Some(call(
        "array_repeat",
        vec![value.clone(), length.clone()],
        span,
    ))
}

/// DataFusion counts without a sign.
pub(super) fn as_int(expr: Expr) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(expr),
        data_type: DataType::Int(None),
        array: false,
        format: None,
    }
}

pub(super) fn renamed(function: &Function, name: &str, span: Span) -> Option<Expr> {
    let args = arguments(function)?
        .iter()
        .filter_map(plain)
        .cloned()
        .collect();
    Some(call(name, args, span))
}

/// Begins the argument that says which others are JSON.
pub(crate) const MASK: &str = "\u{1}";

/// `make_interval(days => 10)` with all arguments in their places.
pub(super) fn make_interval(function: &Function, span: Span) -> Option<Expr> {
    const NAMES: [&str; 7] = ["years", "months", "weeks", "days", "hours", "mins", "secs"];
    let mut values: Vec<Expr> = NAMES.iter().map(|_| number(0)).collect();
    for (place, arg) in arguments(function)?.iter().enumerate() {
        match arg {
            FunctionArg::Named {
                name,
                arg: FunctionArgExpr::Expr(value),
                ..
            } => {
                let at = NAMES
                    .iter()
                    .position(|n| name.value.eq_ignore_ascii_case(n))?;
                values[at] = value.clone();
            }
            other => *values.get_mut(place)? = plain(other)?.clone(),
        }
    }
    Some(call("make_interval", values, span))
}
