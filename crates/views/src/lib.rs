//! Views: their materialized rows, consistent pictures of them for readers, and plain SQL over those.
//!
//! Reading order: `rowkey`, `chunk`, `index`, `store` (the writer), `snapshot` (the readers), `persist`, `provider` and
//! `adhoc` (SQL). Knows nothing of pipelines, logs or HTTP.

mod chunk;
mod error;
mod index;
mod retention;
mod tidy;

pub mod rowkey;
pub mod snapshot;
pub mod store;

#[cfg(test)]
mod tests;

pub use error::ViewError;
pub use rowkey::{RowKeys, hash_key};
pub use snapshot::ViewSnapshot;
pub use store::{Applied, Layout, ViewStore};
