//! PostgreSQL's spelling to calls of functions, on the parsed tree: what depends on how something is written and not on its type.
//!
//! Done after result columns have their names, so that nobody sees it.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DateTimeField, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentList, FunctionArguments, Ident, ObjectName, Query, Select, Spanned,
    TableFactor, UnaryOperator, Value, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::Span;

mod calls;
mod flink;
mod literals;
mod sets;

pub(crate) use calls::MASK;
use calls::named;
use literals::{cast, forms, is_json, like_pattern, slices};
use sets::{set_in_list, table_function};

pub(crate) fn query(query: &mut Query) {
    let _ = VisitMut::visit(query, &mut Rewriter);
}

pub(crate) fn expr(expr: &mut Expr) {
    let _ = VisitMut::visit(expr, &mut Rewriter);
}

struct Rewriter;

impl VisitorMut for Rewriter {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some(rewritten) = rewritten(expr) {
            *expr = rewritten;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        select.projection.iter_mut().for_each(set_in_list);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        table_function(factor);
        ControlFlow::Continue(())
    }
}

fn plain(arg: &FunctionArg) -> Option<&Expr> {
    match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    }
}

fn call(name: &str, args: Vec<Expr>, span: Span) -> Expr {
    let args = args
        .into_iter()
        .map(|e| FunctionArg::Unnamed(FunctionArgExpr::Expr(e)));
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::with_span(span, name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: args.collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

fn text(value: impl Into<String>) -> Expr {
    Expr::value(Value::SingleQuotedString(value.into()))
}

fn number(value: i64) -> Expr {
    Expr::value(Value::Number(value.to_string(), false))
}

fn not(negated: bool, expr: Expr) -> Expr {
    match negated {
        true => Expr::UnaryOp {
            op: UnaryOperator::Not,
            expr: Box::new(Expr::Nested(Box::new(expr))),
        },
        false => expr,
    }
}

fn rewritten(expr: &Expr) -> Option<Expr> {
    let span = expr.span();
    match expr {
        Expr::BinaryOp { left, op, right } => binary(left, op, right, span),
        Expr::UnaryOp { op, expr } => {
            let name = match op {
                UnaryOperator::PGSquareRoot => "sqrt",
                UnaryOperator::PGCubeRoot => "cbrt",
                UnaryOperator::PGAbs => "abs",
                UnaryOperator::BitwiseNot => {
                    let ones = Expr::UnaryOp {
                        op: UnaryOperator::Minus,
                        expr: Box::new(number(1)),
                    };
                    return Some(Expr::BinaryOp {
                        left: expr.clone(),
                        op: BinaryOperator::PGBitwiseXor,
                        right: Box::new(ones),
                    });
                }
                _ => return None,
            };
            Some(call(name, vec![expr.as_ref().clone()], span))
        }
        Expr::Cast {
            expr: inner,
            data_type,
            ..
        } => cast(expr, inner, data_type, span),
        Expr::TypedString(_) | Expr::Interval(_) | Expr::Value(_) => forms(expr, span),
        Expr::CompoundFieldAccess { root, access_chain } => slices(root, access_chain),
        Expr::AtTimeZone {
            timestamp,
            time_zone,
        } => Some(call(
            "timezone",
            vec![time_zone.as_ref().clone(), timestamp.as_ref().clone()],
            span,
        )),
        Expr::Extract { field, expr, .. } => Some(call(
            "date_part",
            vec![text(field_name(field)), expr.as_ref().clone()],
            span,
        )),
        Expr::Function(function) => named(function, span),
        Expr::Floor { expr, field } => flink::floored(expr, field, span),
        other => pattern(other, span),
    }
}

/// `SIMILAR TO`, `LIKE`, `SUBSTRING`, `ANY` and `ALL`.
fn pattern(expr: &Expr, span: Span) -> Option<Expr> {
    match expr {
        Expr::Like {
            negated,
            any: false,
            expr,
            pattern,
            escape_char: Some(escape),
        } => Some(Expr::Like {
            negated: *negated,
            any: false,
            expr: expr.clone(),
            pattern: Box::new(like_pattern(pattern, escape)),
            escape_char: None,
        }),
        Expr::ILike {
            negated,
            any: false,
            expr,
            pattern,
            escape_char: Some(escape),
        } => Some(Expr::ILike {
            negated: *negated,
            any: false,
            expr: expr.clone(),
            pattern: Box::new(like_pattern(pattern, escape)),
            escape_char: None,
        }),
        Expr::SimilarTo {
            negated,
            expr,
            pattern,
            escape_char,
        } => {
            let mut args = vec![expr.as_ref().clone(), pattern.as_ref().clone()];
            args.extend(escape_char.clone().map(Expr::Value));
            Some(not(*negated, call("similar_to", args, span)))
        }
        Expr::Substring {
            expr,
            substring_from,
            substring_for,
            ..
        } => {
            let mut args = vec![expr.as_ref().clone()];
            args.push(
                substring_from
                    .as_ref()
                    .map_or_else(|| number(1), |f| f.as_ref().clone()),
            );
            args.extend(substring_for.as_ref().map(|f| f.as_ref().clone()));
            Some(call("substr", args, span))
        }
        Expr::Like {
            negated,
            any: true,
            expr,
            pattern,
            ..
        } => like_any(*negated, expr, pattern, false),
        Expr::ILike {
            negated,
            any: true,
            expr,
            pattern,
            ..
        } => like_any(*negated, expr, pattern, true),
        Expr::AnyOp {
            left,
            compare_op,
            right,
            ..
        } => quantified(left, compare_op, right, true),
        Expr::AllOp {
            left,
            compare_op,
            right,
        } => quantified(left, compare_op, right, false),
        _ => None,
    }
}

fn field_name(field: &DateTimeField) -> String {
    field.to_string().trim_matches(['\'', '"']).to_lowercase()
}

fn binary(left: &Expr, op: &BinaryOperator, right: &Expr, span: Span) -> Option<Expr> {
    let json = || is_json(left) || is_json(right);
    let regex = |flags: Option<&str>, negated: bool| {
        let mut args = vec![left.clone(), right.clone()];
        args.extend(flags.map(text));
        not(negated, call("regexp_like", args, span))
    };
    let name = match op {
        BinaryOperator::Arrow => "json_get",
        BinaryOperator::LongArrow => "json_get_text",
        BinaryOperator::HashArrow => "json_path",
        BinaryOperator::HashLongArrow => "json_path_text",
        BinaryOperator::HashMinus => "jsonb_delete_path",
        BinaryOperator::Question => "jsonb_exists",
        BinaryOperator::QuestionPipe => "jsonb_exists_any",
        BinaryOperator::QuestionAnd => "jsonb_exists_all",
        BinaryOperator::StringConcat if json() => "jsonb_concat",
        BinaryOperator::Minus if is_json(left) => "jsonb_delete",
        BinaryOperator::Overlaps => {
            let ([a, b], [c, d]) = (pair(left)?, pair(right)?);
            let all = [a, b, c, d].into_iter().cloned().collect();
            return Some(call("times_overlap", all, span));
        }
        BinaryOperator::PGOverlap => "array_has_any",
        BinaryOperator::PGStartsWith => "starts_with",
        BinaryOperator::PGRegexMatch => return Some(regex(None, false)),
        BinaryOperator::PGRegexIMatch => return Some(regex(Some("i"), false)),
        BinaryOperator::PGRegexNotMatch => return Some(regex(None, true)),
        BinaryOperator::PGRegexNotIMatch => return Some(regex(Some("i"), true)),
        _ => return None,
    };
    Some(call(name, vec![left.clone(), right.clone()], span))
}

/// `(a, b)`
fn pair(expr: &Expr) -> Option<[&Expr; 2]> {
    match expr {
        Expr::Tuple(all) => all.iter().collect::<Vec<_>>().try_into().ok(),
        _ => None,
    }
}

/// The elements of an array that is written out.
fn elements(expr: &Expr) -> Option<&[Expr]> {
    match expr {
        Expr::Array(array) => Some(&array.elem),
        Expr::Nested(inner) => elements(inner),
        Expr::Tuple(all) => Some(all),
        _ => None,
    }
}

/// The elements of an array that is written as a text: `'{a,b}'`. Of numbers they are numbers.
fn written_elements(expr: &Expr) -> Option<Vec<Expr>> {
    let inner = literals::literal(expr)?.trim();
    let inner = inner.strip_prefix('{')?.strip_suffix('}')?;
    // Quotes, escapes and arrays of arrays are left to a cast.
    if inner.is_empty() || inner.contains(['"', '\\', '{']) {
        return None;
    }
    let parts: Vec<&str> = inner.split(',').map(str::trim).collect();
    let element = |part: &&str| match part.eq_ignore_ascii_case("null") {
        true => Expr::value(Value::Null),
        false => text(*part),
    };
    Some(parts.iter().map(element).collect())
}

fn like_any(negated: bool, left: &Expr, pattern: &Expr, insensitive: bool) -> Option<Expr> {
    let op = if insensitive {
        BinaryOperator::PGILikeMatch
    } else {
        BinaryOperator::PGLikeMatch
    };
    quantified(left, &op, pattern, true).map(|any| not(negated, any))
}

/// `x op ANY (ARRAY[a, b])` to `(x op a OR x op b)`, `ALL` with AND.
fn quantified(left: &Expr, op: &BinaryOperator, right: &Expr, any: bool) -> Option<Expr> {
    let written = written_elements(right);
    let all = written.as_deref().or_else(|| elements(right));
    let all = all.filter(|all| !all.is_empty())?;
    let one = |item: &Expr| {
        let (left, right) = (Box::new(left.clone()), Box::new(item.clone()));
        let compared = Expr::BinaryOp {
            left,
            op: op.clone(),
            right,
        };
        rewritten(&compared).unwrap_or(compared)
    };
    let joined = if any {
        BinaryOperator::Or
    } else {
        BinaryOperator::And
    };
    let chain = all.iter().map(one).reduce(|left, right| Expr::BinaryOp {
        left: Box::new(left),
        op: joined.clone(),
        right: Box::new(right),
    });
    chain.map(|chain| Expr::Nested(Box::new(chain)))
}
