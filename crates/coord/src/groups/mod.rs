//! The classic consumer group protocol: JoinGroup v0-9, SyncGroup, Heartbeat, LeaveGroup and the checks of OffsetCommit.
//!
//! ```text
//!          first join                all have joined, or time is up            the leader's SyncGroup
//!  Empty ------------> Preparing ---------------------------> Completing ----------------------------> Stable
//!    ^                  ^     |  nobody left                       |  a join, a leave, an expiry         |
//!    |                  |     +----------> Empty                   |                                     |
//!    |                  +------------------------------------------+-------------------------------------+
//!    +-- delete --> Dead
//! ```
//!
//! Known member ids (KIP-394), static members (KIP-345), skipped assignment (KIP-814) and cooperative rebalancing (KIP-429, which is
//! the members' own affair) are part of it. Committed offsets are not: the host keeps them and asks [`Group::check_commit`] first.
//!
//! Reading order: [`types`] is what a host sees, `group` the state, `join`, `rebalance`, `sync`, `presence` the protocol,
//! `saved` what survives a restart of the host.

mod describe;
mod group;
mod join;
mod member;
mod presence;
mod rebalance;
mod saved;
mod sync;
pub mod types;

pub use describe::{Description, MemberDescription};
pub use group::{Group, group_id_ok};
pub use saved::{SavedGroup, SavedMember};
pub use types::{
    Answer, Command, Committer, GroupError, Heartbeat, Join, JoinFailure, Joined, JoinedMember,
    Leave, LeaveOutcome, Leaver, Limits, Protocol, Reply, State, Sync, Synced, Waiter,
};

#[cfg(test)]
mod tests;
