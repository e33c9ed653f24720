//! What goes into a group and what comes out of it. Knows no API versions: what a version changes is a field here.

use bytes::Bytes;

/// A client that waits for an answer. The host gives out the numbers and keeps what is behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Waiter(pub u64);

/// Bounds of one group.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most members, those about to join included (Kafka's `group.max.size`).
    pub members_max: usize,
    /// Most bytes of subscriptions and assignments, all members together.
    pub metadata_bytes_max: usize,
    /// Shortest session timeout that a member may ask for (Kafka's `group.min.session.timeout.ms`).
    pub session_ms_min: i32,
    /// Longest session timeout that a member may ask for (Kafka's `group.max.session.timeout.ms`).
    pub session_ms_max: i32,
    /// How long the first rebalance of an empty group waits for more members (Kafka's `group.initial.rebalance.delay.ms`,
    /// there 3,000: a consumer alone would wait that long for its first record).
    pub initial_delay_ms: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            members_max: 5_000,
            metadata_bytes_max: 64 * 1024 * 1024,
            session_ms_min: 6_000,
            session_ms_max: 1_800_000,
            initial_delay_ms: 0,
        }
    }
}

/// One thing that happens to a group.
#[derive(Clone, Debug)]
pub enum Command {
    Join {
        to: Waiter,
        join: Join,
    },
    Sync {
        to: Waiter,
        sync: Sync,
    },
    Heartbeat {
        to: Waiter,
        heartbeat: Heartbeat,
    },
    Leave {
        to: Waiter,
        leave: Leave,
    },
    /// Time has passed: to be sent when [`super::Group::next_deadline`] is reached.
    Tick,
}

/// A protocol that a member offers, most preferred first in its list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    pub name: String,
    /// Opaque to the coordinator: the subscription of a consumer.
    pub metadata: Bytes,
}

/// JoinGroup.
#[derive(Clone, Debug)]
pub struct Join {
    /// Empty for a member that is new.
    pub member_id: String,
    /// The id to give to a new member; unique, from the host.
    pub fresh_member_id: String,
    /// `group.instance.id` of a static member (KIP-345).
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub session_timeout_ms: i32,
    /// In version 0 the session timeout.
    pub rebalance_timeout_ms: i32,
    pub protocol_type: String,
    pub protocols: Vec<Protocol>,
    /// A new member must come back with the id it was given (KIP-394): version 4 and later.
    pub needs_known_id: bool,
    /// The leader understands that it need not assign (KIP-814): version 9 and later.
    pub can_skip_assignment: bool,
}

/// SyncGroup.
#[derive(Clone, Debug)]
pub struct Sync {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub generation: i32,
    /// Checked when given: version 5 and later.
    pub protocol_type: Option<String>,
    /// Checked when given: version 5 and later.
    pub protocol: Option<String>,
    /// Member id and its assignment; only the leader's count.
    pub assignments: Vec<(String, Bytes)>,
}

#[derive(Clone, Debug)]
pub struct Heartbeat {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub generation: i32,
}

/// LeaveGroup, of one member or (version 3 and later) of several.
#[derive(Clone, Debug)]
pub struct Leave {
    pub leavers: Vec<Leaver>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaver {
    /// May be empty when the instance id is given.
    pub member_id: String,
    pub instance_id: Option<String>,
}

/// Who commits offsets.
#[derive(Clone, Debug)]
pub struct Committer {
    /// Empty for a simple consumer, which manages its partitions itself.
    pub member_id: String,
    pub instance_id: Option<String>,
    /// Below 0 for a simple consumer.
    pub generation: i32,
}

/// An answer to be sent to a waiting client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub to: Waiter,
    pub reply: Reply,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Join(Result<Joined, JoinFailure>),
    Sync(Result<Synced, GroupError>),
    Heartbeat(Result<(), GroupError>),
    Leave(Result<Vec<LeaveOutcome>, GroupError>),
}

/// The member is in, in this generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    pub generation: i32,
    pub protocol_type: String,
    pub protocol: String,
    pub leader: String,
    pub member_id: String,
    /// For the leader alone: everybody, with the subscription in the chosen protocol.
    pub members: Vec<JoinedMember>,
    /// The leader is not to assign anew (KIP-814).
    pub skip_assignment: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub metadata: Bytes,
}

/// The member is not in; with [`GroupError::MemberIdRequired`] it shall come again under this id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinFailure {
    pub error: GroupError,
    pub member_id: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    pub protocol_type: String,
    pub protocol: String,
    pub assignment: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaveOutcome {
    pub leaver: Leaver,
    pub outcome: Result<(), GroupError>,
}

/// Why a group refuses. One Kafka error code each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    #[error("the group was deleted")]
    CoordinatorNotAvailable,
    #[error("the generation is not the group's")]
    IllegalGeneration,
    #[error("the member's protocols do not fit the group's")]
    InconsistentProtocol,
    #[error("the group id is not valid")]
    InvalidGroupId,
    #[error("the group does not know this member")]
    UnknownMemberId,
    #[error("the session timeout is outside the bounds")]
    InvalidSessionTimeout,
    #[error("the group is rebalancing")]
    RebalanceInProgress,
    #[error("the member has to come again with the id it was given")]
    MemberIdRequired,
    #[error("the group is full")]
    GroupMaxSizeReached,
    #[error("another member took this instance id over")]
    FencedInstanceId,
    #[error("the group still has members")]
    NonEmptyGroup,
}

/// States as Kafka names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
    Dead,
}

impl State {
    /// The name in DescribeGroups and ListGroups.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
            Self::Dead => "Dead",
        }
    }
}
