//! `CREATE SOURCE` and `CREATE TABLE`: columns, primary key, watermark.

use datafusion::arrow::datatypes::DataType;

use super::options::{OptionReader, SOURCE, TABLE};
use crate::ast::{Column, Columns, Create, Name, Statement, Watermark};
use crate::error::Result;
use crate::exprs::Scope;
use crate::model::{ColumnDef, SourceDef, StartAt, TableDef, WatermarkDef};
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
        format: reader.word("format", &["json"])?.to_owned(),
        start,
        options: reader.all(),
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
    reader.word("connector", &["topic"])?;
    Ok(TableDef {
        name: create.name.text.clone(),
        columns: defined,
        primary_key,
        watermark,
        topic: reader.topic(&create.name.text)?,
        format: reader.word("format", &["json"])?.to_owned(),
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
        let mut defined: Vec<ColumnDef> = Vec::with_capacity(columns.columns.len());
        for column in &columns.columns {
            defined.push(ColumnDef {
                name: column.name.text.clone(),
                data_type: self.data_type(column)?,
                computed: None,
                not_null: column.not_null,
            });
        }
        if columns.columns.iter().all(|c| c.computed.is_some()) {
            return Err(self.statement.source.error_at_start(
                "all columns are computed: there is none to read from the records",
            ));
        }
        self.computed(columns, &mut defined)?;
        Ok(defined)
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
            };
            let what = format!("column \"{}\"", column.name.text);
            let resolved = scope.resolve(expr, &defined[index].data_type.clone(), &what)?;
            defined[index].computed = Some(resolved);
        }
        Ok(())
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
            return Ok(None);
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
