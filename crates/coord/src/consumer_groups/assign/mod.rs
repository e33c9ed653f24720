//! The server-side assignors: who shall have what. Every partition of a topic goes to exactly one of its subscribers.

mod range;
mod uniform;

use std::collections::{BTreeMap, BTreeSet};

use headwater_base::TopicId;

use super::types::Partitions;

pub(super) use range::range;
pub(super) use uniform::uniform;

/// What an assignor knows of a member.
pub(super) struct Candidate {
    pub instance_id: Option<String>,
    pub topics: BTreeSet<TopicId>,
    /// Its share of the last assignment.
    pub before: Partitions,
}

/// Members by id.
pub(super) type Candidates = BTreeMap<String, Candidate>;
/// Numbers of partitions.
pub(super) type Sizes = BTreeMap<TopicId, i32>;
/// Members' shares.
pub(super) type Plan = BTreeMap<String, Partitions>;
