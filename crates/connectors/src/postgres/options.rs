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
}

const KNOWN: [&str; 4] = ["url", "schema", "table", "primary_key"];

impl PostgresOptions {
    /// `view_key`: the view's own key, used unless `primary_key` is given. Checks everything that can be checked offline.
    pub fn parse(
        options: &BTreeMap<String, String>,
        columns: &[SinkColumn],
        view_key: &[String],
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
        let key = match options.get("primary_key") {
            Some(list) => list
                .split(',')
                .map(|name| name.trim().to_owned())
                .filter(|name| !name.is_empty())
                .collect(),
            None => view_key.to_vec(),
        };
        if let Some(missing) = key
            .iter()
            .find(|name| columns.iter().all(|column| column.name != **name))
        {
            return Err(SinkError::Rejected(format!(
                "primary_key: the view has no column '{missing}'"
            )));
        }
        Ok(Self {
            url: required("url", "${PG_URL}")?,
            schema: options
                .get("schema")
                .cloned()
                .unwrap_or_else(|| "public".into()),
            table: required("table", "spend_1m")?,
            key,
        })
    }
}

/// An identifier as SQL text.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
