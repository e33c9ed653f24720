//! `GET /api/groups`.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Group {
    pub name: String,
    /// As Kafka names it: `Empty`, `PreparingRebalance`, `CompletingRebalance`, `Stable`, `Dead`.
    pub state: String,
    /// Assignment strategy, such as `range`; empty when there is none.
    pub protocol: String,
    pub members: Vec<GroupMember>,
    pub partitions: Vec<GroupPartition>,
    pub lag_total: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct GroupMember {
    pub id: String,
    pub client_id: String,
    pub host: String,
    /// Assigned partitions as `topic/partition`, where the assignment is readable.
    pub assigned: Vec<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct GroupPartition {
    pub topic: String,
    pub partition: i32,
    /// `None` when nothing is committed.
    pub committed: Option<i64>,
    pub end: i64,
    pub lag: u64,
    /// Member that has it now.
    pub member: Option<String>,
}
