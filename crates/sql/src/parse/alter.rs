//! `ALTER ... SET | RESET`, `PAUSE`, `RESUME`, and a statement's text with other options.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::{create, parse_one};
use crate::ast::{Create, Name, OptionChange, StatementKind};
use crate::error::{Result, SqlError};
use crate::source::Source;
use crate::types::ident;

/// After `ALTER`.
pub(super) fn alter(cursor: &mut Cursor<'_>) -> Result<StatementKind> {
    let kind = create::kind(cursor)?;
    let if_exists = cursor.words(&["if", "exists"]);
    let name = cursor.name(&format!("the name of the {}", kind.word()))?;
    let changes = if cursor.word("set") {
        let given = cursor.settings()?.into_iter();
        given
            .map(|item| OptionChange {
                name: item.name,
                value: Some(item.value),
            })
            .collect()
    } else if cursor.word("reset") {
        names(cursor)?
    } else {
        return Err(cursor.expected("SET or RESET").hint(
            "ALTER changes options only; CREATE OR REPLACE takes another definition and rebuilds what depends on it",
        ));
    };
    Ok(StatementKind::Alter {
        kind,
        name,
        if_exists,
        changes,
    })
}

fn names(cursor: &mut Cursor<'_>) -> Result<Vec<OptionChange>> {
    let brackets = cursor.sign(&Token::LParen);
    let mut changes = Vec::new();
    loop {
        let name = cursor.option_name()?;
        changes.push(OptionChange { name, value: None });
        if !cursor.sign(&Token::Comma) {
            break;
        }
    }
    if brackets {
        cursor.expect_sign(&Token::RParen)?;
    }
    Ok(changes)
}

/// After `PAUSE` or `RESUME`: a pipeline, or an object of one.
pub(super) fn pipeline(cursor: &mut Cursor<'_>) -> Result<Name> {
    const KINDS: [&[&str]; 6] = [
        &["pipeline"],
        &["materialized", "view"],
        &["view"],
        &["table"],
        &["sink"],
        &["alert"],
    ];
    let kind = KINDS.iter().find(|words| cursor.at_words(words));
    if let Some(words) = kind.filter(|_| !cursor.is_last()) {
        cursor.words(words);
    }
    cursor.name("the name of a pipeline, view, sink or alert")
}

/// The text of a `CREATE` statement with options changed. `${VAR}` in values stays as it is.
///
/// # Errors
/// The text is no `CREATE`, or an option that is to go is not there.
pub fn with_options(text: &str, changes: &[OptionChange]) -> Result<String> {
    let statement = parse_one(text, None)?;
    let StatementKind::Create(create) = &statement.kind else {
        return Err(statement.source.error_at_start("expected a CREATE"));
    };
    let options = merged(create, changes)?;
    let source = Source::new(None, text);
    let first = create.options.first().map(|item| item.name.at);
    let span = Cursor::new(&source)?.options_span(first);
    let clause = match options.is_empty() {
        true => String::new(),
        false => format!("WITH ({})", options.join(", ")),
    };
    let text = match span {
        Some((start, end)) => format!("{}{clause}{}", &text[..start], &text[end..]),
        // On a line of its own: the last one may end in a comment.
        None if clause.is_empty() => text.to_owned(),
        None => format!("{}\n{clause}", text.trim_end()),
    };
    Ok(text.trim_end().to_owned())
}

fn merged(create: &Create, changes: &[OptionChange]) -> Result<Vec<String>> {
    let mut options: Vec<(&str, &str)> = create
        .options
        .iter()
        .map(|item| (item.name.text.as_str(), item.value.as_str()))
        .collect();
    for change in changes {
        let name = change.name.text.as_str();
        let there = options.iter().position(|(known, _)| *known == name);
        match (&change.value, there) {
            (Some(value), Some(at)) => options[at].1 = value,
            (Some(value), None) => options.push((name, value)),
            (None, Some(at)) => {
                options.remove(at);
            }
            (None, None) => {
                let message = format!("option \"{name}\" is not set");
                return Err(SqlError::new(message).hint("SHOW CREATE shows what is"));
            }
        }
    }
    let quoted = |(name, value): (&str, &str)| {
        let name: Vec<String> = name.split('.').map(ident).collect();
        format!("{} = '{}'", name.join("."), value.replace('\'', "''"))
    };
    Ok(options.into_iter().map(quoted).collect())
}
