//! Why the broker refuses. Domain terms only: the edges turn these into their protocol's codes.

use headwater_coord::txns::TxnError;
use headwater_log::{ReadError, SubmitError, WriteFailure};
use headwater_meta::MetaError;
use headwater_record::BatchError;

/// Every refusal of the broker's API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    #[error("This server does not host this topic-partition.")]
    UnknownTopicOrPartition,
    #[error("This server does not host this topic ID.")]
    UnknownTopicId,
    #[error("topic '{0}' is internal and cannot be written by clients")]
    InternalTopic(String),
    #[error(transparent)]
    Meta(#[from] MetaError),
    #[error("{}", replication_text(*.0))]
    ReplicationFactor(i16),
    #[error("{0}")]
    InvalidAssignment(String),
    #[error("{0}")]
    InvalidRequest(String),
    /// Records that are no acceptable batch.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// Bytes that do not even begin as a batch of today's format.
    #[error("{0}")]
    NotABatch(String),
    #[error("{0}")]
    InvalidRecord(String),
    #[error("a batch of {bytes} bytes is larger than max.message.bytes = {max_bytes}")]
    BatchTooLarge { bytes: usize, max_bytes: usize },
    /// Records that the topic does not take, by their position in the batch.
    #[error("One or more records have been rejected due to {} record errors in total, the first: {:?}", records.len(), records.first())]
    BadRecords {
        /// Because of their timestamps.
        untimely: bool,
        records: Vec<(i32, String)>,
    },
    #[error("timestamp {0} is out of the range that the topic allows")]
    InvalidTimestamp(i64),
    /// A batch that is not part of a transaction that its producer has open.
    #[error("the transaction does not allow this")]
    InvalidTransaction,
    /// What a transactional id says.
    #[error(transparent)]
    Txn(#[from] TxnError),
    #[error("the producer has been fenced by a newer one, or by the end of its transaction")]
    FencedProducer,
    #[error("a newer coordinator has already ended a transaction of this producer")]
    TransactionCoordinatorFenced,
    #[error("out of order sequence: expected {expected}, got {got}")]
    OutOfOrderSequence { expected: i32, got: i32 },
    #[error("producer epoch {got} is older than {current}")]
    InvalidProducerEpoch { current: i16, got: i16 },
    /// The topic's configs forbid it.
    #[error("{0}")]
    PolicyViolation(String),
    #[error("offset {offset} is outside {start}..{end}")]
    OffsetOutOfRange { offset: i64, start: i64, end: i64 },
    #[error(
        "records from {needed} on may have to be read again by a pipeline: those up to {wanted} are deleted when it has taken a snapshot"
    )]
    RecordsInUse { wanted: i64, needed: i64 },
    #[error("the client's leader epoch is older than the partition's")]
    FencedLeaderEpoch,
    #[error("the client's leader epoch is newer than the partition's")]
    UnknownLeaderEpoch,
    #[error("the metadata of a committed offset has {bytes} bytes, more than {max_bytes}")]
    OffsetMetadataTooLarge { bytes: usize, max_bytes: usize },
    /// Nothing was written; heals by itself (disk full, too much waiting).
    #[error("the log takes no writes right now: {0}")]
    Retry(String),
    /// The disk failed.
    #[error("{0}")]
    Storage(String),
    #[error("the group is used by live members for this topic")]
    GroupSubscribed,
    #[error("the group is not empty")]
    NonEmptyGroup,
    #[error("there is no such group")]
    GroupNotFound,
    #[error("the group id is not allowed")]
    InvalidGroupId,
    #[error(transparent)]
    Scram(#[from] headwater_meta::scram::ScramError),
}

impl From<SubmitError> for BrokerError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Full(_) | SubmitError::Busy { .. } | SubmitError::Stale { .. } => {
                Self::Retry(error.to_string())
            }
            SubmitError::TooLarge { bytes, max_bytes } => Self::BatchTooLarge { bytes, max_bytes },
            SubmitError::Invalid(error) => Self::Batch(error),
            SubmitError::CrossShard(..) | SubmitError::Unreadable(_) | SubmitError::Failed(_) => {
                Self::Storage(error.to_string())
            }
        }
    }
}

impl From<WriteFailure> for BrokerError {
    fn from(error: WriteFailure) -> Self {
        Self::Storage(error.to_string())
    }
}

impl From<ReadError> for BrokerError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::OutOfRange { offset, state } => Self::OffsetOutOfRange {
                offset,
                start: state.start,
                end: state.durable_end,
            },
            ReadError::Io(_) | ReadError::Corrupt(_) => Self::Storage(error.to_string()),
        }
    }
}

/// Kafka's words for a replication factor that one node cannot give.
fn replication_text(factor: i16) -> String {
    match factor {
        ..=0 => {
            "Replication factor must be larger than 0, or -1 to use the default value.".to_owned()
        }
        more => format!(
            "Unable to replicate the partition {more} time(s): The target replication factor of {more} cannot be reached because only 1 broker(s) are registered."
        ),
    }
}

/// Why a broker cannot start on a log.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot read the log at start: {0}")]
    Read(#[from] ReadError),
    #[error("cannot read an internal record: {0}")]
    Batch(#[from] BatchError),
    #[error(transparent)]
    Meta(#[from] headwater_meta::BadChange),
    #[error("a committed offset cannot be read; was it written by a newer version?")]
    CommittedOffset,
    #[error("a note of cleaning cannot be read; was it written by a newer version?")]
    CleaningNote,
    #[error("a consumer group cannot be read; was it written by a newer version?")]
    Group,
    #[error("a transaction's state cannot be read; was it written by a newer version?")]
    Transaction,
    #[error("cannot write the log at start: {0}")]
    Write(#[from] BrokerError),
}
