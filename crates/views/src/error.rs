//! What can go wrong with a view's rows.

use datafusion::arrow::error::ArrowError;

#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// Rows of other columns than the view's: a mistake of the caller.
    #[error("the rows have columns ({found}), the view has ({expected})")]
    Columns { expected: String, found: String },
    #[error("rows of a view: {0}")]
    Arrow(#[from] ArrowError),
    #[error("snapshot of a view: {0}")]
    Io(#[from] std::io::Error),
    /// A snapshot that this program cannot read.
    #[error("snapshot of a view: {0}")]
    Snapshot(String),
}
