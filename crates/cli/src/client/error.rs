//! What can go wrong on the way to a node and back, and whether trying again may help.

use headwater_wire::{ErrorCode, WireError};

/// A failed exchange. Cheap to clone, because one failure may answer thousands of records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    #[error(
        "nothing listens on {address}: start a node with `headwater up`, or say where it is with --bootstrap HOST:PORT"
    )]
    NotListening { address: String },
    #[error("the address {address} cannot be used: {reason}; give it as HOST:PORT")]
    Address { address: String, reason: String },
    #[error("the connection to {address} broke: {reason}")]
    Broken { address: String, reason: String },
    #[error("{address} did not answer within {timeout_ms} ms")]
    Timeout { address: String, timeout_ms: u64 },
    #[error("{address} does not speak the Kafka protocol as expected: {reason}")]
    Protocol { address: String, reason: String },
    #[error("{address} does not offer {api}")]
    Unsupported { address: String, api: &'static str },
    #[error("{what}: {}{}", describe(*code), detail(message.as_deref()))]
    Broker {
        what: String,
        code: i16,
        message: Option<String>,
    },
    #[error("there is no topic {topic:?}; `headwater topic list` shows what there is")]
    NoTopic { topic: String },
    #[error("topic {topic:?} has no partition {partition}")]
    NoPartition { topic: String, partition: i32 },
    #[error("a record of {bytes} bytes is larger than the limit of {max_bytes}")]
    TooLarge { bytes: usize, max_bytes: usize },
    #[error("not delivered within {timeout_ms} ms; the last failure was: {last}")]
    NotDelivered { timeout_ms: u64, last: String },
    #[error("unreadable records in {topic}/{partition}: {reason}")]
    Records {
        topic: String,
        partition: i32,
        reason: String,
    },
    #[error("the producer is closed")]
    Closed,
}

impl ClientError {
    /// An error code that a node answered with.
    pub fn broker(what: impl Into<String>, code: i16, message: Option<&str>) -> Self {
        Self::Broker {
            what: what.into(),
            code,
            message: message.map(str::to_owned),
        }
    }

    /// `Ok` for code 0.
    ///
    /// # Errors
    /// [`ClientError::Broker`] for any other.
    pub fn check(what: impl Into<String>, code: i16) -> Result<(), Self> {
        if code == 0 {
            Ok(())
        } else {
            Err(Self::broker(what, code, None))
        }
    }

    pub(crate) fn protocol(address: &str, error: &WireError) -> Self {
        Self::Protocol {
            address: address.to_owned(),
            reason: error.to_string(),
        }
    }

    /// The code, when a node answered with one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Broker { code, .. } => Some(ErrorCode::from(*code)),
            _ => None,
        }
    }

    /// Whether the same request may succeed later, perhaps at another node.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::NotListening { .. } | Self::Broken { .. } | Self::Timeout { .. } => true,
            Self::Broker { code, .. } => ErrorCode::from(*code).is_retriable(),
            _ => false,
        }
    }
}

/// `UnknownTopicOrPartition (3)`.
fn describe(code: i16) -> String {
    format!("{:?} ({code})", ErrorCode::from(code))
}

fn detail(message: Option<&str>) -> String {
    message
        .filter(|text| !text.is_empty())
        .map(|text| format!(": {text}"))
        .unwrap_or_default()
}
