//! [`JsonEncoder`]: rows of a batch as JSON objects, as JSON values, or as the text of a record key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array,
    Float32Array, Float64Array, Int64Array, ListArray, StringArray, TimestampMicrosecondArray,
    UInt64Array,
};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use datafusion::arrow::record_batch::RecordBatch;
use serde_json::Value;

use super::write;
use crate::error::FormatError;
use crate::format::{EncodedRows, Encoder, Settings};
use crate::time;
use crate::types::sql_name;

/// Which columns go out, under which names.
#[derive(Clone, Debug)]
pub struct JsonEncoder {
    columns: Vec<usize>,
    /// `{"name":` and `,"name":`, ready to be copied.
    prefixes: Vec<Box<[u8]>>,
    names: Vec<String>,
    style: Style,
}

/// How values are written that JSON has several forms for.
#[derive(Clone, Copy, Debug, Default)]
struct Style {
    /// Times as whole milliseconds since 1970, not as text.
    epoch_ms: bool,
    /// Decimals as text, for readers that take every number for a double.
    decimal_text: bool,
}

/// The columns of one batch, made ready for writing.
pub struct BoundRows<'e> {
    encoder: &'e JsonEncoder,
    values: Vec<Values>,
    rows: usize,
}

impl JsonEncoder {
    /// All columns.
    pub fn new(schema: &Schema) -> Self {
        Self::of_columns(schema, &(0..schema.fields().len()).collect::<Vec<_>>())
    }

    /// Some columns, in this order: a record key, for example. Indexes past the schema are left out.
    pub fn of_columns(schema: &Schema, columns: &[usize]) -> Self {
        let columns: Vec<usize> = columns
            .iter()
            .copied()
            .filter(|i| *i < schema.fields().len())
            .collect();
        let names: Vec<String> = columns
            .iter()
            .map(|i| schema.field(*i).name().clone())
            .collect();
        Self {
            prefixes: prefixes(names.iter()),
            names,
            columns,
            style: Style::default(),
        }
    }

    /// The same with the options of a sink.
    pub fn with(schema: &Schema, columns: &[usize], settings: &Settings) -> Self {
        let is = |name, value| {
            settings
                .option(name)
                .is_some_and(|v| v.eq_ignore_ascii_case(value))
        };
        Self {
            style: Style {
                epoch_ms: is("timestamp", "epoch_ms"),
                decimal_text: is("decimal", "text"),
            },
            ..Self::of_columns(schema, columns)
        }
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Prepares a batch of the schema that the encoder was made for. Fails on types that have no JSON form.
    pub fn bind(&self, batch: &RecordBatch) -> Result<BoundRows<'_>, FormatError> {
        let schema = batch.schema_ref();
        let bind_one = |(index, name): (&usize, &String)| {
            let array = batch
                .columns()
                .get(*index)
                .ok_or_else(|| no_column(name, schema))?;
            Values::bind(array, self.style).map_err(|()| no_form(name, array.data_type()))
        };
        let values = self
            .columns
            .iter()
            .zip(&self.names)
            .map(bind_one)
            .collect::<Result<_, _>>()?;
        Ok(BoundRows {
            encoder: self,
            values,
            rows: batch.num_rows(),
        })
    }

    /// All rows as objects: one buffer, and where each row ends in it.
    pub fn encode(&self, batch: &RecordBatch) -> Result<(Vec<u8>, Vec<usize>), FormatError> {
        let bound = self.bind(batch)?;
        let mut bytes = Vec::with_capacity(bound.rows * self.columns.len() * 16);
        let mut ends = Vec::with_capacity(bound.rows);
        for row in 0..bound.rows {
            bound.write_object(row, &mut bytes);
            ends.push(bytes.len());
        }
        Ok((bytes, ends))
    }
}

impl BoundRows<'_> {
    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn columns(&self) -> usize {
        self.values.len()
    }

    /// Appends `{"a":1,"b":"x"}`.
    pub fn write_object(&self, row: usize, out: &mut Vec<u8>) {
        write_members(&self.encoder.prefixes, &self.values, row, out);
    }

    /// Appends one value; `column` counts the encoder's columns.
    pub fn write_value(&self, row: usize, column: usize, out: &mut Vec<u8>) {
        self.values[column].write(row, out);
    }

    /// Appends a value as bare text: strings without quotes (a text key), everything else as in JSON. `false` for NULL.
    pub fn write_text(&self, row: usize, column: usize, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        match &self.values[column] {
            values if values.is_null(row) => return false,
            Values::Text(array) => out.extend_from_slice(array.value(row).as_bytes()),
            values => {
                values.write(row, out);
                let quoted = out.len() >= start + 2 && out[start] == b'"';
                if quoted {
                    out.pop();
                    out.remove(start);
                }
            }
        }
        true
    }

    /// The same, but BYTEA as it is.
    pub fn write_bytes(&self, row: usize, column: usize, out: &mut Vec<u8>) -> bool {
        match &self.values[column] {
            Values::Bytes(array) if !array.is_null(row) => {
                out.extend_from_slice(array.value(row));
                true
            }
            _ => self.write_text(row, column, out),
        }
    }

    pub fn value(&self, row: usize, column: usize) -> Value {
        self.values[column].value(row)
    }

    /// One JSON value a column, in order.
    pub fn values(&self, row: usize) -> Vec<Value> {
        self.values.iter().map(|values| values.value(row)).collect()
    }
}

impl Encoder for JsonEncoder {
    fn bind<'e>(&'e self, batch: &RecordBatch) -> Result<Box<dyn EncodedRows + 'e>, FormatError> {
        Ok(Box::new(Self::bind(self, batch)?))
    }
}

impl EncodedRows for BoundRows<'_> {
    fn write(&self, row: usize, out: &mut Vec<u8>) -> bool {
        self.write_object(row, out);
        true
    }
}

fn prefixes<'n>(names: impl Iterator<Item = &'n String>) -> Vec<Box<[u8]>> {
    let prefix = |(index, name): (usize, &String)| {
        let mut text = vec![if index == 0 { b'{' } else { b',' }];
        write::string(name, &mut text);
        text.push(b':');
        text.into_boxed_slice()
    };
    names.enumerate().map(prefix).collect()
}

fn write_members(prefixes: &[Box<[u8]>], values: &[Values], row: usize, out: &mut Vec<u8>) {
    if prefixes.is_empty() {
        out.push(b'{');
    }
    for (prefix, values) in prefixes.iter().zip(values) {
        out.extend_from_slice(prefix);
        values.write(row, out);
    }
    out.push(b'}');
}

fn no_form(column: &str, data_type: &DataType) -> FormatError {
    FormatError::Column {
        column: column.to_owned(),
        data_type: sql_name(data_type),
        format: "json",
    }
}

fn no_column(column: &str, schema: &Schema) -> FormatError {
    FormatError::Column {
        column: column.to_owned(),
        data_type: format!("(missing among {} columns)", schema.fields().len()),
        format: "json",
    }
}

/// A column by what its values look like in JSON.
enum Values {
    Null,
    Bool(BooleanArray),
    Int(Int64Array),
    Unsigned(UInt64Array),
    Single(Float32Array),
    Double(Float64Array),
    Decimal(Decimal128Array, i8),
    Text(StringArray),
    /// Text that is a number already.
    Digits(StringArray),
    /// In quotes, though JSON has numbers.
    Quoted(Box<Values>),
    Bytes(BinaryArray),
    Date(Date32Array),
    Timestamp(TimestampMicrosecondArray),
    Struct {
        nulls: Option<NullBuffer>,
        prefixes: Vec<Box<[u8]>>,
        members: Vec<Values>,
    },
    List {
        list: ListArray,
        items: Box<Values>,
    },
}

impl Values {
    fn bind(array: &ArrayRef, style: Style) -> Result<Self, ()> {
        use DataType as T;
        if style.decimal_text && array.data_type().is_decimal() {
            let plain = Style {
                decimal_text: false,
                ..style
            };
            return Ok(Self::Quoted(Box::new(Self::bind(array, plain)?)));
        }
        if style.epoch_ms && matches!(array.data_type(), T::Timestamp(..)) {
            return millis(array).map(Self::Int);
        }
        let to = |data_type: &DataType| cast(array, data_type).map_err(|_| ());
        Ok(match array.data_type() {
            T::Null => Self::Null,
            T::Boolean => Self::Bool(array.as_boolean().clone()),
            T::Int64 => Self::Int(array.as_primitive().clone()),
            T::Int8 | T::Int16 | T::Int32 | T::UInt8 | T::UInt16 | T::UInt32 => {
                Self::Int(to(&T::Int64)?.as_primitive().clone())
            }
            T::UInt64 => Self::Unsigned(array.as_primitive().clone()),
            T::Float32 => Self::Single(array.as_primitive().clone()),
            T::Float16 => Self::Single(to(&T::Float32)?.as_primitive().clone()),
            T::Float64 => Self::Double(array.as_primitive().clone()),
            T::Decimal128(_, scale) => Self::Decimal(array.as_primitive().clone(), *scale),
            T::Decimal32(..) | T::Decimal64(..) | T::Decimal256(..) => {
                Self::Digits(to(&T::Utf8)?.as_string().clone())
            }
            T::Utf8 => Self::Text(array.as_string().clone()),
            T::Binary => Self::Bytes(array.as_binary().clone()),
            T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => {
                Self::Bytes(to(&T::Binary)?.as_binary().clone())
            }
            T::Date32 => Self::Date(array.as_primitive().clone()),
            T::Date64 => Self::Date(to(&T::Date32)?.as_primitive().clone()),
            T::Timestamp(TimeUnit::Microsecond, _) => Self::Timestamp(array.as_primitive().clone()),
            T::Timestamp(_, zone) => Self::Timestamp(
                to(&T::Timestamp(TimeUnit::Microsecond, zone.clone()))?
                    .as_primitive()
                    .clone(),
            ),
            T::Struct(fields) => Self::bind_struct(fields, array, style)?,
            T::List(_) => {
                let list = array.as_list::<i32>().clone();
                Self::List {
                    items: Box::new(Self::bind(list.values(), style)?),
                    list,
                }
            }
            T::LargeList(item) | T::FixedSizeList(item, _) => {
                Self::bind(&to(&T::List(item.clone()))?, style)?
            }
            T::Dictionary(_, values) => Self::bind(&to(values)?, style)?,
            // Times, durations, intervals and views of text: as text.
            _ => Self::Text(to(&T::Utf8)?.as_string().clone()),
        })
    }

    fn bind_struct(fields: &Fields, array: &ArrayRef, style: Style) -> Result<Self, ()> {
        let array = array.as_struct();
        let names: Vec<String> = fields
            .iter()
            .map(|f: &std::sync::Arc<Field>| f.name().clone())
            .collect();
        let members = array
            .columns()
            .iter()
            .map(|array| Self::bind(array, style))
            .collect::<Result<_, _>>()?;
        Ok(Self::Struct {
            nulls: array.nulls().cloned(),
            prefixes: prefixes(names.iter()),
            members,
        })
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Null => true,
            Self::Bool(array) => array.is_null(row),
            Self::Int(array) => array.is_null(row),
            Self::Unsigned(array) => array.is_null(row),
            Self::Single(array) => array.is_null(row),
            Self::Double(array) => array.is_null(row),
            Self::Decimal(array, _) => array.is_null(row),
            Self::Text(array) | Self::Digits(array) => array.is_null(row),
            Self::Bytes(array) => array.is_null(row),
            Self::Date(array) => array.is_null(row),
            Self::Timestamp(array) => array.is_null(row),
            Self::Struct { nulls, .. } => nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)),
            Self::List { list, .. } => list.is_null(row),
            Self::Quoted(values) => values.is_null(row),
        }
    }

    fn write(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) {
            return out.extend_from_slice(b"null");
        }
        match self {
            Self::Null => {}
            Self::Bool(array) => {
                out.extend_from_slice(if array.value(row) { b"true" } else { b"false" })
            }
            Self::Int(array) => write::integer(array.value(row).into(), out),
            Self::Unsigned(array) => write::integer(array.value(row).into(), out),
            Self::Single(array) => write::single(array.value(row), out),
            Self::Double(array) => write::double(array.value(row), out),
            Self::Decimal(array, scale) => write::decimal(array.value(row), *scale, out),
            Self::Text(array) => write::string(array.value(row), out),
            Self::Digits(array) => out.extend_from_slice(array.value(row).as_bytes()),
            Self::Bytes(array) => quoted(out, |out| {
                out.extend_from_slice(STANDARD.encode(array.value(row)).as_bytes())
            }),
            Self::Date(array) => quoted(out, |out| time::write_date(array.value(row), out)),
            Self::Timestamp(array) => {
                quoted(out, |out| time::write_timestamp(array.value(row), out))
            }
            Self::Struct {
                prefixes, members, ..
            } => write_members(prefixes, members, row, out),
            Self::List { list, items } => write_list(list, items, row, out),
            Self::Quoted(values) => quoted(out, |out| values.write(row, out)),
        }
    }

    fn value(&self, row: usize) -> Value {
        if self.is_null(row) {
            return Value::Null;
        }
        match self {
            Self::Bool(array) => Value::Bool(array.value(row)),
            Self::Int(array) => Value::from(array.value(row)),
            Self::Unsigned(array) => Value::from(array.value(row)),
            Self::Text(array) => Value::from(array.value(row)),
            _ => {
                let mut text = Vec::new();
                self.write(row, &mut text);
                serde_json::from_slice(&text).unwrap_or(Value::Null)
            }
        }
    }
}

/// Times as milliseconds since 1970; those that lie between two go down.
pub(crate) fn millis(array: &ArrayRef) -> Result<Int64Array, ()> {
    let micros = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, None)).map_err(|_| ())?;
    let micros = micros.as_primitive::<datafusion::arrow::datatypes::TimestampMicrosecondType>();
    Ok(micros
        .iter()
        .map(|us| Some(us?.div_euclid(1_000)))
        .collect())
}

fn quoted(out: &mut Vec<u8>, inner: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    inner(out);
    out.push(b'"');
}

fn write_list(list: &ListArray, items: &Values, row: usize, out: &mut Vec<u8>) {
    let (start, end) = (
        list.value_offsets()[row] as usize,
        list.value_offsets()[row + 1] as usize,
    );
    out.push(b'[');
    for item in start..end {
        if item > start {
            out.push(b',');
        }
        items.write(item, out);
    }
    out.push(b']');
}
