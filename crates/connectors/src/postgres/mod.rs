//! PostgreSQL as a sink: rows, deletions and the cursor go in one transaction, so every change is there exactly once.
//!
//! Ownership: `open` raises the sink's epoch in `headwater_sinks`; a writer whose epoch is no longer there is fenced. Reading
//! order: `options`, `types`, `tls`, `session`, `table`, `rows`, `sink`.

mod error;
mod options;
mod rows;
mod session;
mod sink;
mod table;
mod tls;
mod types;

pub use options::PostgresOptions;
pub use sink::PostgresSink;
