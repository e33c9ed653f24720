//! A run: rows in order, in blocks that are in memory or in the store. Never changes.

use std::sync::Arc;

use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::row::Rows;
use headwater_base::{PartId, SpillStore};

use super::order::Order;
use crate::error::ViewError;
use crate::part::Part;

/// Rows and the bytes that they are sorted by.
#[derive(Debug)]
pub(crate) struct Block {
    pub batch: RecordBatch,
    pub keys: Rows,
}

#[derive(Debug)]
pub(crate) enum Place {
    Memory(Arc<Block>),
    Stored {
        part: Arc<Part>,
        /// Bytes of the first row.
        first: Box<[u8]>,
        rows: usize,
    },
}

#[derive(Debug, Default)]
pub(crate) struct Run {
    pub blocks: Vec<Place>,
}

impl Block {
    pub fn new(order: &Order, batch: RecordBatch) -> Result<Self, ViewError> {
        let keys = order.keys(&batch)?;
        Ok(Self { batch, keys })
    }

    pub fn key(&self, row: usize) -> &[u8] {
        self.keys.row(row).data()
    }

    fn bytes(&self) -> usize {
        self.batch.get_array_memory_size() + self.keys.size()
    }
}

impl Place {
    /// In the store, if there is one.
    pub fn new(
        order: &Order,
        batch: RecordBatch,
        store: Option<&Arc<dyn SpillStore>>,
    ) -> Result<Self, ViewError> {
        let block = Block::new(order, batch)?;
        let Some(store) = store else {
            return Ok(Self::Memory(Arc::new(block)));
        };
        Ok(Self::Stored {
            part: Part::put(store, &block.batch)?,
            first: block.key(0).into(),
            rows: block.batch.num_rows(),
        })
    }

    pub fn rows(&self) -> usize {
        match self {
            Self::Memory(block) => block.batch.num_rows(),
            Self::Stored { rows, .. } => *rows,
        }
    }

    pub fn first(&self) -> &[u8] {
        match self {
            Self::Memory(block) => block.key(0),
            Self::Stored { first, .. } => first,
        }
    }

    pub fn block(&self, order: &Order) -> Result<Arc<Block>, ViewError> {
        match self {
            Self::Memory(block) => Ok(Arc::clone(block)),
            Self::Stored { part, first, rows } => {
                let batch = part.get()?;
                order.check(&batch)?;
                let block = Block::new(order, batch)?;
                // The bytes are arrow's: a release that orders otherwise must not be merged with what another one wrote.
                if block.batch.num_rows() != *rows || *rows == 0 || *block.key(0) != **first {
                    return Err(ViewError::Snapshot("a part is in another order".into()));
                }
                Ok(Arc::new(block))
            }
        }
    }
}

impl Run {
    pub fn rows(&self) -> usize {
        self.blocks.iter().map(Place::rows).sum()
    }

    pub fn in_memory(&self) -> bool {
        self.blocks
            .iter()
            .any(|block| matches!(block, Place::Memory(_)))
    }

    pub fn bytes(&self) -> usize {
        let bytes = |place: &Place| match place {
            Place::Memory(block) => block.bytes(),
            Place::Stored { first, .. } => first.len() + size_of::<Place>() + size_of::<Part>(),
        };
        self.blocks.iter().map(bytes).sum()
    }

    pub fn parts(&self) -> impl Iterator<Item = PartId> {
        self.blocks.iter().filter_map(|block| match block {
            Place::Stored { part, .. } => Some(part.id()),
            Place::Memory(_) => None,
        })
    }
}
