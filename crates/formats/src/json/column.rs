//! Growing Arrow columns that JSON values are appended to. Unlike Arrow's builders they can take rows back, which is how
//! a bad row leaves nothing behind and how the last of duplicate fields wins.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, Date32Array, Decimal128Array,
    NullBufferBuilder, PrimitiveArray, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use datafusion::arrow::datatypes::{
    ArrowNativeType, ArrowPrimitiveType, DataType, Field, Float32Type, Float64Type, Int16Type,
    Int32Type, Int64Type, TimeUnit,
};
use datafusion::arrow::error::ArrowError;

use super::nested::{ListColumn, StructColumn};
use super::unread::Unread;

pub(crate) enum Column {
    Bool {
        values: BooleanBufferBuilder,
        nulls: NullBufferBuilder,
    },
    Int16(Flat<i16>),
    Int32(Flat<i32>),
    Int64(Flat<i64>),
    Float32(Flat<f32>),
    Float64(Flat<f64>),
    Decimal {
        flat: Flat<i128>,
        precision: u8,
        scale: i8,
    },
    Date(Flat<i32>),
    Timestamp {
        flat: Flat<i64>,
        zone: Option<Arc<str>>,
    },
    Text(Varied),
    /// Any JSON value, as its text.
    Json(Varied),
    Bytes(Varied),
    Struct(StructColumn),
    List(ListColumn),
    Unread(Unread),
}

/// Values of one width.
pub(crate) struct Flat<T> {
    pub values: Vec<T>,
    pub nulls: NullBufferBuilder,
}

/// Values of varying length, end to end.
pub(crate) struct Varied {
    pub bytes: Vec<u8>,
    pub offsets: Vec<i32>,
    pub nulls: NullBufferBuilder,
}

impl<T: Copy + Default> Flat<T> {
    fn new() -> Self {
        Self {
            values: Vec::new(),
            nulls: NullBufferBuilder::new(0),
        }
    }

    #[inline]
    pub fn push(&mut self, value: T) {
        self.values.push(value);
        self.nulls.append_non_null();
    }

    fn push_null(&mut self) {
        self.values.push(T::default());
        self.nulls.append_null();
    }

    fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        self.nulls.truncate(rows);
    }

    fn finish<P: ArrowPrimitiveType<Native = T>>(&mut self) -> Result<PrimitiveArray<P>, ArrowError>
    where
        T: ArrowNativeType,
    {
        let capacity = self.values.len();
        let values = std::mem::replace(&mut self.values, Vec::with_capacity(capacity));
        PrimitiveArray::try_new(ScalarBuffer::from(values), self.nulls.finish())
    }
}

impl Varied {
    fn new() -> Self {
        Self {
            bytes: Vec::new(),
            offsets: vec![0],
            nulls: NullBufferBuilder::new(0),
        }
    }

    /// Ends the value whose bytes were appended to `bytes`. `false` if the column is full (2 GiB); then nothing is kept.
    #[inline]
    pub fn close(&mut self) -> bool {
        let Ok(end) = i32::try_from(self.bytes.len()) else {
            self.reopen();
            return false;
        };
        self.offsets.push(end);
        self.nulls.append_non_null();
        true
    }

    /// Drops the bytes of a value that was not closed.
    pub fn reopen(&mut self) {
        self.bytes
            .truncate(self.offsets.last().map_or(0, |end| *end as usize));
    }

    fn push_null(&mut self) {
        self.offsets.push(self.offsets.last().copied().unwrap_or(0));
        self.nulls.append_null();
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.nulls.truncate(rows);
        self.reopen();
    }

    fn finish(
        &mut self,
    ) -> (
        OffsetBuffer<i32>,
        Buffer,
        Option<datafusion::arrow::buffer::NullBuffer>,
    ) {
        let (rows, size) = (self.offsets.len(), self.bytes.len());
        let mut fresh = Vec::with_capacity(rows);
        fresh.push(0);
        let offsets = std::mem::replace(&mut self.offsets, fresh);
        let bytes = std::mem::replace(&mut self.bytes, Vec::with_capacity(size));
        (
            OffsetBuffer::new(ScalarBuffer::from(offsets)),
            Buffer::from_vec(bytes),
            self.nulls.finish(),
        )
    }
}

/// The same for every kind of column that keeps its rows and has `truncate(rows)` or `push_null()`.
macro_rules! each {
    ($column:expr, $flat:ident => $do_flat:expr, $bool:expr, $unread:expr) => {
        match $column {
            Column::Unread(unread) => $unread(unread),
            Column::Bool { values, nulls } => $bool(values, nulls),
            Column::Int16($flat) => $do_flat,
            Column::Int32($flat) => $do_flat,
            Column::Int64($flat) => $do_flat,
            Column::Float32($flat) => $do_flat,
            Column::Float64($flat) => $do_flat,
            Column::Decimal { flat: $flat, .. } => $do_flat,
            Column::Date($flat) => $do_flat,
            Column::Timestamp { flat: $flat, .. } => $do_flat,
            Column::Text($flat) | Column::Json($flat) => $do_flat,
            Column::Bytes($flat) => $do_flat,
            Column::Struct($flat) => $do_flat,
            Column::List($flat) => $do_flat,
        }
    };
}

impl Column {
    /// `None` if the type has no place in JSON.
    pub fn new(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Boolean => Self::Bool {
                values: BooleanBufferBuilder::new(0),
                nulls: NullBufferBuilder::new(0),
            },
            DataType::Int16 => Self::Int16(Flat::new()),
            DataType::Int32 => Self::Int32(Flat::new()),
            DataType::Int64 => Self::Int64(Flat::new()),
            DataType::Float32 => Self::Float32(Flat::new()),
            DataType::Float64 => Self::Float64(Flat::new()),
            DataType::Decimal128(precision, scale) => Self::Decimal {
                flat: Flat::new(),
                precision: *precision,
                scale: *scale,
            },
            DataType::Date32 => Self::Date(Flat::new()),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => Self::Timestamp {
                flat: Flat::new(),
                zone: zone.clone(),
            },
            DataType::Utf8 => Self::Text(Varied::new()),
            DataType::Binary => Self::Bytes(Varied::new()),
            DataType::Struct(fields) => Self::Struct(StructColumn::new(fields)?),
            DataType::List(item) => Self::List(ListColumn::new(item)?),
            _ => return None,
        })
    }

    #[inline]
    pub fn len(&self) -> usize {
        match self {
            Self::Unread(unread) => unread.rows(),
            kept => kept.nulls().map_or(0, NullBufferBuilder::len),
        }
    }

    /// Not to be asked of a column that is not read.
    pub fn is_null(&self, row: usize) -> bool {
        self.nulls().is_none_or(|nulls| !nulls.is_valid(row))
    }

    #[inline]
    fn nulls(&self) -> Option<&NullBufferBuilder> {
        each!(self, column => Some(&column.nulls), |_, nulls| Some(nulls), |_| None)
    }

    /// Of structs within it.
    pub fn refuse_unknown(&mut self) {
        match self {
            Self::Struct(column) => column.refuse_unknown(),
            Self::List(column) => column.refuse_unknown(),
            Self::Unread(column) => column.refuse_unknown(),
            _ => {}
        }
    }

    pub fn push_null(&mut self) {
        each!(self, column => column.push_null(), |values: &mut BooleanBufferBuilder, nulls: &mut NullBufferBuilder| {
            values.append(false);
            nulls.append_null();
        }, |unread: &mut Unread| unread.push_null());
    }

    /// Takes back every row from `rows` on, and what is left of an unfinished one.
    pub fn truncate(&mut self, rows: usize) {
        each!(self, column => column.truncate(rows), |values: &mut BooleanBufferBuilder, nulls: &mut NullBufferBuilder| {
            values.truncate(rows);
            nulls.truncate(rows);
        }, |unread: &mut Unread| unread.truncate(rows));
    }

    /// The rows as an array; the column starts over.
    pub fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Bool { values, nulls } => {
                Arc::new(BooleanArray::new(values.finish(), nulls.finish()))
            }
            Self::Int16(flat) => Arc::new(flat.finish::<Int16Type>()?),
            Self::Int32(flat) => Arc::new(flat.finish::<Int32Type>()?),
            Self::Int64(flat) => Arc::new(flat.finish::<Int64Type>()?),
            Self::Float32(flat) => Arc::new(flat.finish::<Float32Type>()?),
            Self::Float64(flat) => Arc::new(flat.finish::<Float64Type>()?),
            Self::Decimal {
                flat,
                precision,
                scale,
            } => {
                let array: Decimal128Array = flat.finish()?;
                Arc::new(array.with_precision_and_scale(*precision, *scale)?)
            }
            Self::Date(flat) => {
                let array: Date32Array = flat.finish()?;
                Arc::new(array)
            }
            Self::Timestamp { flat, zone } => {
                let array: TimestampMicrosecondArray = flat.finish()?;
                Arc::new(array.with_timezone_opt(zone.clone()))
            }
            Self::Text(varied) | Self::Json(varied) => {
                let (offsets, bytes, nulls) = varied.finish();
                Arc::new(StringArray::try_new(offsets, bytes, nulls)?)
            }
            Self::Bytes(varied) => {
                let (offsets, bytes, nulls) = varied.finish();
                Arc::new(BinaryArray::try_new(offsets, bytes, nulls)?)
            }
            Self::Struct(column) => column.finish()?,
            Self::List(column) => column.finish()?,
            Self::Unread(unread) => unread.finish(),
        })
    }
}

/// Marks a TEXT field that takes any JSON value, in the field's metadata.
pub const JSON: &str = "headwater.json";

/// A column for a field, or its name and type if there is none. `read`: the part of it that is read, `None` if nothing is.
///
/// What is `NOT NULL` is kept in any case, because it decides which rows there are.
pub(crate) fn column_of(field: &Field, read: Option<&Field>) -> Result<Column, (String, DataType)> {
    // Also when it is not read: any value is one.
    if field.metadata().contains_key(JSON) {
        return Ok(Column::Json(Varied::new()));
    }
    let column = match (read.map(Field::data_type), field.data_type()) {
        (Some(DataType::Struct(read)), DataType::Struct(fields)) => {
            StructColumn::reading(fields, Some(read)).map(Column::Struct)
        }
        (None, data_type) if field.is_nullable() => Unread::new(data_type).map(Column::Unread),
        (_, data_type) => Column::new(data_type),
    };
    column.ok_or_else(|| (field.name().clone(), field.data_type().clone()))
}
