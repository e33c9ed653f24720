//! Composition root: settings become concrete types. The only place that names implementations.
//!
//! Reading order: [`settings`], [`node`], [`control`] (what the page and the command line ask of a node).

mod control;
mod files;
mod memory;
mod metrics;
mod node;
mod settings;
mod sinks;

pub use headwater_edge_kafka::loggers;

pub use files::{FolderError, read_folder};
pub use memory::resident_bytes;
pub use node::{Node, StartError};
pub use settings::{Given, Settings, SettingsError};
