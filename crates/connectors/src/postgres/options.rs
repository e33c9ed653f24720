//! The options of `CREATE SINK ... INTO postgres ... WITH (...)`.

use std::collections::BTreeMap;

use headwater_connect::{SinkColumn, SinkError};

/// As written; `url` may hold `${VAR}` and must not be shown expanded.
#[derive(Clone)]
pub struct PostgresOptions {
    pub url: String,
    pub schema: String,
    pub table: String,
    /// Key columns; empty for append-only views without key.
    pub key: Vec<String>,
    /// The view always has one row (an aggregate without groups): each change replaces it.
    pub single_row: bool,
}

const KNOWN: [&str; 4] = ["url", "schema", "table", "primary_key"];

impl PostgresOptions {
    /// `view_key`: the view's own key, used unless `primary_key` is given; `None` if rows are only added, empty if there is
    /// always one row. Checks everything that can be checked offline.
    pub fn parse(
        options: &BTreeMap<String, String>,
        columns: &[SinkColumn],
        view_key: Option<&[String]>,
    ) -> Result<Self, SinkError> {
        if let Some(unknown) = options.keys().find(|key| !KNOWN.contains(&key.as_str())) {
            return Err(SinkError::Rejected(format!(
                "unknown option '{unknown}'; known are {}",
                KNOWN.join(", ")
            )));
        }
        let required = |name: &str, example: &str| {
            let value = options
                .get(name)
                .filter(|value| !value.trim().is_empty())
                .cloned();
            value.ok_or_else(|| {
                SinkError::Rejected(format!(
                    "option '{name}' is missing, for example {name} = '{example}'"
                ))
            })
        };
        let key: Vec<String> = match options.get("primary_key") {
            Some(list) => list
                .split(',')
                .map(|name| name.trim().to_owned())
                .filter(|name| !name.is_empty())
                .collect(),
            None => view_key.unwrap_or_default().to_vec(),
        };
        if let Some(missing) = key
            .iter()
            .find(|name| columns.iter().all(|column| column.name != **name))
        {
            return Err(SinkError::Rejected(format!(
                "primary_key: the view has no column '{missing}'"
            )));
        }
        if let Some(why) = view_key.and_then(|view_key| misfit(&key, view_key)) {
            return Err(SinkError::Rejected(format!("primary_key: {why}")));
        }
        Ok(Self {
            url: required("url", "${PG_URL}")?,
            schema: options
                .get("schema")
                .cloned()
                .unwrap_or_else(|| "public".into()),
            table: required("table", "spend_1m")?,
            key,
            single_row: view_key.is_some_and(<[String]>::is_empty),
        })
    }
}

/// Why rows named by `key` would not be the view's rows. One end of a window tells the other, so one of them may be left out.
fn misfit(key: &[String], view_key: &[String]) -> Option<String> {
    let hint = match view_key {
        [] => "the view always has one row and needs none: leave it out".to_owned(),
        names => format!("the view's key is '{}'", names.join(",")),
    };
    let other_end = |name: &str| match name {
        "window_start" => Some("window_end"),
        "window_end" => Some("window_start"),
        _ => None,
    };
    let has = |name: &str| key.iter().any(|k| k == name);
    if let Some(extra) = key.iter().find(|name| !view_key.contains(name)) {
        return Some(format!("'{extra}' does not belong to it; {hint}"));
    }
    let told = |name: &&String| !has(name) && !other_end(name).is_some_and(has);
    view_key
        .iter()
        .find(told)
        .map(|missing| format!("'{missing}' is missing; {hint}"))
}

/// An identifier as SQL text.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
