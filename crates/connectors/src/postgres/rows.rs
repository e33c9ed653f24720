//! Changes as sets of rows, and the statements that apply a set at once.

use std::collections::HashMap;

use headwater_connect::{Change, ChangeKind, ColumnType, SinkColumn, SinkError};
use serde_json::Value;
use tokio_postgres::types::ToSql;

use super::options::{PostgresOptions, quoted};
use super::table::Target;
use super::types::text;

/// Rows of one statement; more are cut.
pub(super) const STATEMENT_ROWS_MAX: usize = 5000;

/// What is left of a batch when only the last change of each key counts.
#[derive(Debug, Default)]
pub(super) struct Net<'c> {
    pub upserts: Vec<&'c Change>,
    pub deletes: Vec<&'c Change>,
    /// Deletions of keys that hold NULL, which `=` does not find.
    pub null_deletes: Vec<&'c Change>,
    /// What is there goes first.
    pub replaces: bool,
}

/// `key`: indexes of the key's columns, empty for an append-only view or one that has a single row.
pub(super) fn net<'c>(
    changes: &'c [Change],
    key: &[usize],
    columns: usize,
    single_row: bool,
) -> Result<Net<'c>, SinkError> {
    if let Some(odd) = changes.iter().find(|change| change.values.len() != columns) {
        return Err(SinkError::Rejected(format!(
            "a change has {} values, the sink {columns} columns",
            odd.values.len()
        )));
    }
    let mut net = Net::default();
    if single_row {
        net.replaces = !changes.is_empty();
        net.upserts = changes
            .last()
            .filter(|last| last.kind == ChangeKind::Upsert)
            .into_iter()
            .collect();
        return Ok(net);
    }
    if key.is_empty() {
        if changes
            .iter()
            .any(|change| change.kind == ChangeKind::Delete)
        {
            return Err(SinkError::Rejected(
                "the view takes rows back: give the sink a primary_key".into(),
            ));
        }
        net.upserts = changes.iter().collect();
        return Ok(net);
    }
    let mut last: HashMap<String, usize> = HashMap::with_capacity(changes.len());
    for (index, change) in changes.iter().enumerate() {
        last.insert(key_text(change, key), index);
    }
    let mut kept: Vec<usize> = last.into_values().collect();
    // In order of arrival, whatever the map's order: statements are the same on every run.
    kept.sort_unstable();
    for change in kept.into_iter().map(|index| &changes[index]) {
        match change.kind {
            ChangeKind::Upsert => net.upserts.push(change),
            ChangeKind::Delete if key.iter().any(|column| change.values[*column].is_null()) => {
                net.null_deletes.push(change)
            }
            ChangeKind::Delete => net.deletes.push(change),
        }
    }
    Ok(net)
}

fn key_text(change: &Change, key: &[usize]) -> String {
    let mut text = String::new();
    for column in key {
        text.push_str(&change.values[*column].to_string());
        text.push('\u{1}');
    }
    text
}

/// The statements of one sink. Every parameter is an array of texts, one a column.
pub(super) struct Statements {
    pub insert: String,
    pub delete: String,
    pub delete_nulls: String,
    pub clear: String,
}

impl Statements {
    pub fn new(
        target: &Target,
        options: &PostgresOptions,
        columns: &[SinkColumn],
        key: &[usize],
    ) -> Self {
        let all: Vec<usize> = (0..columns.len()).collect();
        let names = |indexes: &[usize]| {
            indexes
                .iter()
                .map(|i| quoted(&columns[*i].name))
                .collect::<Vec<_>>()
        };
        let from = |indexes: &[usize]| {
            let parameters: Vec<String> = (1..=indexes.len())
                .map(|i| format!("${i}::text[]"))
                .collect();
            let aliases: Vec<String> = indexes.iter().map(|i| format!("v{i}")).collect();
            format!(
                "unnest({}) AS new_rows({})",
                parameters.join(", "),
                aliases.join(", ")
            )
        };
        let cast = |index: usize| {
            let value = format!("new_rows.v{index}");
            let bytes = columns[index].kind == ColumnType::Bytes;
            if bytes {
                format!("decode({value}, 'base64')")
            } else {
                format!("{value}::{}", target.casts[index])
            }
        };
        let casts: Vec<String> = all.iter().map(|i| cast(*i)).collect();
        let matching = |operator: &str| {
            let one = |i: &usize| {
                format!(
                    "target.{} {operator} {}",
                    quoted(&columns[*i].name),
                    cast(*i)
                )
            };
            key.iter().map(one).collect::<Vec<_>>().join(" AND ")
        };
        let delete = |operator: &str| {
            format!(
                "DELETE FROM {} AS target USING {} WHERE {}",
                target.name,
                from(key),
                matching(operator)
            )
        };
        let insert = format!(
            "INSERT INTO {} ({}) SELECT {} FROM {}",
            target.name,
            names(&all).join(", "),
            casts.join(", "),
            from(&all)
        );
        Self {
            insert: insert + &on_conflict(options, columns, key),
            delete: delete("="),
            delete_nulls: delete("IS NOT DISTINCT FROM"),
            clear: format!("DELETE FROM {}", target.name),
        }
    }
}

fn on_conflict(options: &PostgresOptions, columns: &[SinkColumn], key: &[usize]) -> String {
    if key.is_empty() {
        return String::new();
    }
    let target: Vec<String> = options.key.iter().map(|name| quoted(name)).collect();
    let rest = (0..columns.len())
        .filter(|i| !key.contains(i))
        .map(|i| quoted(&columns[i].name));
    let sets: Vec<String> = rest
        .map(|name| format!("{name} = EXCLUDED.{name}"))
        .collect();
    let action = if sets.is_empty() {
        "NOTHING".into()
    } else {
        format!("UPDATE SET {}", sets.join(", "))
    };
    format!(" ON CONFLICT ({}) DO {action}", target.join(", "))
}

/// The values of some columns, column by column, as a statement's parameters.
pub(super) fn parameters(
    changes: &[&Change],
    indexes: &[usize],
    columns: &[SinkColumn],
) -> Vec<Vec<Option<String>>> {
    let value = |change: &&Change, index: usize| {
        text(
            &columns[index].kind,
            change.values.get(index).unwrap_or(&Value::Null),
        )
    };
    indexes
        .iter()
        .map(|index| changes.iter().map(|change| value(change, *index)).collect())
        .collect()
}

pub(super) fn references(parameters: &[Vec<Option<String>>]) -> Vec<&(dyn ToSql + Sync)> {
    parameters
        .iter()
        .map(|parameter| parameter as &(dyn ToSql + Sync))
        .collect()
}
