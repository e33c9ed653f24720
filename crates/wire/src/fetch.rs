//! The Fetch response as segments for a vectored write: what is stored goes from its buffer to the socket without a copy.
//!
//! A partition ends `... | records length | records | tagged fields`, so the message is written with null records, cut where
//! they belong, and the stored batches are put between the cuts.

use bytes::{BufMut, Bytes, BytesMut};
use kacrab_protocol::generated::fetch_response::{
    FetchResponseData, FetchableTopicResponse, PartitionData,
};
use kacrab_protocol::primitives::{
    write_array_length, write_compact_array_length, write_i16, write_i32, write_unsigned_varint,
};
use kacrab_protocol::uuid::write_uuid;

use crate::error::WireError;
use crate::header::encode_response_header;

const KEY: i16 = 1;
/// First version with compact encodings.
const FLEXIBLE_FROM: i16 = 12;
/// First version that names topics by id (KIP-516).
const TOPIC_ID_FROM: i16 = 13;
/// First version with an error code and a session id of the whole response.
const SESSION_FROM: i16 = 7;

/// One frame (its length first) as segments. `records[i]` holds the batches of the i-th partition, counted over all topics;
/// none means an empty answer. The `records` fields of `response` are ignored.
///
/// # Errors
/// A field does not fit the version.
pub fn encode(
    version: i16,
    correlation_id: i32,
    response: &FetchResponseData,
    records: Vec<Vec<Bytes>>,
) -> Result<Vec<Bytes>, WireError> {
    let mut out = Segments::default();
    out.text.put_i32(0);
    encode_response_header(&mut out.text, KEY, version, correlation_id);
    write_i32(&mut out.text, response.throttle_time_ms);
    if version >= SESSION_FROM {
        write_i16(&mut out.text, response.error_code);
        write_i32(&mut out.text, response.session_id);
    }
    write_count(&mut out.text, response.responses.len(), version);
    let mut records = records.into_iter();
    for topic in &response.responses {
        write_topic(&mut out, topic, &mut records, version)?;
    }
    if version >= FLEXIBLE_FROM {
        write_tail(&mut out.text, response, version)?;
    }
    out.finish()
}

fn write_topic(
    out: &mut Segments,
    topic: &FetchableTopicResponse,
    records: &mut impl Iterator<Item = Vec<Bytes>>,
    version: i16,
) -> Result<(), WireError> {
    if version >= TOPIC_ID_FROM {
        write_uuid(&mut out.text, &topic.topic_id);
    } else if version >= FLEXIBLE_FROM {
        kacrab_protocol::string::write_compact_string(&mut out.text, &topic.topic)
            .map_err(kacrab_protocol::ProtocolError::from)?;
    } else {
        kacrab_protocol::string::write_string(&mut out.text, &topic.topic)
            .map_err(kacrab_protocol::ProtocolError::from)?;
    }
    write_count(&mut out.text, topic.partitions.len(), version);
    for partition in &topic.partitions {
        write_partition(out, partition, records.next().unwrap_or_default(), version)?;
    }
    if version >= FLEXIBLE_FROM {
        out.text.put_u8(0);
    }
    Ok(())
}

fn write_partition(
    out: &mut Segments,
    partition: &PartitionData,
    records: Vec<Bytes>,
    version: i16,
) -> Result<(), WireError> {
    let bare = PartitionData {
        records: None,
        ..partition.clone()
    };
    let mut whole = BytesMut::with_capacity(64);
    bare.write(&mut whole, version)?;
    let (null_bytes, tail_bytes) = if version >= FLEXIBLE_FROM {
        (1, tags_bytes(&bare, version)?)
    } else {
        (4, 0)
    };
    let cut = whole.len().saturating_sub(null_bytes + tail_bytes);
    out.text.extend_from_slice(&whole[..cut]);
    let length: usize = records.iter().map(Bytes::len).sum();
    let too_long = WireError::FrameLength {
        bytes: length as i64,
        max_bytes: i32::MAX as usize,
    };
    let length = i32::try_from(length).map_err(|_| too_long)?;
    if version >= FLEXIBLE_FROM {
        write_unsigned_varint(&mut out.text, length.unsigned_abs() + 1);
    } else {
        write_i32(&mut out.text, length);
    }
    records.into_iter().for_each(|batch| out.push(batch));
    out.text
        .extend_from_slice(&whole[whole.len() - tail_bytes..]);
    Ok(())
}

/// Length of a partition's tagged fields: what it is longer than the same partition with none of them set, plus their count.
fn tags_bytes(partition: &PartitionData, version: i16) -> Result<usize, WireError> {
    let defaults = PartitionData::default();
    let untagged = PartitionData {
        diverging_epoch: defaults.diverging_epoch,
        current_leader: defaults.current_leader,
        snapshot_id: defaults.snapshot_id,
        _unknown_tagged_fields: Vec::new(),
        ..partition.clone()
    };
    Ok(partition.encoded_len(version)? - untagged.encoded_len(version)? + 1)
}

/// The tagged fields of the whole response: all that an answer without topics has after its count.
fn write_tail(
    out: &mut BytesMut,
    response: &FetchResponseData,
    version: i16,
) -> Result<(), WireError> {
    let empty = FetchResponseData {
        responses: Vec::new(),
        ..response.clone()
    };
    let mut whole = BytesMut::new();
    empty.write(&mut whole, version)?;
    // throttle time, error code, session id, and the count of no topics
    const BEFORE_BYTES: usize = 4 + 2 + 4 + 1;
    out.extend_from_slice(&whole[BEFORE_BYTES..]);
    Ok(())
}

fn write_count(out: &mut BytesMut, count: usize, version: i16) {
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    if version >= FLEXIBLE_FROM {
        write_compact_array_length(out, count)
    } else {
        write_array_length(out, count)
    }
}

/// Finished segments and the text being written behind them.
#[derive(Default)]
struct Segments {
    done: Vec<Bytes>,
    text: BytesMut,
}

impl Segments {
    fn push(&mut self, batch: Bytes) {
        if !self.text.is_empty() || self.done.is_empty() {
            self.done.push(self.text.split().freeze());
        }
        self.done.push(batch);
    }

    /// Writes the length of everything into the first segment.
    fn finish(mut self) -> Result<Vec<Bytes>, WireError> {
        if !self.text.is_empty() {
            self.done.push(self.text.freeze());
        }
        let payload: usize = self
            .done
            .iter()
            .map(Bytes::len)
            .sum::<usize>()
            .saturating_sub(4);
        let length = i32::try_from(payload).map_err(|_| WireError::FrameLength {
            bytes: payload as i64,
            max_bytes: i32::MAX as usize,
        })?;
        if let Some(first) = self.done.first_mut() {
            let mut head = BytesMut::from(first.as_ref());
            head[..4].copy_from_slice(&length.to_be_bytes());
            *first = head.freeze();
        }
        Ok(self.done)
    }
}

#[cfg(test)]
mod tests;
