//! A view's rows as bytes, and back. The same rows in the same order give the same bytes; checksums are the caller's.
//!
//! ```text
//! magic "HWVW" | version:u32 le | 0:u64 le or 1:u64 le and chunks in the store | Arrow IPC stream (schema without metadata, live rows in order of arrival)
//! magic "HWVW" | version:u32 le | 2:u64 le | runs in the store
//! ```

use std::collections::HashMap;
use std::io::{Read, Write};
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::arrow::ipc::reader::StreamReader;
use datafusion::arrow::ipc::writer::StreamWriter;
use datafusion::arrow::record_batch::RecordBatch;
use headwater_base::SpillStore;

use crate::cold;
use crate::error::ViewError;
use crate::snapshot::ViewSnapshot;
use crate::sorted::Sorted;
use crate::store::{Away, CHUNK_ROWS_MAX, Layout, ViewStore};

const MAGIC: &[u8; 4] = b"HWVW";
const VERSION: u32 = 2;

impl ViewSnapshot {
    /// Writes all rows that are in memory, and where the others are; [`ViewStore::read_from`] makes a view of them again. What the store holds
    /// must be all of it: see [`ViewStore::save_parts`].
    pub fn write_to(&self, out: &mut dyn Write) -> Result<(), ViewError> {
        out.write_all(MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        match self.away() {
            Away::None => put_u64(out, 0)?,
            Away::Oldest(chunks) => {
                put_u64(out, 1)?;
                cold::save(chunks, out)?;
            }
            Away::All(sorted) => {
                put_u64(out, 2)?;
                return sorted.save(out);
            }
        }
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
        store: Option<&Arc<dyn SpillStore>>,
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
        let mut own = Self::new(schema, layout);
        match (get_u64(from)?, store) {
            (0, _) => {}
            (1, Some(store)) => own.away = Away::Oldest(cold::load(from, store)?),
            (2, Some(store)) => {
                own.load_sorted(from, store)?;
                return Ok(own);
            }
            _ => return Err(ViewError::Snapshot("its rows are elsewhere".into())),
        }
        let reader = StreamReader::try_new(from, None)?;
        if reader.schema().fields() != plain(own.schema()).fields() {
            return Err(ViewError::Snapshot(
                "it has other columns than the view".into(),
            ));
        }
        for batch in reader {
            own.append(batch?)?;
        }
        own.rebuild();
        Ok(own)
    }

    fn load_sorted(
        &mut self,
        from: &mut dyn Read,
        store: &Arc<dyn SpillStore>,
    ) -> Result<(), ViewError> {
        let key = match self.layout() {
            Layout::Keyed { key } => key.clone(),
            _ => Vec::new(),
        };
        let mut sorted = Sorted::new(self.schema(), &key, store)?;
        sorted.load(from)?;
        self.away = Away::All(Box::new(sorted));
        Ok(())
    }

    /// Puts what a snapshot refers to into the store, if some of the view is there already.
    pub fn save_parts(&mut self) -> Result<(), ViewError> {
        match &mut self.away {
            Away::All(sorted) => sorted.settle(),
            _ => Ok(()),
        }
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

pub(crate) fn put_u64(out: &mut dyn Write, value: u64) -> std::io::Result<()> {
    out.write_all(&value.to_le_bytes())
}

pub(crate) fn get_u64(from: &mut dyn Read) -> std::io::Result<u64> {
    let mut bytes = [0; 8];
    from.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}
