//! Rows as lines of CSV, or as one bare value. What is written here reads back as the same values under the same options.

use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::arrow::record_batch::RecordBatch;

use super::{Signs, column, one_column};
use crate::error::FormatError;
use crate::format::{EncodedRows, Encoder, Settings};
use crate::json::{BoundRows, JsonEncoder};

/// One line a row, without an end of line. NULL is the unquoted text that stands for it.
pub(super) fn csv(
    schema: &Schema,
    columns: &[usize],
    settings: &Settings,
) -> Result<Box<dyn Encoder>, FormatError> {
    texts(schema, columns, "csv")?;
    Ok(Box::new(CsvEncoder {
        values: JsonEncoder::of_columns(schema, columns),
        signs: Signs::of(settings),
    }))
}

/// The text of one column.
pub(super) fn plain(schema: &Schema, columns: &[usize]) -> Result<Box<dyn Encoder>, FormatError> {
    one_column(columns.len(), "text")?;
    texts(schema, columns, "text")?;
    Ok(Box::new(OneEncoder(JsonEncoder::of_columns(
        schema, columns,
    ))))
}

/// The bytes of one column.
pub(super) fn raw(schema: &Schema, columns: &[usize]) -> Result<Box<dyn Encoder>, FormatError> {
    one_column(columns.len(), "raw")?;
    let field = schema.field(columns[0]);
    match field.data_type() {
        text if text.is_string() => {}
        bytes if is_bytes(bytes) => {}
        other => return Err(column(field.name(), other, "raw")),
    }
    Ok(Box::new(OneEncoder(JsonEncoder::of_columns(
        schema, columns,
    ))))
}

fn is_bytes(data_type: &DataType) -> bool {
    use DataType as T;
    matches!(
        data_type,
        T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_)
    )
}

/// Nested values and bytes have no text that would read back as the same.
fn texts(schema: &Schema, columns: &[usize], format: &'static str) -> Result<(), FormatError> {
    let fields = columns.iter().map(|index| schema.field(*index));
    let wrong = fields
        .into_iter()
        .find(|f| f.data_type().is_nested() || is_bytes(f.data_type()));
    wrong.map_or(Ok(()), |f| Err(column(f.name(), f.data_type(), format)))
}

struct CsvEncoder {
    values: JsonEncoder,
    signs: Signs,
}

struct CsvRows<'e> {
    values: BoundRows<'e>,
    signs: &'e Signs,
}

impl Encoder for CsvEncoder {
    fn bind<'e>(&'e self, batch: &RecordBatch) -> Result<Box<dyn EncodedRows + 'e>, FormatError> {
        Ok(Box::new(CsvRows {
            values: self.values.bind(batch)?,
            signs: &self.signs,
        }))
    }
}

impl EncodedRows for CsvRows<'_> {
    fn write(&self, row: usize, out: &mut Vec<u8>) -> bool {
        let mut sign = [0; 4];
        for column in 0..self.values.columns() {
            if column > 0 {
                let delimiter = self.signs.delimiter.encode_utf8(&mut sign);
                out.extend_from_slice(delimiter.as_bytes());
            }
            let start = out.len();
            if self.values.write_text(row, column, out) {
                self.signs.quote_if_needed(start, out);
            } else {
                out.extend_from_slice(self.signs.null.as_bytes());
            }
        }
        true
    }
}

impl Signs {
    /// Puts the text from `start` on into quotes if it would not read back as itself.
    fn quote_if_needed(&self, start: usize, out: &mut Vec<u8>) {
        // It was written from text, so it is text.
        let Ok(text) = std::str::from_utf8(&out[start..]) else {
            return;
        };
        let special = |c: char| c == self.delimiter || c == self.quote || matches!(c, '\r' | '\n');
        if text != self.null && !text.contains(special) {
            return;
        }
        let quote = self.quote.to_string();
        let quoted = format!(
            "{quote}{}{quote}",
            text.replace(self.quote, &quote.repeat(2))
        );
        out.truncate(start);
        out.extend_from_slice(quoted.as_bytes());
    }
}

struct OneEncoder(JsonEncoder);

struct OneRows<'e>(BoundRows<'e>);

impl Encoder for OneEncoder {
    fn bind<'e>(&'e self, batch: &RecordBatch) -> Result<Box<dyn EncodedRows + 'e>, FormatError> {
        Ok(Box::new(OneRows(self.0.bind(batch)?)))
    }
}

impl EncodedRows for OneRows<'_> {
    fn write(&self, row: usize, out: &mut Vec<u8>) -> bool {
        self.0.write_bytes(row, 0, out)
    }
}
