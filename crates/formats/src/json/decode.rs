//! [`JsonDecoder`]: record values that are JSON objects, into Arrow columns, in one pass.

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{Fields, Schema, SchemaRef};
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};

use super::fault::{Fault, FaultKind, mismatch, syntax};
use super::object::ObjectReader;
use super::scan::Cursor;
use crate::error::{DecodeError, FormatError};
use crate::format::Decoder;
use crate::types::sql_name;

/// Collects rows; a record that does not fit leaves nothing behind.
pub struct JsonDecoder {
    schema: SchemaRef,
    reader: ObjectReader,
    rows: usize,
}

impl JsonDecoder {
    /// For the declared columns that are not computed. A field that is not nullable is `NOT NULL`.
    pub fn new(schema: SchemaRef) -> Result<Self, FormatError> {
        Self::of(schema, None)
    }

    /// Of which only the part `read` is read: values of the others are checked, and come out as NULL.
    pub fn reading(schema: SchemaRef, read: &Schema) -> Result<Self, FormatError> {
        Self::of(schema, Some(read.fields()))
    }

    fn of(schema: SchemaRef, read: Option<&Fields>) -> Result<Self, FormatError> {
        let reader = ObjectReader::new(schema.fields(), read).map_err(|(column, data_type)| {
            FormatError::Column {
                column,
                data_type: sql_name(&data_type),
                format: "json",
            }
        })?;
        Ok(Self {
            schema,
            reader,
            rows: 0,
        })
    }

    /// From now on a field that is neither a column nor `taken` makes its record a dead letter.
    pub fn refuse_unknown(&mut self, taken: &[String]) {
        self.reader.refuse_unknown(taken);
    }

    /// Appends one record value. `Err` says why it is a dead letter; the rows before it are not touched.
    pub fn push(&mut self, value: &[u8]) -> Result<(), DecodeError> {
        let result = self.read(value);
        if let Err(fault) = result {
            self.reader.truncate(self.rows);
            return Err(DecodeError::new(fault.message()));
        }
        self.rows += 1;
        Ok(())
    }

    fn read(&mut self, value: &[u8]) -> Result<(), Fault> {
        std::str::from_utf8(value).map_err(|e| syntax(e.valid_up_to(), "invalid UTF-8"))?;
        let mut cursor = Cursor::new(value);
        if cursor.next_token()? != b'{' {
            let at = cursor.at;
            cursor.skip_value(0)?;
            end_of_text(&mut cursor)?;
            return Err(mismatch(
                at,
                "expected a JSON object, found another JSON value".into(),
            ));
        }
        let result = self.reader.append(&mut cursor, 0, self.rows);
        match result {
            Err(fault) if matches!(*fault, FaultKind::Syntax { .. }) => Err(fault),
            // The record is JSON only if nothing follows: that weighs more than a wrong type.
            other => end_of_text(&mut cursor).and(other),
        }
    }

    /// Takes back the rows from `rows` on.
    pub fn truncate(&mut self, rows: usize) {
        self.reader.truncate(rows);
        self.rows = self.rows.min(rows);
    }

    /// Many values at once: a batch of those that fit, and the index and error of each that does not. `None` is a record
    /// without value.
    pub fn decode<'a>(
        &mut self,
        values: impl IntoIterator<Item = Option<&'a [u8]>>,
    ) -> Result<(RecordBatch, Vec<(usize, DecodeError)>), FormatError> {
        let mut errors = Vec::new();
        for (index, value) in values.into_iter().enumerate() {
            let pushed = match value {
                Some(value) => self.push(value),
                None => Err(DecodeError::new("null value")),
            };
            if let Err(error) = pushed {
                errors.push((index, error));
            }
        }
        Ok((self.finish()?, errors))
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn finish_arrays(&mut self) -> Result<Vec<ArrayRef>, FormatError> {
        self.rows = 0;
        Ok(self.reader.finish()?)
    }

    /// The rows so far; the decoder starts over.
    pub fn finish(&mut self) -> Result<RecordBatch, FormatError> {
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let arrays = self.finish_arrays()?;
        Ok(RecordBatch::try_new_with_options(
            self.schema.clone(),
            arrays,
            &options,
        )?)
    }
}

fn end_of_text(cursor: &mut Cursor<'_>) -> Result<(), Fault> {
    cursor.skip_space();
    if cursor.peek().is_some() {
        Err(syntax(cursor.at, "something follows the object"))
    } else {
        Ok(())
    }
}

impl Decoder for JsonDecoder {
    fn push(&mut self, value: &[u8]) -> Result<(), DecodeError> {
        Self::push(self, value)
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn truncate(&mut self, rows: usize) {
        Self::truncate(self, rows);
    }

    fn finish(&mut self) -> Result<RecordBatch, FormatError> {
        Self::finish(self)
    }
}
