//! [`ViewSnapshot`]: a view's rows at one moment, for readers.

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::record_batch::RecordBatch;

use crate::chunk::Chunk;

/// Immutable; holds its chunks alive for as long as it is kept.
#[derive(Debug)]
pub struct ViewSnapshot {
    schema: SchemaRef,
    chunks: Vec<Chunk>,
    rows: usize,
}

impl ViewSnapshot {
    pub(crate) fn new(schema: SchemaRef, chunks: Vec<Chunk>, rows: usize) -> Self {
        Self {
            schema,
            chunks,
            rows,
        }
    }

    pub(crate) fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// Without rows.
    pub fn empty(schema: SchemaRef) -> Self {
        Self::new(schema, Vec::new(), 0)
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// All rows, in order of arrival; dead ones are filtered out batch by batch, as the iterator is driven.
    pub fn batches(&self) -> impl Iterator<Item = Result<RecordBatch, ArrowError>> + '_ {
        (0..self.chunks.len()).filter_map(|index| self.batch(index))
    }

    /// The rows of chunk `index`, `None` past the last or if it has none.
    pub(crate) fn batch(&self, index: usize) -> Option<Result<RecordBatch, ArrowError>> {
        self.chunks
            .get(index)
            .filter(|chunk| chunk.live_rows() > 0)
            .map(Chunk::live_batch)
    }

    pub(crate) fn chunk_count(&self) -> usize {
        self.chunks.len()
    }

    /// The newest rows, at most `limit`, in order of arrival.
    pub fn newest(&self, limit: usize) -> Result<Vec<RecordBatch>, ArrowError> {
        let (mut found, mut wanted) = (Vec::new(), limit);
        for chunk in self.chunks.iter().rev() {
            if wanted == 0 {
                break;
            }
            let batch = chunk.live_batch()?;
            let take = batch.num_rows().min(wanted);
            wanted -= take;
            found.push(batch.slice(batch.num_rows() - take, take));
        }
        found.reverse();
        Ok(found)
    }
}
