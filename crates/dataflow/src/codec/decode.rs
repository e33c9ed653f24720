//! Encoded rows back into Arrow columns; the layout is drawn in [`super::encode`].

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, BinaryArray, Decimal128Array, Float64Array, ListArray, NullArray, StringArray,
    StructArray,
};
use datafusion::arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;

use super::Damaged;
use super::kind::{Kind, Unkept};
use super::words::from_words;

/// Collects rows and turns them into columns.
pub(crate) struct RowReader {
    columns: Vec<Column>,
    rows: usize,
}

impl RowReader {
    pub(crate) fn new<'a>(types: impl IntoIterator<Item = &'a DataType>) -> Result<Self, Unkept> {
        let columns = types
            .into_iter()
            .map(Column::new)
            .collect::<Result<_, _>>()?;
        Ok(Self { columns, rows: 0 })
    }

    pub(crate) fn push(&mut self, row: &[u8]) -> Result<(), Damaged> {
        let width = self.columns.len().div_ceil(8);
        let bits = row
            .get(..width)
            .ok_or(Damaged("row ends in its NULL bits"))?;
        let mut from = &row[width..];
        for (at, column) in self.columns.iter_mut().enumerate() {
            if bits[at / 8] & (1 << (at % 8)) == 0 {
                column.read(&mut from)?;
            } else {
                column.push_null();
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// A row of NULLs.
    pub(crate) fn push_null(&mut self) {
        self.columns.iter_mut().for_each(Column::push_null);
        self.rows += 1;
    }

    pub(crate) fn finish(self) -> Result<Vec<ArrayRef>, Damaged> {
        self.columns.into_iter().map(Column::finish).collect()
    }
}

struct Column {
    data_type: DataType,
    values: Values,
    /// One a row; empty while no row is NULL.
    valid: Vec<bool>,
    rows: usize,
}

enum Values {
    Null,
    Word(Vec<i64>),
    Double(Vec<f64>),
    Wide(Vec<i128>),
    Bytes(Vec<i32>, Vec<u8>),
    Struct(Vec<Column>),
    List(Vec<i32>, Box<Column>),
}

impl Column {
    fn new(data_type: &DataType) -> Result<Self, Unkept> {
        let values = match (Kind::of(data_type)?, data_type) {
            (Kind::Struct(fields, _), _) => Values::Struct(
                fields
                    .iter()
                    .map(|f| Self::new(f.data_type()))
                    .collect::<Result<_, _>>()?,
            ),
            (Kind::List(field, _), _) => {
                Values::List(vec![0], Box::new(Self::new(field.data_type())?))
            }
            (Kind::Null, _) => Values::Null,
            (Kind::Word, _) => Values::Word(Vec::new()),
            (Kind::Double, _) => Values::Double(Vec::new()),
            (Kind::Wide, _) => Values::Wide(Vec::new()),
            (Kind::Bytes, _) => Values::Bytes(vec![0], Vec::new()),
        };
        Ok(Self {
            data_type: data_type.clone(),
            values,
            valid: Vec::new(),
            rows: 0,
        })
    }

    fn push_null(&mut self) {
        if self.valid.is_empty() {
            self.valid.resize(self.rows, true);
        }
        self.valid.push(false);
        self.rows += 1;
        match &mut self.values {
            Values::Null => {}
            Values::Word(words) => words.push(0),
            Values::Double(values) => values.push(0.0),
            Values::Wide(values) => values.push(0),
            Values::Bytes(ends, _) | Values::List(ends, _) => ends.push(ends[ends.len() - 1]),
            Values::Struct(children) => children.iter_mut().for_each(Self::push_null),
        }
    }

    #[inline]
    fn read(&mut self, from: &mut &[u8]) -> Result<(), Damaged> {
        if !self.valid.is_empty() {
            self.valid.push(true);
        }
        self.rows += 1;
        match &mut self.values {
            Values::Null => {}
            Values::Word(words) => words.push(unzigzag(take_varint(from)?)),
            Values::Double(values) => values.push(take_double(from)?),
            Values::Wide(values) => values.push(take_wide(from)?),
            Values::Bytes(ends, bytes) => {
                bytes.extend_from_slice(take_bytes(from)?);
                ends.push(bytes.len() as i32);
            }
            Values::Struct(children) => {
                children.iter_mut().try_for_each(|c| c.read_nested(from))?
            }
            Values::List(ends, child) => {
                for _ in 0..take_varint(from)? {
                    child.read_nested(from)?;
                }
                ends.push(child.rows as i32);
            }
        }
        Ok(())
    }

    fn read_nested(&mut self, from: &mut &[u8]) -> Result<(), Damaged> {
        match take(from, 1)?[0] {
            0 => {
                self.push_null();
                Ok(())
            }
            _ => self.read(from),
        }
    }

    fn finish(self) -> Result<ArrayRef, Damaged> {
        let bad = || Damaged("column does not fit its type");
        let nulls = match self.valid.is_empty() {
            true => None,
            false => Some(NullBuffer::new(BooleanBuffer::from(self.valid))),
        };
        Ok(match self.values {
            Values::Null => Arc::new(NullArray::new(self.rows)),
            Values::Word(words) => from_words(&self.data_type, words, nulls).ok_or_else(bad)?,
            Values::Double(values) => Arc::new(Float64Array::new(values.into(), nulls)),
            Values::Wide(values) => {
                Arc::new(Decimal128Array::new(values.into(), nulls).with_data_type(self.data_type))
            }
            Values::Bytes(ends, bytes) => {
                bytes_array(&self.data_type, ends, bytes, nulls).ok_or_else(bad)?
            }
            Values::Struct(children) => {
                let DataType::Struct(fields) = self.data_type else {
                    return Err(bad());
                };
                let arrays = children
                    .into_iter()
                    .map(Self::finish)
                    .collect::<Result<_, _>>()?;
                Arc::new(
                    StructArray::try_new_with_length(fields, arrays, nulls, self.rows)
                        .map_err(|_| bad())?,
                )
            }
            Values::List(ends, child) => {
                let DataType::List(field) = self.data_type else {
                    return Err(bad());
                };
                let offsets = OffsetBuffer::new(ends.into());
                Arc::new(
                    ListArray::try_new(field, offsets, child.finish()?, nulls)
                        .map_err(|_| bad())?,
                )
            }
        })
    }
}

/// Text or binary of the wanted type over plain bytes.
pub(crate) fn bytes_array(
    data_type: &DataType,
    ends: Vec<i32>,
    bytes: Vec<u8>,
    nulls: Option<NullBuffer>,
) -> Option<ArrayRef> {
    let offsets = OffsetBuffer::new(ends.into());
    let text = matches!(
        data_type,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    );
    let plain: ArrayRef = match text {
        true => Arc::new(StringArray::try_new(offsets, bytes.into(), nulls).ok()?),
        false => Arc::new(BinaryArray::try_new(offsets, bytes.into(), nulls).ok()?),
    };
    match plain.data_type() == data_type {
        true => Some(plain),
        false => cast(&plain, data_type).ok(),
    }
}

fn take<'a>(from: &mut &'a [u8], count: usize) -> Result<&'a [u8], Damaged> {
    let (head, rest) = from
        .split_at_checked(count)
        .ok_or(Damaged("row ends in a value"))?;
    *from = rest;
    Ok(head)
}

#[inline]
fn take_varint(from: &mut &[u8]) -> Result<u64, Damaged> {
    let (mut value, mut shift) = (0u64, 0);
    for (at, byte) in from.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            *from = &from[at + 1..];
            return Ok(value);
        }
        shift += 7;
    }
    Err(Damaged("row ends in a number"))
}

fn take_bytes<'a>(from: &mut &'a [u8]) -> Result<&'a [u8], Damaged> {
    let length = usize::try_from(take_varint(from)?).map_err(|_| Damaged("length out of range"))?;
    take(from, length)
}

fn take_double(from: &mut &[u8]) -> Result<f64, Damaged> {
    match take_varint(from)? {
        0 => {
            let mut bits = [0; 8];
            bits.copy_from_slice(take(from, 8)?);
            Ok(f64::from_le_bytes(bits))
        }
        whole => Ok(unzigzag(whole - 1) as f64),
    }
}

fn take_wide(from: &mut &[u8]) -> Result<i128, Damaged> {
    let (mut value, mut shift) = (0u128, 0);
    for (at, byte) in from.iter().enumerate().take(19) {
        value |= u128::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            *from = &from[at + 1..];
            return Ok((value >> 1) as i128 ^ -((value & 1) as i128));
        }
        shift += 7;
    }
    Err(Damaged("row ends in a decimal"))
}

#[inline]
fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}
