//! `CREATE SOURCE | TABLE | VIEW | MATERIALIZED VIEW | SINK | ALERT`.

use super::columns;
use super::cursor::Cursor;
use crate::ast::{Create, CreateBody, Name, ObjectKind, OptionItem};
use crate::error::Result;
use crate::model::Emit;
use crate::nearest;

/// After `CREATE`.
pub(super) fn create(cursor: &mut Cursor<'_>) -> Result<Create> {
    let or_replace = cursor.words(&["or", "replace"]);
    let kind = kind(cursor)?;
    let if_not_exists = cursor.words(&["if", "not", "exists"]);
    if or_replace && if_not_exists {
        let at = cursor.before();
        return Err(cursor
            .source
            .error(at, "OR REPLACE and IF NOT EXISTS exclude each other"));
    }
    let name = cursor.name(&format!("the name of the {}", kind.word()))?;
    let (body, options) = match kind {
        ObjectKind::Source => relation(cursor, CreateBody::Source)?,
        ObjectKind::Table => relation(cursor, CreateBody::Table)?,
        ObjectKind::View | ObjectKind::MaterializedView => {
            view(cursor, kind == ObjectKind::MaterializedView)?
        }
        ObjectKind::Sink => sink(cursor)?,
        ObjectKind::Alert => alert(cursor)?,
    };
    Ok(Create {
        name,
        or_replace,
        if_not_exists,
        body,
        options,
    })
}

/// The kind of object that a statement speaks of.
pub(super) fn kind(cursor: &mut Cursor<'_>) -> Result<ObjectKind> {
    const KINDS: [(&[&str], ObjectKind); 6] = [
        (&["source"], ObjectKind::Source),
        (&["table"], ObjectKind::Table),
        (&["materialized", "view"], ObjectKind::MaterializedView),
        (&["view"], ObjectKind::View),
        (&["sink"], ObjectKind::Sink),
        (&["alert"], ObjectKind::Alert),
    ];
    for (words, kind) in KINDS {
        if cursor.words(words) {
            return Ok(kind);
        }
    }
    let written = cursor.shown_word().unwrap_or("").to_lowercase();
    let hint = nearest::hint(
        &written,
        ["source", "table", "view", "materialized", "sink", "alert"],
    );
    let hint = hint.or_else(|| match written.as_str() {
        "stream" => Some("write CREATE SOURCE".to_owned()),
        "index" => Some(
            "a view is read by its key without one: EXPLAIN SELECT says which reads are".to_owned(),
        ),
        "schema" | "database" => Some("pipelines keep objects apart: headwater apply".to_owned()),
        _ => None,
    });
    Err(cursor
        .expected("SOURCE, TABLE, VIEW, MATERIALIZED VIEW, SINK or ALERT")
        .maybe_hint(hint))
}

type Body = (CreateBody, Vec<OptionItem>);

fn relation(cursor: &mut Cursor<'_>, body: fn(crate::ast::Columns) -> CreateBody) -> Result<Body> {
    let columns = columns::columns(cursor)?;
    Ok((body(columns), cursor.options()?))
}

fn view(cursor: &mut Cursor<'_>, materialized: bool) -> Result<Body> {
    if cursor.at_paren() {
        let error = cursor.error("a view takes no list of columns");
        return Err(error.hint("name its columns in the SELECT, with AS"));
    }
    let mut options = cursor.options()?;
    cursor.expect_word("as")?;
    let emit_at_end = cursor.trailing_emit()?;
    options.extend(cursor.trailing_options()?);
    // EMIT may also stand before the options.
    let emit = match emit_at_end {
        Some(emit) => Some(emit),
        None => cursor.trailing_emit()?,
    };
    let query = cursor.rest_as_query()?;
    if !materialized && let Some(_) = emit {
        let error = cursor
            .source
            .error_at_end("EMIT belongs to materialized views");
        return Err(error.hint("write CREATE MATERIALIZED VIEW"));
    }
    Ok((
        CreateBody::View {
            query,
            materialized,
            emit: emit.unwrap_or(Emit::Changes),
        },
        options,
    ))
}

fn alert(cursor: &mut Cursor<'_>) -> Result<Body> {
    let mut options = cursor.options()?;
    cursor.expect_word("as")?;
    options.extend(cursor.trailing_options()?);
    let emit = cursor.trailing_emit()?.unwrap_or(Emit::Changes);
    let query = cursor.rest_as_query()?;
    Ok((CreateBody::Alert { query, emit }, options))
}

fn sink(cursor: &mut Cursor<'_>) -> Result<Body> {
    cursor.expect_word("into")?;
    let connector = cursor.name("topic or postgres")?;
    const CONNECTORS: [&str; 2] = ["topic", "postgres"];
    if !CONNECTORS.contains(&connector.text.as_str()) {
        return Err(unknown_connector(cursor, &connector, &CONNECTORS));
    }
    cursor.expect_word("from")?;
    let from = cursor.name("the name of a view")?;
    Ok((CreateBody::Sink { connector, from }, cursor.options()?))
}

fn unknown_connector(cursor: &Cursor<'_>, connector: &Name, known: &[&str]) -> crate::SqlError {
    let message = format!("there is no sink connector \"{}\"", connector.text);
    let near = nearest::nearest(&connector.text, known.iter().copied());
    let hint = near.map_or_else(
        || format!("there are: {}", known.join(", ")),
        |n| format!("did you mean \"{n}\"?"),
    );
    cursor.source.error(connector.at, message).hint(hint)
}
