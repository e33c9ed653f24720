//! DataFusion's errors to ours: in our words, with a place in the query and a hint.

mod plainly;

use std::sync::Arc;

use datafusion::common::{Column, DataFusionError, Diagnostic, SchemaError, Span};
use datafusion::sql::sqlparser::tokenizer::Span as SqlSpan;

use crate::ast::Query;
use crate::error::{Carried, SqlError};
use crate::nearest;
use crate::plan::places;
use crate::source::{Position, Source};
use plainly::{in_our_types, plainly, way_out};

/// An error to hand to DataFusion's planner so that it comes back with place, message and hint.
pub(crate) fn refusal(
    span: SqlSpan,
    message: impl Into<String>,
    hint: impl Into<String>,
) -> DataFusionError {
    let message = message.into();
    let diagnostic = Diagnostic::new_error(message.clone(), Span::try_from_sqlparser_span(span))
        .with_help(hint, None);
    DataFusionError::Plan(message).with_diagnostic(diagnostic)
}

/// Hands an error of ours through DataFusion's planner.
pub(crate) fn carry(error: SqlError) -> DataFusionError {
    DataFusionError::External(Box::new(Carried(Arc::new(error))))
}

/// What went wrong while planning `query`. `functions` are the names for hints.
pub(crate) fn translate(
    source: &Source,
    error: &DataFusionError,
    functions: &[String],
) -> SqlError {
    placed(source, error, functions, &|_| None)
}

/// The same; `place` tells where what a message speaks of stands if the error does not.
fn placed(
    source: &Source,
    error: &DataFusionError,
    functions: &[String],
    place: &dyn Fn(&str) -> Option<Position>,
) -> SqlError {
    if let Some(carried) = carried(error) {
        return carried;
    }
    let diagnostic = error.diagnostic();
    let span = diagnostic.and_then(|d| d.span);
    let (message, hint, name) = match error.find_root() {
        DataFusionError::SchemaError(schema, _) => schema_error(schema),
        root => plan_error(root, diagnostic, functions),
    };
    let at = span.map(|s| Position {
        line: s.start.line as u32,
        column: s.start.column as u32,
    });
    let at = at.or_else(|| name.and_then(|name| find_word(source, &name)));
    let at = match at {
        // What is told of the whole query may have a place of its own.
        None | Some(Position::START) => place(&message).or(at),
        known => known,
    };
    let error = match at {
        Some(at) => source.error(at, message),
        None => source.error_at_start(message),
    };
    error.maybe_hint(hint)
}

/// The same, when the query's source is at hand.
pub(crate) fn in_query(query: &Query, error: &DataFusionError, functions: &[String]) -> SqlError {
    placed(&query.source, error, functions, &|message| {
        places::place(query, message)
    })
}

fn carried(error: &DataFusionError) -> Option<SqlError> {
    match error {
        DataFusionError::External(inner) => inner
            .downcast_ref::<Carried>()
            .map(|c| c.0.as_ref().clone()),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
            carried(inner)
        }
        DataFusionError::Shared(inner) => carried(inner),
        DataFusionError::Collection(all) => all.iter().find_map(carried),
        _ => None,
    }
}

type Told = (String, Option<String>, Option<String>);

fn schema_error(error: &SchemaError) -> Told {
    match error {
        SchemaError::FieldNotFound {
            field,
            valid_fields,
        } => field_not_found(field, valid_fields),
        SchemaError::AmbiguousReference { field } => {
            let message = format!("column \"{}\" is in more than one relation", field.name);
            (
                message,
                Some(format!("write which one, for example t.{}", field.name)),
                Some(field.name.clone()),
            )
        }
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => {
            let message = format!("there are two columns \"{name}\"");
            (
                message,
                Some("give one of them another name with AS".to_owned()),
                Some(name.clone()),
            )
        }
    }
}

fn field_not_found(field: &Column, valid: &[Column]) -> Told {
    let qualifier = field.relation.as_ref().map(|r| r.table());
    let known_relation = |q: &str| {
        valid
            .iter()
            .any(|v| v.relation.as_ref().is_some_and(|r| r.table() == q))
    };
    if let Some(q) = qualifier
        && !valid.is_empty()
        && !known_relation(q)
    {
        let relations = valid
            .iter()
            .filter_map(|v| v.relation.as_ref())
            .map(|r| r.table());
        let mut names: Vec<&str> = relations
            .chain(valid.iter().map(|v| v.name.as_str()))
            .collect();
        names.sort_unstable();
        names.dedup();
        let message = format!("there is no relation or STRUCT column \"{q}\" here");
        let hint = nearest::hint(q, names.iter().copied()).or_else(|| way_out(&message));
        return (message, hint, Some(q.to_owned()));
    }
    let fits =
        |v: &&Column| qualifier.is_none_or(|q| v.relation.as_ref().is_some_and(|r| r.table() == q));
    let names: Vec<&str> = valid.iter().filter(fits).map(|v| v.name.as_str()).collect();
    let hint = nearest::hint(&field.name, names.iter().copied()).or_else(|| columns_hint(&names));
    let place = qualifier
        .map(|q| format!(" in \"{q}\""))
        .unwrap_or_default();
    (
        format!("there is no column \"{}\"{place}", field.name),
        hint,
        Some(field.name.clone()),
    )
}

/// Most columns that a hint lists.
const COLUMNS_LISTED_MAX: usize = 12;

fn columns_hint(names: &[&str]) -> Option<String> {
    let mut seen: Vec<&str> = Vec::new();
    names.iter().filter(|n| !n.starts_with("__")).for_each(|n| {
        if !seen.contains(n) {
            seen.push(n);
        }
    });
    let more = if seen.len() > COLUMNS_LISTED_MAX {
        ", ..."
    } else {
        ""
    };
    seen.truncate(COLUMNS_LISTED_MAX);
    (!seen.is_empty()).then(|| format!("the columns here are: {}{more}", seen.join(", ")))
}

fn plan_error(
    root: &DataFusionError,
    diagnostic: Option<&Diagnostic>,
    functions: &[String],
) -> Told {
    let text = root.strip_backtrace();
    if let Some(name) = between(&text, "Invalid function '", "'") {
        let hint = nearest::hint(name, functions.iter().map(String::as_str));
        return (
            format!("there is no function \"{name}\""),
            hint,
            Some(name.to_owned()),
        );
    }
    // One of ours, called with other types than it takes.
    if let Some(call) = between(&text, "there is no function ", "; it takes ") {
        let forms = text.split("; it takes ").nth(1).unwrap_or_default();
        let forms = forms
            .lines()
            .next()
            .unwrap_or_default()
            .trim_end_matches(['"', '.']);
        let forms = forms.split(" No function matches").next().unwrap_or(forms);
        let name = call.split('(').next().unwrap_or(call).to_owned();
        return (
            format!("there is no function {call}"),
            Some(format!("it takes {forms}; CAST an argument")),
            Some(name),
        );
    }
    if let Some(name) = between(&text, "unknown relation ", ";") {
        let hint = text.split_once("; ").map(|(_, hint)| hint.to_owned());
        return (
            format!("there is no source, table, view or topic \"{name}\""),
            hint,
            Some(name.to_owned()),
        );
    }
    if text.contains("Projections require unique expression names") {
        let name = between(&text, "expression \"", "\"")
            .map(|n| n.rsplit(" AS ").next().unwrap_or(n).to_owned());
        let shown = name
            .as_deref()
            .map(|n| format!(" \"{n}\""))
            .unwrap_or_default();
        return (
            format!("two columns of the SELECT list have the same name{shown}"),
            Some("name them apart with AS".to_owned()),
            name,
        );
    }
    let help = diagnostic
        .and_then(|d| d.helps.first())
        .map(|h| h.message.clone());
    if let Some(diagnostic) = diagnostic
        && (help.is_some() || diagnostic.notes.is_empty())
    {
        let now = diagnostic.message.starts_with("now()");
        let name = now.then(|| "now".to_owned());
        let message = lower_first(&in_our_types(&diagnostic.message));
        let hint = help.or_else(|| way_out(&message));
        return (message, hint, name);
    }
    let missing = between(&text, "No field named ", ".").map(|n| n.trim_matches('"').to_owned());
    let (message, word) = plainly(&text).unwrap_or_else(|| (in_our_types(&tidy(&text)), None));
    let hint = help.or_else(|| way_out(&message));
    (message, hint, missing.or(word))
}

/// A message of DataFusion without its prefixes and without what follows the first line.
fn tidy(text: &str) -> String {
    const PREFIXES: [&str; 9] = [
        "Error during planning: ",
        "This feature is not implemented: ",
        "Execution error: ",
        "SQL error: ",
        "Schema error: ",
        "Arrow error: ",
        "Optimizer rule 'simplify_expressions' failed",
        "type_coercion",
        "caused by",
    ];
    let mut rest = text.trim();
    while let Some(cut) = PREFIXES.iter().find_map(|p| rest.strip_prefix(p)) {
        rest = cut.trim_start();
    }
    let line = rest.lines().next().unwrap_or(rest).trim();
    lower_first(if line.is_empty() {
        "the query cannot be planned"
    } else {
        line
    })
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next();
    // Leaves words in capitals alone.
    if chars.clone().next().is_some_and(|c| c.is_uppercase()) {
        return text.to_owned();
    }
    first.map_or_else(String::new, |first| {
        first.to_lowercase().chain(chars).collect()
    })
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let start = text.find(before)? + before.len();
    let rest = text.get(start..)?;
    rest.find(after).map(|end| &rest[..end])
}

/// Where a word stands in a text first, as a whole word and ignoring case.
pub(crate) fn find_word(source: &Source, word: &str) -> Option<Position> {
    let text = source.text().to_lowercase();
    let word = word.to_lowercase();
    let inner = |c: char| c.is_alphanumeric() || c == '_';
    let mut from = 0;
    while let Some(found) = text.get(from..)?.find(&word).map(|i| i + from) {
        let before = text[..found].chars().next_back().is_some_and(inner);
        let after = text[found + word.len()..].chars().next().is_some_and(inner);
        if !before && !after && !word.is_empty() {
            let line = text[..found].matches('\n').count() + 1;
            let column = text[..found]
                .rsplit('\n')
                .next()
                .unwrap_or("")
                .chars()
                .count()
                + 1;
            return Some(Position {
                line: line as u32,
                column: column as u32,
            });
        }
        from = found + word.len().max(1);
    }
    None
}
