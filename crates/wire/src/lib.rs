//! Kafka's messages and framing, hiding the crate that holds the schemas.
//!
//! Reading order: [`frame`] cuts a stream of bytes into frames, [`header`] reads what stands before every request,
//! [`api`] ties each request to its key, versions and response, [`fetch`] writes the one response whose records are not copied.
//!
//! Records stay opaque [`bytes::Bytes`] that share the frame's buffer. Nothing here knows topics, offsets or sockets, and nothing
//! allocates in proportion to a length that a peer merely claims.

pub mod api;
pub mod error;
pub mod fetch;
pub mod frame;
pub mod header;
pub mod ids;
mod produce;

/// The messages, one module each (`messages::metadata_request::MetadataRequestTopic`), generated from Kafka's schemas.
pub use kacrab_protocol::generated as messages;
pub use kacrab_protocol::generated::{ApiKey, ErrorCode};
pub use kacrab_protocol::{KafkaString, KafkaUuid, RawTaggedField};

pub use api::{
    Message, Request, Versions, decode, decode_request, decode_response, encode_request,
    encode_response, schema_versions,
};
pub use error::WireError;
pub use header::RequestHeader;
