//! The metadata of a node as a replayed sequence of changes: topics, their configs, the cluster's identity, producer ids.
//!
//! Reading order: [`topic`] what a topic is and how it may be named, [`configs`] what can be set on it, [`scopes`] on other
//! things, [`acls`] who may do what, [`scram`] and [`quotas`] what is kept about users, [`change`] the records of the metadata partition, [`catalog`] the state they add up to and the checks before a change is made.
//!
//! Pure: no I/O, clock or randomness. Whoever stores the changes hands in ids and replays.

pub mod acls;
pub mod catalog;
pub mod change;
pub mod configs;
mod defs;
pub mod node_defs;
pub mod quotas;
pub mod scopes;
pub mod scram;
pub mod topic;

pub use catalog::{Catalog, MetaError};
pub use change::{BadChange, Change};
pub use configs::{Cleanup, ConfigDef, ConfigKind, FinalCompression, TopicSettings};
pub use topic::Topic;
