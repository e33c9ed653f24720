//! What the API says, as it goes over the wire. Times are milliseconds since the epoch (`_ms`), sizes bytes, `_total`
//! counts since the node's start or the thing's creation, and `_per_s` is filled in by this crate from the totals: an
//! implementer of `Control` leaves it `None`.

mod alerts;
mod groups;
mod overview;
mod pipelines;
mod statements;
mod topics;
mod views;

pub use alerts::{
    AlertEvent, AlertEventKind, AlertInfo, Alerts, DeadLetter, DeadLetterCount, DeadLetters,
    FiringAlert,
};
pub use groups::{Group, GroupMember, GroupPartition};
pub use overview::{
    Check, Health, HealthStatus, LagSummary, Memory, NodeInfo, Overview, PipelineSummary, Sample,
    Storage, Traffic,
};
pub use pipelines::{Operator, Pipeline, PipelineState, Sink, SinkState};
pub use statements::{
    Applied, AppliedAction, AppliedChange, ApplyFile, ApplyRequest, SqlAnswer, SqlRequest,
    SqlResult,
};
pub use topics::{PartitionInfo, RecordHeader, RecordsQuery, Topic, TopicDetail, TopicRecord};
pub use views::{
    ChangeBatch, ChangeOp, Column, RowChange, RowsQuery, View, ViewColumn, ViewKind, ViewRows,
};
