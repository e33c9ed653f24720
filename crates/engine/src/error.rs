//! What can go wrong for whoever asks the engine something, grouped by what they can do about it.

use headwater_sql::SqlError;
use serde::Serialize;

/// An error in a statement, or in carrying it out. `rendered` is what a person reads.
#[derive(Clone, Debug, Default, Serialize, thiserror::Error)]
#[error("{rendered}")]
pub struct StatementError {
    pub message: String,
    pub file: Option<String>,
    /// From 1.
    pub line: Option<u32>,
    pub column: Option<u32>,
    /// The line itself and a caret below the place.
    pub caret: Option<String>,
    pub hint: Option<String>,
    pub rendered: String,
}

impl From<SqlError> for StatementError {
    fn from(error: SqlError) -> Self {
        let placed = error.line > 0;
        Self {
            rendered: error.render(),
            caret: placed.then(|| error.caret()),
            line: placed.then_some(error.line),
            column: placed.then_some(error.column),
            message: error.message,
            file: error.file,
            hint: error.hint,
        }
    }
}

/// The engine itself cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Log(#[from] headwater_connect::CommitError),
    #[error("cannot read the log: {0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Catalog(String),
}
