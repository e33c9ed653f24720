//! Columns of what is known of a record beside its key and value.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BinaryBuilder, Int32Array, Int64Array, StringArray, StringBuilder,
    TimestampMicrosecondArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field};

use super::{HeaderView, Metadata, RecordView};
use crate::error::{DecodeError, FormatError};

/// One column of them.
pub(crate) struct Collected {
    what: Metadata,
    name: String,
    data_type: DataType,
    required: bool,
    values: Values,
}

enum Values {
    Texts(Vec<Option<String>>),
    Bytes(Vec<Option<Vec<u8>>>),
    Numbers(Vec<i64>),
}

impl Collected {
    pub fn new(what: Metadata, field: &Field) -> Self {
        let data_type = field.data_type().clone();
        let values = match (&what, &data_type) {
            (Metadata::Partition | Metadata::Offset | Metadata::Timestamp, _) => {
                Values::Numbers(Vec::new())
            }
            (_, DataType::Binary) => Values::Bytes(Vec::new()),
            _ => Values::Texts(Vec::new()),
        };
        Self {
            what,
            name: field.name().clone(),
            data_type,
            required: !field.is_nullable(),
            values,
        }
    }

    pub fn wants_headers(&self) -> bool {
        matches!(self.what, Metadata::Headers | Metadata::Header(_))
    }

    pub fn push(&mut self, record: &RecordView<'_>, topic: &[u8]) -> Result<(), DecodeError> {
        let bytes: Option<&[u8]> = match &self.what {
            Metadata::Topic => Some(topic),
            Metadata::TimestampType => Some(if record.append_time {
                b"LogAppendTime"
            } else {
                b"CreateTime"
            }),
            Metadata::Key => record.key,
            Metadata::Value => record.value,
            Metadata::Header(name) => {
                let of_name = record
                    .headers
                    .iter()
                    .rev()
                    .find(|h| h.key == name.as_bytes());
                of_name.and_then(|h| h.value)
            }
            Metadata::Headers | Metadata::Partition | Metadata::Offset | Metadata::Timestamp => {
                None
            }
        };
        let number = match self.what {
            Metadata::Partition => i64::from(record.partition),
            Metadata::Offset => record.offset,
            _ => record.timestamp_ms.saturating_mul(1_000),
        };
        let missing = match &mut self.values {
            Values::Numbers(all) => {
                all.push(number);
                false
            }
            Values::Bytes(all) => {
                all.push(bytes.map(<[u8]>::to_vec));
                bytes.is_none()
            }
            Values::Texts(all) => {
                let text = match self.what {
                    Metadata::Headers => headers_text(record.headers),
                    _ => bytes.map(|b| text(b, &self.name)).transpose()?,
                };
                all.push(text);
                all.last().is_some_and(Option::is_none)
            }
        };
        match missing && self.required {
            true => Err(DecodeError::new(format!(
                "column {} is NOT NULL, but the record has none",
                self.name
            ))),
            false => Ok(()),
        }
    }

    /// In place of what nobody will see.
    pub fn push_nothing(&mut self) {
        match &mut self.values {
            Values::Numbers(all) => all.push(0),
            Values::Bytes(all) => all.push(None),
            Values::Texts(all) => all.push(None),
        }
    }

    pub fn truncate(&mut self, rows: usize) {
        match &mut self.values {
            Values::Numbers(all) => all.truncate(rows),
            Values::Bytes(all) => all.truncate(rows),
            Values::Texts(all) => all.truncate(rows),
        }
    }

    pub fn finish(&mut self) -> Result<ArrayRef, FormatError> {
        Ok(match &mut self.values {
            Values::Numbers(all) => {
                let all = std::mem::take(all);
                match self.what {
                    Metadata::Timestamp => cast(
                        &TimestampMicrosecondArray::from(all).with_timezone("UTC"),
                        &self.data_type,
                    )?,
                    Metadata::Partition => {
                        let small: Int32Array =
                            all.iter().map(|n| i32::try_from(*n).ok()).collect();
                        cast(&small, &self.data_type)?
                    }
                    _ => cast(&Int64Array::from(all), &self.data_type)?,
                }
            }
            Values::Bytes(all) => {
                let mut builder = BinaryBuilder::new();
                std::mem::take(all)
                    .iter()
                    .for_each(|b| builder.append_option(b.as_deref()));
                Arc::new(builder.finish())
            }
            Values::Texts(all) => match self.data_type {
                DataType::Utf8 => {
                    let mut builder = StringBuilder::new();
                    std::mem::take(all)
                        .iter()
                        .for_each(|t| builder.append_option(t.as_deref()));
                    Arc::new(builder.finish())
                }
                _ => cast(&StringArray::from(std::mem::take(all)), &self.data_type)?,
            },
        })
    }
}

fn text(bytes: &[u8], column: &str) -> Result<String, DecodeError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(DecodeError::new(format!(
            "column {column}: expected text, found bytes that are not UTF-8"
        ))),
    }
}

/// In order; a key may come several times. Bytes that are no text are shown as well as it goes.
fn headers_text(headers: &[HeaderView<'_>]) -> Option<String> {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let one =
        |h: &HeaderView<'_>| serde_json::json!({"key": lossy(h.key), "value": h.value.map(lossy)});
    let all: Vec<serde_json::Value> = headers.iter().map(one).collect();
    (!all.is_empty()).then(|| serde_json::Value::Array(all).to_string())
}
