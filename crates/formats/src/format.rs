//! What every format offers, so that Avro or CSV is one more folder and one more line in [`by_name`].

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;

use crate::error::{DecodeError, FormatError};
use crate::json::JsonDecoder;

/// Record values into rows. Owned by one task.
pub trait Decoder: Send {
    /// Appends one record value, or says why it is a dead letter and leaves nothing behind.
    fn push(&mut self, value: &[u8]) -> Result<(), DecodeError>;

    /// Rows appended since the last [`Decoder::finish`].
    fn rows(&self) -> usize;

    /// The rows so far; the decoder starts over.
    fn finish(&mut self) -> Result<RecordBatch, FormatError>;
}

pub trait Format: Send + Sync {
    /// As in `WITH (format = '...')`.
    fn name(&self) -> &'static str;

    /// For the declared columns that are not computed.
    fn decoder(&self, schema: SchemaRef) -> Result<Box<dyn Decoder>, FormatError>;

    /// The same for somebody who reads only a part of the columns (`read`: the fields of `schema` that are read, also within
    /// structs). The others may come out as NULL, but the same records have to be dead letters.
    fn decoder_of(
        &self,
        schema: SchemaRef,
        _read: &Schema,
    ) -> Result<Box<dyn Decoder>, FormatError> {
        self.decoder(schema)
    }
}

/// One JSON object a record.
pub struct Json;

impl Format for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn decoder(&self, schema: SchemaRef) -> Result<Box<dyn Decoder>, FormatError> {
        Ok(Box::new(JsonDecoder::new(schema)?))
    }

    fn decoder_of(
        &self,
        schema: SchemaRef,
        read: &Schema,
    ) -> Result<Box<dyn Decoder>, FormatError> {
        Ok(Box::new(JsonDecoder::reading(schema, read)?))
    }
}

pub fn by_name(name: &str) -> Result<&'static dyn Format, FormatError> {
    match name {
        "json" => Ok(&Json),
        other => Err(FormatError::Unknown {
            format: other.to_owned(),
        }),
    }
}
