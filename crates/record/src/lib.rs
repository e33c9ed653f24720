//! Kafka record batches, format v2 (KIP-98): headers, checksums, records, compression.
//!
//! Pure functions over bytes. Knows nothing of requests, topics, logs or sockets, and trusts no length it reads.
//!
//! Reading order: [`header`] (layout), [`validate`], [`records`], [`builder`], [`rewrite`], [`filter`], [`recompress`].

pub mod builder;
pub mod compression;
pub mod control;
pub mod error;
pub mod filter;
pub mod fuzz;
pub mod header;
pub mod partitioner;
pub mod recompress;
pub mod records;
pub mod rewrite;
pub mod validate;
pub mod varint;
mod xerial;

pub use builder::BatchBuilder;
pub use compression::{Codec, Level};
pub use control::{ControlType, control_batch, control_type};
pub use error::BatchError;
pub use filter::{Horizon, Retained, retain};
pub use header::{
    BatchHeader, HEADER_BYTES, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, NO_TIMESTAMP,
};
pub use partitioner::{murmur2, partition_for_key};
pub use recompress::recompress;
pub use records::{Header, Record, RecordRef, Records, records};
pub use rewrite::{place, restamped, with_log_append_time, with_max_timestamp, with_place};
pub use validate::{Batches, Walked, batches, split, validate, verify_records, walk_records};

#[cfg(test)]
mod tests;
