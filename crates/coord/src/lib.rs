//! Coordinators as pure state machines: `(state, command, now) -> (state, answers)`.
//!
//! No I/O, clock, randomness or tasks: time and fresh ids come in as arguments, waiting clients are numbers that the host gave out.
//! So every history can be replayed, and tests own time.

pub mod groups;
