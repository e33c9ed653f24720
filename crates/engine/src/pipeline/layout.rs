//! How a source's records are read: its columns and options to a decoder. Options of formats are the same for who writes.

use datafusion::arrow::datatypes::Schema;
use headwater_formats::record::{From, Layout, Metadata, RecordDecoder};
use headwater_formats::{Decoder, FormatError, Settings, VersionsDecoder, by_name};
use headwater_sql::model::{ColumnFrom, Options, SourceDef};
use headwater_sql::{VERSIONS_FORMAT, physical_schema_of};

/// The decoder of a source. `read`: the part of its columns that is read; formats may leave the others NULL.
///
/// # Errors
/// If a format cannot hold the type of a column.
pub fn source_decoder(def: &SourceDef, read: &Schema) -> Result<Box<dyn Decoder>, FormatError> {
    let carried = def.columns.iter().filter(|c| c.computed.is_none());
    let schema = physical_schema_of(&def.columns);
    if def.format == VERSIONS_FORMAT {
        let keys = carried
            .enumerate()
            .filter(|(_, c)| c.from == ColumnFrom::Key);
        let keys: Vec<usize> = keys.map(|(at, _)| at).collect();
        return Ok(Box::new(VersionsDecoder::new(&schema, &keys)?));
    }
    let value = settings(&def.options, &def.format);
    if carried.clone().all(|c| c.from == ColumnFrom::Value) {
        let format = by_name(&def.format)?;
        return match value.options.is_empty() {
            true => format.decoder_of(schema, read),
            false => format.decoder_with(schema, &value),
        };
    }
    let keys = carried
        .clone()
        .filter(|c| c.from == ColumnFrom::Key)
        .count();
    let key_format = def.options.get("key_format").map(|f| f.to_lowercase());
    let key_format =
        key_format.unwrap_or_else(|| if keys == 1 { "text" } else { "json" }.to_owned());
    let layout = Layout {
        topic: def.topic.clone(),
        schema,
        from: carried.map(|c| from(&c.from)).collect(),
        value,
        key: settings(&def.options, &key_format),
    };
    Ok(Box::new(RecordDecoder::new(&layout)?))
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
