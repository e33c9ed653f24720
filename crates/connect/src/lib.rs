//! The traits between the engine and what it reads from and writes to. Traits and plain data only, no implementation.

pub mod sink;
pub mod step_log;

pub use sink::{
    Change, ChangeKind, ColumnType, Sink, SinkBatch, SinkColumn, SinkError, SinkPosition,
};
pub use step_log::{CommitError, Step, StepLog, StepRead, TopicInfo, Visibility};
