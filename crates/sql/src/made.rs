//! Parts of a query's tree from text that is ours: without places, so that no error is shown in a text that nobody wrote.

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, ObjectName, Query, TableAlias, TableFactor, TableFunctionArgs,
};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Tokenizer;

use crate::error::{Result, SqlError};
use crate::parse::DIALECT;

pub(crate) fn query(text: &str) -> Result<Box<Query>> {
    parsed(text, |parser| parser.parse_query())
}

pub(crate) fn expr(text: &str) -> Result<Expr> {
    parsed(text, |parser| parser.parse_expr())
}

/// A relation in FROM, or a function there if it has arguments.
pub(crate) fn relation(
    name: ObjectName,
    args: Option<Vec<FunctionArg>>,
    alias: Option<TableAlias>,
) -> TableFactor {
    TableFactor::Table {
        name,
        alias,
        args: args.map(|args| TableFunctionArgs {
            args,
            settings: None,
        }),
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    }
}

fn parsed<T>(
    text: &str,
    parse: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError>,
) -> Result<T> {
    let wrong = |e: &dyn std::fmt::Display| SqlError::new(format!("{text}: {e}"));
    let tokens = Tokenizer::new(&DIALECT, text).tokenize();
    let tokens = tokens.map_err(|e| wrong(&e))?;
    parse(&mut Parser::new(&DIALECT).with_tokens(tokens)).map_err(|e| wrong(&e))
}
