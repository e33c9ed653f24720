//! Where in a query stands what a message speaks of, for messages that come without a place: the planner works on plans, and those do not
//! know the text any more. What has no place here is told at the query's beginning.

use datafusion::sql::sqlparser::ast::{Expr, GroupByExpr, Select, SelectItem, Spanned};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::refuse::first_subquery;
use crate::ast::Query;
use crate::source::Position;
use crate::translate::find_word;

/// What is in a message, and the words in the query that it is about.
const WORDS: [(&str, &str); 20] = [
    ("WHERE clause", "where"),
    ("non-boolean predicate", "where"),
    ("HAVING clause", "having"),
    ("FOR UPDATE", "for update"),
    ("SELECT INTO", "into"),
    ("TOP is", "top"),
    ("UNION queries", "union"),
    ("inputs for Union", "union"),
    ("INTERSECT queries", "intersect"),
    ("EXCEPT queries", "except"),
    ("FETCH FIRST", "fetch"),
    ("OFFSET without", "offset"),
    ("LIMIT and OFFSET", "limit"),
    ("LIMIT", "limit"),
    ("FOR SYSTEM_TIME", "for system_time"),
    ("GROUPING SETS", "grouping sets"),
    ("GROUPING SETS", "cube"),
    ("GROUPING SETS", "rollup"),
    ("ORDER BY", "order by"),
    ("UNNEST", "unnest"),
];

/// The place of what a message speaks of.
pub(crate) fn place(query: &Query, message: &str) -> Option<Position> {
    if message.starts_with("EMIT ON WINDOW CLOSE") {
        return query.source.find_behind("emit").or_else(|| windows(query));
    }
    if message.contains("The subquery") {
        return first_subquery(query);
    }
    let words = WORDS.iter().filter(|(part, _)| message.contains(part));
    let mut found = words.filter_map(|(_, word)| find_word(&query.source, word));
    found
        .next()
        .or_else(|| column(query, message))
        .or_else(|| function(query, message))
        .or_else(|| literal(query, message))
        .or_else(|| number(query, message))
        .or_else(|| kind(query, message))
}

/// What ought to be windows: the GROUP BY, or else the FROM.
fn windows(query: &Query) -> Option<Position> {
    let select = query.ast.body.as_select()?;
    let group = match &select.group_by {
        GroupByExpr::Expressions(exprs, _) => exprs.first().map(Spanned::span),
        GroupByExpr::All(_) => None,
    };
    let from = select.from.first().map(|item| item.relation.span());
    position(group.or(from)?)
}

/// A result column: `column "x" is ...`, `two columns of the result are called "x"` (the second of them).
fn column(query: &Query, message: &str) -> Option<Position> {
    if !message.contains("column") {
        return None;
    }
    let name = message.split('"').nth(1)?.rsplit('.').next()?;
    let select: &Select = query.ast.body.as_select()?;
    let is_it = |item: &&SelectItem| match item {
        SelectItem::ExprWithAlias { alias, .. } => alias.value.eq_ignore_ascii_case(name),
        SelectItem::UnnamedExpr(Expr::Identifier(own)) => own.value.eq_ignore_ascii_case(name),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => parts
            .last()
            .is_some_and(|own| own.value.eq_ignore_ascii_case(name)),
        _ => false,
    };
    let wildcard = |item: &&SelectItem| {
        matches!(
            item,
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)
        )
    };
    let items = &select.projection;
    let found = items.iter().rfind(is_it);
    let item = found.or_else(|| items.iter().rfind(wildcard))?;
    position(item.span())
}

/// `random() gives ...`, `max_by is not known with OVER`.
fn function(query: &Query, message: &str) -> Option<Position> {
    let name = match message.split_once("()") {
        Some((before, _)) => before
            .rsplit(|c: char| !(c.is_alphanumeric() || c == '_'))
            .next()?,
        None if message.contains(" with OVER") || message.contains(" with DISTINCT") => {
            message.split(' ').next()?
        }
        None => return None,
    };
    find_word(&query.source, name)
}

/// A text or number in quotes that the query has, too.
fn literal(query: &Query, message: &str) -> Option<Position> {
    let mut quoted = message.split('\'').skip(1).step_by(2);
    quoted.find_map(|text| match text.is_empty() {
        true => None,
        false => query.source.find(&format!("'{text}'")),
    })
}

/// `cannot find column with position 2`.
fn number(query: &Query, message: &str) -> Option<Position> {
    let (_, rest) = message.split_once("position ")?;
    let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
    find_word(&query.source, &number)
}

/// `unsupported SQL type UUID`.
fn kind(query: &Query, message: &str) -> Option<Position> {
    let (_, name) = message.split_once("unsupported SQL type ")?;
    find_word(&query.source, name.split([' ', '(']).next()?)
}

fn position(span: Span) -> Option<Position> {
    let number = |n: u64| u32::try_from(n).ok().filter(|n| *n > 0);
    Some(Position {
        line: number(span.start.line)?,
        column: number(span.start.column)?,
    })
}
