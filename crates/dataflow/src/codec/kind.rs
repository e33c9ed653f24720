//! Which form a column's type takes in state.

use datafusion::arrow::datatypes::{DataType, FieldRef, Fields};

use super::words::is_word;

/// A type that no state can hold.
#[derive(Debug, thiserror::Error)]
#[error("a value of type {0} cannot be kept in state; cast it to another type")]
pub struct Unkept(pub DataType);

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Null,
    /// Up to 8 bytes, see [`super::words`].
    Word,
    /// Float64 apart from the words, because whole numbers are common and short.
    Double,
    /// Decimal128.
    Wide,
    /// Text and binary, whatever the width of its offsets.
    Bytes,
    Struct(Fields, Vec<Kind>),
    List(FieldRef, Box<Kind>),
}

impl Kind {
    pub(crate) fn of(data_type: &DataType) -> Result<Self, Unkept> {
        Ok(match data_type {
            DataType::Null => Self::Null,
            DataType::Float64 => Self::Double,
            DataType::Decimal128(_, _) => Self::Wide,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Bytes,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Self::Bytes,
            DataType::Struct(fields) => {
                let kinds = fields
                    .iter()
                    .map(|f| Self::of(f.data_type()))
                    .collect::<Result<_, _>>()?;
                Self::Struct(fields.clone(), kinds)
            }
            DataType::List(field) => {
                Self::List(field.clone(), Box::new(Self::of(field.data_type())?))
            }
            other if is_word(other) => Self::Word,
            other => return Err(Unkept(other.clone())),
        })
    }
}
