//! Streaming SQL: text -> statements -> definitions -> operator graph, against a catalog that is handed in.
//!
//! Pure: no I/O, clock, randomness or spawn.

pub mod graph;
pub mod model;
