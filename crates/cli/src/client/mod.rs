//! An asynchronous Kafka client: connections, metadata, an idempotent producer, a consumer, groups and admin calls.
//!
//! Reading order: [`connection`] (one socket), [`Client`] (nodes and topics), [`producer`], [`fetcher`], [`group`], [`admin`] and [`admin_groups`].

pub mod acls;
pub mod admin;
pub mod admin_groups;
mod assignor;
mod cluster;
pub mod connection;
pub mod error;
pub mod fetcher;
pub mod group;
pub mod producer;
mod versions;

pub use admin::TopicDescription;
pub use admin_groups::{GroupDescription, GroupOffset};
pub use cluster::{Client, Partition};
pub use error::ClientError;
pub use fetcher::{Fetched, Fetcher, FetcherConfig, Start};
pub use group::{GroupConfig, GroupConsumer};
pub use headwater_record::{Codec, Record};
pub use producer::{Acks, Delivered, Delivery, Outgoing, Producer, ProducerConfig};
