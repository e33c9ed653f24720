//! The edge over real sockets, with a node behind it that only says what a test needs.
#![allow(clippy::unwrap_used)]

mod client;
mod fake;
mod limits;
mod refusals;
mod routes;
mod streams;
