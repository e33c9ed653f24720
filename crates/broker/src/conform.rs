//! What a client's batch must be before it is stored, and what the topic makes of it (Kafka's `LogValidator`).
//!
//! Pure. Every record is walked once, so that no reader, of ours or of a client, trips over what is stored.

use std::ops::RangeInclusive;

use bytes::Bytes;
use headwater_meta::configs::{FinalCompression, TopicSettings};
use headwater_record::header::LENGTH_PREFIX_BYTES;
use headwater_record::{
    BatchHeader, Codec, HEADER_BYTES, Level, RecordRef, Walked, recompress, records, validate,
    walk_records, with_log_append_time, with_max_timestamp,
};

use crate::error::BrokerError;

/// Most bad records of a batch that are told one by one.
const BAD_RECORDS_MAX: usize = 1_000;

/// A batch as it will be stored, but for its place.
#[derive(Debug)]
pub(crate) struct Conformed {
    /// As the client sent it; producer fields and counts are the same in what is stored.
    pub header: BatchHeader,
    pub batch: Bytes,
    /// Set when the topic's timestamps are the broker's.
    pub log_append_time_ms: Option<i64>,
}

/// Checks exactly one batch and gives it the topic's compression and timestamps.
///
/// # Errors
/// What Kafka's broker refuses too, with the same meaning.
pub(crate) fn conform(
    settings: &TopicSettings,
    batch: Bytes,
    now_ms: i64,
) -> Result<Conformed, BrokerError> {
    let header = check_header(&batch)?;
    check_size(settings, &batch)?;
    let walked = walk_records(&batch)?;
    if settings.compacted && walked.without_key.is_some() {
        return Err(keyless(&batch)?);
    }
    let stamp = settings.log_append_time.then_some(now_ms);
    let batch = match stamp {
        Some(now_ms) => with_log_append_time(batch, now_ms)?,
        None => with_true_times(settings, batch, &header, &walked, now_ms)?,
    };
    let batch = match final_codec(settings.compression) {
        Some((codec, level)) => recompress(&batch, codec, level)?,
        None => batch,
    };
    check_size(settings, &batch)?;
    Ok(Conformed {
        header,
        batch,
        log_append_time_ms: stamp,
    })
}

/// To Kafka, messages of older formats and what is cut off are no batch at all, while a broken one is a broken one.
fn is_no_batch(batch: &Bytes) -> bool {
    let Some(head) = batch.first_chunk::<HEADER_BYTES>() else {
        return true;
    };
    let length = i32::from_be_bytes([head[8], head[9], head[10], head[11]]);
    let cut =
        usize::try_from(length).is_ok_and(|length| LENGTH_PREFIX_BYTES + length > batch.len());
    cut || matches!(head[16], 0 | 1)
}

fn check_header(batch: &Bytes) -> Result<BatchHeader, BrokerError> {
    let refuse = |why: &str| Err(BrokerError::InvalidRecord(why.to_owned()));
    if is_no_batch(batch) {
        let text = "a produce request holds whole batches of format 2";
        return Err(BrokerError::NotABatch(text.into()));
    }
    if let Ok(first) = BatchHeader::parse(batch)
        && first.bytes < batch.len()
        && BatchHeader::parse(&batch[first.bytes..]).is_ok()
    {
        let text = "a partition of a produce request holds one batch, not several";
        return Err(BrokerError::NotABatch(text.into()));
    }
    let header = validate(batch)?;
    if header.base_offset != 0 {
        return refuse("the base offset of a batch of a client is 0");
    }
    if header.is_control() {
        return refuse("clients may not write control batches");
    }
    if header.is_transactional() && !header.has_producer() {
        return refuse("a transactional batch without a producer");
    }
    if header.is_log_append_time() {
        return Err(BrokerError::InvalidTimestamp(header.max_timestamp));
    }
    Ok(header)
}

fn check_size(settings: &TopicSettings, batch: &Bytes) -> Result<(), BrokerError> {
    let (bytes, max_bytes) = (batch.len(), settings.max_message_bytes);
    match bytes > max_bytes {
        true => Err(BrokerError::BatchTooLarge { bytes, max_bytes }),
        false => Ok(()),
    }
}

/// Checks the records' times. The header's largest is corrected: retention and look-ups by time rely on it.
fn with_true_times(
    settings: &TopicSettings,
    batch: Bytes,
    header: &BatchHeader,
    walked: &Walked,
    now_ms: i64,
) -> Result<Bytes, BrokerError> {
    let oldest = now_ms.saturating_sub(settings.timestamp_before_max_ms);
    let newest = now_ms.saturating_add(settings.timestamp_after_max_ms);
    for timestamp in [walked.min_timestamp, walked.max_timestamp] {
        if timestamp != -1 && !(oldest..=newest).contains(&timestamp) {
            return Err(untimely(&batch, oldest..=newest)?);
        }
    }
    match walked.max_timestamp == header.max_timestamp {
        true => Ok(batch),
        false => Ok(with_max_timestamp(batch, walked.max_timestamp)),
    }
}

fn keyless(batch: &Bytes) -> Result<BrokerError, BrokerError> {
    let records = bad_records(batch, |record| {
        let why = "a compacted topic takes no record without a key";
        record.key.is_none().then(|| why.to_owned())
    })?;
    Ok(BrokerError::BadRecords {
        untimely: false,
        records,
    })
}

fn untimely(batch: &Bytes, range: RangeInclusive<i64>) -> Result<BrokerError, BrokerError> {
    let records = bad_records(batch, |record| {
        let timestamp = record.timestamp;
        let fits = timestamp == -1 || range.contains(&timestamp);
        (!fits).then(|| format!("timestamp {timestamp} is out of the range that the topic allows"))
    })?;
    Ok(BrokerError::BadRecords {
        untimely: true,
        records,
    })
}

/// Position and fault of the first bad records of a batch that was refused.
fn bad_records(
    batch: &Bytes,
    fault: impl Fn(&RecordRef<'_>) -> Option<String>,
) -> Result<Vec<(i32, String)>, BrokerError> {
    let mut walk = records(batch)?;
    let mut bad = Vec::new();
    let mut index = 0;
    while let Some(record) = walk.next_ref() {
        if let Some(why) = fault(&record?) {
            bad.push((index, why));
            if bad.len() == BAD_RECORDS_MAX {
                break;
            }
        }
        index += 1;
    }
    Ok(bad)
}

/// The codec a topic insists on.
fn final_codec(compression: FinalCompression) -> Option<(Codec, Level)> {
    let level = |level| Level(Some(level));
    match compression {
        FinalCompression::Producer => None,
        FinalCompression::Uncompressed => Some((Codec::None, Level::default())),
        FinalCompression::Gzip(-1) => Some((Codec::Gzip, Level::default())),
        FinalCompression::Gzip(n) => Some((Codec::Gzip, level(n))),
        FinalCompression::Snappy => Some((Codec::Snappy, Level::default())),
        FinalCompression::Lz4(n) => Some((Codec::Lz4, level(n))),
        FinalCompression::Zstd(n) => Some((Codec::Zstd, level(n))),
    }
}

#[cfg(test)]
mod tests;
