//! What a rewrite must fulfil whatever the backend. Knows nothing of where batches are kept.

use hashbrown::HashMap;
use headwater_base::{Offset, PartitionId};
use headwater_record::{BatchError, BatchHeader};

use crate::api::Rewrite;

/// Checks each rewrite of a commit; several of one partition ascend and do not overlap. Gives the headers per rewrite.
pub(crate) fn check_all(rewrites: &[Rewrite]) -> Result<Vec<Vec<BatchHeader>>, BatchError> {
    let mut ends: HashMap<PartitionId, Offset> = HashMap::new();
    let checked = rewrites.iter().map(|rewrite| {
        let end = ends.entry(rewrite.partition).or_insert(0);
        if rewrite.from < *end {
            return Err(BatchError::Invalid("rewrites of a commit that overlap"));
        }
        *end = rewrite.to;
        check(rewrite)
    });
    checked.collect()
}

/// The headers of the new batches, which are whole, ascending and within the range.
fn check(rewrite: &Rewrite) -> Result<Vec<BatchHeader>, BatchError> {
    if rewrite.from < 0 || rewrite.from >= rewrite.to {
        return Err(BatchError::Invalid("a rewrite of an empty range"));
    }
    let mut next = rewrite.from;
    let mut headers = Vec::with_capacity(rewrite.batches.len());
    for batch in &rewrite.batches {
        let header = BatchHeader::parse(batch)?;
        if header.last_offset_delta < 0 {
            return Err(BatchError::Invalid("negative offset delta"));
        }
        if header.base_offset < next || header.last_offset() >= rewrite.to {
            return Err(BatchError::Invalid(
                "a batch outside the range that it is to be put into, or not behind the one before",
            ));
        }
        next = header.last_offset() + 1;
        headers.push(header);
    }
    Ok(headers)
}

/// A range that begins or ends inside of a stored batch.
pub(crate) const SPLITS_A_BATCH: BatchError =
    BatchError::Invalid("the range of a rewrite begins or ends inside of a batch");
/// A range that reaches what may not be durable.
pub(crate) const NOT_DURABLE: BatchError =
    BatchError::Invalid("the range of a rewrite ends above the durable end");
