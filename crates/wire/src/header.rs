//! What stands before every request and response.
//!
//! ```text
//! request  v1: key i16 | version i16 | correlation id i32 | client id nullable string
//! request  v2: the same | tagged fields          (versions with compact encodings)
//! response v0: correlation id i32
//! response v1: the same | tagged fields          (versions with compact encodings; never ApiVersions, KIP-511)
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kacrab_protocol::KafkaString;
use kacrab_protocol::generated::{RequestHeaderData, ResponseHeaderData};
use kacrab_protocol::version::{request_header_version, response_header_version};

use crate::error::WireError;

/// Fixed part of a request header: key, version, correlation id.
const FIXED_BYTES: usize = 8;

/// The header of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    pub key: i16,
    pub version: i16,
    pub correlation_id: i32,
    pub client_id: Option<KafkaString>,
}

impl RequestHeader {
    /// Reads the header off the front of a request frame and leaves the body.
    ///
    /// Of a key or version that the schemas do not know only the fixed part is read: that is all that may be relied on, and
    /// enough to answer with an error.
    ///
    /// # Errors
    /// The frame ends inside the header, or the client id is not text.
    pub fn decode(frame: &mut Bytes) -> Result<Self, WireError> {
        let fixed = frame.first_chunk::<FIXED_BYTES>().copied();
        if let Some([k0, k1, v0, v1, c0, c1, c2, c3]) = fixed {
            let (key, version) = (i16::from_be_bytes([k0, k1]), i16::from_be_bytes([v0, v1]));
            if !crate::schema_versions(key).is_some_and(|versions| versions.contains(version)) {
                frame.advance(FIXED_BYTES);
                let correlation_id = i32::from_be_bytes([c0, c1, c2, c3]);
                return Ok(Self {
                    key,
                    version,
                    correlation_id,
                    client_id: None,
                });
            }
            let header = RequestHeaderData::read(frame, request_header_version(key, version))?;
            return Ok(Self {
                key,
                version,
                correlation_id: header.correlation_id,
                client_id: header.client_id,
            });
        }
        Err(
            RequestHeaderData::read(frame, 1).map_or_else(Into::into, |_| WireError::FrameLength {
                bytes: FIXED_BYTES as i64,
                max_bytes: FIXED_BYTES,
            }),
        )
    }

    /// Writes the header in the form that its key and version ask for.
    ///
    /// # Errors
    /// The client id is longer than a string may be.
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), WireError> {
        let header = RequestHeaderData {
            request_api_key: self.key,
            request_api_version: self.version,
            correlation_id: self.correlation_id,
            client_id: self.client_id.clone(),
            ..RequestHeaderData::default()
        };
        Ok(header.write(out, request_header_version(self.key, self.version))?)
    }
}

/// Writes the header of a response; ApiVersions always gets the oldest form, because its reader knows no versions yet.
pub fn encode_response_header(out: &mut BytesMut, key: i16, version: i16, correlation_id: i32) {
    out.put_i32(correlation_id);
    if response_header_version(key, version) >= 1 {
        out.put_u8(0);
    }
}

/// Reads the header off the front of a response frame and gives its correlation id.
///
/// # Errors
/// The frame ends inside the header.
pub fn decode_response_header(frame: &mut Bytes, key: i16, version: i16) -> Result<i32, WireError> {
    let header = ResponseHeaderData::read(frame, response_header_version(key, version))?;
    Ok(header.correlation_id)
}
