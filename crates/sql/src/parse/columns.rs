//! The columns, primary key and watermark of `CREATE SOURCE` and `CREATE TABLE`.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use crate::ast::{Column, Columns, Name, Watermark};
use crate::error::Result;
use crate::model::ColumnFrom;

/// `( column, ..., [PRIMARY KEY (...)], [WATERMARK FOR column AS expr] )`
pub(super) fn columns(cursor: &mut Cursor<'_>) -> Result<Columns> {
    let mut answer = Columns::default();
    if cursor.at_word("with") || cursor.at().is_none() {
        // To be found out from the topic's records.
        return Ok(answer);
    }
    if !cursor.at_paren() {
        let hint = cursor
            .at_word("as")
            .then(|| "write CREATE MATERIALIZED VIEW name AS SELECT ...".to_owned());
        return Err(cursor.expected("\"(\" and the columns").maybe_hint(hint));
    }
    cursor.expect_sign(&Token::LParen)?;
    loop {
        item(cursor, &mut answer)?;
        if !cursor.sign(&Token::Comma) {
            break;
        }
    }
    cursor.expect_sign(&Token::RParen)?;
    if answer.columns.is_empty() {
        let at = cursor.before();
        return Err(cursor.source.error(at, "at least one column is needed"));
    }
    Ok(answer)
}

fn item(cursor: &mut Cursor<'_>, answer: &mut Columns) -> Result<()> {
    if cursor.at_words(&["primary", "key"]) {
        let key = primary_key(cursor)?;
        return set_key(cursor, answer, key);
    }
    if cursor.at_words(&["watermark", "for"]) {
        return watermark(cursor, answer);
    }
    column(cursor, answer)
}

fn primary_key(cursor: &mut Cursor<'_>) -> Result<Vec<Name>> {
    let _ = cursor.words(&["primary", "key"]);
    cursor.expect_sign(&Token::LParen)?;
    let mut names = vec![cursor.name("a column of the primary key")?];
    while cursor.sign(&Token::Comma) {
        names.push(cursor.name("a column of the primary key")?);
    }
    cursor.expect_sign(&Token::RParen)?;
    let _ = cursor.words(&["not", "enforced"]);
    Ok(names)
}

fn set_key(cursor: &Cursor<'_>, answer: &mut Columns, key: Vec<Name>) -> Result<()> {
    if answer.primary_key.is_some() {
        let error = cursor
            .source
            .error(cursor.before(), "there is more than one primary key");
        return Err(error.hint("write PRIMARY KEY (a, b) once, after the columns"));
    }
    answer.primary_key = Some(key);
    Ok(())
}

fn watermark(cursor: &mut Cursor<'_>, answer: &mut Columns) -> Result<()> {
    let at = cursor.at().unwrap_or_default();
    let _ = cursor.words(&["watermark", "for"]);
    if answer.watermark.is_some() {
        return Err(cursor.source.error(at, "there is more than one watermark"));
    }
    let column = cursor.name("the event-time column")?;
    cursor.expect_word("as")?;
    let expr_at = cursor.at().unwrap_or(at);
    let expr = cursor.expr()?;
    answer.watermark = Some(Watermark {
        column,
        expr,
        expr_at,
    });
    Ok(())
}

fn column(cursor: &mut Cursor<'_>, answer: &mut Columns) -> Result<()> {
    let name = cursor.name("a column")?;
    if answer.columns.iter().any(|c| c.name.text == name.text) {
        return Err(cursor.source.error(
            name.at,
            format!("column \"{}\" is declared twice", name.text),
        ));
    }
    if cursor.at_word("as") {
        let error = cursor.error(format!("column \"{}\" has no type", name.text));
        return Err(error.hint(format!(
            "write its type before AS, for example: {} TIMESTAMPTZ AS ...",
            name.text
        )));
    }
    let type_at = cursor.at().unwrap_or(name.at);
    let data_type = cursor.data_type()?;
    let mut column = Column {
        name,
        data_type,
        type_at,
        computed: None,
        not_null: false,
        default: None,
        from: ColumnFrom::Value,
    };
    while constraint(cursor, &mut column, answer)? {}
    answer.columns.push(column);
    Ok(())
}

/// What `METADATA` may be followed by, and what it is without: the column's name.
const METADATA: [&str; 8] = [
    "topic",
    "partition",
    "offset",
    "timestamp",
    "timestamp_type",
    "key",
    "value",
    "headers",
];

/// `METADATA [FROM 'offset'] [VIRTUAL]`
fn metadata(cursor: &mut Cursor<'_>, column: &Name) -> Result<String> {
    let mut at = column.at;
    let _ = cursor.word("metadata");
    let name = if cursor.word("from") {
        at = cursor.at().unwrap_or(at);
        cursor.text("the name of a record's metadata in single quotes, such as 'offset'")?
    } else {
        column.text.clone()
    };
    let _ = cursor.word("virtual");
    let known = METADATA.contains(&name.as_str())
        || name.strip_prefix("headers.").is_some_and(|h| !h.is_empty());
    if !known {
        let hint = crate::nearest::hint(&name, METADATA)
            .unwrap_or_else(|| format!("there are: {}, headers.<name>", METADATA.join(", ")));
        let message = format!("records have no metadata '{name}'");
        return Err(cursor.source.error(at, message).hint(hint));
    }
    Ok(name)
}

/// One of `DEFAULT expr`, `KEY`, `METADATA FROM '...'`, `PRIMARY KEY`, `NOT NULL`, `NULL`, `[GENERATED ALWAYS] AS expr [STORED]`; false if none comes.
fn constraint(cursor: &mut Cursor<'_>, column: &mut Column, answer: &mut Columns) -> Result<bool> {
    if cursor.words(&["primary", "key"]) {
        set_key(cursor, answer, vec![column.name.clone()])?;
    } else if cursor.words(&["not", "null"]) {
        column.not_null = true;
    } else if cursor.word("null") {
        column.not_null = false;
    } else if cursor.words(&["generated", "always", "as"]) || cursor.word("as") {
        column.computed = Some(cursor.expr()?);
        let _ = cursor.word("stored") || cursor.word("virtual");
    } else if cursor.word("default") {
        column.default = Some(cursor.expr()?);
    } else if cursor.word("key") {
        column.from = ColumnFrom::Key;
    } else if cursor.at_word("metadata") {
        column.from = ColumnFrom::Metadata(metadata(cursor, &column.name)?);
    } else if cursor.at_word("unique") || cursor.at_word("check") || cursor.at_word("references") {
        let word = cursor.shown_word().unwrap_or("").to_uppercase();
        return Err(cursor
            .error(format!("{word} is not known for columns of a topic"))
            .hint("use a view with COALESCE or WHERE"));
    } else {
        return Ok(false);
    }
    Ok(true)
}
