//! The fixed part of a record batch.
//!
//! ```text
//! byte  0 base offset            i64   | outside the CRC: a broker may set these
//!       8 batch length           i32   | bytes that follow this field
//!      12 partition leader epoch i32   |
//!      16 magic                  i8    | 2
//!      17 CRC32C                 u32   | over everything from byte 21
//!      21 attributes             i16   | 0-2 codec, 3 log append time, 4 transactional, 5 control,
//!                                         6 base timestamp is a delete horizon (KIP-534)
//!      23 last offset delta      i32
//!      27 base timestamp         i64
//!      35 max timestamp          i64
//!      43 producer id            i64
//!      51 producer epoch         i16
//!      53 base sequence          i32
//!      57 record count           i32
//!      61 records, compressed as a whole
//! ```
//! All big-endian. Source: Kafka documentation, "Record Batch"; KIP-98.

use crate::compression::Codec;
use crate::error::BatchError;

/// Bytes before the records.
pub const HEADER_BYTES: usize = 61;
/// Bytes before those that `batch length` counts.
pub const LENGTH_PREFIX_BYTES: usize = 12;
/// First byte that the CRC covers.
pub const CRC_FROM: usize = 21;

/// Producer id of a batch without idempotence.
pub const NO_PRODUCER_ID: i64 = -1;
pub const NO_PRODUCER_EPOCH: i16 = -1;
pub const NO_SEQUENCE: i32 = -1;
pub const NO_TIMESTAMP: i64 = -1;

pub(crate) const ATTR_CODEC_MASK: i16 = 0x07;
pub(crate) const ATTR_LOG_APPEND_TIME: i16 = 0x08;
pub(crate) const ATTR_TRANSACTIONAL: i16 = 0x10;
pub(crate) const ATTR_CONTROL: i16 = 0x20;
pub(crate) const ATTR_DELETE_HORIZON: i16 = 0x40;

/// The header's fields, as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    pub base_offset: i64,
    /// Bytes of the whole batch, the header included.
    pub bytes: usize,
    pub leader_epoch: i32,
    pub crc: u32,
    pub attributes: i16,
    pub last_offset_delta: i32,
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads the header at the front of `bytes` and checks that the batch it announces is wholly there.
    /// Checks neither CRC nor the records.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        // Magic 0 and 1 messages are shorter than a v2 header and have their magic at the same place.
        if bytes.len() > 16 && (0..2).contains(&(bytes[16] as i8)) {
            return Err(BatchError::OldFormat(bytes[16] as i8));
        }
        let Some(head) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(BatchError::Corrupt("shorter than a batch header"));
        };
        if head[16] != 2 {
            return Err(BatchError::Corrupt("unknown magic"));
        }
        let length =
            usize::try_from(i32_at(head, 8)).map_err(|_| BatchError::Corrupt("negative length"))?;
        let total = length + LENGTH_PREFIX_BYTES;
        if total < HEADER_BYTES {
            return Err(BatchError::Corrupt("length is less than a batch header"));
        }
        if total > bytes.len() {
            return Err(BatchError::Corrupt("length goes past the end"));
        }
        Ok(Self::fields(head, total))
    }

    fn fields(head: &[u8; HEADER_BYTES], bytes: usize) -> Self {
        Self {
            base_offset: i64_at(head, 0),
            bytes,
            leader_epoch: i32_at(head, 12),
            crc: i32_at(head, 17) as u32,
            attributes: i16_at(head, 21),
            last_offset_delta: i32_at(head, 23),
            base_timestamp: i64_at(head, 27),
            max_timestamp: i64_at(head, 35),
            producer_id: i64_at(head, 43),
            producer_epoch: i16_at(head, 51),
            base_sequence: i32_at(head, 53),
            record_count: i32_at(head, 57),
        }
    }

    pub fn codec(&self) -> Result<Codec, BatchError> {
        Codec::from_attributes(self.attributes)
    }

    /// Offset of the last record.
    pub fn last_offset(&self) -> i64 {
        self.base_offset
            .saturating_add(i64::from(self.last_offset_delta))
    }

    /// Sequence number of the last record; sequences wrap from `i32::MAX` to 0.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return NO_SEQUENCE;
        }
        let last = i64::from(self.base_sequence) + i64::from(self.last_offset_delta);
        (last % (i64::from(i32::MAX) + 1)) as i32
    }

    pub fn is_transactional(&self) -> bool {
        self.attributes & ATTR_TRANSACTIONAL != 0
    }

    pub fn is_control(&self) -> bool {
        self.attributes & ATTR_CONTROL != 0
    }

    /// Whether every record carries the broker's time (the header's max timestamp) instead of its own.
    pub fn is_log_append_time(&self) -> bool {
        self.attributes & ATTR_LOG_APPEND_TIME != 0
    }

    /// The time (ms) from which compaction may drop this batch's tombstones, or its marker (KIP-534).
    pub fn delete_horizon_ms(&self) -> Option<i64> {
        (self.attributes & ATTR_DELETE_HORIZON != 0).then_some(self.base_timestamp)
    }

    pub fn has_producer(&self) -> bool {
        self.producer_id >= 0
    }
}

fn i16_at(head: &[u8; HEADER_BYTES], at: usize) -> i16 {
    i16::from_be_bytes([head[at], head[at + 1]])
}

fn i32_at(head: &[u8; HEADER_BYTES], at: usize) -> i32 {
    i32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
}

fn i64_at(head: &[u8; HEADER_BYTES], at: usize) -> i64 {
    (i64::from(i32_at(head, at)) << 32) | i64::from(i32_at(head, at + 4) as u32)
}
