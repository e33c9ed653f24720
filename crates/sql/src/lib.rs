//! Streaming SQL: text -> statements -> definitions -> operator graph, against a catalog that is handed in.
//!
//! Pure: no I/O, clock, randomness or spawn.

pub mod ast;
mod catalog;
mod define;
mod diff;
pub mod error;
pub mod explain;
mod exprs;
pub mod functions;
pub mod graph;
mod literal;
mod logical;
mod made;
pub mod model;
mod names;
mod nearest;
pub mod needs;
mod nullsafe;
mod order;
pub mod over;
pub mod parse;
pub mod plan;
mod precedence;
mod provider;
mod pushdown;
mod query;
mod rewrite;
pub mod session;
pub mod source;
mod spelling;
mod subquery;
mod translate;
pub mod types;
pub mod unbounded;
mod versions;
mod windows;

pub use catalog::{VERSIONS, VERSIONS_FORMAT, topic_relation, topic_schema};
pub use define::{Defined, Places, define, kind_of, parse_duration_ms, variables};
pub use diff::diff;
pub use error::SqlError;
pub use exprs::{
    INPUT, InputExprs, WATERMARK, clock_watermark, input_exprs, input_graph, input_graph_at,
    physical_schema_of, schema_of, source_exprs, table_exprs,
};
pub use functions::aggregate as aggregate_functions;
pub use functions::clock::StepClock;
pub use functions::pg::value_text;
pub use names::query_names;
pub use parse::{parse, parse_one, parse_query};
pub use plan::{PlannedView, Planner};
pub use query::{AdHoc, runtime_error};
pub use session::Session;
