//! The consumer group protocol of KIP-848: one heartbeat instead of JoinGroup and SyncGroup, partitions assigned here.
//!
//! ```text
//! who or what changes -> group epoch + 1 -> new targets (assignment epoch) -> each member on its own:
//!     gives up what it shall no longer have, says so, then gets what nobody holds any more (member epoch)
//! ```
//!
//! Every step is answered at once; nobody waits for anybody. Classic members (KIP-848's migration) are served by the same state:
//! their JoinGroup reconciles, their Heartbeat tells them to join again.
//!
//! Reading order: [`types`] is what a host sees, `group` and `member` the state, `heartbeat` the protocol, `reconcile` a member's way
//! to its target, `assign/` the assignors, `classic` the classic members, `convert` from a classic group and back, `offsets` who may
//! commit, `record` what survives a restart of the host.

mod assign;
mod classic;
mod convert;
mod group;
mod heartbeat;
mod member;
mod offsets;
mod reconcile;
pub(crate) mod record;
pub mod types;

pub use group::{Changes, ConsumerGroup, GroupState};
pub use member::{Member, MemberState};
pub use offsets::CommitRefusal;
pub use types::{
    ASSIGNORS, AWAY, Beat, ClassicJoined, ClassicPart, ConsumerError, Context, Heartbeat, JOINING,
    LEAVING, Limits, Partitions, Topics,
};

#[cfg(test)]
mod tests;
