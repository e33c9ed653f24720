//! Views: their materialized rows, consistent pictures of them for readers, and plain SQL over those.
//!
//! Reading order: `rowkey`, `chunk`, `index`, `store` (the writer), `snapshot` (the readers), `cold` and `sorted` (rows that do not fit in
//! memory, in a spill store), `persist`, `provider` and `adhoc` (SQL). Knows nothing of pipelines, logs or HTTP.

mod chunk;
mod cold;
mod error;
mod index;
mod keyed;
mod lookup;
mod part;
mod persist;
mod retention;
mod sorted;
mod tidy;

pub mod adhoc;
pub mod provider;
pub mod rowkey;
pub mod snapshot;
pub mod store;

#[cfg(test)]
mod tests;

pub use adhoc::{AdHoc, AdHocLimits, Answer, Query, QueryError};
pub use error::ViewError;
pub use lookup::lookup_told;
pub use provider::{batches_table, lazy_table, view_table};
pub use rowkey::{RowKeys, hash_key};
pub use snapshot::ViewSnapshot;
pub use store::{Applied, Layout, ViewStore};
