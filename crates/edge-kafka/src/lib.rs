//! The Kafka protocol edge: sockets in, broker calls, answers out.
//!
//! Knows messages, versions and error codes; decides nothing about topics, offsets or groups: that is the broker's.
//!
//! Reading order: [`server`] accepts, [`connection`] reads and answers in order, [`registry`] is the one list of what is spoken
//! (handlers and ApiVersions come from it), [`call`] what a handler gets and gives,
//! [`authorize`] what it asks before it does anything, [`codes`] the errors, `apis/` one file per key.

mod acl_codes;
mod apis;
mod authorize;
mod call;
mod codes;
mod connection;
mod features;
mod fetch_sessions;
pub mod loggers;
mod registry;
mod send;
mod server;
mod started;

pub use connection::connections;
pub use server::{Edge, EdgeConfig, serve};
