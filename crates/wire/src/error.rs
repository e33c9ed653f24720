//! The one error of this crate: bytes that are not what they should be, or a message that does not fit its version.

/// Why bytes could not be read or a message not be written. A peer that causes one is answered with an error or cut off.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The length before a frame is negative or above the limit.
    #[error("a frame of {bytes} bytes is outside 0..={max_bytes}")]
    FrameLength { bytes: i64, max_bytes: usize },
    /// An array in a request is longer than any client has reason to send.
    #[error("{what}: {count} is above the limit of {max}")]
    TooMany {
        what: &'static str,
        count: u64,
        max: u64,
    },
    /// The answer belongs to another request.
    #[error("the answer carries correlation id {got}, expected {expected}")]
    Correlation { expected: i32, got: i32 },
    #[error(transparent)]
    Message(#[from] kacrab_protocol::ProtocolError),
}

impl From<kacrab_protocol::primitives::PrimitiveError> for WireError {
    fn from(error: kacrab_protocol::primitives::PrimitiveError) -> Self {
        Self::Message(error.into())
    }
}
