//! Test doubles that other crates may use too: a log in memory that can crash.

pub mod memory_log;

pub use memory_log::MemoryStepLog;
