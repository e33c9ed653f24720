//! The log: partitions of record batches behind one write-ahead log with atomic commits.
//!
//! Knows no API keys, Kafka error codes, consumer groups or transactions; records stay opaque.

pub mod api;

pub use api::{
    Append, BatchMeta, Bound, Commit, Durable, Log, PartitionState, ReadError, ReadOut, Registration,
    SubmitError, Submitted, WriteFailure,
};
