//! What can go wrong in a format: a column type it cannot hold, or a record that does not decode.

use datafusion::arrow::error::ArrowError;

/// A definition or a batch that the format cannot handle. Not about single records.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    #[error("format '{format}' is not known; there are json, csv, text and raw")]
    Unknown { format: String },
    #[error("column {column}: type {data_type} cannot be read from or written to {format}")]
    Column {
        column: String,
        data_type: String,
        format: &'static str,
    },
    #[error("format '{format}' fills {wanted} column, {found} are declared for it")]
    Columns {
        format: &'static str,
        wanted: usize,
        found: usize,
    },
    #[error("columns of a batch: {0}")]
    Arrow(#[from] ArrowError),
}

/// A record that does not fit its definition: a dead letter. Nothing of it was appended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DecodeError {
    /// For people: field, what was expected, what was found, at which byte.
    pub message: String,
}

impl DecodeError {
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}
