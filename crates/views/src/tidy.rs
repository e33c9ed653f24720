//! Keeps the number of chunks small and their dead rows few, a little in every step.

use datafusion::arrow::error::ArrowError;

use crate::chunk::Chunk;
use crate::store::CHUNK_ROWS_MAX;

/// This many neighbouring chunks of one tier become one of the next.
const FAN_IN: usize = 8;

/// `changed`: rows that the step touched. What is rewritten stays in proportion to it, so that no small step is long and
/// no large one leaves more dead rows behind than are cleared.
pub(crate) fn tidy(
    chunks: &mut Vec<Chunk>,
    key: Option<&[usize]>,
    changed: usize,
) -> Result<(), ArrowError> {
    chunks.retain(|chunk| chunk.live_rows() > 0);
    while merge_tail(chunks, key)? {}
    let mut budget = changed.saturating_mul(4).max(1);
    while budget > 0 {
        let Some(rewritten) = compact_one(chunks, key)? else {
            break;
        };
        budget = budget.saturating_sub(rewritten);
    }
    Ok(())
}

/// Tier 0 up to 8 rows, tier 1 up to 64, and so on.
fn tier(chunk: &Chunk) -> u32 {
    chunk.live_rows().max(1).ilog(FAN_IN)
}

/// Merges the newest chunks if enough of them are of one tier or below.
fn merge_tail(chunks: &mut Vec<Chunk>, key: Option<&[usize]>) -> Result<bool, ArrowError> {
    let Some(last) = chunks.last() else {
        return Ok(false);
    };
    let limit = tier(last);
    let mut rows = 0;
    let fits = |chunk: &&Chunk| {
        rows += chunk.live_rows();
        tier(chunk) <= limit && rows <= CHUNK_ROWS_MAX
    };
    let count = chunks.iter().rev().take_while(fits).count();
    if count < FAN_IN {
        return Ok(false);
    }
    let at = chunks.len() - count;
    let merged = Chunk::merge(&chunks[at..], key)?;
    chunks.truncate(at);
    chunks.push(merged);
    Ok(true)
}

/// Rewrites one chunk that is mostly dead, together with a neighbour if both are small. How many rows it had, `None` if
/// there is no such chunk.
fn compact_one(
    chunks: &mut Vec<Chunk>,
    key: Option<&[usize]>,
) -> Result<Option<usize>, ArrowError> {
    let Some(at) = chunks
        .iter()
        .position(|chunk| chunk.dead_rows() * 2 > chunk.rows())
    else {
        return Ok(None);
    };
    let rows = chunks[at].rows();
    let live = chunks[at].live_rows();
    let small = |other: usize| {
        chunks
            .get(other)
            .is_some_and(|chunk| chunk.live_rows() + live <= CHUNK_ROWS_MAX / 2)
    };
    let range = match at {
        at if at > 0 && small(at - 1) => at - 1..at + 1,
        at if small(at + 1) => at..at + 2,
        at => at..at + 1,
    };
    let merged = Chunk::merge(&chunks[range.clone()], key)?;
    chunks.splice(range, [merged]);
    Ok(Some(rows))
}
