//! Length-delimited frames: `length: i32 big-endian, payload`.
//!
//! The payload of a request begins with its API key, so the smaller limit of everything but Produce is applied before the
//! rest of an over-long frame has even arrived. Knows nothing of sockets: the caller owns the buffer.

use bytes::{Buf, Bytes, BytesMut};
use headwater_base::limits::FRAME_BYTES_MAX;

use crate::error::WireError;

/// Largest request that is not a Produce. A decoded request takes up to some 40 times its frame (two bytes can be a whole
/// array element), so a limit meant for records would let a peer claim gigabytes.
pub const FRAME_BYTES_MAX_OTHER: usize = 4 * 1024 * 1024;
/// Most bytes to reserve ahead for a frame that has not arrived yet.
pub const RESERVE_BYTES_MAX: usize = 1024 * 1024;

const LENGTH_BYTES: usize = 4;
const KEY_BYTES: usize = 2;
const PRODUCE_KEY: i16 = 0;

/// Takes one whole request frame (without its length) off the front, sharing the buffer; `None` while it is incomplete.
///
/// # Errors
/// [`WireError::FrameLength`] as soon as the length or the key shows that the frame must not be read.
pub fn take_request(buffer: &mut BytesMut) -> Result<Option<Bytes>, WireError> {
    let Some(length) = peek_length(buffer, FRAME_BYTES_MAX)? else {
        return Ok(None);
    };
    let key = buffer
        .get(LENGTH_BYTES..LENGTH_BYTES + KEY_BYTES)
        .map(|b| i16::from_be_bytes([b[0], b[1]]));
    if length > FRAME_BYTES_MAX_OTHER && key.is_some_and(|key| key != PRODUCE_KEY) {
        return Err(WireError::FrameLength {
            bytes: length as i64,
            max_bytes: FRAME_BYTES_MAX_OTHER,
        });
    }
    Ok(take(buffer, length))
}

/// Whether a request frame (without its length) is a Produce.
pub fn is_produce(frame: &[u8]) -> bool {
    frame.first_chunk::<KEY_BYTES>() == Some(&PRODUCE_KEY.to_be_bytes())
}

/// Takes one whole response frame (without its length) off the front; `None` while it is incomplete.
///
/// # Errors
/// [`WireError::FrameLength`] when the length is negative or above `max_bytes`.
pub fn take_response(buffer: &mut BytesMut, max_bytes: usize) -> Result<Option<Bytes>, WireError> {
    let Some(length) = peek_length(buffer, max_bytes)? else {
        return Ok(None);
    };
    Ok(take(buffer, length))
}

/// How many bytes to reserve before the next read from the socket: what the frame still lacks, within bounds.
pub fn reserve_hint(buffer: &BytesMut, floor: usize) -> usize {
    let missing = match peek_length(buffer, FRAME_BYTES_MAX) {
        Ok(Some(length)) => (length + LENGTH_BYTES).saturating_sub(buffer.len()),
        Ok(None) | Err(_) => 0,
    };
    missing.clamp(floor.min(RESERVE_BYTES_MAX), RESERVE_BYTES_MAX)
}

fn peek_length(buffer: &BytesMut, max_bytes: usize) -> Result<Option<usize>, WireError> {
    let Some(prefix) = buffer.first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let claimed = i32::from_be_bytes(*prefix);
    match usize::try_from(claimed) {
        Ok(length) if length <= max_bytes => Ok(Some(length)),
        _ => Err(WireError::FrameLength {
            bytes: claimed.into(),
            max_bytes,
        }),
    }
}

fn take(buffer: &mut BytesMut, length: usize) -> Option<Bytes> {
    if buffer.len() < LENGTH_BYTES + length {
        return None;
    }
    buffer.advance(LENGTH_BYTES);
    Some(buffer.split_to(length).freeze())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use bytes::BufMut;

    fn framed(payload: &[u8]) -> BytesMut {
        let mut buffer = BytesMut::new();
        buffer.put_i32(payload.len() as i32);
        buffer.extend_from_slice(payload);
        buffer
    }

    #[test]
    fn a_frame_comes_out_only_when_whole_and_leaves_the_rest() {
        let whole = framed(b"\0\x03hello");
        for cut in 0..whole.len() {
            let mut part = BytesMut::from(&whole[..cut]);
            assert_eq!(take_request(&mut part).unwrap(), None, "cut at {cut}");
            assert_eq!(part.len(), cut, "an incomplete frame must stay");
        }
        let mut two = whole.clone();
        two.extend_from_slice(&whole);
        assert_eq!(
            take_request(&mut two).unwrap().unwrap(),
            &b"\0\x03hello"[..]
        );
        assert_eq!(
            take_request(&mut two).unwrap().unwrap(),
            &b"\0\x03hello"[..]
        );
        assert!(two.is_empty());
    }

    #[test]
    fn lengths_out_of_bounds_are_refused_before_the_payload() {
        for claimed in [-1, i32::MIN, i32::MAX, FRAME_BYTES_MAX as i32 + 1] {
            let mut buffer = BytesMut::new();
            buffer.put_i32(claimed);
            assert!(take_request(&mut buffer).is_err(), "{claimed}");
        }
    }

    #[test]
    fn only_produce_may_be_long() {
        let mut metadata = BytesMut::new();
        metadata.put_i32(FRAME_BYTES_MAX_OTHER as i32 + 1);
        metadata.put_i16(3);
        assert!(take_request(&mut metadata).is_err());
        let mut produce = BytesMut::new();
        produce.put_i32(FRAME_BYTES_MAX_OTHER as i32 + 1);
        produce.put_i16(0);
        assert_eq!(take_request(&mut produce).unwrap(), None);
        assert_eq!(reserve_hint(&produce, 4096), RESERVE_BYTES_MAX);
    }
}
