//! Every limit of the program that is not one module's own business, with its unit in its name.

/// Largest Kafka frame accepted from a socket (Kafka's `socket.request.max.bytes`).
pub const FRAME_BYTES_MAX: usize = 100 * 1024 * 1024;
/// Largest record batch accepted unless the topic says otherwise (Kafka's `max.message.bytes`).
pub const BATCH_BYTES_MAX_DEFAULT: usize = 1_048_588;
/// Largest size that a compressed batch may unfold to.
pub const BATCH_UNCOMPRESSED_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Largest commit: all batches that become durable as one unit.
pub const COMMIT_BYTES_MAX: usize = 48 * 1024 * 1024;
/// Most partitions that one topic may have.
pub const TOPIC_PARTITIONS_MAX: i32 = 10_000;
/// Longest topic name, in bytes.
pub const TOPIC_NAME_BYTES_MAX: usize = 249;
