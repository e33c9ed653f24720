//! Snappy as Kafka has it: raw blocks (librdkafka) or Xerial's framing (Java's snappy-java).
//!
//! ```text
//! 0x82 'S' 'N' 'A' 'P' 'P' 'Y' 0x00 | version i32 | compatible i32 | ( block length i32 | raw snappy block )*
//! ```

use bytes::Bytes;

use crate::compression::Codec;
use crate::error::BatchError;

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const HEADER_BYTES: usize = 16;
/// Input bytes per block, as snappy-java's default.
const BLOCK_BYTES: usize = 32 * 1024;
/// A copy element of 3 bytes yields at most 64: no block unfolds further than that.
const RATIO_MAX: usize = 22;

pub(crate) fn decompress(input: &Bytes, max_bytes: usize) -> Result<Bytes, BatchError> {
    let mut out = Vec::new();
    if !input.starts_with(&MAGIC) {
        block(input, &mut out, max_bytes)?;
        return Ok(out.into());
    }
    let mut rest = &input[..];
    while !rest.is_empty() {
        // Concatenated streams repeat the header.
        if rest.starts_with(&MAGIC) {
            rest = rest
                .get(HEADER_BYTES..)
                .ok_or_else(|| failed("cut header"))?;
            continue;
        }
        let (length, after) = rest
            .split_first_chunk::<4>()
            .ok_or_else(|| failed("cut block length"))?;
        let length = u32::from_be_bytes(*length) as usize;
        let body = after
            .get(..length)
            .ok_or_else(|| failed("block goes past the end"))?;
        block(body, &mut out, max_bytes)?;
        rest = &after[length..];
    }
    Ok(out.into())
}

fn block(input: &[u8], out: &mut Vec<u8>, max_bytes: usize) -> Result<(), BatchError> {
    let length = snap::raw::decompress_len(input).map_err(|e| failed(&e.to_string()))?;
    if length > input.len().saturating_mul(RATIO_MAX) {
        return Err(failed("claims more than its bytes can unfold to"));
    }
    if length > max_bytes.saturating_sub(out.len()) {
        return Err(BatchError::TooLarge { max_bytes });
    }
    let at = out.len();
    out.resize(at + length, 0);
    let written = snap::raw::Decoder::new()
        .decompress(input, &mut out[at..])
        .map_err(|e| failed(&e.to_string()))?;
    out.truncate(at + written);
    Ok(())
}

fn failed(reason: &str) -> BatchError {
    BatchError::Decompress {
        codec: Codec::Snappy.name(),
        reason: reason.to_owned(),
    }
}

/// Writes Xerial's framing, which every client reads.
pub(crate) fn compress(input: &[u8], out: &mut Vec<u8>) -> std::io::Result<()> {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&1i32.to_be_bytes());
    out.extend_from_slice(&1i32.to_be_bytes());
    let mut encoder = snap::raw::Encoder::new();
    for piece in input.chunks(BLOCK_BYTES) {
        let packed = encoder.compress_vec(piece).map_err(std::io::Error::other)?;
        out.extend_from_slice(&(packed.len() as u32).to_be_bytes());
        out.extend_from_slice(&packed);
    }
    Ok(())
}
