//! `CREATE SINK ... INTO topic`: which columns of a row go where in a record, and in which format. Mirrors what sources read.

use datafusion::arrow::datatypes::{DataType, Field, SchemaRef};
use headwater_formats::write::{Outline, Part};
use headwater_formats::{FormatError, sql_name};
use headwater_sql::model::SinkDef;
use headwater_sql::{Places, SqlError};

use super::build::columns_of;
use crate::pipeline::layout::settings;
use crate::pipeline::plan::TopicRecords;

/// What the sink reads.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    pub schema: &'a SchemaRef,
    pub append_only: bool,
    pub key: Option<&'a [usize]>,
}

/// # Errors
/// What of it cannot be written, at its place in the statement.
pub fn records(sink: &SinkDef, rows: Rows<'_>, places: &Places) -> Result<TopicRecords, SqlError> {
    let plan = Plan { sink, rows, places };
    let key_columns = plan.key()?;
    let key = match &key_columns {
        Some(columns) => Some(plan.key_part(columns)?),
        None => plan.no_key()?,
    };
    let headers = plan.headers()?;
    let timestamp = plan.timestamp()?;
    let value = plan.value(key_columns.as_deref().unwrap_or(&[]), &headers, timestamp)?;
    Ok(TopicRecords {
        upserts: key_columns.filter(|_| !rows.append_only),
        outline: Outline {
            value,
            key,
            always_keyed: !rows.append_only,
            headers,
            timestamp,
        },
    })
}

pub fn keyless(sink: &SinkDef, places: &Places) -> SqlError {
    let message = format!(
        "sink {}: rows of {} change, but it has no key to name them by",
        sink.name, sink.from
    );
    places
        .error("", message)
        .hint("GROUP BY the columns that identify a row, or add EMIT ON WINDOW CLOSE")
}

struct Plan<'a> {
    sink: &'a SinkDef,
    rows: Rows<'a>,
    places: &'a Places,
}

impl Plan<'_> {
    fn option(&self, name: &str) -> Option<&str> {
        self.sink.options.get(name).map(String::as_str)
    }

    fn error(&self, option: &str, message: impl std::fmt::Display) -> SqlError {
        self.places
            .error(option, format!("sink {}: {message}", self.sink.name))
    }

    /// Columns that an option names, with commas between them.
    fn columns(&self, option: &str) -> Result<Option<Vec<usize>>, SqlError> {
        let Some(names) = self.option(option) else {
            return Ok(None);
        };
        let found = columns_of(
            &self.sink.name,
            self.rows.schema,
            names.split(',').map(str::trim),
        );
        found.map(Some).map_err(|error| {
            let placed = self.places.error(option, error.message);
            placed.maybe_hint(error.hint)
        })
    }

    /// The columns of the records' keys.
    fn key(&self) -> Result<Option<Vec<usize>>, SqlError> {
        let named = self.columns("key")?;
        if self.rows.append_only {
            return Ok(named);
        }
        let key = self
            .rows
            .key
            .ok_or_else(|| keyless(self.sink, self.places))?;
        let columns = named.unwrap_or_else(|| key.to_vec());
        let (mut a, mut b) = (columns.clone(), key.to_vec());
        a.sort_unstable();
        b.sort_unstable();
        if a != b {
            let error = self.error("key", "the key of a changing view is its own key");
            return Err(error.hint("leave the option key out"));
        }
        Ok(Some(columns))
    }

    fn no_key(&self) -> Result<Option<Part>, SqlError> {
        if self.option("key_format").is_none() {
            return Ok(None);
        }
        let error = self.error("key_format", "its records have no key");
        Err(error.hint("name the key's columns: WITH (key = '...')"))
    }

    fn key_part(&self, columns: &[usize]) -> Result<Part, SqlError> {
        let format = self.option("key_format").unwrap_or("json").to_lowercase();
        let part = Part {
            columns: columns.to_vec(),
            settings: settings(&self.sink.options, &format),
        };
        let checked = part.check(self.rows.schema);
        checked.map_err(|error| self.unfit("key_format", "key", &error))?;
        Ok(part)
    }

    /// All columns, in text and raw the one that is nowhere else, unless the option names others.
    fn value(
        &self,
        key: &[usize],
        headers: &[(String, usize)],
        timestamp: Option<usize>,
    ) -> Result<Part, SqlError> {
        let option = match self.option("value_format") {
            Some(_) => "value_format",
            None => "format",
        };
        let format = self.option(option).unwrap_or("json").to_lowercase();
        let one = matches!(format.as_str(), "text" | "raw");
        let elsewhere = |column: &usize| {
            key.contains(column)
                || timestamp == Some(*column)
                || headers.iter().any(|(_, header)| header == column)
        };
        let all = 0..self.rows.schema.fields().len();
        let columns = self
            .columns("value")?
            .unwrap_or_else(|| all.filter(|column| !(one && elsewhere(column))).collect());
        let part = Part {
            columns,
            settings: settings(&self.sink.options, &format),
        };
        let checked = part.check(self.rows.schema);
        checked.map_err(|error| self.unfit(option, "value", &error))?;
        Ok(part)
    }

    fn unfit(&self, option: &str, what: &str, error: &FormatError) -> SqlError {
        let hint = match error {
            FormatError::Columns { format, found, .. } => {
                let message =
                    format!("{option} '{format}' holds one column, but the {what} has {found}");
                let error = self.error(option, message);
                let choose = match what {
                    "value" => "name it, WITH (value = '...'), or write csv or json for several",
                    _ => "write csv or json for several",
                };
                return error.hint(choose);
            }
            FormatError::Column { format: "raw", .. } => {
                "raw is one TEXT or BYTEA column as it is: write text".to_owned()
            }
            FormatError::Column {
                column, data_type, ..
            } if data_type == "BYTEA" => {
                format!("select encode({column}, 'base64') AS {column}, or write raw for it alone")
            }
            _ => format!(
                "write json, or select its parts or CAST it to TEXT, or leave it out: WITH ({what} = '...')"
            ),
        };
        self.error(option, error).hint(hint)
    }

    /// `headers = 'a, b'` under the columns' names, `headers.name = 'a'` under another.
    fn headers(&self) -> Result<Vec<(String, usize)>, SqlError> {
        let fields = self.rows.schema.fields();
        let mut headers: Vec<(String, usize)> = Vec::new();
        let plain = self.columns("headers")?.unwrap_or_default();
        headers.extend(plain.into_iter().map(|c| (fields[c].name().clone(), c)));
        for option in self.sink.options.keys() {
            let Some(name) = option.strip_prefix("headers.") else {
                continue;
            };
            let columns = self.columns(option)?.unwrap_or_default();
            let [column] = columns[..] else {
                let error = self.error(option, "a header is one column");
                return Err(error.hint("name one column"));
            };
            headers.push((name.to_owned(), column));
        }
        for (name, column) in &headers {
            self.plain_header(name, &fields[*column])?;
        }
        Ok(headers)
    }

    fn plain_header(&self, name: &str, field: &Field) -> Result<(), SqlError> {
        if !field.data_type().is_nested() {
            return Ok(());
        }
        let own = format!("headers.{name}");
        let option = if self.option(&own).is_some() {
            own.as_str()
        } else {
            "headers"
        };
        let message = format!(
            "a header is text or bytes, {} is {}",
            field.name(),
            sql_name(field.data_type())
        );
        Err(self
            .error(option, message)
            .hint("select a part of it, or CAST it to TEXT"))
    }

    fn timestamp(&self) -> Result<Option<usize>, SqlError> {
        let Some(columns) = self.columns("timestamp")? else {
            return Ok(None);
        };
        let [column] = columns[..] else {
            let error = self.error("timestamp", "a record has one time");
            return Err(error.hint("name one column"));
        };
        let field = self.rows.schema.field(column);
        if matches!(field.data_type(), DataType::Timestamp(..)) {
            return Ok(Some(column));
        }
        let (name, found) = (field.name(), sql_name(field.data_type()));
        let error = self.error(
            "timestamp",
            format!("the records' time is a TIMESTAMPTZ, but {name} is {found}"),
        );
        Err(error.hint("select it as CAST(... AS TIMESTAMPTZ) or to_timestamp_millis(...)"))
    }
}
