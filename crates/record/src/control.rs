//! Control batches: the markers that end a transaction (KIP-98).
//!
//! ```text
//! key: version i16 (0) | type i16 (0 abort, 1 commit)      value: version i16 (0) | coordinator epoch i32
//! ```

use bytes::Bytes;

use crate::builder::BatchBuilder;
use crate::compression::Codec;
use crate::error::BatchError;
use crate::header::NO_SEQUENCE;
use crate::records::records;

/// How the transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlType {
    Abort,
    Commit,
}

/// A batch with the one marker.
pub fn control_batch(
    kind: ControlType,
    producer: (i64, i16),
    coordinator_epoch: i32,
    now_ms: i64,
) -> Bytes {
    let key = [0, 0, 0, u8::from(kind == ControlType::Commit)];
    let mut value = [0; 6];
    value[2..].copy_from_slice(&coordinator_epoch.to_be_bytes());
    let mut builder = BatchBuilder::new(Codec::None)
        .producer(producer.0, producer.1, NO_SEQUENCE)
        .transactional()
        .control();
    builder.push(now_ms, Some(&key), Some(&value));
    builder.build()
}

/// The marker of a control batch; `None` for types that others may write.
pub fn control_type(batch: &Bytes) -> Result<Option<ControlType>, BatchError> {
    let mut walk = records(batch)?;
    if !walk.header().is_control() {
        return Err(BatchError::Invalid("not a control batch"));
    }
    let first = walk
        .next_ref()
        .ok_or(BatchError::Invalid("empty control batch"))??;
    match first.key {
        Some([_, _, 0, 0]) => Ok(Some(ControlType::Abort)),
        Some([_, _, 0, 1]) => Ok(Some(ControlType::Commit)),
        Some(key) if key.len() >= 4 => Ok(None),
        _ => Err(BatchError::Invalid("cut control key")),
    }
}
