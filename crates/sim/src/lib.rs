//! Proof: the real log, broker and Kafka edge in a world whose disk, clock and network are seeded, driven by clients that write
//! down what they do and see; and the checker of such histories, which also reads those of real processes.
//!
//! Reading order: [`history`]; with the feature `virtual-time` `node` (the node and its world), `client`, `scenario` (one run).

pub mod history;

#[cfg(feature = "virtual-time")]
pub mod client;
#[cfg(feature = "virtual-time")]
pub mod node;
#[cfg(feature = "virtual-time")]
pub mod scenario;
