//! Writing batches.

use bytes::Bytes;

use crate::compression::{Codec, Level, compress};
use crate::header::{
    ATTR_CONTROL, ATTR_LOG_APPEND_TIME, ATTR_TRANSACTIONAL, CRC_FROM, HEADER_BYTES,
    LENGTH_PREFIX_BYTES, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, NO_TIMESTAMP,
};
use crate::varint;

/// Collects records and gives one batch with base offset 0, which the log moves to its place.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    /// A gap for the header, then the records.
    buffer: Vec<u8>,
    codec: Codec,
    attributes: i16,
    producer: (i64, i16, i32),
    count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl BatchBuilder {
    pub fn new(codec: Codec) -> Self {
        Self {
            buffer: vec![0; HEADER_BYTES],
            codec,
            attributes: codec.attribute_bits(),
            producer: (NO_PRODUCER_ID, NO_PRODUCER_EPOCH, NO_SEQUENCE),
            count: 0,
            base_timestamp: NO_TIMESTAMP,
            max_timestamp: NO_TIMESTAMP,
        }
    }

    /// Marks the batch as of an idempotent producer; `sequence` is the first record's.
    pub fn producer(mut self, id: i64, epoch: i16, sequence: i32) -> Self {
        self.producer = (id, epoch, sequence);
        self
    }

    pub fn transactional(mut self) -> Self {
        self.attributes |= ATTR_TRANSACTIONAL;
        self
    }

    pub(crate) fn control(mut self) -> Self {
        self.attributes |= ATTR_CONTROL;
        self
    }

    /// All records read as of this time (milliseconds), whatever they were pushed with.
    pub fn log_append_time(mut self, now_ms: i64) -> Self {
        self.attributes |= ATTR_LOG_APPEND_TIME;
        self.max_timestamp = now_ms;
        self
    }

    pub fn len(&self) -> usize {
        self.count as usize
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes so far, before compression.
    pub fn size_bytes(&self) -> usize {
        self.buffer.len()
    }

    pub fn push(&mut self, timestamp_ms: i64, key: Option<&[u8]>, value: Option<&[u8]>) {
        self.push_with_headers(timestamp_ms, key, value, &[]);
    }

    pub fn push_with_headers(
        &mut self,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&[u8], Option<&[u8]>)],
    ) {
        if self.count == 0 {
            self.base_timestamp = timestamp_ms;
        }
        if self.attributes & ATTR_LOG_APPEND_TIME == 0 {
            self.max_timestamp = self.max_timestamp.max(timestamp_ms);
        }
        let timestamp_delta = timestamp_ms.wrapping_sub(self.base_timestamp);
        let offset_delta = i64::from(self.count);
        let header_bytes: usize = headers
            .iter()
            .map(|(k, v)| sized(Some(k)) + sized(*v))
            .sum();
        let body = 1
            + varint::size(timestamp_delta)
            + varint::size(offset_delta)
            + sized(key)
            + sized(value)
            + varint::size(headers.len() as i64)
            + header_bytes;
        let out = &mut self.buffer;
        varint::write(out, body as i64);
        out.push(0);
        varint::write(out, timestamp_delta);
        varint::write(out, offset_delta);
        write_sized(out, key);
        write_sized(out, value);
        varint::write(out, headers.len() as i64);
        for (key, value) in headers {
            write_sized(out, Some(key));
            write_sized(out, *value);
        }
        self.count += 1;
    }

    /// The finished batch.
    pub fn build(mut self) -> Bytes {
        if self.codec != Codec::None {
            let mut packed = Vec::with_capacity(HEADER_BYTES + self.buffer.len() / 2);
            packed.resize(HEADER_BYTES, 0);
            compress(
                self.codec,
                Level::default(),
                &self.buffer[HEADER_BYTES..],
                &mut packed,
            );
            self.buffer = packed;
        }
        self.write_header();
        self.buffer.into()
    }

    fn write_header(&mut self) {
        let length = (self.buffer.len() - LENGTH_PREFIX_BYTES) as i32;
        let (id, epoch, sequence) = self.producer;
        let mut put =
            |at: usize, bytes: &[u8]| self.buffer[at..at + bytes.len()].copy_from_slice(bytes);
        put(8, &length.to_be_bytes());
        put(16, &[2]);
        put(21, &self.attributes.to_be_bytes());
        put(23, &(self.count - 1).to_be_bytes());
        put(27, &self.base_timestamp.to_be_bytes());
        put(35, &self.max_timestamp.to_be_bytes());
        put(43, &id.to_be_bytes());
        put(51, &epoch.to_be_bytes());
        put(53, &sequence.to_be_bytes());
        put(57, &self.count.to_be_bytes());
        let crc = headwater_base::crc32c(&self.buffer[CRC_FROM..]);
        self.buffer[17..21].copy_from_slice(&crc.to_be_bytes());
    }
}

fn sized(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |b| varint::size(b.len() as i64) + b.len())
}

fn write_sized(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => varint::write(out, -1),
        Some(bytes) => {
            varint::write(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
    }
}
