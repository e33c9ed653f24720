//! A walk over a Produce request that counts before anything is allocated.
//!
//! Produce alone may be as large as a frame may be; decoded, a hundred megabytes of empty topics would be gigabytes. The walk
//! reads lengths only and costs some nanoseconds a partition.

use bytes::{Buf, Bytes};
use kacrab_protocol::primitives::{read_i16, read_i32, read_unsigned_varint};

use crate::error::WireError;

/// Most partitions (and topics) in one request.
const PARTITIONS_MAX: u64 = 100_000;
/// Most tagged fields anywhere; Kafka's schemas have none here.
const TAGGED_FIELDS_MAX: u64 = 64;
/// First version with compact encodings.
const FLEXIBLE_FROM: i16 = 9;
/// First version that names topics by id (KIP-516).
const TOPIC_ID_FROM: i16 = 13;

/// Refuses a body whose arrays are longer than any client has reason to send.
pub(crate) fn check_counts(body: Bytes, version: i16) -> Result<(), WireError> {
    let mut walk = Walk {
        body,
        flexible: version >= FLEXIBLE_FROM,
        items: 0,
    };
    walk.skip_string()?;
    walk.skip(6)?;
    let topics = walk.count()?;
    for _ in 0..topics {
        if version >= TOPIC_ID_FROM {
            walk.skip(16)?
        } else {
            walk.skip_string()?
        }
        let partitions = walk.count()?;
        for _ in 0..partitions {
            walk.skip(4)?;
            walk.skip_bytes()?;
            walk.skip_tags()?;
        }
        walk.skip_tags()?;
    }
    walk.skip_tags()
}

struct Walk {
    body: Bytes,
    flexible: bool,
    /// Array elements met so far, all arrays together.
    items: u64,
}

impl Walk {
    fn skip(&mut self, bytes: usize) -> Result<(), WireError> {
        if bytes > self.body.len() {
            return Err(WireError::FrameLength {
                bytes: bytes as i64,
                max_bytes: self.body.len(),
            });
        }
        self.body.advance(bytes);
        Ok(())
    }

    /// A compact length: 0 is null, else one more than the length.
    fn compact_length(&mut self) -> Result<usize, WireError> {
        Ok(read_unsigned_varint(&mut self.body)?.saturating_sub(1) as usize)
    }

    fn skip_string(&mut self) -> Result<(), WireError> {
        let length = if self.flexible {
            self.compact_length()?
        } else {
            usize::try_from(read_i16(&mut self.body)?).unwrap_or(0)
        };
        self.skip(length)
    }

    fn skip_bytes(&mut self) -> Result<(), WireError> {
        let length = if self.flexible {
            self.compact_length()?
        } else {
            usize::try_from(read_i32(&mut self.body)?).unwrap_or(0)
        };
        self.skip(length)
    }

    fn count(&mut self) -> Result<u64, WireError> {
        let count = if self.flexible {
            self.compact_length()? as u64
        } else {
            u64::try_from(read_i32(&mut self.body)?).unwrap_or(0)
        };
        self.items = self.items.saturating_add(count);
        bound(
            "topics and partitions of one Produce",
            self.items,
            PARTITIONS_MAX,
        )?;
        Ok(count)
    }

    fn skip_tags(&mut self) -> Result<(), WireError> {
        if !self.flexible {
            return Ok(());
        }
        let count = u64::from(read_unsigned_varint(&mut self.body)?);
        bound("tagged fields", count, TAGGED_FIELDS_MAX)?;
        for _ in 0..count {
            read_unsigned_varint(&mut self.body)?;
            let length = read_unsigned_varint(&mut self.body)? as usize;
            self.skip(length)?;
        }
        Ok(())
    }
}

fn bound(what: &'static str, count: u64, max: u64) -> Result<(), WireError> {
    if count > max {
        Err(WireError::TooMany { what, count, max })
    } else {
        Ok(())
    }
}
