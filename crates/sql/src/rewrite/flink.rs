//! Functions of Flink and TimescaleDB that PostgreSQL has under another name or in other words, and those that build JSON of many rows.

use datafusion::sql::sqlparser::ast::{
    CeilFloorKind, DateTimeField, Expr, Function, FunctionArg, FunctionArguments, Ident, ObjectName,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::calls::arguments;
use super::literals::{is_json, literal};
use super::{call, plain, text};
use crate::made;

/// Fields that are floors of a time; the others stay an error.
pub(super) fn floored(expr: &Expr, field: &CeilFloorKind, span: Span) -> Option<Expr> {
    match field {
        CeilFloorKind::DateTimeField(field) if !matches!(field, DateTimeField::NoDateTime) => {
            let unit = field.to_string().to_lowercase();
            Some(call("date_trunc", vec![text(unit), expr.clone()], span))
        }
        _ => None,
    }
}

pub(super) fn named(function: &Function, name: &str, span: Span) -> Option<Expr> {
    match name {
        "variance" => return Some(Expr::Function(called(function, "var_samp"))),
        "approx_count_distinct" => {
            return Some(Expr::Function(called(function, "approx_distinct")));
        }
        "json_agg" | "jsonb_agg" => return aggregated(function, span),
        "json_object_agg" | "jsonb_object_agg" => return object(function, span),
        _ => {}
    }
    let args: Vec<&Expr> = arguments(function)?.iter().filter_map(plain).collect();
    match (name, args.as_slice()) {
        ("proctime", []) => Some(call("now", Vec::new(), span)),
        ("if", [condition, yes, no]) => {
            filled("CASE WHEN __1 THEN __2 ELSE __3 END", &[condition, yes, no])
        }
        ("split_index", [value, delimiter, at]) => filled(
            "array_element(string_to_array(__1, __2), __3 + 1)",
            &[value, delimiter, at],
        ),
        ("regexp_extract", [value, pattern]) => {
            filled("regexp_substr(__1, __2)", &[value, pattern])
        }
        ("regexp_extract", [value, pattern, group]) => filled(
            "regexp_substr(__1, __2, 1, 1, '', __3)",
            &[value, pattern, group],
        ),
        ("to_timestamp_ltz", [value, precision]) => match precision.to_string().as_str() {
            "0" => filled("to_timestamp(__1)", &[value]),
            "3" => filled("to_timestamp(CAST(__1 AS DOUBLE) / 1000)", &[value]),
            _ => None,
        },
        ("date_format", [time, pattern]) => {
            let pattern = text(java_pattern(literal(pattern)?)?);
            filled("to_char(__1, __2)", &[time, &pattern])
        }
        ("json_value", [json, path]) => {
            let path = text(json_path(literal(path)?)?);
            filled(
                "CASE WHEN jsonb_typeof(json_path(__1, __2)) NOT IN ('object', 'array') THEN json_path_text(__1, __2) END",
                &[json, &path],
            )
        }
        ("timestampdiff", [unit, from, to]) => filled(between(unit)?, &[from, to]),
        ("timestampadd", [unit, count, time]) => {
            let unit = unit_of(unit)?;
            filled(
                &format!("(__2 + __1 * INTERVAL '1 {unit}')"),
                &[count, time],
            )
        }
        ("time_bucket", [length, time]) => filled(
            "date_bin(__1, __2, '2000-01-03 00:00:00+00'::timestamptz)",
            &[length, time],
        ),
        ("time_bucket", [length, time, origin]) => {
            filled("date_bin(__1, __2, __3)", &[length, time, origin])
        }
        _ => None,
    }
}

/// The same call under another name, with DISTINCT, FILTER and ORDER BY.
fn called(function: &Function, name: &str) -> Function {
    Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        ..function.clone()
    }
}

/// `jsonb_agg(x)`: the array of its values, as JSON.
fn aggregated(function: &Function, span: Span) -> Option<Expr> {
    let FunctionArguments::List(list) = &function.args else {
        return None;
    };
    let [value] = list.args.as_slice() else {
        return None;
    };
    if !plain(value).is_some_and(is_json) {
        let array = Expr::Function(called(function, "array_agg"));
        return Some(call("to_jsonb", vec![array], span));
    }
    let mut joined = called(function, "string_agg");
    if let FunctionArguments::List(list) = &mut joined.args {
        let value = filled("coalesce(__1, 'null')", &[plain(value)?])?;
        list.args = [value, text(", ")]
            .map(|arg| FunctionArg::Unnamed(arg.into()))
            .to_vec();
    }
    let list = filled("('[' || __1 || ']')", &[&Expr::Function(joined)])?;
    Some(call("jsonb_in", vec![list], span))
}

/// `jsonb_object_agg(key, value)`: a key that comes more than once has its last value.
fn object(function: &Function, span: Span) -> Option<Expr> {
    let FunctionArguments::List(list) = &function.args else {
        return None;
    };
    let [key, value] = list.args.as_slice() else {
        return None;
    };
    let value = filled("coalesce(to_jsonb(__1), 'null')", &[plain(value)?])?;
    let pair = filled(
        "concat(to_jsonb(CAST(__1 AS TEXT)), ': ', __2)",
        &[plain(key)?, &value],
    )?;
    let mut joined = called(function, "string_agg");
    if let FunctionArguments::List(list) = &mut joined.args {
        list.args = [pair, text(", ")]
            .map(|arg| FunctionArg::Unnamed(arg.into()))
            .to_vec();
    }
    let object = filled("('{' || __1 || '}')", &[&Expr::Function(joined)])?;
    Some(call("jsonb_in", vec![object], span))
}

/// Whole units between two times.
fn between(unit: &Expr) -> Option<&'static str> {
    Some(match unit_of(unit)?.as_str() {
        "second" => "CAST(trunc(date_part('epoch', __2) - date_part('epoch', __1)) AS BIGINT)",
        "minute" => {
            "CAST(trunc((date_part('epoch', __2) - date_part('epoch', __1)) / 60) AS BIGINT)"
        }
        "hour" => {
            "CAST(trunc((date_part('epoch', __2) - date_part('epoch', __1)) / 3600) AS BIGINT)"
        }
        "day" => {
            "CAST(trunc((date_part('epoch', __2) - date_part('epoch', __1)) / 86400) AS BIGINT)"
        }
        "week" => {
            "CAST(trunc((date_part('epoch', __2) - date_part('epoch', __1)) / 604800) AS BIGINT)"
        }
        "month" => {
            "CAST(date_part('year', age(__2, __1)) * 12 + date_part('month', age(__2, __1)) AS BIGINT)"
        }
        "year" => "CAST(date_part('year', age(__2, __1)) AS BIGINT)",
        _ => return None,
    })
}

fn unit_of(unit: &Expr) -> Option<String> {
    match unit {
        Expr::Identifier(name) => Some(name.value.to_lowercase()),
        _ => literal(unit).map(str::to_lowercase),
    }
}

/// `$.a.b[0]` as PostgreSQL's `{a,b,0}`; `None` for a path with more in it.
fn json_path(path: &str) -> Option<String> {
    let path = path.strip_prefix("lax ").unwrap_or(path);
    let rest = path.strip_prefix('$')?.replace('[', ".").replace(']', "");
    let plain = |part: &&str| part.chars().all(|c| c.is_alphanumeric() || c == '_');
    let parts: Vec<&str> = rest.split('.').skip(1).collect();
    let known = !parts.is_empty() && parts.iter().all(|part| !part.is_empty() && plain(part));
    known.then(|| format!("{{{}}}", parts.join(",")))
}

/// A pattern of Java's, which has letters of its own, as PostgreSQL writes it; `None` for one that it has no word for.
fn java_pattern(pattern: &str) -> Option<String> {
    const LETTERS: [(&str, &str); 11] = [
        ("yyyy", "YYYY"),
        ("SSSSSS", "US"),
        ("SSS", "MS"),
        ("MMM", "Mon"),
        ("yy", "YY"),
        ("MM", "MM"),
        ("dd", "DD"),
        ("HH", "HH24"),
        ("hh", "HH12"),
        ("mm", "MI"),
        ("ss", "SS"),
    ];
    let (mut out, mut rest) = (String::new(), pattern);
    while let Some(first) = rest.chars().next() {
        if let Some((java, own)) = LETTERS.iter().find(|(java, _)| rest.starts_with(java)) {
            out.push_str(own);
            rest = &rest[java.len()..];
        } else if let Some(quoted) = rest.strip_prefix('\'') {
            let (words, after) = quoted.split_once('\'')?;
            out.push_str(&format!("\"{words}\""));
            rest = after;
        } else if first.is_ascii_alphabetic() || first == '%' {
            return None;
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    Some(out)
}

/// A text of ours with expressions in the places of `__1`, `__2` ...
fn filled(form: &str, values: &[&Expr]) -> Option<Expr> {
    use datafusion::sql::sqlparser::ast::{VisitMut, VisitorMut};
    use std::ops::ControlFlow;

    struct Fill<'a>(&'a [&'a Expr]);
    impl VisitorMut for Fill<'_> {
        type Break = ();

        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Expr::Identifier(name) = expr
                && let Some(place) = name.value.strip_prefix("__")
                && let Some(value) = place
                    .parse::<usize>()
                    .ok()
                    .and_then(|n| self.0.get(n.wrapping_sub(1)))
            {
                *expr = Expr::Nested(Box::new((*value).clone()));
            }
            ControlFlow::Continue(())
        }
    }
    let mut made = made::expr(form).ok()?;
    let _ = VisitMut::visit(&mut made, &mut Fill(values));
    // Its own literals are in PostgreSQL's spelling, too.
    super::expr(&mut made);
    Some(made)
}
