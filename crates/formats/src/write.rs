//! Rows into whole records: value, key, headers and timestamp. The way back of [`crate::record`].

use datafusion::arrow::array::{Array, Int64Array};
use datafusion::arrow::datatypes::Schema;
use datafusion::arrow::record_batch::RecordBatch;

use crate::error::FormatError;
use crate::format::{EncodedRows, Encoder, Settings, by_name};
use crate::json::{BoundRows, JsonEncoder, millis};

/// Where the columns of a row go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    pub value: Part,
    pub key: Option<Part>,
    /// Every record has a key, also one whose columns are NULL: without any nobody could tell which row is meant.
    pub always_keyed: bool,
    /// Name of the header and its column; NULL is no header.
    pub headers: Vec<(String, usize)>,
    /// The column that is the records' time.
    pub timestamp: Option<usize>,
}

/// Columns in a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub columns: Vec<usize>,
    pub settings: Settings,
}

/// See the module's description.
pub struct RecordEncoder {
    value: Box<dyn Encoder>,
    key: Option<Box<dyn Encoder>>,
    /// Writes keys for which their format has no bytes.
    spare_key: Option<JsonEncoder>,
    headers: Option<JsonEncoder>,
    names: Vec<String>,
    timestamp: Option<usize>,
}

/// The rows of one batch as records.
pub struct RecordRows<'e> {
    value: Box<dyn EncodedRows + 'e>,
    key: Option<Box<dyn EncodedRows + 'e>>,
    spare_key: Option<BoundRows<'e>>,
    headers: Option<BoundRows<'e>>,
    names: &'e [String],
    timestamp: Option<Int64Array>,
}

impl Part {
    /// # Errors
    /// If the format cannot hold these columns.
    pub fn check(&self, schema: &Schema) -> Result<(), FormatError> {
        self.encoder(schema).map(|_| ())
    }

    fn encoder(&self, schema: &Schema) -> Result<Box<dyn Encoder>, FormatError> {
        by_name(&self.settings.format)?.encoder(schema, &self.columns, &self.settings)
    }
}

impl RecordEncoder {
    /// # Errors
    /// If a format cannot hold what is to go into it.
    pub fn new(schema: &Schema, outline: &Outline) -> Result<Self, FormatError> {
        let key = outline.key.as_ref();
        let spare = key.filter(|_| outline.always_keyed);
        let columns: Vec<usize> = outline.headers.iter().map(|(_, column)| *column).collect();
        Ok(Self {
            value: outline.value.encoder(schema)?,
            key: key.map(|key| key.encoder(schema)).transpose()?,
            spare_key: spare.map(|key| JsonEncoder::of_columns(schema, &key.columns)),
            headers: (!columns.is_empty()).then(|| JsonEncoder::of_columns(schema, &columns)),
            names: outline
                .headers
                .iter()
                .map(|(name, _)| name.clone())
                .collect(),
            timestamp: outline.timestamp,
        })
    }

    /// Prepares a batch of the schema that the encoder was made for.
    pub fn bind(&self, batch: &RecordBatch) -> Result<RecordRows<'_>, FormatError> {
        let times = |column: usize| {
            let array = batch.column(column);
            millis(array).map_err(|()| FormatError::Column {
                column: batch.schema_ref().field(column).name().clone(),
                data_type: crate::sql_name(array.data_type()),
                format: "timestamp",
            })
        };
        let timestamp = self.timestamp.map(times).transpose()?;
        Ok(RecordRows {
            value: self.value.bind(batch)?,
            key: self.key.as_ref().map(|key| key.bind(batch)).transpose()?,
            spare_key: self
                .spare_key
                .as_ref()
                .map(|key| key.bind(batch))
                .transpose()?,
            headers: self.headers.as_ref().map(|h| h.bind(batch)).transpose()?,
            names: &self.names,
            timestamp,
        })
    }
}

impl RecordRows<'_> {
    /// Whether there is a value; it is appended.
    pub fn value(&self, row: usize, out: &mut Vec<u8>) -> bool {
        self.value.write(row, out)
    }

    /// Whether there is a key; it is appended.
    pub fn key(&self, row: usize, out: &mut Vec<u8>) -> bool {
        let Some(key) = &self.key else { return false };
        if key.write(row, out) {
            return true;
        }
        let Some(spare) = &self.spare_key else {
            return false;
        };
        spare.write_object(row, out);
        true
    }

    /// The headers of a row, in order.
    pub fn headers(&self, row: usize) -> Vec<(&str, Vec<u8>)> {
        let Some(headers) = &self.headers else {
            return Vec::new();
        };
        let one = |(column, name)| {
            let mut bytes = Vec::new();
            let there = headers.write_bytes(row, column, &mut bytes);
            there.then_some((name, bytes))
        };
        let names = self.names.iter().map(String::as_str);
        names.enumerate().filter_map(one).collect()
    }

    /// Milliseconds since 1970, if the row has a time that a record can have.
    pub fn timestamp_ms(&self, row: usize) -> Option<i64> {
        let times = self.timestamp.as_ref()?;
        (!times.is_null(row) && times.value(row) >= 0).then(|| times.value(row))
    }
}

#[cfg(test)]
mod tests;
