//! Operators over changelogs: filter, project, unnest, aggregate, join, union, and the state that they keep.
//!
//! Knows no log, topic, clock or catalog: rows come in as [`Delta`]s, results go out as [`Delta`]s.

pub mod delta;
pub mod operator;

pub mod consolidate;
pub mod dataflow;
pub mod spill;

mod aggregate;
mod close;
mod codec;
mod divided;
mod eval;
mod frames;
mod join;
mod keys;
#[cfg(test)]
mod law;
mod over;
mod setop;
mod stage;
mod stateless;
mod temporal;
#[cfg(test)]
mod testing;
mod times;

pub use consolidate::consolidate;
pub use dataflow::{Dataflow, NodeStatus};
pub use delta::{Delta, Origin, RowKind};
pub use divided::Spilled;
pub use operator::{Due, ErrorAt, LateRow, Operator, OperatorError, RowError, StepContext};
pub use spill::{Division, PartId, SpillStore};
