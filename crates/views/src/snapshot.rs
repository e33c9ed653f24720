//! [`ViewSnapshot`]: a view's rows at one moment, for readers.

use std::ops::Bound;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::record_batch::RecordBatch;

use crate::chunk::Chunk;
use crate::cold::ColdChunk;
use crate::error::ViewError;
pub use crate::sorted::Batches;
use crate::store::Away;

/// Immutable; holds its chunks alive for as long as it is kept.
#[derive(Debug)]
pub struct ViewSnapshot {
    schema: SchemaRef,
    chunks: Vec<Chunk>,
    rows: usize,
    away: Away,
}

impl ViewSnapshot {
    pub(crate) fn new(schema: SchemaRef, chunks: Vec<Chunk>, rows: usize, away: Away) -> Self {
        Self {
            schema,
            chunks,
            rows,
            away,
        }
    }

    pub(crate) fn away(&self) -> &Away {
        &self.away
    }

    pub(crate) fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// Without rows.
    pub fn empty(schema: SchemaRef) -> Self {
        Self::new(schema, Vec::new(), 0, Away::None)
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// All rows, as the iterator is driven: in order of arrival, or by key once all are in the store.
    pub fn batches(&self) -> Batches {
        let chunks = self
            .chunks
            .clone()
            .into_iter()
            .filter(|chunk| chunk.live_rows() > 0);
        let here = chunks.map(|chunk| chunk.live_batch());
        match &self.away {
            Away::None => Box::new(here),
            Away::Oldest(cold) => {
                let read = |chunk: ColdChunk| chunk.batch().map_err(outside);
                Box::new(cold.clone().into_iter().map(read).chain(here))
            }
            Away::All(sorted) => sorted.batches(),
        }
    }

    /// The rows whose key columns lie between the bounds, without reading the others. A bound has an array of one row for each of the
    /// first columns of the key, as many as it wants to name. `key`: the columns that the view is keyed by. `None`: it is not.
    pub fn between(
        &self,
        key: &[usize],
        lower: Bound<&[ArrayRef]>,
        upper: Bound<&[ArrayRef]>,
    ) -> Option<Result<Batches, ArrowError>> {
        match &self.away {
            Away::All(sorted) => Some(sorted.between(lower, upper)),
            Away::Oldest(_) => None,
            Away::None => {
                let found = self.chunks.iter().map(|c| c.between(key, lower, upper));
                let found: Vec<_> = found
                    .filter(|batch| !batch.as_ref().is_ok_and(|b| b.num_rows() == 0))
                    .collect();
                Some(Ok(Box::new(found.into_iter())))
            }
        }
    }

    /// The newest rows, at most `limit`, in order of arrival. Of a view that is in the store as a whole, some rows.
    pub fn newest(&self, limit: usize) -> Result<Vec<RecordBatch>, ArrowError> {
        let (mut found, mut wanted) = (Vec::new(), limit);
        let newest_first: Batches = match &self.away {
            Away::All(sorted) => sorted.batches(),
            Away::None => Box::new(std::iter::empty()),
            Away::Oldest(cold) => Box::new(
                cold.clone()
                    .into_iter()
                    .rev()
                    .map(|chunk| chunk.batch().map_err(outside)),
            ),
        };
        let here = self.chunks.iter().rev().map(Chunk::live_batch);
        for batch in here.chain(newest_first) {
            if wanted == 0 {
                break;
            }
            let batch = batch?;
            let take = batch.num_rows().min(wanted);
            wanted -= take;
            found.push(batch.slice(batch.num_rows() - take, take));
        }
        found.reverse();
        Ok(found)
    }
}

fn outside(error: ViewError) -> ArrowError {
    ArrowError::ExternalError(Box::new(error))
}
