//! Is this a batch that may be stored? What a broker checks before it appends (Kafka's `LogValidator`).

use bytes::Bytes;

use crate::error::BatchError;
use crate::header::{
    ATTR_CODEC_MASK, ATTR_CONTROL, ATTR_DELETE_HORIZON, ATTR_LOG_APPEND_TIME, ATTR_TRANSACTIONAL,
    BatchHeader, CRC_FROM,
};
use crate::records::records;

const ATTR_KNOWN: i16 = ATTR_CODEC_MASK
    | ATTR_LOG_APPEND_TIME
    | ATTR_TRANSACTIONAL
    | ATTR_CONTROL
    | ATTR_DELETE_HORIZON;

/// Checks exactly one batch: length, magic, CRC, attributes, counts. Does not look at the records
/// (see [`verify_records`]).
pub fn validate(batch: &[u8]) -> Result<BatchHeader, BatchError> {
    let header = BatchHeader::parse(batch)?;
    if header.bytes != batch.len() {
        return Err(BatchError::Corrupt("bytes after the batch"));
    }
    if headwater_base::crc32c(&batch[CRC_FROM..]) != header.crc {
        return Err(BatchError::Corrupt("CRC mismatch"));
    }
    check_fields(&header)?;
    Ok(header)
}

fn check_fields(header: &BatchHeader) -> Result<(), BatchError> {
    header.codec()?;
    if header.attributes & !ATTR_KNOWN != 0 {
        return Err(BatchError::Invalid("unknown attribute bits"));
    }
    if header.record_count < 1 {
        return Err(BatchError::Invalid("no records"));
    }
    if header.last_offset_delta != header.record_count - 1 {
        return Err(BatchError::Invalid(
            "offset deltas do not match the record count",
        ));
    }
    // Negative epochs and times are as good as others to Kafka.
    if header.producer_id >= 0 && header.base_sequence < 0 && !header.is_control() {
        return Err(BatchError::Invalid("a producer id without a sequence"));
    }
    if header.producer_id < -1 {
        return Err(BatchError::Invalid("negative producer id"));
    }
    Ok(())
}

/// What [`walk_records`] saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walked {
    /// Of the records themselves, whatever the header says; -1 where none has one.
    pub max_timestamp: i64,
    pub min_timestamp: i64,
    /// Position of the first record without key.
    pub without_key: Option<i32>,
}

/// Unfolds the batch and walks all records: every length inside, deltas counting 0, 1, 2...
/// For input that a later reader must not trip over; costs a decompression.
///
/// # Errors
/// What a reader would trip over.
pub fn walk_records(batch: &Bytes) -> Result<Walked, BatchError> {
    let walk = records(batch)?;
    let header = *walk.header();
    let (mut oldest, mut newest, mut without_key) = (i64::MAX, i64::MIN, None);
    let mut delta = 0;
    walk.shapes(|record| {
        if record.offset_delta != delta {
            return Err(BatchError::Invalid(
                "offset deltas of the records are not 0, 1, 2...",
            ));
        }
        if !record.has_key && without_key.is_none() {
            without_key = Some(delta);
        }
        let timestamp = header.base_timestamp.wrapping_add(record.timestamp_delta);
        oldest = oldest.min(timestamp);
        newest = newest.max(timestamp);
        delta += 1;
        Ok(())
    })?;
    if header.is_log_append_time() && delta > 0 {
        (oldest, newest) = (header.max_timestamp, header.max_timestamp);
    }
    Ok(Walked {
        max_timestamp: newest,
        min_timestamp: oldest,
        without_key,
    })
}

/// As [`walk_records`] for whoever only wants to know that the batch is sound.
///
/// # Errors
/// As [`walk_records`].
pub fn verify_records(batch: &Bytes) -> Result<(), BatchError> {
    walk_records(batch).map(|_| ())
}

/// The batches of a produce request's records field (or a fetch answer's), each validated. Ends at the first error.
pub fn batches(records: Bytes) -> Batches {
    Batches {
        rest: records,
        check: true,
    }
}

/// As [`batches`] for bytes that come from our own log: headers are read, checksums are not.
/// A cut last batch, which fetch answers may have, ends the iteration.
pub fn split(records: Bytes) -> Batches {
    Batches {
        rest: records,
        check: false,
    }
}

/// See [`batches`] and [`split`]. The yielded bytes share the buffer.
#[derive(Debug)]
pub struct Batches {
    rest: Bytes,
    check: bool,
}

impl Batches {
    fn advance(&mut self) -> Result<(BatchHeader, Bytes), BatchError> {
        let header = BatchHeader::parse(&self.rest)?;
        let batch = self.rest.split_to(header.bytes);
        if self.check {
            validate(&batch)?;
        }
        Ok((header, batch))
    }
}

impl Iterator for Batches {
    type Item = Result<(BatchHeader, Bytes), BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let next = self.advance();
        if next.is_err() {
            self.rest.clear();
            if !self.check && matches!(next, Err(BatchError::Corrupt(_))) {
                return None;
            }
        }
        Some(next)
    }
}
