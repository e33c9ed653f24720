//! How values are kept in state: as ordered words, as compact bytes, in arenas. Ours, so that it is stable on disk (Arrow's
//! row format may change between releases).
//!
//! Knows nothing of operators.

pub(crate) mod arena;
pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod hash;
pub(crate) mod kind;
pub(crate) mod persist;
#[cfg(test)]
mod tests;
pub(crate) mod words;

pub(crate) use arena::{Arena, Span};
pub(crate) use decode::RowReader;
pub(crate) use encode::{EncodedRows, RowWriter};
pub(crate) use kind::Unkept;

use datafusion::arrow::datatypes::{DataType, Schema};

/// The types of a schema's columns, as rows are written and read by.
pub(crate) fn types(schema: &Schema) -> Vec<DataType> {
    let fields = schema.fields().iter();
    fields.map(|f| f.data_type().clone()).collect()
}

/// The state's bytes do not decode: a bug or a damaged snapshot.
#[derive(Debug, thiserror::Error)]
#[error("state is damaged: {0}")]
pub(crate) struct Damaged(pub &'static str);
