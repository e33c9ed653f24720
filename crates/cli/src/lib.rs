//! The client side: a Kafka client, and the commands that talk to a running node with it or over HTTP.
//!
//! Reading order: [`client`] (Kafka protocol), [`http`] (the node's API), [`commands`] (one file each), [`output`] (tables and JSON).
//! Knows a node only by its sockets: nothing here opens a log, and nothing of the server is imported.

pub mod client;
pub mod commands;
pub mod error;
pub mod http;
pub mod output;

pub use commands::Command;
pub use error::CliError;
