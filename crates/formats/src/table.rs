//! [`TableDecoder`]: records of a keyed topic into rows and deletions of a table.
//!
//! The primary key comes from the record's key when it has one (a JSON object by field, else the text itself for a key of
//! one column), and from the value otherwise. Which record of a key is the latest is not decided here.

use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};

use crate::error::{DecodeError, FormatError};
use crate::json::{JsonDecoder, is_number, is_string};

/// Decoded records of a table, in the order they were pushed.
#[derive(Debug)]
pub struct TableBatch {
    /// All declared columns. Of a deleted row only the primary key is there, so every column is nullable here.
    pub rows: RecordBatch,
    /// One a row: the record was a tombstone.
    pub deleted: Vec<bool>,
}

pub struct TableDecoder {
    schema: SchemaRef,
    /// Where each column is: in `keys` or in `rest`, and at which place.
    places: Vec<Place>,
    keys: JsonDecoder,
    rest: JsonDecoder,
    deleted: Vec<bool>,
    scratch: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Place {
    Key(usize),
    Rest(usize),
}

impl TableDecoder {
    /// `schema`: the declared columns that are not computed; `primary_key`: indexes into it, in the order of the key.
    pub fn new(schema: &SchemaRef, primary_key: &[usize]) -> Result<Self, FormatError> {
        let fields = schema.fields();
        let key_fields: Vec<Field> = primary_key
            .iter()
            .map(|i| schema.field(*i).clone().with_nullable(false))
            .collect();
        let rest_indexes: Vec<usize> = (0..fields.len())
            .filter(|i| !primary_key.contains(i))
            .collect();
        let rest_fields: Vec<Field> = rest_indexes
            .iter()
            .map(|i| schema.field(*i).clone())
            .collect();
        let place = |index: usize| match primary_key.iter().position(|k| *k == index) {
            Some(place) => Place::Key(place),
            None => Place::Rest(rest_indexes.partition_point(|r| *r < index)),
        };
        let nullable: Vec<Field> = fields
            .iter()
            .map(|f| f.as_ref().clone().with_nullable(true))
            .collect();
        Ok(Self {
            places: (0..fields.len()).map(place).collect(),
            schema: Arc::new(Schema::new(nullable)),
            keys: JsonDecoder::new(Arc::new(Schema::new(key_fields)))?,
            rest: JsonDecoder::new(Arc::new(Schema::new(rest_fields)))?,
            deleted: Vec::new(),
            scratch: Vec::new(),
        })
    }

    /// Appends one record: a row, or a deletion if `value` is `None`. `Err`: a dead letter, nothing was appended.
    pub fn push(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), DecodeError> {
        let row = self.deleted.len();
        match (key, value) {
            (Some(key), _) => self.push_key(key)?,
            (None, Some(value)) => self.keys.push(value)?,
            (None, None) => return Err(DecodeError::new("a tombstone without a key")),
        }
        match value {
            None => self.rest.push_nulls(),
            Some(value) => {
                if let Err(error) = self.rest.push(value) {
                    self.keys.truncate(row);
                    return Err(error);
                }
            }
        }
        self.deleted.push(value.is_none());
        Ok(())
    }

    fn push_key(&mut self, key: &[u8]) -> Result<(), DecodeError> {
        let object = key.trim_ascii_start().first() == Some(&b'{');
        let schema = Arc::clone(self.keys.schema());
        let by_field = if object {
            self.keys.push(key)
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
        self.wrap_scalar(bare, key)?;
        self.keys.push(&self.scratch).map_err(in_key)
    }

    /// Puts a scalar key into `scratch` as the object that the decoder reads.
    fn wrap_scalar(&mut self, field: &Field, key: &[u8]) -> Result<(), DecodeError> {
        let text =
            std::str::from_utf8(key).map_err(|_| in_key(DecodeError::new("invalid UTF-8")))?;
        let trimmed = text.trim_ascii();
        let is_text = field.data_type() == &DataType::Utf8;
        let json = is_string(trimmed.as_bytes())
            || (!is_text && (is_number(trimmed.as_bytes()) || matches!(trimmed, "true" | "false")));
        self.scratch.clear();
        self.scratch.push(b'{');
        quote(field.name(), &mut self.scratch);
        self.scratch.push(b':');
        if json {
            self.scratch.extend_from_slice(trimmed.as_bytes());
        } else {
            quote(text, &mut self.scratch);
        }
        self.scratch.push(b'}');
        Ok(())
    }

    pub fn rows(&self) -> usize {
        self.deleted.len()
    }

    /// Takes back the records from `rows` on.
    pub fn truncate(&mut self, rows: usize) {
        self.keys.truncate(rows);
        self.rest.truncate(rows);
        self.deleted.truncate(rows);
    }

    /// The records so far; the decoder starts over.
    pub fn finish(&mut self) -> Result<TableBatch, FormatError> {
        let deleted = std::mem::take(&mut self.deleted);
        // Past the decoder's schema, whose NOT NULL does not hold for deleted rows.
        let (keys, rest) = (self.keys.finish_arrays()?, self.rest.finish_arrays()?);
        let column = |place: &Place| -> ArrayRef {
            match *place {
                Place::Key(index) => Arc::clone(&keys[index]),
                Place::Rest(index) => Arc::clone(&rest[index]),
            }
        };
        let arrays = self.places.iter().map(column).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(deleted.len()));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)?;
        Ok(TableBatch { rows, deleted })
    }
}

fn in_key(error: DecodeError) -> DecodeError {
    DecodeError::new(format!("record key: {}", error.message))
}

fn quote(text: &str, out: &mut Vec<u8>) {
    // Writing into memory cannot fail.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::json::JsonEncoder;

    fn decoder(primary_key: &[usize], key_type: DataType) -> TableDecoder {
        let fields = vec![
            Field::new("v", DataType::Int64, false),
            Field::new("k", key_type, true),
            Field::new("j", DataType::Int64, true),
        ];
        TableDecoder::new(&Arc::new(Schema::new(fields)), primary_key).unwrap()
    }

    fn shown(batch: &TableBatch) -> Vec<String> {
        let encoder = JsonEncoder::new(batch.rows.schema_ref());
        let bound = encoder.bind(&batch.rows).unwrap();
        let text = |row| {
            let mut out = Vec::new();
            bound.write_object(row, &mut out);
            format!(
                "{}{}",
                if batch.deleted[row] { "-" } else { "" },
                String::from_utf8(out).unwrap()
            )
        };
        (0..batch.deleted.len()).map(text).collect()
    }

    fn one(
        primary_key: &[usize],
        key_type: DataType,
        key: Option<&str>,
        value: Option<&str>,
    ) -> Result<String, String> {
        let mut decoder = decoder(primary_key, key_type);
        decoder
            .push(key.map(str::as_bytes), value.map(str::as_bytes))
            .map_err(|e| e.message)?;
        Ok(shown(&decoder.finish().unwrap()).remove(0))
    }

    #[test]
    fn keys_of_one_column() {
        let value = Some(r#"{"v":1,"k":"ignored","j":2}"#);
        for (key, found) in [
            ("N1", "N1"),
            ("\"N1\"", "N1"),
            ("12", "12"),
            (r#"{"k":"N1"}"#, "N1"),
            ("{odd", "{odd"),
            ("", ""),
        ] {
            assert_eq!(
                one(&[1], DataType::Utf8, Some(key), value).unwrap(),
                format!(r#"{{"v":1,"k":"{found}","j":2}}"#),
                "{key}"
            );
        }
        for key in ["7", "\"7\"", "{\"k\":7}"] {
            let found = one(&[1], DataType::Int64, Some(key), Some(r#"{"v":1}"#));
            assert_eq!(found.is_ok(), key != "\"7\"", "{key}");
        }
        assert_eq!(
            one(&[1], DataType::Date32, Some("2013-01-01"), None).unwrap(),
            r#"-{"v":null,"k":"2013-01-01","j":null}"#
        );
    }

    #[test]
    fn keys_that_are_dead_letters() {
        let value = Some(r#"{"v":1,"k":"in the value","j":2}"#);
        let message = |key_type, key| one(&[1], key_type, Some(key), value).unwrap_err();
        assert_eq!(
            message(DataType::Int64, "x"),
            "record key: field k: expected BIGINT, found string \"x\" at byte 5"
        );
        assert!(message(DataType::Utf8, r#"{"other":1}"#).contains("field k: NULL or missing"));
        assert_eq!(
            one(&[1], DataType::Utf8, None, None).unwrap_err(),
            "a tombstone without a key"
        );
        assert!(
            one(&[1, 2], DataType::Utf8, Some("bare"), value)
                .unwrap_err()
                .contains("not a JSON object")
        );
    }

    #[test]
    fn keys_of_two_columns_and_from_the_value() {
        let key = Some(r#"{"j":5,"k":"a"}"#);
        assert_eq!(
            one(&[2, 1], DataType::Utf8, key, Some(r#"{"v":1}"#)).unwrap(),
            r#"{"v":1,"k":"a","j":5}"#
        );
        assert_eq!(
            one(&[2, 1], DataType::Utf8, key, None).unwrap(),
            r#"-{"v":null,"k":"a","j":5}"#
        );
        let whole = Some(r#"{"v":1,"k":"a","j":5}"#);
        assert_eq!(
            one(&[2, 1], DataType::Utf8, None, whole).unwrap(),
            r#"{"v":1,"k":"a","j":5}"#
        );
    }

    #[test]
    fn a_bad_value_takes_its_key_back() {
        let mut decoder = decoder(&[1], DataType::Utf8);
        decoder.push(Some(b"a"), Some(b"{\"v\":1}")).unwrap();
        assert!(
            decoder
                .push(Some(b"b"), Some(b"{}"))
                .unwrap_err()
                .message
                .contains("field v: NULL or missing")
        );
        decoder.push(Some(b"c"), None).unwrap();
        decoder.push(Some(b"d"), Some(b"{\"v\":4}")).unwrap();
        let batch = decoder.finish().unwrap();
        let expected = [
            r#"{"v":1,"k":"a","j":null}"#,
            r#"-{"v":null,"k":"c","j":null}"#,
            r#"{"v":4,"k":"d","j":null}"#,
        ];
        assert_eq!(shown(&batch), expected);
    }
}
