//! An asynchronous Kafka client: connections, metadata, an idempotent producer, a consumer, groups and admin calls.
//!
//! Reading order: [`connection`] (one socket), [`Client`] (nodes and topics), [`producer`], [`fetcher`], [`group`], [`admin`].

pub mod acls;
pub mod admin;
mod assignor;
mod cluster;
pub mod connection;
pub mod error;
pub mod fetcher;
pub mod group;
pub mod producer;
mod versions;

pub use admin::{GroupDescription, GroupOffset, TopicDescription};
pub use cluster::{Client, Partition};
pub use error::ClientError;
pub use fetcher::{Fetched, Fetcher, FetcherConfig, Start};
pub use group::{GroupConfig, GroupConsumer};
pub use headwater_record::{Codec, Record};
pub use producer::{Acks, Delivered, Delivery, Outgoing, Producer, ProducerConfig};
