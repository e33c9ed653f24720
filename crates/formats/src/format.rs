//! What every format offers, so that Avro or Protobuf is one more folder and one more line in [`by_name`].

use std::collections::BTreeMap;

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;

use crate::error::{DecodeError, FormatError};
use crate::json::{JsonDecoder, JsonEncoder};
use crate::record::RecordView;
use crate::text::{Csv, Plain, Raw};

/// Record values into rows. Owned by one task.
pub trait Decoder: Send {
    /// Appends one record value, or says why it is a dead letter and leaves nothing behind. A value may be no row
    /// and nothing wrong either (a CSV header): then [`Decoder::rows`] stays.
    fn push(&mut self, value: &[u8]) -> Result<(), DecodeError>;

    /// The same for a whole record. Formats of values see its value only.
    fn push_record(&mut self, record: &RecordView<'_>) -> Result<(), DecodeError> {
        match record.value {
            Some(value) => self.push(value),
            None => Err(DecodeError::new("null value")),
        }
    }

    /// Whether [`Decoder::push_record`] needs the record's headers.
    fn wants_headers(&self) -> bool {
        false
    }

    /// Rows appended since the last [`Decoder::finish`].
    fn rows(&self) -> usize;

    /// Takes back the rows from `rows` on.
    fn truncate(&mut self, rows: usize);

    /// The rows so far; the decoder starts over.
    fn finish(&mut self) -> Result<RecordBatch, FormatError>;
}

/// Rows into the values, or the keys, of records.
pub trait Encoder: Send + Sync {
    /// Prepares the rows of a batch of the schema that the encoder was made for.
    fn bind<'e>(&'e self, batch: &RecordBatch) -> Result<Box<dyn EncodedRows + 'e>, FormatError>;
}

/// See [`Encoder::bind`].
pub trait EncodedRows {
    /// Appends a row. `false`: it is NULL, for which the format has no bytes; nothing was appended.
    fn write(&self, row: usize, out: &mut Vec<u8>) -> bool;
}

/// A format by name, with its options: `csv.delimiter` is `delimiter` here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub format: String,
    pub options: BTreeMap<String, String>,
    /// Names of columns that are filled otherwise: a field of such a name is no stranger.
    pub declared: Vec<String>,
}

impl Settings {
    pub fn of(format: &str) -> Self {
        Self {
            format: format.to_owned(),
            options: BTreeMap::new(),
            declared: Vec::new(),
        }
    }

    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }
}

pub trait Format: Send + Sync {
    /// As in `WITH (format = '...')`.
    fn name(&self) -> &'static str;

    /// For the declared columns that are not computed. `read`: the part of them that is read, also within structs; the others may
    /// come out as NULL, but the same records have to be dead letters.
    ///
    /// # Errors
    /// If the format has no form for the type of a column, or none for so many columns.
    fn decoder(
        &self,
        schema: SchemaRef,
        settings: &Settings,
        read: Option<&Schema>,
    ) -> Result<Box<dyn Decoder>, FormatError>;

    /// For some columns of a schema, in this order.
    ///
    /// # Errors
    /// If the format has no form for the type of a column, or none for so many columns.
    fn encoder(
        &self,
        schema: &Schema,
        columns: &[usize],
        settings: &Settings,
    ) -> Result<Box<dyn Encoder>, FormatError>;
}

/// One JSON object a record.
pub struct Json;

impl Format for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn decoder(
        &self,
        schema: SchemaRef,
        settings: &Settings,
        read: Option<&Schema>,
    ) -> Result<Box<dyn Decoder>, FormatError> {
        let mut decoder = match read {
            Some(read) => JsonDecoder::reading(schema, read)?,
            None => JsonDecoder::new(schema)?,
        };
        let refuse = |value: &str| value.eq_ignore_ascii_case("refuse");
        if settings.option("unknown_fields").is_some_and(refuse) {
            decoder.refuse_unknown(&settings.declared);
        }
        Ok(Box::new(decoder))
    }

    fn encoder(
        &self,
        schema: &Schema,
        columns: &[usize],
        settings: &Settings,
    ) -> Result<Box<dyn Encoder>, FormatError> {
        Ok(Box::new(JsonEncoder::with(schema, columns, settings)))
    }
}

pub fn by_name(name: &str) -> Result<&'static dyn Format, FormatError> {
    match name {
        "json" => Ok(&Json),
        "csv" => Ok(&Csv),
        "text" => Ok(&Plain),
        "raw" => Ok(&Raw),
        other => Err(FormatError::Unknown {
            format: other.to_owned(),
        }),
    }
}
