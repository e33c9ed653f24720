//! Walking the records of a batch.
//!
//! ```text
//! record: length varint | attributes i8 | timestamp delta varlong | offset delta varint
//!         | key length varint (-1: null) | key | value length varint (-1: null) | value
//!         | header count varint | ( key length varint | key | value length varint (-1: null) | value )*
//! ```
//! Records of an uncompressed batch share its buffer; those of a compressed one share the unfolded buffer.

use std::ops::Range;

use bytes::Bytes;
use headwater_base::limits::BATCH_UNCOMPRESSED_BYTES_MAX;

use crate::compression::decompress;
use crate::error::BatchError;
use crate::header::{BatchHeader, HEADER_BYTES};
use crate::varint::{read_i32, read_i64};

/// One record that owns (shares) its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub offset: i64,
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<Header>,
}

/// One header of a record; keys may repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub key: Bytes,
    pub value: Option<Bytes>,
}

/// One record borrowed from the walk: for loops that decode millions.
#[derive(Clone, Copy, Debug)]
pub struct RecordRef<'a> {
    pub offset: i64,
    pub timestamp: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    /// Position in the batch, from 0.
    pub offset_delta: i32,
}

/// One record and its bytes in the payload.
pub(crate) struct RawRecord<'a> {
    pub record: RecordRef<'a>,
    pub timestamp_delta: i64,
    /// All of it, length included.
    pub whole: &'a [u8],
    /// Key, value and headers.
    pub tail: &'a [u8],
}

/// What a walk that only looks for faults sees of a record.
pub(crate) struct Shape {
    pub timestamp_delta: i64,
    pub offset_delta: i32,
    pub has_key: bool,
}

/// The walk; ends after the count of the header, or at the first error.
#[derive(Debug)]
pub struct Records {
    header: BatchHeader,
    payload: Bytes,
    at: usize,
    left: i32,
}

/// Opens a batch (CRC not checked again) and unfolds its records.
pub fn records(batch: &Bytes) -> Result<Records, BatchError> {
    let header = BatchHeader::parse(batch)?;
    let packed = batch.slice(HEADER_BYTES..header.bytes);
    let payload = decompress(header.codec()?, &packed, BATCH_UNCOMPRESSED_BYTES_MAX)?;
    Ok(Records {
        header,
        payload,
        at: 0,
        left: header.record_count.max(0),
    })
}

/// Where the parts of one record lie in the payload.
struct Parts {
    /// From its length on.
    start: usize,
    /// Where its key's length stands: everything behind is free of deltas.
    tail: usize,
    timestamp_delta: i64,
    offset_delta: i32,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    headers: Range<usize>,
}

impl Records {
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The unfolded records, for whoever keeps ranges of it.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The next record, borrowed; its headers are skipped.
    #[inline]
    pub fn next_ref(&mut self) -> Option<Result<RecordRef<'_>, BatchError>> {
        let parts = match self.advance()? {
            Ok(parts) => parts,
            Err(error) => return Some(Err(error)),
        };
        Some(Ok(self.borrowed(&parts)))
    }

    /// As [`Records::next_ref`], with the record's bytes as they stand in the payload.
    pub(crate) fn next_raw(&mut self) -> Option<Result<RawRecord<'_>, BatchError>> {
        let parts = match self.advance()? {
            Ok(parts) => parts,
            Err(error) => return Some(Err(error)),
        };
        Some(Ok(RawRecord {
            record: self.borrowed(&parts),
            timestamp_delta: parts.timestamp_delta,
            whole: &self.payload[parts.start..parts.headers.end],
            tail: &self.payload[parts.tail..parts.headers.end],
        }))
    }

    /// Shows each record that is left: as [`Records::next_ref`] to the end, in half the time.
    pub(crate) fn shapes(
        self,
        mut see: impl FnMut(&Shape) -> Result<(), BatchError>,
    ) -> Result<(), BatchError> {
        let (bytes, mut at) = (&self.payload[..], self.at);
        for _ in 0..self.left {
            see(&shape(bytes, &mut at)?)?;
        }
        match at == bytes.len() {
            true => Ok(()),
            false => Err(BatchError::Invalid("bytes after the last record")),
        }
    }

    fn borrowed(&self, parts: &Parts) -> RecordRef<'_> {
        let bytes = |range: &Range<usize>| &self.payload[range.clone()];
        RecordRef {
            offset: self.offset(parts),
            timestamp: self.timestamp(parts),
            key: parts.key.as_ref().map(bytes),
            value: parts.value.as_ref().map(bytes),
            offset_delta: parts.offset_delta,
        }
    }

    fn advance(&mut self) -> Option<Result<Parts, BatchError>> {
        if self.left == 0 {
            if self.at < self.payload.len() {
                self.at = self.payload.len();
                return Some(Err(BatchError::Invalid("bytes after the last record")));
            }
            return None;
        }
        self.left -= 1;
        let parts = self.parse();
        if parts.is_err() {
            self.left = 0;
            self.at = self.payload.len();
        }
        Some(parts)
    }

    #[inline]
    fn parse(&mut self) -> Result<Parts, BatchError> {
        let start = self.at;
        let body = sized(&self.payload, &mut self.at)?
            .ok_or(BatchError::Invalid("negative record length"))?;
        self.at = body.end;
        let bytes = &self.payload[..body.end];
        let mut at = body.start + 1; // attributes: unused
        let timestamp_delta = read_i64(bytes, &mut at)?;
        let offset_delta = read_i32(bytes, &mut at)?;
        let tail = at;
        let key = sized(bytes, &mut at)?;
        at = key.as_ref().map_or(at, |range| range.end);
        let value = sized(bytes, &mut at)?;
        at = value.as_ref().map_or(at, |range| range.end);
        if at >= body.end {
            return Err(BatchError::Invalid("record without header count"));
        }
        Ok(Parts {
            start,
            tail,
            timestamp_delta,
            offset_delta,
            key,
            value,
            headers: at..body.end,
        })
    }

    fn offset(&self, parts: &Parts) -> i64 {
        self.header
            .base_offset
            .wrapping_add(i64::from(parts.offset_delta))
    }

    fn timestamp(&self, parts: &Parts) -> i64 {
        if self.header.is_log_append_time() {
            return self.header.max_timestamp;
        }
        self.header
            .base_timestamp
            .wrapping_add(parts.timestamp_delta)
    }

    fn headers(&self, range: Range<usize>) -> Result<Vec<Header>, BatchError> {
        let bytes = &self.payload[..range.end];
        let mut at = range.start;
        let count = read_i32(bytes, &mut at)?;
        if count < 0 {
            return Err(BatchError::Invalid("negative header count"));
        }
        // The claimed count is not trusted with an allocation: each header takes at least two bytes.
        let mut headers = Vec::with_capacity((count as usize).min((range.end - at) / 2));
        for _ in 0..count {
            let key = sized(bytes, &mut at)?.ok_or(BatchError::Invalid("header without key"))?;
            at = key.end;
            let value = sized(bytes, &mut at)?;
            at = value.as_ref().map_or(at, |range| range.end);
            headers.push(Header {
                key: self.payload.slice(key),
                value: value.map(|r| self.payload.slice(r)),
            });
        }
        if at != range.end {
            return Err(BatchError::Invalid(
                "record length does not match its fields",
            ));
        }
        Ok(headers)
    }

    fn owned(&self, parts: Parts) -> Result<Record, BatchError> {
        Ok(Record {
            offset: self.offset(&parts),
            timestamp: self.timestamp(&parts),
            headers: self.headers(parts.headers)?,
            key: parts.key.map(|range| self.payload.slice(range)),
            value: parts.value.map(|range| self.payload.slice(range)),
        })
    }
}

/// Reads one record as [`Records::next_ref`] does, and moves behind it.
#[inline]
fn shape(payload: &[u8], next: &mut usize) -> Result<Shape, BatchError> {
    let body = sized(payload, next)?.ok_or(BatchError::Invalid("negative record length"))?;
    *next = body.end;
    let bytes = &payload[..body.end];
    let mut at = body.start + 1; // attributes: unused
    let timestamp_delta = read_i64(bytes, &mut at)?;
    let offset_delta = read_i32(bytes, &mut at)?;
    let key = sized(bytes, &mut at)?;
    at = key.as_ref().map_or(at, |range| range.end);
    let value = sized(bytes, &mut at)?;
    at = value.map_or(at, |range| range.end);
    if at >= body.end {
        return Err(BatchError::Invalid("record without header count"));
    }
    Ok(Shape {
        timestamp_delta,
        offset_delta,
        has_key: key.is_some(),
    })
}

/// A length and the range behind it that lies inside `bytes`; `None` for -1.
#[inline]
fn sized(bytes: &[u8], at: &mut usize) -> Result<Option<Range<usize>>, BatchError> {
    let length = read_i32(bytes, at)?;
    if length == -1 {
        return Ok(None);
    }
    let length = usize::try_from(length).map_err(|_| BatchError::Invalid("negative length"))?;
    if length > bytes.len() - *at {
        return Err(BatchError::Invalid("length goes past the end"));
    }
    Ok(Some(*at..*at + length))
}

impl Iterator for Records {
    type Item = Result<Record, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let parts = self.advance()?;
        let record = parts.and_then(|parts| self.owned(parts));
        if record.is_err() {
            self.left = 0;
            self.at = self.payload.len();
        }
        Some(record)
    }
}
