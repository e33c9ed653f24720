//! A view's rows as bytes, and back. The same rows in the same order give the same bytes; checksums are the caller's.
//!
//! ```text
//! magic "HWVW" | version:u32 le | Arrow IPC stream (schema without metadata, live rows in order of arrival)
//! ```

use std::collections::HashMap;
use std::io::{Read, Write};
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::arrow::ipc::reader::StreamReader;
use datafusion::arrow::ipc::writer::StreamWriter;
use datafusion::arrow::record_batch::RecordBatch;

use crate::error::ViewError;
use crate::snapshot::ViewSnapshot;
use crate::store::{CHUNK_ROWS_MAX, Layout, ViewStore};

const MAGIC: &[u8; 4] = b"HWVW";
const VERSION: u32 = 1;

impl ViewSnapshot {
    /// Writes all rows; [`ViewStore::read_from`] makes a view of them again.
    pub fn write_to(&self, out: &mut dyn Write) -> Result<(), ViewError> {
        out.write_all(MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        let schema = plain(self.schema());
        let mut writer = StreamWriter::try_new(out, &schema)?;
        // Chunk borders depend on how the rows came; the bytes must not. So rows are cut anew.
        let mut pending: Vec<RecordBatch> = Vec::new();
        let mut rows = 0;
        for chunk in self.chunks() {
            let mut batch = with_schema(&schema, chunk.live_batch()?.columns().to_vec())?;
            while rows + batch.num_rows() >= CHUNK_ROWS_MAX {
                let take = CHUNK_ROWS_MAX - rows;
                pending.push(batch.slice(0, take));
                write_part(&mut writer, &schema, &mut pending)?;
                batch = batch.slice(take, batch.num_rows() - take);
                rows = 0;
            }
            rows += batch.num_rows();
            pending.push(batch);
        }
        write_part(&mut writer, &schema, &mut pending)?;
        Ok(writer.finish()?)
    }
}

impl ViewStore {
    /// Writes all rows. Others can go on with a store while [`ViewStore::snapshot`] of it is written.
    pub fn write_to(&self, out: &mut dyn Write) -> Result<(), ViewError> {
        self.snapshot().write_to(out)
    }

    /// Reads what [`ViewStore::write_to`] wrote; the columns must be those of `schema`.
    pub fn read_from(
        from: &mut dyn Read,
        schema: SchemaRef,
        layout: Layout,
    ) -> Result<Self, ViewError> {
        let mut head = [0; 8];
        from.read_exact(&mut head)?;
        let (magic, version) = head.split_at(4);
        if magic != MAGIC {
            return Err(ViewError::Snapshot("it is none".into()));
        }
        if version != VERSION.to_le_bytes() {
            return Err(ViewError::Snapshot(
                "it was written by a newer version".into(),
            ));
        }
        let reader = StreamReader::try_new(from, None)?;
        if reader.schema().fields() != plain(&schema).fields() {
            return Err(ViewError::Snapshot(
                "it has other columns than the view".into(),
            ));
        }
        let mut store = Self::new(schema, layout);
        for batch in reader {
            store.append(batch?)?;
        }
        store.rebuild();
        Ok(store)
    }
}

fn write_part(
    writer: &mut StreamWriter<&mut dyn Write>,
    schema: &SchemaRef,
    pending: &mut Vec<RecordBatch>,
) -> Result<(), ViewError> {
    // Copied together also when it is one slice: slices of slices would be written with what is around them.
    let batch = datafusion::arrow::compute::concat_batches(schema, pending.iter())?;
    pending.clear();
    if batch.num_rows() > 0 {
        writer.write(&batch)?;
    }
    Ok(())
}

/// Without metadata, whose order in a hash map is not ours, and without NOT NULL, which rows of joins may break.
fn plain(schema: &SchemaRef) -> SchemaRef {
    let strip = |field: &Arc<Field>| {
        field
            .as_ref()
            .clone()
            .with_metadata(HashMap::new())
            .with_nullable(true)
    };
    Arc::new(Schema::new(
        schema.fields().iter().map(strip).collect::<Vec<_>>(),
    ))
}

fn with_schema(schema: &SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch, ViewError> {
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}
