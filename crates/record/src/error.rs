//! What can be wrong with a batch, grouped by what the caller answers.

/// Why bytes are not an acceptable record batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Message format 0 or 1, written by clients before Kafka 0.11 (UNSUPPORTED_FOR_MESSAGE_FORMAT).
    #[error("old format: messages of magic {0} are not accepted, only record batches of magic 2")]
    OldFormat(i8),
    /// The checksum does not match, or lengths do not add up (CORRUPT_MESSAGE).
    #[error("corrupt batch: {0}")]
    Corrupt(&'static str),
    /// Intact bytes whose fields contradict each other (INVALID_RECORD).
    #[error("invalid batch: {0}")]
    Invalid(&'static str),
    /// A compression type that format v2 does not define (UNSUPPORTED_COMPRESSION_TYPE).
    #[error("unknown compression type {0}")]
    UnknownCodec(u8),
    /// The records do not decompress (CORRUPT_MESSAGE).
    #[error("cannot decompress {codec} records: {reason}")]
    Decompress { codec: &'static str, reason: String },
    /// The records unfold to more than the limit (MESSAGE_TOO_LARGE).
    #[error("records unfold to more than {max_bytes} bytes")]
    TooLarge { max_bytes: usize },
}
