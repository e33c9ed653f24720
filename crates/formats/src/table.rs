//! [`TableDecoder`]: records of a keyed topic into rows and deletions of a table.
//!
//! The primary key comes from the record's key. If nothing is said of the key's format it is a JSON object by field, else the text itself
//! for a key of one column; a record without a key then has it in its value. Which record of a key is the latest is not decided here.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};

use crate::error::{DecodeError, FormatError};
use crate::format::{Decoder, by_name};
use crate::json::{JsonDecoder, is_number, is_string};
use crate::record::{Collected, From, Layout, RecordView};

/// Decoded records of a table, in the order they were pushed.
#[derive(Debug)]
pub struct TableBatch {
    /// All declared columns. Of a deleted row only those of the record's key are there, so every column is nullable here.
    pub rows: RecordBatch,
    /// One a row: the record was a tombstone.
    pub deleted: Vec<bool>,
}

/// How a table's records are read.
#[derive(Clone, Debug)]
pub struct TableLayout {
    pub records: Layout,
    /// Columns of the primary key, which are read from the record's key.
    pub primary_key: Vec<usize>,
    /// Nothing is said of the key's format.
    pub any_key: bool,
}

pub struct TableDecoder {
    schema: SchemaRef,
    places: Vec<Place>,
    keys: Keys,
    /// Of the records that have a value; `None`: no column comes from it.
    rest: Option<Box<dyn Decoder>>,
    metadata: Vec<Collected>,
    topic: String,
    deleted: Vec<bool>,
    /// Rows that are not deleted.
    live: usize,
    scratch: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Place {
    Key(usize),
    Rest(usize),
    Metadata(usize),
}

enum Keys {
    /// `in_value`: a value is JSON and may have the key of a record without one.
    Any {
        json: Box<JsonDecoder>,
        in_value: bool,
    },
    In(Box<dyn Decoder>),
}

impl TableDecoder {
    /// # Errors
    /// If a format cannot hold the type of a column.
    pub fn new(layout: &TableLayout) -> Result<Self, FormatError> {
        let records = &layout.records;
        let (mut keys, mut rest, mut metadata) = (Vec::new(), Vec::new(), Vec::new());
        let mut places = Vec::new();
        for (index, field) in records.schema.fields().iter().enumerate() {
            if layout.primary_key.contains(&index) {
                keys.push(field.as_ref().clone().with_nullable(false));
                places.push(Place::Key(keys.len() - 1));
                continue;
            }
            places.push(match &records.from[index] {
                From::Value => {
                    rest.push(field.as_ref().clone());
                    Place::Rest(rest.len() - 1)
                }
                From::Key => {
                    keys.push(field.as_ref().clone());
                    Place::Key(keys.len() - 1)
                }
                From::Metadata(what) => {
                    metadata.push(Collected::new(what.clone(), field));
                    Place::Metadata(metadata.len() - 1)
                }
            });
        }
        let nullable = records.schema.fields().iter();
        let nullable = nullable.map(|f| f.as_ref().clone().with_nullable(true));
        let keys = Arc::new(Schema::new(keys));
        Ok(Self {
            schema: Arc::new(Schema::new(nullable.collect::<Vec<Field>>())),
            places,
            keys: Keys::of(keys, layout)?,
            rest: match rest.is_empty() {
                true => None,
                false => {
                    let schema = Arc::new(Schema::new(rest));
                    let format = by_name(&records.value.format)?;
                    Some(format.decoder(schema, &records.value, None)?)
                }
            },
            metadata,
            topic: records.topic.clone(),
            deleted: Vec::new(),
            live: 0,
            scratch: Vec::new(),
        })
    }

    pub fn wants_headers(&self) -> bool {
        self.metadata.iter().any(Collected::wants_headers)
    }

    /// Appends one record: a row, or a deletion if it has no value; `false` if it is neither, such as a CSV header. `Err`: a dead
    /// letter, nothing was appended.
    pub fn push(&mut self, record: &RecordView<'_>) -> Result<bool, DecodeError> {
        let read = self.read(record);
        if let Ok(true) = read {
            self.deleted.push(record.value.is_none());
            self.live += usize::from(record.value.is_some());
        } else {
            self.undo();
        }
        read
    }

    fn read(&mut self, record: &RecordView<'_>) -> Result<bool, DecodeError> {
        match (record.key, record.value) {
            (Some(key), _) => self.keys.push(key, &mut self.scratch)?,
            (None, Some(value)) => self.keys.push_value(value)?,
            (None, None) => return Err(DecodeError::new("a tombstone without a key")),
        }
        if let (Some(rest), Some(value)) = (&mut self.rest, record.value) {
            rest.push(value)?;
            if rest.rows() == self.live {
                return Ok(false);
            }
        }
        let (rows, topic) = (self.deleted.len(), self.topic.as_bytes());
        for column in &mut self.metadata {
            match column.push(record, topic) {
                Err(error) if record.value.is_some() => return Err(error),
                Err(_) => {
                    column.truncate(rows);
                    column.push_nothing();
                }
                Ok(()) => {}
            }
        }
        Ok(true)
    }

    pub fn rows(&self) -> usize {
        self.deleted.len()
    }

    /// Takes back the records from `rows` on.
    pub fn truncate(&mut self, rows: usize) {
        self.deleted.truncate(rows);
        self.live = self.deleted.iter().filter(|deleted| !**deleted).count();
        self.undo();
    }

    /// Takes back what goes beyond the records that are counted.
    fn undo(&mut self) {
        let (rows, live) = (self.deleted.len(), self.live);
        self.keys.truncate(rows);
        self.rest.iter_mut().for_each(|rest| rest.truncate(live));
        self.metadata.iter_mut().for_each(|m| m.truncate(rows));
    }

    /// The records so far; the decoder starts over.
    pub fn finish(&mut self) -> Result<TableBatch, FormatError> {
        let deleted = std::mem::take(&mut self.deleted);
        self.live = 0;
        let keys = self.keys.finish()?;
        let rest = match &mut self.rest {
            Some(rest) => spread(&rest.finish()?, &deleted)?,
            None => Vec::new(),
        };
        let metadata = self.metadata.iter_mut().map(Collected::finish);
        let metadata = metadata.collect::<Result<Vec<_>, _>>()?;
        let column = |place: &Place| match *place {
            Place::Key(index) => Arc::clone(&keys[index]),
            Place::Rest(index) => Arc::clone(&rest[index]),
            Place::Metadata(index) => Arc::clone(&metadata[index]),
        };
        let arrays = self.places.iter().map(column).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(deleted.len()));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)?;
        Ok(TableBatch { rows, deleted })
    }
}

/// The columns of the rows that are there, with NULLs for those that are deleted.
fn spread(live: &RecordBatch, deleted: &[bool]) -> Result<Vec<ArrayRef>, FormatError> {
    if live.num_rows() == deleted.len() {
        return Ok(live.columns().to_vec());
    }
    let mut next = 0..;
    let place = |deleted: &bool| if *deleted { None } else { next.next() };
    let places: UInt32Array = deleted.iter().map(place).collect();
    let columns = live
        .columns()
        .iter()
        .map(|column| take(column, &places, None));
    Ok(columns.collect::<Result<_, _>>()?)
}

impl Keys {
    fn of(schema: SchemaRef, layout: &TableLayout) -> Result<Self, FormatError> {
        if !layout.any_key {
            let settings = &layout.records.key;
            let format = by_name(&settings.format)?;
            return Ok(Self::In(format.decoder(schema, settings, None)?));
        }
        Ok(Self::Any {
            json: Box::new(JsonDecoder::new(schema)?),
            in_value: layout.records.value.format == "json",
        })
    }

    fn push(&mut self, key: &[u8], scratch: &mut Vec<u8>) -> Result<(), DecodeError> {
        match self {
            Self::In(decoder) => decoder.push(key).map_err(in_key),
            Self::Any { json, .. } => push_any(json, key, scratch),
        }
    }

    fn push_value(&mut self, value: &[u8]) -> Result<(), DecodeError> {
        match self {
            Self::Any {
                json,
                in_value: true,
            } => json.push(value),
            _ => Err(DecodeError::new("the record has no key")),
        }
    }

    fn truncate(&mut self, rows: usize) {
        match self {
            Self::Any { json, .. } => json.truncate(rows),
            Self::In(decoder) => decoder.truncate(rows),
        }
    }

    fn finish(&mut self) -> Result<Vec<ArrayRef>, FormatError> {
        let batch = match self {
            Self::Any { json, .. } => json.finish()?,
            Self::In(decoder) => decoder.finish()?,
        };
        Ok(batch.columns().to_vec())
    }
}

/// A JSON object with the key's fields, or the bare text of a key of one column.
fn push_any(json: &mut JsonDecoder, key: &[u8], scratch: &mut Vec<u8>) -> Result<(), DecodeError> {
    let object = key.trim_ascii_start().first() == Some(&b'{');
    let schema = Arc::clone(json.schema());
    let by_field = if object {
        json.push(key)
    } else {
        Err(DecodeError::new(
            "it is not a JSON object with the key's fields",
        ))
    };
    let bare = match schema.fields().as_ref() {
        // Text that merely begins like an object is still text; an object without the field is not.
        [field]
            if !object
                || (field.data_type() == &DataType::Utf8
                    && serde_json::from_slice::<serde::de::IgnoredAny>(key).is_err()) =>
        {
            field
        }
        _ => return by_field.map_err(in_key),
    };
    if by_field.is_ok() {
        return Ok(());
    }
    wrap_scalar(bare, key, scratch)?;
    json.push(scratch).map_err(in_key)
}

/// Puts a scalar key into `scratch` as the object that the decoder reads.
fn wrap_scalar(field: &Field, key: &[u8], scratch: &mut Vec<u8>) -> Result<(), DecodeError> {
    let text = std::str::from_utf8(key).map_err(|_| in_key(DecodeError::new("invalid UTF-8")))?;
    let trimmed = text.trim_ascii();
    let is_text = field.data_type() == &DataType::Utf8;
    let json = is_string(trimmed.as_bytes())
        || (!is_text && (is_number(trimmed.as_bytes()) || matches!(trimmed, "true" | "false")));
    scratch.clear();
    scratch.push(b'{');
    quote(field.name(), scratch);
    scratch.push(b':');
    if json {
        scratch.extend_from_slice(trimmed.as_bytes());
    } else {
        quote(text, scratch);
    }
    scratch.push(b'}');
    Ok(())
}

fn in_key(error: DecodeError) -> DecodeError {
    DecodeError::new(format!("record key: {}", error.message))
}

fn quote(text: &str, out: &mut Vec<u8>) {
    // Writing into memory cannot fail.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests;
