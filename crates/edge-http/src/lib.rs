//! HTTP edge of a node: the console's page, the JSON API behind it and the command line, metrics and health.
//!
//! It knows a node only through [`Control`]; it must not know the log, the broker or the engine.

pub mod control;
pub mod dto;
pub mod error;
pub mod limits;
pub mod payload;

mod assets;
mod changes;
mod connection;
mod guard;
mod live;
mod rates;
mod reply;
mod routes;
mod serve;

pub use control::{Answer, ChangeStream, Control, Flows, Node, Statements, Streams};
pub use error::{ApiError, ErrorKind, SourceError};
pub use serve::{HttpConfig, serve};
