//! The one place where refusals become Kafka's error codes. Exhaustive: a new refusal does not compile without a code.

use headwater_broker::{BrokerError, CommitRefusal, MetaError, ScopeError, ScramError};
use headwater_coord::consumer_groups::{CommitRefusal as MemberRefusal, ConsumerError};
use headwater_coord::groups::GroupError;
use headwater_coord::txns::TxnError;
use headwater_record::BatchError;
use headwater_wire::{ErrorCode, KafkaString};

use crate::call::text;

/// The number on the wire of a refusal.
pub(crate) trait Code {
    fn error(&self) -> ErrorCode;

    fn code(&self) -> i16 {
        self.error().code()
    }
}

impl Code for BrokerError {
    fn error(&self) -> ErrorCode {
        match self {
            Self::UnknownTopicOrPartition => ErrorCode::UnknownTopicOrPartition,
            Self::UnknownTopicId => ErrorCode::UnknownTopicId,
            Self::InternalTopic(_) => ErrorCode::InvalidTopicException,
            Self::Meta(error) => error.error(),
            Self::ReplicationFactor(_) => ErrorCode::InvalidReplicationFactor,
            Self::InvalidAssignment(_) => ErrorCode::InvalidReplicaAssignment,
            Self::InvalidRequest(_) => ErrorCode::InvalidRequest,
            Self::Batch(error) => error.error(),
            Self::NotABatch(_) | Self::InvalidRecord(_) => ErrorCode::InvalidRecord,
            Self::BadRecords { untimely: true, .. } => ErrorCode::InvalidTimestamp,
            Self::BadRecords { .. } => ErrorCode::InvalidRecord,
            Self::BatchTooLarge { .. } => ErrorCode::MessageTooLarge,
            Self::InvalidTimestamp(_) => ErrorCode::InvalidTimestamp,
            Self::InvalidTransaction => ErrorCode::InvalidTxnState,
            Self::Txn(error) => error.error(),
            Self::FencedProducer => ErrorCode::InvalidProducerEpoch,
            Self::TransactionCoordinatorFenced => ErrorCode::TransactionCoordinatorFenced,
            Self::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
            Self::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
            Self::PolicyViolation(_) => ErrorCode::PolicyViolation,
            Self::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            Self::RecordsInUse { .. } => ErrorCode::RequestTimedOut,
            Self::FencedLeaderEpoch => ErrorCode::FencedLeaderEpoch,
            Self::UnknownLeaderEpoch => ErrorCode::UnknownLeaderEpoch,
            Self::OffsetMetadataTooLarge { .. } => ErrorCode::OffsetMetadataTooLarge,
            // Every client retries it, and idempotent ones know that nothing was written.
            Self::Retry(_) => ErrorCode::NotEnoughReplicas,
            Self::Storage(_) => ErrorCode::KafkaStorageError,
            Self::GroupSubscribed => ErrorCode::GroupSubscribedToTopic,
            Self::NonEmptyGroup => ErrorCode::NonEmptyGroup,
            Self::GroupNotFound => ErrorCode::GroupIdNotFound,
            Self::InvalidGroupId => ErrorCode::InvalidGroupId,
            Self::Scram(error) => error.error(),
        }
    }
}

impl Code for TxnError {
    fn error(&self) -> ErrorCode {
        match self {
            Self::InvalidProducerIdMapping => ErrorCode::InvalidProducerIdMapping,
            Self::ProducerFenced => ErrorCode::ProducerFenced,
            Self::ConcurrentTransactions => ErrorCode::ConcurrentTransactions,
            Self::InvalidTxnState => ErrorCode::InvalidTxnState,
            Self::TransactionAbortable => ErrorCode::TransactionAbortable,
            Self::InvalidTimeout => ErrorCode::InvalidTransactionTimeout,
            Self::InvalidRequest => ErrorCode::InvalidRequest,
            Self::NotFound => ErrorCode::TransactionalIdNotFound,
            // The broker gives ids out itself; clients try this again.
            Self::NeedsProducerId => ErrorCode::CoordinatorNotAvailable,
        }
    }
}

impl Code for ScramError {
    fn error(&self) -> ErrorCode {
        match self {
            Self::UnknownMechanism => ErrorCode::UnsupportedSaslMechanism,
            Self::Unacceptable(_) => ErrorCode::UnacceptableCredential,
            Self::Twice => ErrorCode::DuplicateResource,
            Self::NotThere => ErrorCode::ResourceNotFound,
        }
    }
}

/// A refusal of an edge's own, or the broker's: a code and a text.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Refusal {
    error: ErrorCode,
    text: String,
}

impl Refusal {
    pub fn new(error: ErrorCode, text: impl Into<String>) -> Self {
        Self {
            error,
            text: text.into(),
        }
    }

    pub fn request(text: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidRequest, text)
    }
}

impl Code for Refusal {
    fn error(&self) -> ErrorCode {
        self.error
    }
}

impl From<BrokerError> for Refusal {
    fn from(error: BrokerError) -> Self {
        Self::new(error.error(), error.to_string())
    }
}

/// A client that may not, in Kafka's words.
impl From<ErrorCode> for Refusal {
    fn from(error: ErrorCode) -> Self {
        let text = match error {
            ErrorCode::TopicAuthorizationFailed => "Topic authorization failed.",
            ErrorCode::GroupAuthorizationFailed => "Group authorization failed.",
            ErrorCode::ClusterAuthorizationFailed => "Cluster authorization failed.",
            ErrorCode::TransactionalIdAuthorizationFailed => {
                "Transactional Id authorization failed."
            }
            _ => "",
        };
        Self::new(error, text)
    }
}

impl Code for MetaError {
    fn error(&self) -> ErrorCode {
        match self {
            Self::TopicExists(_) => ErrorCode::TopicAlreadyExists,
            Self::InvalidTopic(_) => ErrorCode::InvalidTopicException,
            Self::UnknownTopic(_) => ErrorCode::UnknownTopicOrPartition,
            Self::InvalidPartitions(_) => ErrorCode::InvalidPartitions,
            Self::InvalidConfig(_) => ErrorCode::InvalidConfig,
            Self::InvalidAcl(_) | Self::Scope(ScopeError::Request(_)) => ErrorCode::InvalidRequest,
            Self::Scope(ScopeError::Config(_)) => ErrorCode::InvalidConfig,
        }
    }
}

impl Code for BatchError {
    fn error(&self) -> ErrorCode {
        match self {
            Self::OldFormat(_) => ErrorCode::UnsupportedForMessageFormat,
            Self::Corrupt(_) | Self::Decompress { .. } => ErrorCode::CorruptMessage,
            Self::Invalid(_) => ErrorCode::InvalidRecord,
            Self::UnknownCodec(_) => ErrorCode::UnsupportedCompressionType,
            Self::TooLarge { .. } => ErrorCode::MessageTooLarge,
        }
    }
}

impl Code for GroupError {
    fn error(&self) -> ErrorCode {
        match self {
            Self::CoordinatorNotAvailable => ErrorCode::CoordinatorNotAvailable,
            Self::IllegalGeneration => ErrorCode::IllegalGeneration,
            Self::InconsistentProtocol => ErrorCode::InconsistentGroupProtocol,
            Self::InvalidGroupId => ErrorCode::InvalidGroupId,
            Self::UnknownMemberId => ErrorCode::UnknownMemberId,
            Self::InvalidSessionTimeout => ErrorCode::InvalidSessionTimeout,
            Self::RebalanceInProgress => ErrorCode::RebalanceInProgress,
            Self::MemberIdRequired => ErrorCode::MemberIdRequired,
            Self::GroupMaxSizeReached => ErrorCode::GroupMaxSizeReached,
            Self::FencedInstanceId => ErrorCode::FencedInstanceId,
            Self::NonEmptyGroup => ErrorCode::NonEmptyGroup,
        }
    }
}

impl Code for ConsumerError {
    fn error(&self) -> ErrorCode {
        match self {
            Self::InvalidRequest(_) => ErrorCode::InvalidRequest,
            Self::UnsupportedAssignor(_) => ErrorCode::UnsupportedAssignor,
            Self::InvalidRegex { .. } => ErrorCode::InvalidRegularExpression,
            Self::GroupNotFound(_) | Self::NotConsumerGroup(_) => ErrorCode::GroupIdNotFound,
            Self::UnknownMember { .. } | Self::UnknownInstance(_) => ErrorCode::UnknownMemberId,
            Self::FencedEpoch { .. } => ErrorCode::FencedMemberEpoch,
            Self::StaleEpoch { .. } => ErrorCode::StaleMemberEpoch,
            Self::UnreleasedInstance { .. } => ErrorCode::UnreleasedInstanceId,
            Self::FencedInstance { .. } => ErrorCode::FencedInstanceId,
            Self::Full(_) => ErrorCode::GroupMaxSizeReached,
            Self::NotNow => ErrorCode::CoordinatorLoadInProgress,
        }
    }
}

impl Code for CommitRefusal {
    fn error(&self) -> ErrorCode {
        match self {
            Self::Group(error) | Self::Member(MemberRefusal::Classic(error)) => error.error(),
            Self::Member(MemberRefusal::Consumer(error)) => error.error(),
            Self::Member(MemberRefusal::OldVersion) => ErrorCode::UnsupportedVersion,
            Self::NoGroup => ErrorCode::GroupIdNotFound,
        }
    }
}

/// As [`code_of`] for what a coordinator writes: clients retry other codes there than with records.
pub(crate) fn coordinator_code_of<T>(outcome: &Result<T, BrokerError>) -> i16 {
    match outcome {
        Err(BrokerError::Retry(_)) => ErrorCode::CoordinatorNotAvailable.code(),
        Err(BrokerError::Storage(_)) => ErrorCode::NotCoordinator.code(),
        other => code_of(other),
    }
}

/// As [`coordinator_code_of`] for producers, of which versions before `since` do not know that they have been fenced.
pub(crate) fn fenced_before<T>(since: i16, version: i16, outcome: &Result<T, BrokerError>) -> i16 {
    match outcome {
        Err(BrokerError::Txn(TxnError::ProducerFenced)) if version < since => {
            ErrorCode::InvalidProducerEpoch.code()
        }
        other => coordinator_code_of(other),
    }
}

/// The code of an outcome, 0 when it is good.
pub(crate) fn code_of<T, E: Code>(outcome: &Result<T, E>) -> i16 {
    outcome.as_ref().err().map_or(0, Code::code)
}

/// The text of an outcome, none when it is good.
pub(crate) fn message_of<T, E: std::fmt::Display>(outcome: &Result<T, E>) -> Option<KafkaString> {
    outcome.as_ref().err().map(|error| text(error.to_string()))
}
