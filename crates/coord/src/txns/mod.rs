//! The transaction coordinator: what becomes of one transactional id (KIP-98, KIP-360, KIP-890).
//!
//! ```text
//!            a partition or a group is added           EndTxn, a time-out, or another producer's InitProducerId
//!   Empty ----------------------------------> Ongoing ----------------------------------> PrepareCommit | PrepareAbort
//!     ^                                          ^                                                 | all markers are written
//!     |  InitProducerId                          |  added                                          v
//!     +------------------------------------------+----------------------------------- CompleteCommit | CompleteAbort
//! ```
//!
//! [`Txn::step`] gives the next state and what has to be written; the host appends that, and only then is the next state true.
//! Where one append can hold all markers, the host goes through Prepare and Complete in that one append.
//!
//! Reading order: [`types`] is what a host sees, `txn` the state, `init` and `end` the two commands with rules worth reading.

mod end;
mod init;
mod txn;
pub mod types;

pub use txn::Txn;
pub use types::{Command, Effect, Ending, Producer, State, Step, TxnError};

#[cfg(test)]
mod tests;
