//! The log: partitions of record batches behind one write-ahead log with atomic commits.
//!
//! Knows no API keys, Kafka error codes, consumer groups or transactions; records stay opaque.
//!
//! Reading order: [`api`] (what every backend offers), [`memory`] (the shortest one), [`local`] (the one on a disk),
//! [`conformance`] (what no backend may get wrong).

pub mod api;
pub mod conformance;
pub mod local;
pub mod memory;
mod rewrite;
mod wait;
mod watch;

pub use api::{
    Append, BatchMeta, Bound, Commit, Durable, Log, PartitionState, ReadError, ReadOut,
    Registration, Rewrite, SubmitError, Submitted, WriteFailure,
};
pub use local::{LocalConfig, LocalLog, LogMetrics, OpenError, Turn};
pub use memory::MemoryLog;
pub use wait::wait;
