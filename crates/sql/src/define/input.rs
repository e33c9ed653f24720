//! `CREATE SOURCE` and `CREATE TABLE`: columns, primary key, watermark.

use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::Expr;
use datafusion::sql::sqlparser::ast::DataType as SqlType;

use super::formats::Way;
use super::options::{OptionReader, SOURCE, TABLE};
use crate::ast::{Column, Columns, Create, Name, Statement, Watermark};
use crate::error::Result;
use crate::exprs::{Scope, is_now};
use crate::model::{ColumnDef, ColumnFrom, SourceDef, StartAt, TableDef, WatermarkDef};
use crate::nearest;
use crate::session::Session;
use crate::types::{self, timestamptz};

/// How long a partition may be silent unless told, in milliseconds.
const IDLE_MS_DEFAULT: i64 = 5_000;
const COLUMNS_MAX: usize = 1_000;

pub(super) fn source(
    session: &Session,
    statement: &Statement,
    create: &Create,
    columns: &Columns,
    reader: &OptionReader<'_>,
) -> Result<SourceDef> {
    reader.check(&SOURCE)?;
    if let Some(key) = &columns.primary_key {
        let at = key.first().map_or(create.name.at, |name| name.at);
        let error = statement
            .source
            .error(at, "a source has no primary key: it keeps every record");
        return Err(error.hint("write CREATE TABLE to keep the latest row of each key"));
    }
    let input = Input {
        session,
        statement,
        reader,
    };
    let defined = input.columns(columns)?;
    let watermark = input.watermark(columns.watermark.as_ref(), &defined)?;
    input.formats(&defined, &[])?;
    reader.word("connector", &["topic"])?;
    let start = if reader.word("start", &["earliest", "latest"])? == "latest" {
        StartAt::Latest
    } else {
        StartAt::Earliest
    };
    Ok(SourceDef {
        name: create.name.text.clone(),
        columns: defined,
        watermark,
        topic: reader.topic(&create.name.text)?,
        format: reader.value_format()?.to_owned(),
        start,
        options: reader.all(),
        of_table: None,
    })
}

pub(super) fn table(
    session: &Session,
    statement: &Statement,
    create: &Create,
    columns: &Columns,
    reader: &OptionReader<'_>,
) -> Result<TableDef> {
    reader.check(&TABLE)?;
    let Some(key) = &columns.primary_key else {
        let error = statement.source.error(
            create.name.at,
            format!("table \"{}\" has no primary key", create.name.text),
        );
        return Err(
            error.hint("write PRIMARY KEY after a column, or CREATE SOURCE to keep every record")
        );
    };
    let input = Input {
        session,
        statement,
        reader,
    };
    let defined = input.columns(columns)?;
    let watermark = input.watermark(columns.watermark.as_ref(), &defined)?;
    let primary_key = input.primary_key(key, &defined)?;
    input.formats(&defined, &primary_key)?;
    reader.word("connector", &["topic"])?;
    Ok(TableDef {
        name: create.name.text.clone(),
        columns: defined,
        primary_key,
        watermark,
        topic: reader.topic(&create.name.text)?,
        format: reader.value_format()?.to_owned(),
        options: reader.all(),
    })
}

struct Input<'a> {
    session: &'a Session,
    statement: &'a Statement,
    reader: &'a OptionReader<'a>,
}

impl Input<'_> {
    fn columns(&self, columns: &Columns) -> Result<Vec<ColumnDef>> {
        if columns.columns.len() > COLUMNS_MAX {
            return Err(self
                .statement
                .source
                .error_at_start(format!("at most {COLUMNS_MAX} columns are taken")));
        }
        if columns.columns.is_empty() {
            let error = self
                .statement
                .source
                .error_at_end("the columns are missing");
            return Err(error.hint("a node finds them out from the topic's newest records when it runs the statement; here, write them in brackets after the name"));
        }
        let mut defined: Vec<ColumnDef> = Vec::with_capacity(columns.columns.len());
        for column in &columns.columns {
            defined.push(ColumnDef {
                name: column.name.text.clone(),
                data_type: self.data_type(column)?,
                computed: None,
                not_null: column.not_null,
                json: matches!(column.data_type, SqlType::JSON | SqlType::JSONB),
                from: column.from.clone(),
                default: None,
            });
        }
        self.metadata_types(columns, &defined)?;
        if columns.columns.iter().all(|c| c.computed.is_some()) {
            return Err(self.statement.source.error_at_start(
                "all columns are computed: there is none to read from the records",
            ));
        }
        self.defaults(columns, &mut defined)?;
        self.computed(columns, &mut defined)?;
        Ok(defined)
    }

    /// A default is a constant: it reads no column.
    fn defaults(&self, columns: &Columns, defined: &mut [ColumnDef]) -> Result<()> {
        for (index, column) in columns.columns.iter().enumerate() {
            let Some(expr) = &column.default else {
                continue;
            };
            let scope = Scope {
                session: self.session,
                source: &self.statement.source,
                columns: &[],
                clock: false,
            };
            let what = format!("column \"{}\"", column.name.text);
            let data_type = defined[index].data_type.clone();
            defined[index].default = Some(scope.resolve(expr, &data_type, &what)?);
        }
        Ok(())
    }

    fn metadata_types(&self, columns: &Columns, defined: &[ColumnDef]) -> Result<()> {
        for (column, def) in columns.columns.iter().zip(defined) {
            let ColumnFrom::Metadata(name) = &def.from else {
                continue;
            };
            let text = matches!(def.data_type, DataType::Utf8);
            let bytes = matches!(def.data_type, DataType::Binary);
            let (fits, wanted) = match name.as_str() {
                "partition" => (def.data_type.is_integer(), "INT"),
                "offset" => (def.data_type == DataType::Int64, "BIGINT"),
                "timestamp" => (
                    matches!(def.data_type, DataType::Timestamp(..)),
                    "TIMESTAMPTZ",
                ),
                "topic" | "timestamp_type" | "headers" => (text, "TEXT"),
                _ => (text || bytes, "TEXT or BYTEA"),
            };
            if !fits {
                let message = format!(
                    "metadata '{name}' is {wanted}, not {}",
                    types::to_sql(&def.data_type)
                );
                return Err(self
                    .statement
                    .source
                    .error(column.type_at, message)
                    .hint(format!(
                        "declare the column as {wanted}, and CAST it in a computed one"
                    )));
            }
        }
        Ok(())
    }

    /// Computed columns read all columns of the records and the computed ones before them.
    fn computed(&self, columns: &Columns, defined: &mut [ColumnDef]) -> Result<()> {
        for (index, column) in columns.columns.iter().enumerate() {
            let Some(expr) = &column.computed else {
                continue;
            };
            if column.not_null {
                let error = self
                    .statement
                    .source
                    .error(column.name.at, "a computed column cannot be NOT NULL");
                return Err(error.hint("declare the columns that it reads NOT NULL"));
            }
            let readable = |(i, c): (usize, &ColumnDef)| {
                (i < index || columns.columns[i].computed.is_none()).then(|| c.clone())
            };
            let scope: Vec<ColumnDef> = defined.iter().enumerate().filter_map(readable).collect();
            let scope = Scope {
                session: self.session,
                source: &self.statement.source,
                columns: &scope,
                clock: true,
            };
            let what = format!("column \"{}\"", column.name.text);
            let resolved = scope.resolve(expr, &defined[index].data_type.clone(), &what)?;
            defined[index].computed = Some(resolved);
        }
        Ok(())
    }

    /// Formats fit the columns that they have to fill. Those of a table's primary key come from the record's key.
    fn formats(&self, columns: &[ColumnDef], primary_key: &[usize]) -> Result<()> {
        let of = |from: ColumnFrom| {
            let declared = columns.iter().enumerate();
            let count = declared.filter(|(i, c)| {
                c.computed.is_none() && c.from == from && !primary_key.contains(i)
            });
            count.count()
        };
        let values = of(ColumnFrom::Value);
        let keys = of(ColumnFrom::Key) + primary_key.len();
        let one = |option: &str, format: &str, count: usize, what: &str| {
            if matches!(format, "text" | "raw") && count != 1 {
                let message = format!(
                    "{option} '{format}' fills one column, but {count} are read from the {what}"
                );
                return Err(self
                    .reader
                    .error(option, message)
                    .hint("use csv or json for several columns"));
            }
            Ok(())
        };
        self.reader.check_formats(Way::Read)?;
        if values > 0 {
            let format = self.reader.value_format()?;
            one(self.reader.value_option(), format, values, "value")?;
        }
        match (keys, self.reader.get("key_format")) {
            (0, Some(_)) => Err(self
                .reader
                .error("key_format", "there is no column that is read from the key")
                .hint("write KEY after a column's type, for example: id BIGINT KEY")),
            (0, None) => Ok(()),
            // Without a word a table takes JSON objects and bare texts as keys.
            (_, None) if !primary_key.is_empty() => Ok(()),
            (count, _) => one("key_format", self.reader.key_format(count)?, count, "key"),
        }
    }

    fn data_type(&self, column: &Column) -> Result<DataType> {
        types::to_arrow(&column.data_type).map_err(|reason| {
            let error = self.statement.source.error(column.type_at, reason.clone());
            if reason.ends_with("is not known") {
                error.maybe_hint(types::hint(&column.data_type))
            } else {
                error
            }
        })
    }

    fn watermark(
        &self,
        watermark: Option<&Watermark>,
        columns: &[ColumnDef],
    ) -> Result<Option<WatermarkDef>> {
        let idle_ms = self
            .reader
            .duration_ms("idle_timeout")?
            .unwrap_or(IDLE_MS_DEFAULT);
        let Some(watermark) = watermark else {
            // A time of arrival needs no word on how late rows may be.
            let arrival = |c: &ColumnDef| {
                c.data_type == timestamptz() && c.computed.as_ref().is_some_and(is_now)
            };
            return Ok(columns.iter().position(arrival).map(|column| WatermarkDef {
                column,
                expr: Expr::Column(datafusion::common::Column::new_unqualified(
                    &columns[column].name,
                )),
                idle_ms,
            }));
        };
        let column = self.column(&watermark.column, columns)?;
        if !matches!(columns[column].data_type, DataType::Timestamp(..)) {
            let shown = types::to_sql(&columns[column].data_type);
            let error = self.statement.source.error(
                watermark.column.at,
                format!(
                    "event time is a TIMESTAMPTZ, but \"{}\" is {shown}",
                    watermark.column.text
                ),
            );
            return Err(error.hint(
                "declare a computed column: event_time TIMESTAMPTZ AS to_timestamp_millis(ms)",
            ));
        }
        let scope = Scope {
            session: self.session,
            source: &self.statement.source,
            columns,
            clock: false,
        };
        let expr = scope.resolve(&watermark.expr, &timestamptz(), "the watermark")?;
        Ok(Some(WatermarkDef {
            column,
            expr,
            idle_ms,
        }))
    }

    fn primary_key(&self, key: &[Name], columns: &[ColumnDef]) -> Result<Vec<usize>> {
        let mut indexes = Vec::with_capacity(key.len());
        for name in key {
            let index = self.column(name, columns)?;
            let column = &columns[index];
            if indexes.contains(&index) {
                return Err(self.statement.source.error(
                    name.at,
                    format!("\"{}\" is twice in the primary key", name.text),
                ));
            }
            if column.computed.is_some() {
                let error = self.statement.source.error(
                    name.at,
                    format!(
                        "\"{}\" is computed, so it cannot be in the primary key",
                        name.text
                    ),
                );
                return Err(error.hint("use a column of the record's key or value"));
            }
            if let ColumnFrom::Metadata(what) = &column.from {
                let message = format!(
                    "\"{}\" is metadata '{what}', so it cannot be in the primary key",
                    name.text
                );
                let error = self.statement.source.error(name.at, message);
                return Err(error.hint(
                    "a primary key is read from the record's key: leave METADATA out, and say how in key_format",
                ));
            }
            if column.data_type.is_nested() || column.data_type.is_floating() {
                let shown = types::to_sql(&column.data_type);
                let error = self
                    .statement
                    .source
                    .error(name.at, format!("a {shown} cannot be in a primary key"));
                return Err(error.hint("use integers, text, dates or times"));
            }
            indexes.push(index);
        }
        Ok(indexes)
    }

    fn column(&self, name: &Name, columns: &[ColumnDef]) -> Result<usize> {
        columns
            .iter()
            .position(|c| c.name == name.text)
            .ok_or_else(|| {
                let error = self
                    .statement
                    .source
                    .error(name.at, format!("there is no column \"{}\"", name.text));
                error.maybe_hint(nearest::hint(
                    &name.text,
                    columns.iter().map(|c| c.name.as_str()),
                ))
            })
    }
}
