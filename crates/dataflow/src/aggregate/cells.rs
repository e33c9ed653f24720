//! The values that min and max compare: words, decimals, bytes of text.

use std::cmp::Ordering;
use std::io::{self, Read, Write};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, Decimal128Array};
use datafusion::arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use datafusion::arrow::datatypes::{DataType, Decimal128Type};

use crate::codec::decode::bytes_array;
use crate::codec::encode::plain_bytes;
use crate::codec::persist::{get_bytes, get_u64, put_bytes, put_u64};
use crate::codec::words::{from_words, to_words};

/// A value of one type with SQL's order.
pub(crate) trait Cell: Ord + Clone + Send + 'static {
    /// A batch's column, unfolded for reading.
    type Column;
    fn column(array: &ArrayRef) -> Result<Self::Column, String>;
    fn at(column: &Self::Column, row: usize) -> Self;
    /// The column's value against `other`, without making it a cell.
    fn compare(column: &Self::Column, row: usize, other: &Self) -> Ordering;
    fn array(data_type: &DataType, cells: &[Option<&Self>]) -> Result<ArrayRef, String>;
    /// Not above any other.
    fn least() -> Self;
    fn heap_bytes(&self) -> usize {
        0
    }
    fn save(&self, out: &mut dyn Write) -> io::Result<()>;
    fn load(from: &mut dyn Read) -> io::Result<Self>;
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WordCell(i64);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WideCell(i128);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TextCell(Box<[u8]>);

fn nulls<C>(cells: &[Option<&C>]) -> Option<NullBuffer> {
    cells.contains_none().then(|| {
        cells
            .iter()
            .map(Option::is_some)
            .collect::<Vec<bool>>()
            .into()
    })
}

trait ContainsNone {
    fn contains_none(&self) -> bool;
}

impl<C> ContainsNone for [Option<&C>] {
    fn contains_none(&self) -> bool {
        self.iter().any(Option::is_none)
    }
}

impl Cell for WordCell {
    type Column = ScalarBuffer<i64>;

    fn column(array: &ArrayRef) -> Result<Self::Column, String> {
        to_words(array).ok_or_else(|| format!("{} is not a word", array.data_type()))
    }

    fn at(column: &Self::Column, row: usize) -> Self {
        Self(column[row])
    }

    fn compare(column: &Self::Column, row: usize, other: &Self) -> Ordering {
        column[row].cmp(&other.0)
    }

    fn array(data_type: &DataType, cells: &[Option<&Self>]) -> Result<ArrayRef, String> {
        let words = cells.iter().map(|c| c.map_or(0, |c| c.0)).collect();
        from_words(data_type, words, nulls(cells))
            .ok_or_else(|| format!("{data_type} is not a word"))
    }

    fn least() -> Self {
        Self(i64::MIN)
    }

    fn save(&self, out: &mut dyn Write) -> io::Result<()> {
        put_u64(out, self.0 as u64)
    }

    fn load(from: &mut dyn Read) -> io::Result<Self> {
        Ok(Self(get_u64(from)? as i64))
    }
}

impl Cell for WideCell {
    type Column = ScalarBuffer<i128>;

    fn column(array: &ArrayRef) -> Result<Self::Column, String> {
        Ok(array.as_primitive::<Decimal128Type>().values().clone())
    }

    fn at(column: &Self::Column, row: usize) -> Self {
        Self(column[row])
    }

    fn compare(column: &Self::Column, row: usize, other: &Self) -> Ordering {
        column[row].cmp(&other.0)
    }

    fn array(data_type: &DataType, cells: &[Option<&Self>]) -> Result<ArrayRef, String> {
        let values: Decimal128Array = cells.iter().map(|c| c.map(|c| c.0)).collect();
        Ok(Arc::new(values.with_data_type(data_type.clone())))
    }

    fn least() -> Self {
        Self(i128::MIN)
    }

    fn save(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.0.to_le_bytes())
    }

    fn load(from: &mut dyn Read) -> io::Result<Self> {
        let mut bytes = [0; 16];
        from.read_exact(&mut bytes)?;
        Ok(Self(i128::from_le_bytes(bytes)))
    }
}

/// Text compares by its bytes, as PostgreSQL's "C" collation.
impl Cell for TextCell {
    type Column = (OffsetBuffer<i32>, Buffer);

    fn column(array: &ArrayRef) -> Result<Self::Column, String> {
        Ok(plain_bytes(array))
    }

    fn at(column: &Self::Column, row: usize) -> Self {
        Self(slice(column, row).into())
    }

    fn compare(column: &Self::Column, row: usize, other: &Self) -> Ordering {
        slice(column, row).cmp(&other.0)
    }

    fn array(data_type: &DataType, cells: &[Option<&Self>]) -> Result<ArrayRef, String> {
        let (mut ends, mut bytes) = (vec![0], Vec::new());
        for cell in cells {
            bytes.extend_from_slice(cell.map_or(&[], |c| &c.0));
            ends.push(bytes.len() as i32);
        }
        bytes_array(data_type, ends, bytes, nulls(cells))
            .ok_or_else(|| format!("text does not fit {data_type}"))
    }

    fn least() -> Self {
        Self(Box::default())
    }

    fn heap_bytes(&self) -> usize {
        self.0.len()
    }

    fn save(&self, out: &mut dyn Write) -> io::Result<()> {
        put_bytes(out, &self.0)
    }

    fn load(from: &mut dyn Read) -> io::Result<Self> {
        Ok(Self(get_bytes(from)?.into()))
    }
}

fn slice((offsets, bytes): &(OffsetBuffer<i32>, Buffer), row: usize) -> &[u8] {
    &bytes[offsets[row] as usize..offsets[row + 1] as usize]
}
