//! Operators over changelogs: filter, project, unnest, aggregate, join, union, and the state that they keep.
//!
//! Knows no log, topic, clock or catalog: rows come in as [`Delta`]s, results go out as [`Delta`]s.

pub mod delta;
pub mod operator;
