//! Whole records into rows: columns of the value, columns of the key, and what else is known of a record.
//!
//! A record that does not fit leaves nothing behind in any of its parts.

mod metadata;

use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};

use crate::error::{DecodeError, FormatError};
use crate::format::{Decoder, Settings, by_name};
pub(crate) use metadata::Collected;

/// A record as the log has it.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecordView<'a> {
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since 1970.
    pub timestamp_ms: i64,
    /// The broker set the timestamp, not the producer.
    pub append_time: bool,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    /// Empty unless [`RecordDecoder::wants_headers`].
    pub headers: &'a [HeaderView<'a>],
}

#[derive(Clone, Copy, Debug)]
pub struct HeaderView<'a> {
    pub key: &'a [u8],
    pub value: Option<&'a [u8]>,
}

/// Where a column comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    Value,
    Key,
    Metadata(Metadata),
}

/// What is known of a record beside its columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Metadata {
    Topic,
    Partition,
    Offset,
    Timestamp,
    TimestampType,
    /// The key's bytes.
    Key,
    /// The value's bytes.
    Value,
    /// All of them, as a JSON array of objects with `key` and `value`.
    Headers,
    /// The last one of this name.
    Header(String),
}

/// How a source's records are read.
#[derive(Clone, Debug)]
pub struct Layout {
    pub topic: String,
    /// The columns that records carry, in order.
    pub schema: SchemaRef,
    /// One a column.
    pub from: Vec<From>,
    pub value: Settings,
    pub key: Settings,
}

/// See the module's description.
pub struct RecordDecoder {
    schema: SchemaRef,
    /// Where each column is: of the value, of the key, or which of the metadata.
    places: Vec<(Part, usize)>,
    value: Option<Box<dyn Decoder>>,
    key: Option<Box<dyn Decoder>>,
    metadata: Vec<Collected>,
    topic: String,
    rows: usize,
}

#[derive(Clone, Copy)]
enum Part {
    Value,
    Key,
    Metadata,
}

impl RecordDecoder {
    /// # Errors
    /// If a format cannot hold the type of a column.
    pub fn new(layout: &Layout) -> Result<Self, FormatError> {
        let (mut values, mut keys, mut metadata, mut places) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (field, from) in layout.schema.fields().iter().zip(&layout.from) {
            match from {
                From::Value => {
                    places.push((Part::Value, values.len()));
                    values.push(Arc::clone(field));
                }
                From::Key => {
                    places.push((Part::Key, keys.len()));
                    keys.push(Arc::clone(field));
                }
                From::Metadata(what) => {
                    places.push((Part::Metadata, metadata.len()));
                    metadata.push(Collected::new(what.clone(), field));
                }
            }
        }
        let part = |fields: Vec<Arc<Field>>,
                    settings: &Settings|
         -> Result<Option<Box<dyn Decoder>>, FormatError> {
            if fields.is_empty() {
                return Ok(None);
            }
            by_name(&settings.format)?
                .decoder(Arc::new(Schema::new(fields)), settings, None)
                .map(Some)
        };
        Ok(Self {
            schema: Arc::clone(&layout.schema),
            value: part(values, &layout.value)?,
            key: part(keys, &layout.key)?,
            metadata,
            topic: layout.topic.clone(),
            places,
            rows: 0,
        })
    }

    pub fn wants_headers(&self) -> bool {
        self.metadata.iter().any(Collected::wants_headers)
    }

    /// Whether the record was a row: a CSV file's header is none.
    fn read(&mut self, record: &RecordView<'_>) -> Result<bool, DecodeError> {
        if let Some(value) = &mut self.value {
            let bytes = record.value.ok_or_else(|| DecodeError::new("null value"))?;
            value.push(bytes)?;
            if value.rows() == self.rows {
                return Ok(false);
            }
        }
        if let Some(key) = &mut self.key {
            let bytes = record
                .key
                .ok_or_else(|| DecodeError::new("the record has no key"))?;
            let pushed = key.push(bytes);
            pushed.map_err(|e| DecodeError::new(format!("record key: {}", e.message)))?;
        }
        let topic = self.topic.as_bytes();
        self.metadata
            .iter_mut()
            .try_for_each(|m| m.push(record, topic))?;
        Ok(true)
    }

    fn truncate_to(&mut self, rows: usize) {
        for part in [&mut self.value, &mut self.key].into_iter().flatten() {
            part.truncate(rows);
        }
        self.metadata.iter_mut().for_each(|m| m.truncate(rows));
        self.rows = rows;
    }
}

impl Decoder for RecordDecoder {
    fn push(&mut self, value: &[u8]) -> Result<(), DecodeError> {
        self.push_record(&RecordView {
            value: Some(value),
            ..RecordView::default()
        })
    }

    fn push_record(&mut self, record: &RecordView<'_>) -> Result<(), DecodeError> {
        let read = self.read(record);
        match read {
            Ok(true) => self.rows += 1,
            Ok(false) => {}
            Err(_) => self.truncate_to(self.rows),
        }
        read.map(|_| ())
    }

    fn wants_headers(&self) -> bool {
        Self::wants_headers(self)
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn truncate(&mut self, rows: usize) {
        self.truncate_to(rows);
    }

    fn finish(&mut self) -> Result<RecordBatch, FormatError> {
        let rows = std::mem::take(&mut self.rows);
        let columns = |part: &mut Option<Box<dyn Decoder>>| match part {
            Some(decoder) => decoder.finish().map(|batch| batch.columns().to_vec()),
            None => Ok(Vec::new()),
        };
        let (values, keys) = (columns(&mut self.value)?, columns(&mut self.key)?);
        let metadata = self.metadata.iter_mut().map(Collected::finish);
        let metadata = metadata.collect::<Result<Vec<_>, _>>()?;
        let column = |(part, at): &(Part, usize)| match part {
            Part::Value => Arc::clone(&values[*at]),
            Part::Key => Arc::clone(&keys[*at]),
            Part::Metadata => Arc::clone(&metadata[*at]),
        };
        let arrays = self.places.iter().map(column).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            arrays,
            &options,
        )?)
    }
}
