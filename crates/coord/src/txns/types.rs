//! What goes into a transactional id and what comes out of it. Knows no API versions: what a version changes is a field here.

use headwater_base::PartitionId;

use super::Txn;

/// A producer id and its epoch: who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Producer {
    pub id: i64,
    pub epoch: i16,
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    Commit,
    Abort,
}

/// States as Kafka names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    Empty,
    Ongoing,
    PrepareCommit,
    PrepareAbort,
    CompleteCommit,
    CompleteAbort,
}

impl State {
    pub const ALL: [Self; 6] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
    ];

    /// The name in DescribeTransactions and ListTransactions.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// How a transaction ends whose markers are being written.
    pub const fn ending(self) -> Option<Ending> {
        match self {
            Self::PrepareCommit => Some(Ending::Commit),
            Self::PrepareAbort => Some(Ending::Abort),
            Self::Empty | Self::Ongoing | Self::CompleteCommit | Self::CompleteAbort => None,
        }
    }

    pub(super) const fn preparing(ending: Ending) -> Self {
        match ending {
            Ending::Commit => Self::PrepareCommit,
            Ending::Abort => Self::PrepareAbort,
        }
    }
}

/// One thing that happens to a transactional id. `fresh_id` is a producer id that nobody ever had; when it is needed and missing,
/// the answer is [`TxnError::NeedsProducerId`] and the host comes again with one.
#[derive(Clone, Debug)]
pub enum Command {
    /// InitProducerId.
    Init {
        timeout_ms: i32,
        /// The producer goes on after an error and tells who it was (KIP-360).
        expected: Option<Producer>,
        fresh_id: Option<i64>,
    },
    /// AddPartitionsToTxn, AddOffsetsToTxn, and the same by Produce and TxnOffsetCommit (KIP-890).
    Add {
        by: Producer,
        partitions: Vec<PartitionId>,
        groups: Vec<String>,
        /// The client speaks transactions v2: the epoch is bumped with every end.
        bumps: bool,
    },
    /// EndTxn.
    End {
        by: Producer,
        ending: Ending,
        /// The client speaks transactions v2: the epoch is bumped with every end.
        bumps: bool,
        fresh_id: Option<i64>,
    },
    /// Time has passed: a transaction that is open for too long is aborted and its producer fenced.
    Tick,
}

/// What the host has to write before the step is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing has changed.
    Nothing,
    /// The new state.
    Keep,
    /// Markers of the new state's producer and epoch into all its partitions, its groups' offsets when it commits, and
    /// then [`Txn::completed`].
    End(Ending),
}

/// The answer to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub txn: Txn,
    pub effect: Effect,
}

/// Why a transactional id refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TxnError {
    #[error("the producer id is not the one of this transactional id")]
    InvalidProducerIdMapping,
    #[error(
        "a newer producer has taken this transactional id over, or the transaction has timed out"
    )]
    ProducerFenced,
    #[error("another change of this transactional id is under way")]
    ConcurrentTransactions,
    #[error("the transaction is not in a state that allows this")]
    InvalidTxnState,
    #[error("this is not part of the transaction, which has to be aborted")]
    TransactionAbortable,
    #[error("the transaction time-out is not positive or above transaction.max.timeout.ms")]
    InvalidTimeout,
    #[error("a transactional id is not empty, and a producer is told with its epoch")]
    InvalidRequest,
    #[error("there is no such transactional id")]
    NotFound,
    /// For the host, never for a client.
    #[error("a fresh producer id is needed")]
    NeedsProducerId,
}
