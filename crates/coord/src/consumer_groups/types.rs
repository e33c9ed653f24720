//! What goes into a group of the consumer protocol and what comes out of it. Knows no API versions.

use std::collections::{BTreeMap, BTreeSet};

use headwater_base::TopicId;

use crate::groups::Protocol;

/// Partitions by topic. A topic without partitions is not in it.
pub type Partitions = BTreeMap<TopicId, BTreeSet<i32>>;

/// The epoch of a member that joins.
pub const JOINING: i32 = 0;
/// The epoch with which a member leaves for good.
pub const LEAVING: i32 = -1;
/// The epoch with which a static member leaves for a while.
pub const AWAY: i32 = -2;

/// The server-side assignors, the default first.
pub const ASSIGNORS: [&str; 2] = ["uniform", "range"];

/// Bounds of one group, those of its own configuration included.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most members (`group.consumer.max.size`).
    pub members_max: usize,
    /// `consumer.session.timeout.ms`
    pub session_ms: i32,
    /// `consumer.heartbeat.interval.ms`
    pub heartbeat_ms: i32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            members_max: i32::MAX as usize,
            session_ms: 45_000,
            heartbeat_ms: 5_000,
        }
    }
}

/// What a group sees of the topics.
pub trait Topics {
    /// Differs whenever any topic has changed.
    fn revision(&self) -> u64;
    /// Id and number of partitions.
    fn by_name(&self, name: &str) -> Option<(TopicId, i32)>;
    fn name_of(&self, id: TopicId) -> Option<String>;
    /// Names that the whole of the regular expression matches and that the asking member may see. `None`: nobody asks of whom
    /// it is known what they may see, and what was found before stays.
    ///
    /// # Errors
    /// What is wrong with the expression.
    fn matching(&self, pattern: &str) -> Result<Option<BTreeSet<String>>, String>;
}

/// The circumstances of a step.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub topics: &'a dyn Topics,
    pub limits: Limits,
    pub now_ms: i64,
}

/// ConsumerGroupHeartbeat. `None` means: as told before.
#[derive(Clone, Debug, Default)]
pub struct Heartbeat {
    /// Never empty: the host fills in a fresh one for members that came without.
    pub member_id: String,
    /// [`JOINING`], [`LEAVING`], [`AWAY`], or the member's epoch.
    pub epoch: i32,
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    /// -1: as told before.
    pub rebalance_timeout_ms: i32,
    pub topic_names: Option<Vec<String>>,
    /// Empty: no longer any.
    pub topic_regex: Option<String>,
    pub assignor: Option<String>,
    pub owned: Option<Partitions>,
}

impl Heartbeat {
    /// Checks what needs no group.
    ///
    /// # Errors
    /// What Kafka calls INVALID_REQUEST or UNSUPPORTED_ASSIGNOR.
    pub fn check(&self, group_id: &str) -> Result<(), ConsumerError> {
        let invalid = |text: &str| Err(ConsumerError::InvalidRequest(text.to_owned()));
        let blank = |text: Option<&str>| text.is_some_and(|text| text.trim().is_empty());
        if blank(Some(&self.member_id)) {
            return invalid("MemberId can't be empty.");
        }
        if blank(Some(group_id)) {
            return invalid("GroupId can't be empty.");
        }
        if blank(self.instance_id.as_deref()) {
            return invalid("InstanceId can't be empty.");
        }
        if blank(self.rack_id.as_deref()) {
            return invalid("RackId can't be empty.");
        }
        match self.epoch {
            JOINING if self.rebalance_timeout_ms == -1 => {
                return invalid("RebalanceTimeoutMs must be provided in first request.");
            }
            JOINING if self.owned.as_ref().is_none_or(|owned| !owned.is_empty()) => {
                return invalid("TopicPartitions must be empty when (re-)joining.");
            }
            JOINING if self.topic_names.is_none() && self.topic_regex.is_none() => {
                return invalid(
                    "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
                );
            }
            AWAY if self.instance_id.is_none() => return invalid("InstanceId can't be null."),
            epoch if epoch < AWAY => return invalid("MemberEpoch is invalid."),
            _ => {}
        }
        match &self.assignor {
            Some(name) if !ASSIGNORS.contains(&name.as_str()) => {
                Err(ConsumerError::UnsupportedAssignor(name.clone()))
            }
            _ => Ok(()),
        }
    }

    /// It says all that a member can say, so that it is told all.
    pub(super) fn is_full(&self) -> bool {
        let subscribed = self.topic_names.is_some() || self.topic_regex.is_some();
        self.epoch == JOINING
            || (self.rebalance_timeout_ms != -1 && subscribed && self.owned.is_some())
    }
}

/// The answer to a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    pub member_id: String,
    pub epoch: i32,
    pub heartbeat_ms: i32,
    /// `None`: unchanged.
    pub assignment: Option<Partitions>,
}

/// JoinGroup of a classic member into a group of the consumer protocol. It is answered at once.
#[derive(Clone, Debug)]
pub struct ClassicJoined {
    pub epoch: i32,
    pub member_id: String,
    pub protocol: String,
}

/// What a classic member of such a group told of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicPart {
    pub session_ms: i32,
    pub protocols: Vec<Protocol>,
}

/// Why a group refuses; the text is for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsumerError {
    #[error("{0}")]
    InvalidRequest(String),
    #[error("ServerAssignor {0} is not supported. Supported assignors: uniform, range.")]
    UnsupportedAssignor(String),
    #[error("SubscribedTopicRegex `{pattern}` is not a valid regular expression: {why}.")]
    InvalidRegex { pattern: String, why: String },
    #[error("Group {0} not found.")]
    GroupNotFound(String),
    #[error("Group {0} is not a consumer group.")]
    NotConsumerGroup(String),
    #[error("Member {member} is not a member of the group.")]
    UnknownMember { member: String },
    #[error("Instance id {0} is unknown.")]
    UnknownInstance(String),
    #[error(
        "The consumer group member has a {size} member epoch ({got}) than the one known by the group coordinator ({known}). The member must abandon all its partitions and rejoin.",
        size = if got > known { "greater" } else { "smaller" }
    )]
    FencedEpoch { got: i32, known: i32 },
    #[error("The received member epoch {got} does not match the expected member epoch {known}.")]
    StaleEpoch { got: i32, known: i32 },
    #[error(
        "Static member {member} with instance id {instance} cannot join the group because the instance id is owned by {owner} member."
    )]
    UnreleasedInstance {
        member: String,
        instance: String,
        owner: String,
    },
    #[error("Static member {member} with instance id {instance} was fenced by member {owner}.")]
    FencedInstance {
        member: String,
        instance: String,
        owner: String,
    },
    #[error("The consumer group has reached its maximum capacity of {0} members.")]
    Full(usize),
    /// What was decided could not be made to last yet; asking again helps.
    #[error("The group coordinator cannot write right now.")]
    NotNow,
}
