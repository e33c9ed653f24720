//! Rows in a spill store: one Arrow batch a part, as an IPC stream.

use std::io::Cursor;
use std::sync::Arc;

use datafusion::arrow::ipc::reader::StreamReader;
use datafusion::arrow::ipc::writer::StreamWriter;
use datafusion::arrow::record_batch::RecordBatch;
use headwater_base::{PartId, SpillStore};

use crate::error::ViewError;

/// A part that the store holds for as long as somebody reads it.
#[derive(Debug)]
pub(crate) struct Part {
    id: PartId,
    store: Arc<dyn SpillStore>,
}

impl Drop for Part {
    fn drop(&mut self) {
        self.store.remove(self.id);
    }
}

impl Part {
    pub fn put(store: &Arc<dyn SpillStore>, batch: &RecordBatch) -> Result<Arc<Self>, ViewError> {
        let mut bytes = Vec::new();
        let mut writer = StreamWriter::try_new(&mut bytes, &batch.schema())?;
        writer.write(batch)?;
        writer.finish()?;
        drop(writer);
        Ok(Arc::new(Self {
            id: store.put(&bytes)?,
            store: Arc::clone(store),
        }))
    }

    /// One that a snapshot names.
    pub fn known(store: &Arc<dyn SpillStore>, id: PartId) -> std::io::Result<Arc<Self>> {
        store.adopt(id)?;
        Ok(Arc::new(Self {
            id,
            store: Arc::clone(store),
        }))
    }

    pub fn store(&self) -> &Arc<dyn SpillStore> {
        &self.store
    }

    pub fn id(&self) -> PartId {
        self.id
    }

    pub fn get(&self) -> Result<RecordBatch, ViewError> {
        let bytes = self.store.get(self.id)?;
        let mut reader = StreamReader::try_new(Cursor::new(bytes), None)?;
        let batch = reader.next();
        batch
            .ok_or_else(|| ViewError::Snapshot("a part without rows".into()))?
            .map_err(ViewError::from)
    }
}
