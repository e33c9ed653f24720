//! The same records under another codec (`compression.type` of a topic).

use bytes::Bytes;
use headwater_base::limits::BATCH_UNCOMPRESSED_BYTES_MAX;

use crate::compression::{Codec, Level, compress, decompress};
use crate::error::BatchError;
use crate::header::{ATTR_CODEC_MASK, BatchHeader, CRC_FROM, HEADER_BYTES, LENGTH_PREFIX_BYTES};

/// Gives the batch with its records in `codec`; as it is when they are already.
///
/// # Errors
/// The records do not unfold, or to more than the limit.
pub fn recompress(batch: &Bytes, codec: Codec, level: Level) -> Result<Bytes, BatchError> {
    let header = BatchHeader::parse(batch)?;
    let from = header.codec()?;
    if from == codec {
        return Ok(batch.clone());
    }
    let packed = batch.slice(HEADER_BYTES..header.bytes);
    let payload = decompress(from, &packed, BATCH_UNCOMPRESSED_BYTES_MAX)?;
    let mut out = Vec::with_capacity(HEADER_BYTES + payload.len());
    out.extend_from_slice(&batch[..HEADER_BYTES]);
    compress(codec, level, &payload, &mut out);
    let length = (out.len() - LENGTH_PREFIX_BYTES) as i32;
    let attributes = (header.attributes & !ATTR_CODEC_MASK) | codec.attribute_bits();
    out[8..12].copy_from_slice(&length.to_be_bytes());
    out[21..23].copy_from_slice(&attributes.to_be_bytes());
    let crc = headwater_base::crc32c(&out[CRC_FROM..]);
    out[17..21].copy_from_slice(&crc.to_be_bytes());
    Ok(out.into())
}
