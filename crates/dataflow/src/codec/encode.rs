//! Rows as bytes:
//!
//! ```text
//! row    = NULL bits (1 = NULL, one a column, least significant first, whole bytes), then the values that are not NULL
//! word   = zigzag varint                  double = varint 0, 8 bytes | varint of (zigzag + 1) if it is a whole number
//! wide   = zigzag varint of 128 bits      bytes  = varint length, bytes
//! struct = each child: 0 | 1 value        list   = varint count, each element: 0 | 1 value
//! ```
//!
//! Equal rows have equal bytes, and no other do.

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Float64Type};

use super::kind::{Kind, Unkept};
use super::words::to_words;

/// Encoded rows of one batch, back to back.
#[derive(Debug, Default)]
pub(crate) struct EncodedRows {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl EncodedRows {
    pub(crate) fn get(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.bytes[start..self.ends[row]]
    }
}

/// Encodes the rows of some columns of known types.
#[derive(Clone, Debug)]
pub(crate) struct RowWriter {
    kinds: Vec<Kind>,
}

impl RowWriter {
    pub(crate) fn new<'a>(types: impl IntoIterator<Item = &'a DataType>) -> Result<Self, Unkept> {
        let kinds = types.into_iter().map(Kind::of).collect::<Result<_, _>>()?;
        Ok(Self { kinds })
    }

    pub(crate) fn encode(&self, columns: &[ArrayRef], rows: usize) -> EncodedRows {
        let cells: Vec<Cells> = self
            .kinds
            .iter()
            .zip(columns)
            .map(|(k, c)| Cells::new(k, c))
            .collect();
        let mut encoded = EncodedRows {
            bytes: Vec::with_capacity(rows * (4 + 6 * cells.len())),
            ends: Vec::with_capacity(rows),
        };
        for row in 0..rows {
            write_row(&cells, row, &mut encoded.bytes);
            encoded.ends.push(encoded.bytes.len());
        }
        encoded
    }
}

fn write_row(cells: &[Cells], row: usize, out: &mut Vec<u8>) {
    let bits_at = out.len();
    out.resize(bits_at + cells.len().div_ceil(8), 0);
    for (column, cell) in cells.iter().enumerate() {
        if cell.is_null(row) {
            out[bits_at + column / 8] |= 1 << (column % 8);
        } else {
            cell.values.write(row, out);
        }
    }
}

/// One column, unfolded once a batch.
struct Cells {
    values: Values,
    nulls: Option<NullBuffer>,
}

enum Values {
    Null,
    Word(ScalarBuffer<i64>),
    Double(ScalarBuffer<f64>),
    Wide(ScalarBuffer<i128>),
    Bytes(OffsetBuffer<i32>, Buffer),
    Struct(Vec<Cells>),
    List(OffsetBuffer<i32>, Box<Cells>),
}

impl Cells {
    fn new(kind: &Kind, array: &ArrayRef) -> Self {
        let nulls = match kind {
            Kind::Null => Some(NullBuffer::new_null(array.len())),
            _ => array.nulls().cloned(),
        };
        Self {
            values: Values::new(kind, array),
            nulls,
        }
    }

    fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|n| n.is_null(row))
    }

    fn write_nested(&self, row: usize, out: &mut Vec<u8>) {
        let there = !self.is_null(row);
        out.push(u8::from(there));
        if there {
            self.values.write(row, out);
        }
    }
}

impl Values {
    fn new(kind: &Kind, array: &ArrayRef) -> Self {
        match kind {
            Kind::Null => Self::Null,
            Kind::Word => {
                Self::Word(to_words(array).unwrap_or_else(|| vec![0; array.len()].into()))
            }
            Kind::Double => Self::Double(array.as_primitive::<Float64Type>().values().clone()),
            Kind::Wide => Self::Wide(array.as_primitive::<Decimal128Type>().values().clone()),
            Kind::Bytes => {
                let (offsets, bytes) = plain_bytes(array);
                Self::Bytes(offsets, bytes)
            }
            Kind::Struct(_, kinds) => {
                let children = array.as_struct().columns();
                Self::Struct(
                    kinds
                        .iter()
                        .zip(children)
                        .map(|(k, c)| Cells::new(k, c))
                        .collect(),
                )
            }
            Kind::List(_, kind) => {
                let list = array.as_list::<i32>();
                Self::List(
                    list.offsets().clone(),
                    Box::new(Cells::new(kind, list.values())),
                )
            }
        }
    }

    /// Writes a value that is not NULL.
    #[inline]
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            Self::Null => {}
            Self::Word(words) => put_varint(out, zigzag(words[row])),
            // -0.0 equals 0.0, so that both are one row.
            Self::Double(values) => put_double(out, values[row] + 0.0),
            Self::Wide(values) => put_wide(out, values[row]),
            Self::Bytes(offsets, bytes) => {
                let (start, end) = (offsets[row] as usize, offsets[row + 1] as usize);
                put_varint(out, (end - start) as u64);
                out.extend_from_slice(&bytes[start..end]);
            }
            Self::Struct(children) => children.iter().for_each(|c| c.write_nested(row, out)),
            Self::List(offsets, child) => {
                let (start, end) = (offsets[row] as usize, offsets[row + 1] as usize);
                put_varint(out, (end - start) as u64);
                (start..end).for_each(|at| child.write_nested(at, out));
            }
        }
    }
}

/// Offsets and bytes of text or binary; views and wide offsets are copied into the plain form first.
pub(crate) fn plain_bytes(array: &ArrayRef) -> (OffsetBuffer<i32>, Buffer) {
    match array.data_type() {
        DataType::Utf8 => {
            let text = array.as_string::<i32>();
            (text.offsets().clone(), text.values().clone())
        }
        DataType::Binary => {
            let binary = array.as_binary::<i32>();
            (binary.offsets().clone(), binary.values().clone())
        }
        // A batch's text is far below the 2 GiB at which this cast fails.
        _ => cast(array, &DataType::Binary).map_or_else(
            |_| (OffsetBuffer::new_zeroed(array.len()), Buffer::default()),
            |plain| plain_bytes(&plain),
        ),
    }
}

#[inline]
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[inline]
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_double(out: &mut Vec<u8>, value: f64) {
    let whole = value as i64;
    if whole.unsigned_abs() < 1 << 53 && (whole as f64).to_bits() == value.to_bits() {
        put_varint(out, zigzag(whole) + 1);
    } else {
        out.push(0);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

fn put_wide(out: &mut Vec<u8>, value: i128) {
    let mut value = ((value << 1) ^ (value >> 127)) as u128;
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
