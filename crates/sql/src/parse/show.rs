//! `SHOW`, `DROP`, `EXPLAIN`, and words that begin no statement.

use super::create;
use super::cursor::Cursor;
use crate::ast::{ExplainTarget, ShowKind, StatementKind};
use crate::error::{Result, SqlError};
use crate::nearest;

/// After `SHOW`.
pub(super) fn show(cursor: &mut Cursor<'_>) -> Result<StatementKind> {
    const KINDS: [(&str, ShowKind); 8] = [
        ("sources", ShowKind::Sources),
        ("tables", ShowKind::Tables),
        ("views", ShowKind::Views),
        ("sinks", ShowKind::Sinks),
        ("alerts", ShowKind::Alerts),
        ("pipelines", ShowKind::Pipelines),
        ("topics", ShowKind::Topics),
        ("all", ShowKind::All),
    ];
    let _ = cursor.at_words(&["materialized", "views"]) && cursor.word("materialized");
    for (word, kind) in KINDS {
        if cursor.word(word) {
            return Ok(StatementKind::Show(kind));
        }
    }
    if cursor.word("create") {
        if cursor.at().is_some() && !at_last_word(cursor) {
            let _ = create::kind(cursor)?;
        }
        return Ok(StatementKind::ShowCreate(cursor.name("a name")?));
    }
    let written = cursor.shown_word().unwrap_or("").to_lowercase();
    let hint = nearest::hint(&written, KINDS.iter().map(|(word, _)| *word));
    let error = cursor
        .expected("SOURCES, TABLES, VIEWS, SINKS, ALERTS, PIPELINES, TOPICS, ALL or CREATE name");
    Err(error.maybe_hint(hint))
}

/// Whether only one token is left, so that it is a name and not a kind.
fn at_last_word(cursor: &mut Cursor<'_>) -> bool {
    const KINDS: [&str; 6] = ["source", "table", "view", "materialized", "sink", "alert"];
    !KINDS.iter().any(|kind| cursor.at_word(kind)) || cursor.is_last()
}

/// After `DROP`.
pub(super) fn drop(cursor: &mut Cursor<'_>) -> Result<StatementKind> {
    let kind = create::kind(cursor)?;
    let if_exists = cursor.words(&["if", "exists"]);
    let name = cursor.name(&format!("the name of the {}", kind.word()))?;
    let cascade = cursor.word("cascade");
    let _ = !cascade && cursor.word("restrict");
    Ok(StatementKind::Drop {
        kind,
        name,
        if_exists,
        cascade,
    })
}

/// After `EXPLAIN`.
pub(super) fn explain(cursor: &mut Cursor<'_>) -> Result<StatementKind> {
    if cursor.at_word("analyze") && !cursor.is_last() {
        cursor.word("analyze");
        let _ = cursor.words(&["materialized", "view"])
            || (cursor.at_word("view") && !cursor.is_last() && cursor.word("view"));
        if !cursor.is_last() && (cursor.at_paren() || at_query(cursor)) {
            let hint = "figures are there of what runs: create a materialized view and write EXPLAIN ANALYZE name; EXPLAIN SELECT shows a query's plan";
            let wanted = "the name of a materialized view or alert";
            return Err(cursor.expected(wanted).hint(hint));
        }
        let name = cursor.name("the name of a materialized view or alert")?;
        return Ok(StatementKind::Explain(ExplainTarget::Running(name)));
    }
    if cursor.at_paren() || at_query(cursor) {
        return Ok(StatementKind::Explain(ExplainTarget::Query(
            cursor.rest_as_query()?,
        )));
    }
    let _ = cursor.words(&["materialized", "view"])
        || (cursor.at_word("view") && !cursor.is_last() && cursor.word("view"));
    let name = cursor.name("a query or the name of a view")?;
    Ok(StatementKind::Explain(ExplainTarget::Relation(name)))
}

fn at_query(cursor: &mut Cursor<'_>) -> bool {
    let queries = ["select", "with", "values", "from"];
    queries.iter().any(|word| cursor.at_word(word))
}

/// The error for a statement that begins with something unknown.
pub(super) fn unknown_statement(cursor: &Cursor<'_>) -> SqlError {
    const STATEMENTS: [&str; 11] = [
        "select", "create", "alter", "drop", "show", "describe", "explain", "pause", "resume",
        "with", "values",
    ];
    let written = cursor.shown_word().unwrap_or("").to_lowercase();
    let hint = match written.as_str() {
        "insert" | "update" | "delete" | "merge" | "copy" => {
            Some("rows come from topics: write to the topic with `headwater produce` or any Kafka client".to_owned())
        }
        "begin" | "commit" | "rollback" | "set" | "reset" => {
            Some("statements need no transaction or settings".to_owned())
        }
        "refresh" | "analyze" | "vacuum" => {
            Some("views are always up to date and need no care".to_owned())
        }
        "truncate" => Some("rows go with their topic: headwater topic delete".to_owned()),
        "grant" | "revoke" => Some("access rights are those of topics: headwater acl".to_owned()),
        "\\" => Some("SHOW ALL lists what there is, DESCRIBE name shows columns".to_owned()),
        _ => nearest::hint(&written, STATEMENTS),
    };
    cursor
        .expected(
            "a statement (CREATE, SELECT, SHOW, DESCRIBE, EXPLAIN, ALTER, PAUSE, RESUME, DROP)",
        )
        .maybe_hint(hint)
}
