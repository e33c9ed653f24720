//! Little-endian fields at fixed places, for the codecs of what is on disk.

use headwater_base::{PartitionId, TopicId};

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | (u64::from(u32_at(bytes, at + 4)) << 32)
}

pub(super) fn i64_at(bytes: &[u8], at: usize) -> i64 {
    u64_at(bytes, at) as i64
}

pub(super) fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    bytes[at..at + field.len()].copy_from_slice(field);
}

/// Bytes of a partition's identity on disk: topic id, index.
pub(super) const PARTITION_BYTES: usize = 20;

pub(super) fn put_partition(bytes: &mut [u8], at: usize, partition: PartitionId) {
    put(bytes, at, &partition.topic.0);
    put(bytes, at + 16, &partition.index.to_le_bytes());
}

pub(super) fn partition_at(bytes: &[u8], at: usize) -> PartitionId {
    let mut topic = [0; 16];
    topic.copy_from_slice(&bytes[at..at + 16]);
    PartitionId {
        topic: TopicId(topic),
        index: u32_at(bytes, at + 16) as i32,
    }
}
