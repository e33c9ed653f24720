//! Taking records out of a batch, as compaction does: what stays keeps offsets, timestamps, headers and codec.
//!
//! The batch keeps its base offset, last offset and producer fields, so that offsets and sequences stay true; only its
//! record count, largest timestamp and, with a delete horizon, its base timestamp change (KIP-98, KIP-534).

use bytes::Bytes;

use crate::compression::{Level, compress};
use crate::error::BatchError;
use crate::header::{
    ATTR_DELETE_HORIZON, BatchHeader, CRC_FROM, HEADER_BYTES, LENGTH_PREFIX_BYTES, NO_TIMESTAMP,
};
use crate::records::{RawRecord, RecordRef, records};
use crate::varint;

/// Whether the batch is given a delete horizon: the time (ms) from which its tombstones, or its marker, may go.
/// One that it has already stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Horizon {
    Never,
    /// When a record without value stays in it.
    OfTombstones(i64),
    Set(i64),
}

/// What is left of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retained {
    /// Every record stays, and the batch as it is.
    All,
    /// Some stay, or the horizon was set: the batch to put in its place.
    Some(Bytes),
    Nothing,
}

/// Leaves the records that `keep` wants, asked once for each in order.
///
/// # Errors
/// The records cannot be read.
pub fn retain(
    batch: &Bytes,
    horizon: Horizon,
    mut keep: impl FnMut(&RecordRef<'_>) -> bool,
) -> Result<Retained, BatchError> {
    let (mut kept, mut all, mut tombstones) = (Vec::new(), true, false);
    let mut walk = records(batch)?;
    let header = *walk.header();
    while let Some(record) = walk.next_ref() {
        let record = record?;
        let stays = keep(&record);
        kept.push(stays);
        all &= stays;
        tombstones |= stays && record.value.is_none();
    }
    if !kept.contains(&true) {
        return Ok(Retained::Nothing);
    }
    let horizon_ms = match horizon {
        _ if header.delete_horizon_ms().is_some() => None,
        Horizon::OfTombstones(at) => tombstones.then_some(at),
        Horizon::Set(at) => Some(at),
        Horizon::Never => None,
    };
    if all && horizon_ms.is_none() {
        return Ok(Retained::All);
    }
    rebuild(batch, &header, &kept, horizon_ms).map(Retained::Some)
}

fn rebuild(
    batch: &Bytes,
    header: &BatchHeader,
    kept: &[bool],
    horizon_ms: Option<i64>,
) -> Result<Bytes, BatchError> {
    let base_timestamp = horizon_ms.unwrap_or(header.base_timestamp);
    let (mut payload, mut count, mut newest) = (Vec::new(), 0i32, NO_TIMESTAMP);
    let mut walk = records(batch)?;
    let mut kept = kept.iter();
    while let Some(raw) = walk.next_raw() {
        let raw = raw?;
        if kept.next() != Some(&true) {
            continue;
        }
        count += 1;
        newest = newest.max(raw.record.timestamp);
        match horizon_ms {
            Some(_) => push_moved(&mut payload, &raw, header.base_timestamp, base_timestamp),
            None => payload.extend_from_slice(raw.whole),
        }
    }
    let mut out = Vec::with_capacity(HEADER_BYTES + payload.len());
    out.extend_from_slice(&batch[..HEADER_BYTES]);
    compress(header.codec()?, Level::default(), &payload, &mut out);
    let length = (out.len() - LENGTH_PREFIX_BYTES) as i32;
    let attributes = match horizon_ms {
        Some(_) => header.attributes | ATTR_DELETE_HORIZON,
        None => header.attributes,
    };
    let max_timestamp = match header.is_log_append_time() {
        true => header.max_timestamp,
        false => newest,
    };
    out[8..12].copy_from_slice(&length.to_be_bytes());
    out[21..23].copy_from_slice(&attributes.to_be_bytes());
    out[27..35].copy_from_slice(&base_timestamp.to_be_bytes());
    out[35..43].copy_from_slice(&max_timestamp.to_be_bytes());
    out[57..61].copy_from_slice(&count.to_be_bytes());
    let crc = headwater_base::crc32c(&out[CRC_FROM..]);
    out[17..21].copy_from_slice(&crc.to_be_bytes());
    Ok(out.into())
}

/// The record with its timestamp counted from another base.
fn push_moved(out: &mut Vec<u8>, raw: &RawRecord<'_>, old_base: i64, new_base: i64) {
    let delta = old_base
        .wrapping_add(raw.timestamp_delta)
        .wrapping_sub(new_base);
    let offset_delta = i64::from(raw.record.offset_delta);
    let body = 1 + varint::size(delta) + varint::size(offset_delta) + raw.tail.len();
    varint::write(out, body as i64);
    out.push(0);
    varint::write(out, delta);
    varint::write(out, offset_delta);
    out.extend_from_slice(raw.tail);
}

#[cfg(test)]
mod tests;
