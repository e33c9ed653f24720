//! Coordinators as pure state machines: `(state, command, now) -> (state, answers)`.
//!
//! No I/O, clock, randomness or tasks: time and fresh ids come in as arguments, waiting clients are numbers that the host gave out.
//! So every history can be replayed, and tests own time.
//!
//! Reading order: [`groups`] the classic protocol of consumer groups, [`consumer_groups`] the new one (KIP-848) and the ways between
//! the two, [`consumer_protocol`] what classic consumers put into their opaque bytes. Share groups (KIP-932) will be a sibling.

mod bytes_io;
pub mod consumer_groups;
pub mod consumer_protocol;
pub mod groups;
pub mod txns;
