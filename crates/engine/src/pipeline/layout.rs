//! How records of sources and tables are read: columns and options to a decoder. Options of formats are the same for who writes.

use datafusion::arrow::datatypes::Schema;
use headwater_formats::record::{From, Layout, Metadata, RecordDecoder};
use headwater_formats::versions::VERSION_COLUMNS;
use headwater_formats::{
    Decoder, FormatError, Settings, TableDecoder, TableLayout, VersionsDecoder, by_name,
};
use headwater_sql::model::{ColumnDef, ColumnFrom, Options, SourceDef, TableDef};
use headwater_sql::{VERSIONS_FORMAT, physical_schema_of};

/// The decoder of a source. `read`: the part of its columns that is read; formats may leave the others NULL.
///
/// # Errors
/// If a format cannot hold the type of a column.
pub fn source_decoder(def: &SourceDef, read: &Schema) -> Result<Box<dyn Decoder>, FormatError> {
    if def.format == VERSIONS_FORMAT {
        return versions_decoder(def);
    }
    let carried = || def.columns.iter().filter(|c| c.computed.is_none());
    let of_key = |c: &ColumnDef| c.from == ColumnFrom::Key;
    let keys = carried().filter(|c| of_key(c)).count();
    let default = if keys == 1 { "text" } else { "json" };
    let layout = layout(
        &def.topic,
        &def.format,
        default,
        &def.options,
        &def.columns,
        &of_key,
    );
    if carried().all(|c| c.from == ColumnFrom::Value) {
        return by_name(&def.format)?.decoder(layout.schema, &layout.value, Some(read));
    }
    Ok(Box::new(RecordDecoder::new(&layout)?))
}

/// The decoder of a table, and the columns of its primary key among those that are not computed.
///
/// # Errors
/// If a format cannot hold the type of a column.
pub fn table_decoder(def: &TableDef) -> Result<(TableDecoder, Vec<usize>), FormatError> {
    let key: Vec<&str> = def
        .primary_key
        .iter()
        .map(|c| def.columns[*c].name.as_str())
        .collect();
    let of_key = |c: &ColumnDef| c.from == ColumnFrom::Key || key.contains(&c.name.as_str());
    let records = layout(
        &def.topic,
        &def.format,
        "json",
        &def.options,
        &def.columns,
        &of_key,
    );
    let place = |column: &usize| {
        let before = def.columns.iter().take(*column);
        before.filter(|c| c.computed.is_none()).count()
    };
    let primary_key: Vec<usize> = def.primary_key.iter().map(place).collect();
    let decoder = TableDecoder::new(&TableLayout {
        records,
        primary_key: primary_key.clone(),
        any_key: !def.options.contains_key("key_format"),
    })?;
    Ok((decoder, primary_key))
}

/// All records of a table's topic: its own columns, read as the table reads them, then what is known of each record.
fn versions_decoder(def: &SourceDef) -> Result<Box<dyn Decoder>, FormatError> {
    let of_key = |c: &ColumnDef| c.from == ColumnFrom::Key;
    let own = def.columns.len().saturating_sub(VERSION_COLUMNS);
    // As the table reads them; only what a record deletes is NULL.
    let mut own = def.columns[..own].to_vec();
    let of_table = def.of_table.as_ref();
    for (at, column) in own.iter_mut().enumerate() {
        column.not_null = of_table.is_some_and(|table| table.not_null.contains(&at));
    }
    let options = &def.options;
    let format = options.get("value_format").or(options.get("format"));
    let format = format.map_or("json".to_owned(), |f| f.to_lowercase());
    let records = layout(&def.topic, &format, "json", options, &own, &of_key);
    let key = |at: &usize| of_table.is_some_and(|table| table.primary_key.contains(at));
    let carried = (0..own.len()).filter(|at| own[*at].computed.is_none());
    let primary_key = carried.enumerate().filter(|(_, at)| key(at));
    let table = TableLayout {
        records,
        primary_key: primary_key.map(|(place, _)| place).collect(),
        any_key: !options.contains_key("key_format"),
    };
    let schema = physical_schema_of(&def.columns);
    Ok(Box::new(VersionsDecoder::new(&schema, &table)?))
}

fn layout(
    topic: &str,
    format: &str,
    key_default: &str,
    options: &Options,
    columns: &[ColumnDef],
    of_key: &dyn Fn(&ColumnDef) -> bool,
) -> Layout {
    let in_value =
        |c: &ColumnDef| c.computed.is_none() && c.from == ColumnFrom::Value && !of_key(c);
    let names = |wanted: &dyn Fn(&ColumnDef) -> bool| {
        let wanted = columns.iter().filter(|c| wanted(c));
        wanted.map(|c| c.name.clone()).collect()
    };
    let key_format = options.get("key_format").map(|f| f.to_lowercase());
    let key_format = key_format.as_deref().unwrap_or(key_default);
    Layout {
        topic: topic.to_owned(),
        schema: physical_schema_of(columns),
        from: columns
            .iter()
            .filter(|c| c.computed.is_none())
            .map(|c| from(&c.from))
            .collect(),
        value: Settings {
            declared: names(&|c| !in_value(c)),
            ..settings(options, format)
        },
        key: Settings {
            declared: names(&|c| !of_key(c)),
            ..settings(options, key_format)
        },
    }
}

/// A format with those of the options that speak of it.
pub fn settings(options: &Options, format: &str) -> Settings {
    let prefix = format!("{format}.");
    let options = options
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(&prefix)?.to_owned(), value.clone())));
    Settings {
        format: format.to_owned(),
        options: options.collect(),
        declared: Vec::new(),
    }
}

fn from(column: &ColumnFrom) -> From {
    let name = match column {
        ColumnFrom::Value => return From::Value,
        ColumnFrom::Key => return From::Key,
        ColumnFrom::Metadata(name) => name,
    };
    From::Metadata(match name.as_str() {
        "topic" => Metadata::Topic,
        "partition" => Metadata::Partition,
        "offset" => Metadata::Offset,
        "timestamp" => Metadata::Timestamp,
        "timestamp_type" => Metadata::TimestampType,
        "key" => Metadata::Key,
        "value" => Metadata::Value,
        "headers" => Metadata::Headers,
        other => Metadata::Header(other.trim_start_matches("headers.").to_owned()),
    })
}
