//! Text to statements: sqlparser's tokenizer, expressions, types and queries; our own statements around them.

mod alter;
mod columns;
mod create;
mod cursor;
mod dialect;
mod lex;
#[cfg(test)]
mod refused_tests;
mod reserved;
mod show;
#[cfg(test)]
mod tests;
mod usual;
mod versions;
mod windows;

use crate::ast::{Query, Statement, StatementKind};
use crate::error::Result;
use crate::source::Source;
pub use alter::with_options;
use cursor::Cursor;
pub(crate) use lex::{DIALECT, words};

/// Longest text that is taken at once, in bytes.
pub const TEXT_BYTES_MAX: usize = 1024 * 1024;

/// All statements of a text, in order. `file` is the name that errors show.
///
/// # Errors
/// The first thing that is wrong, with its place.
pub fn parse(text: &str, file: Option<&str>) -> Result<Vec<Statement>> {
    let source = Source::new(file, text);
    if text.len() > TEXT_BYTES_MAX {
        return Err(
            source.error_at_start(format!("the text is longer than {TEXT_BYTES_MAX} bytes"))
        );
    }
    lex::split(&source)?
        .into_iter()
        .map(parse_statement)
        .collect()
}

/// A text that holds exactly one statement.
///
/// # Errors
/// As [`parse`], and if there is no statement or more than one.
pub fn parse_one(text: &str, file: Option<&str>) -> Result<Statement> {
    let source = Source::new(file, text);
    let mut statements = parse(text, file)?;
    match (statements.pop(), statements.is_empty()) {
        (Some(statement), true) => Ok(statement),
        (Some(second), false) => Err(second.source.error_at_start("expected one statement only")),
        (None, _) => Err(source.error_at_start("expected a statement, found nothing")),
    }
}

/// The text of a query (`SELECT`, `WITH`, `VALUES`), as views keep it.
///
/// # Errors
/// What is wrong, with its place in `source`.
pub fn parse_query(source: Source) -> Result<Query> {
    let mut cursor = Cursor::new(&source)?;
    let ast = cursor.query()?;
    cursor.end()?;
    Ok(Query { source, ast })
}

fn parse_statement(source: Source) -> Result<Statement> {
    let mut cursor = Cursor::new(&source)?;
    let kind = if cursor.word("create") {
        StatementKind::Create(Box::new(create::create(&mut cursor)?))
    } else if cursor.word("drop") {
        show::drop(&mut cursor)?
    } else if cursor.word("alter") {
        alter::alter(&mut cursor)?
    } else if cursor.word("pause") {
        StatementKind::Pause(alter::pipeline(&mut cursor)?)
    } else if cursor.word("resume") {
        StatementKind::Resume(alter::pipeline(&mut cursor)?)
    } else if cursor.word("show") {
        show::show(&mut cursor)?
    } else if cursor.word("describe") || cursor.word("desc") {
        let _ = cursor.word("table") || cursor.word("view");
        StatementKind::Describe(cursor.name("the name of a source, table, view, sink or alert")?)
    } else if cursor.word("explain") {
        show::explain(&mut cursor)?
    } else {
        query(&mut cursor)?
    };
    cursor.end()?;
    Ok(Statement { source, kind })
}

fn query(cursor: &mut Cursor<'_>) -> Result<StatementKind> {
    let starts = ["select", "with", "values", "from", "table"];
    if !starts.iter().any(|word| cursor.at_word(word)) && !cursor.at_paren() {
        return Err(show::unknown_statement(cursor));
    }
    Ok(StatementKind::Query(cursor.rest_as_query()?))
}

impl Statement {
    /// All statements of a text; see [`parse`].
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn parse(text: &str, file: Option<&str>) -> Result<Vec<Self>> {
        parse(text, file)
    }
}
