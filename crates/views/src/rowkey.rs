//! Rows as bytes: equal bytes if and only if the values are equal as SQL's `GROUP BY` sees it (NULL equals NULL, NaN equals
//! NaN, -0.0 equals 0.0). Our own encoding, because what is hashed decides orders and must not change under us.
//!
//! ```text
//! column := 0x00 (NULL) | 0x01 fixed-width bytes, little endian | 0x01 length:u32 bytes | 0x01 count:u32 items | 0x01 members
//! ```

use std::hash::BuildHasher;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float32Array, Float64Array, ListArray,
};
use datafusion::arrow::buffer::{Buffer, NullBuffer, OffsetBuffer};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::record_batch::RecordBatch;
use foldhash::fast::FixedState;

/// Some columns of one batch, ready to give the bytes of a row.
#[derive(Debug)]
pub struct RowKeys {
    parts: Vec<Part>,
}

impl RowKeys {
    /// `columns` are indexes into the batch.
    pub fn bind(batch: &RecordBatch, columns: &[usize]) -> Result<Self, ArrowError> {
        Self::of_arrays(columns.iter().map(|index| batch.column(*index)))
    }

    pub fn of_arrays<'a>(
        arrays: impl IntoIterator<Item = &'a ArrayRef>,
    ) -> Result<Self, ArrowError> {
        Ok(Self {
            parts: arrays
                .into_iter()
                .map(Part::bind)
                .collect::<Result<_, _>>()?,
        })
    }

    /// Appends the bytes of a row.
    pub fn write(&self, row: usize, out: &mut Vec<u8>) {
        self.parts.iter().for_each(|part| part.write(row, out));
    }
}

/// The hash of a row's bytes. Fixed seed: the same on every run.
pub fn hash_key(bytes: &[u8]) -> u64 {
    FixedState::with_seed(0x4857_5645).hash_one(bytes)
}

#[derive(Debug)]
enum Part {
    Null,
    Bool(BooleanArray),
    Float32(Float32Array),
    Float64(Float64Array),
    Fixed {
        bytes: Buffer,
        width: usize,
        nulls: Option<NullBuffer>,
    },
    Varied {
        bytes: Buffer,
        offsets: OffsetBuffer<i32>,
        nulls: Option<NullBuffer>,
    },
    Struct {
        members: Vec<Part>,
        nulls: Option<NullBuffer>,
    },
    List {
        list: ListArray,
        items: Box<Part>,
    },
}

impl Part {
    fn bind(array: &ArrayRef) -> Result<Self, ArrowError> {
        use DataType as T;
        let nulls = array.nulls().cloned();
        Ok(match array.data_type() {
            T::Null => Self::Null,
            T::Boolean => Self::Bool(array.as_boolean().clone()),
            T::Float32 => Self::Float32(array.as_primitive().clone()),
            T::Float64 => Self::Float64(array.as_primitive().clone()),
            T::Utf8 => {
                let text = array.as_string::<i32>();
                Self::Varied {
                    bytes: text.values().clone(),
                    offsets: text.offsets().clone(),
                    nulls,
                }
            }
            T::Binary => {
                let binary = array.as_binary::<i32>();
                Self::Varied {
                    bytes: binary.values().clone(),
                    offsets: binary.offsets().clone(),
                    nulls,
                }
            }
            T::Struct(_) => {
                let members = array
                    .as_struct()
                    .columns()
                    .iter()
                    .map(Self::bind)
                    .collect::<Result<_, _>>()?;
                Self::Struct { members, nulls }
            }
            T::List(_) => {
                let list = array.as_list::<i32>().clone();
                Self::List {
                    items: Box::new(Self::bind(list.values())?),
                    list,
                }
            }
            other => match other.primitive_width() {
                Some(width) => Self::fixed(array, width, nulls)?,
                None => Self::bind(&cast(array, &simpler(other))?)?,
            },
        })
    }

    fn fixed(
        array: &ArrayRef,
        width: usize,
        nulls: Option<NullBuffer>,
    ) -> Result<Self, ArrowError> {
        let data = array.to_data();
        let buffer = data
            .buffers()
            .first()
            .ok_or_else(|| ArrowError::InvalidArgumentError("no values".into()))?;
        Ok(Self::Fixed {
            bytes: buffer.slice_with_length(data.offset() * width, array.len() * width),
            width,
            nulls,
        })
    }

    fn write(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) {
            return out.push(0);
        }
        out.push(1);
        match self {
            Self::Null => {}
            Self::Bool(array) => out.push(u8::from(array.value(row))),
            Self::Float32(array) => {
                out.extend_from_slice(&one_zero_one_nan(array.value(row).into()).to_le_bytes())
            }
            Self::Float64(array) => {
                out.extend_from_slice(&one_zero_one_nan(array.value(row)).to_le_bytes())
            }
            Self::Fixed { bytes, width, .. } => {
                out.extend_from_slice(&bytes[row * width..(row + 1) * width])
            }
            Self::Varied { bytes, offsets, .. } => {
                let value = &bytes[offsets[row] as usize..offsets[row + 1] as usize];
                // Arrow's own offsets are 32 bits: the length fits.
                out.extend_from_slice(&(value.len() as u32).to_le_bytes());
                out.extend_from_slice(value);
            }
            Self::Struct { members, .. } => {
                members.iter().for_each(|member| member.write(row, out))
            }
            Self::List { list, items } => {
                let (start, end) = (list.value_offsets()[row], list.value_offsets()[row + 1]);
                out.extend_from_slice(&(end - start).to_le_bytes());
                (start..end).for_each(|item| items.write(item as usize, out));
            }
        }
    }

    fn is_null(&self, row: usize) -> bool {
        let nulls = match self {
            Self::Null => return true,
            Self::Bool(array) => array.nulls(),
            Self::Float32(array) => array.nulls(),
            Self::Float64(array) => array.nulls(),
            Self::List { list, .. } => list.nulls(),
            Self::Fixed { nulls, .. } | Self::Varied { nulls, .. } | Self::Struct { nulls, .. } => {
                nulls.as_ref()
            }
        };
        nulls.is_some_and(|nulls| nulls.is_null(row))
    }
}

/// A type with the same values that [`Part`] knows.
fn simpler(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, values) => values.as_ref().clone(),
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            DataType::List(item.clone())
        }
        _ => DataType::Utf8,
    }
}

fn one_zero_one_nan(value: f64) -> f64 {
    if value.is_nan() {
        f64::NAN
    } else if value == 0.0 {
        0.0
    } else {
        value
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use datafusion::arrow::array::{Int64Array, StringArray};

    use super::*;

    fn keys(arrays: &[ArrayRef]) -> Vec<Vec<u8>> {
        let bound = RowKeys::of_arrays(arrays).unwrap();
        let key = |row| {
            let mut out = Vec::new();
            bound.write(row, &mut out);
            out
        };
        (0..arrays[0].len()).map(key).collect()
    }

    #[test]
    fn equal_as_sql_groups() {
        let floats = Float64Array::from(vec![
            Some(0.0),
            Some(-0.0),
            Some(f64::NAN),
            Some(-f64::NAN),
            None,
            Some(1.0),
        ]);
        let found = keys(&[Arc::new(floats)]);
        assert_eq!(found[0], found[1]);
        assert_eq!(found[2], found[3]);
        assert_ne!(found[4], found[0]);
        assert_ne!(found[5], found[0]);
    }

    #[test]
    fn neighbours_do_not_run_into_each_other() {
        let left: ArrayRef = Arc::new(StringArray::from(vec![
            Some("ab"),
            Some("a"),
            None,
            Some(""),
        ]));
        let right: ArrayRef = Arc::new(StringArray::from(vec![
            Some("c"),
            Some("bc"),
            Some(""),
            None,
        ]));
        let found = keys(&[left, right]);
        for (i, a) in found.iter().enumerate() {
            assert!(found[i + 1..].iter().all(|b| a != b));
        }
    }

    #[test]
    fn slices_are_read_at_their_place() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3), Some(4)]));
        assert_eq!(keys(&[numbers.slice(1, 3)]), keys(&[numbers])[1..]);
    }
}
