//! Changing a batch's header in place of decoding it.

use bytes::{Bytes, BytesMut};

use crate::error::BatchError;
use crate::header::{ATTR_LOG_APPEND_TIME, BatchHeader, CRC_FROM};

/// Sets base offset and leader epoch, which lie outside the CRC.
///
/// # Panics
/// When `batch` is shorter than 16 bytes.
pub fn place(batch: &mut [u8], base_offset: i64, leader_epoch: i32) {
    batch[..8].copy_from_slice(&base_offset.to_be_bytes());
    batch[12..16].copy_from_slice(&leader_epoch.to_be_bytes());
}

/// As [`place`] on a shared batch; copies it unless this is the only handle.
pub fn with_place(batch: Bytes, base_offset: i64, leader_epoch: i32) -> Bytes {
    edit(batch, |bytes| place(bytes, base_offset, leader_epoch))
}

/// Gives all records the broker's time (`message.timestamp.type=LogAppendTime`) and computes the CRC anew.
pub fn with_log_append_time(batch: Bytes, now_ms: i64) -> Result<Bytes, BatchError> {
    let attributes = BatchHeader::parse(&batch)?.attributes | ATTR_LOG_APPEND_TIME;
    Ok(edit(batch, |bytes| {
        bytes[21..23].copy_from_slice(&attributes.to_be_bytes());
        bytes[35..43].copy_from_slice(&now_ms.to_be_bytes());
        let crc = headwater_base::crc32c(&bytes[CRC_FROM..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    }))
}

/// Corrects what the header says to be the largest timestamp, and computes the CRC anew.
pub fn with_max_timestamp(batch: Bytes, max_timestamp: i64) -> Bytes {
    edit(batch, |bytes| {
        bytes[35..43].copy_from_slice(&max_timestamp.to_be_bytes());
        let crc = headwater_base::crc32c(&bytes[CRC_FROM..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    })
}

fn edit(batch: Bytes, change: impl FnOnce(&mut [u8])) -> Bytes {
    let mut owned = batch
        .try_into_mut()
        .unwrap_or_else(|shared| shared[..].into());
    change(&mut owned);
    owned.freeze()
}

/// A copy of a batch with another producer (id, epoch, first sequence), and with its times moved so that it begins at
/// `base_timestamp`; the CRC is computed anew. For whoever sends the same records many times.
///
/// # Errors
/// The bytes are not a batch.
pub fn restamped(
    batch: &[u8],
    (id, epoch, sequence): (i64, i16, i32),
    base_timestamp: i64,
) -> Result<Bytes, BatchError> {
    let header = BatchHeader::parse(batch)?;
    let span = header.max_timestamp.wrapping_sub(header.base_timestamp);
    let mut bytes = BytesMut::from(batch);
    bytes[27..35].copy_from_slice(&base_timestamp.to_be_bytes());
    bytes[35..43].copy_from_slice(&base_timestamp.wrapping_add(span).to_be_bytes());
    bytes[43..51].copy_from_slice(&id.to_be_bytes());
    bytes[51..53].copy_from_slice(&epoch.to_be_bytes());
    bytes[53..57].copy_from_slice(&sequence.to_be_bytes());
    let crc = headwater_base::crc32c(&bytes[CRC_FROM..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    Ok(bytes.freeze())
}
