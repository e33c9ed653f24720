//! The oldest rows of a view that only grows: chunks in a spill store, in order of arrival.

use std::io::{Read, Write};
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, BooleanArray};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use datafusion::arrow::record_batch::RecordBatch;
use headwater_base::{PartId, SpillStore};

use crate::error::ViewError;
use crate::part::Part;
use crate::persist::{get_u64, put_u64};

#[derive(Clone, Debug)]
pub(crate) struct ColdChunk {
    part: Arc<Part>,
    rows: usize,
    /// Oldest and newest time, once retention asked. A row without a time has the newest.
    times: Option<(i64, i64)>,
}

impl ColdChunk {
    pub fn new(store: &Arc<dyn SpillStore>, batch: &RecordBatch) -> Result<Self, ViewError> {
        Ok(Self {
            part: Part::put(store, batch)?,
            rows: batch.num_rows(),
            times: None,
        })
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn batch(&self) -> Result<RecordBatch, ViewError> {
        self.part.get()
    }

    pub fn id(&self) -> PartId {
        self.part.id()
    }

    /// Without the rows whose time is below the bound; `None` if none is left.
    pub fn retain(&mut self, column: usize, bound_us: i64) -> Result<Option<Self>, ViewError> {
        let (oldest, newest) = match self.times {
            Some(times) => times,
            None => times(&self.batch()?, column),
        };
        self.times = Some((oldest, newest));
        if newest < bound_us {
            return Ok(None);
        }
        if oldest >= bound_us {
            return Ok(Some(self.clone()));
        }
        let batch = self.batch()?;
        let array = batch
            .column(column)
            .as_primitive::<TimestampMicrosecondType>();
        let stays = |row: usize| array.is_null(row) || array.value(row) >= bound_us;
        let mask = BooleanArray::from((0..batch.num_rows()).map(stays).collect::<Vec<_>>());
        Self::new(self.part.store(), &filter_record_batch(&batch, &mask)?).map(Some)
    }
}

fn times(batch: &RecordBatch, column: usize) -> (i64, i64) {
    let all = (i64::MAX, i64::MAX);
    let Some(array) = batch.columns().get(column) else {
        return all;
    };
    if !matches!(
        array.data_type(),
        DataType::Timestamp(TimeUnit::Microsecond, _)
    ) {
        return all;
    }
    let array = array.as_primitive::<TimestampMicrosecondType>();
    let time = |row: usize| {
        if array.is_null(row) {
            i64::MAX
        } else {
            array.value(row)
        }
    };
    let times = || (0..array.len()).map(time);
    (
        times().min().unwrap_or(i64::MAX),
        times().max().unwrap_or(i64::MAX),
    )
}

pub(crate) fn save(chunks: &[ColdChunk], out: &mut dyn Write) -> std::io::Result<()> {
    put_u64(out, chunks.len() as u64)?;
    chunks.iter().try_for_each(|chunk| {
        put_u64(out, chunk.id())?;
        put_u64(out, chunk.rows as u64)
    })
}

pub(crate) fn load(
    from: &mut dyn Read,
    store: &Arc<dyn SpillStore>,
) -> std::io::Result<Vec<ColdChunk>> {
    let count = get_u64(from)?;
    (0..count)
        .map(|_| {
            Ok(ColdChunk {
                part: Part::known(store, get_u64(from)?)?,
                rows: usize::try_from(get_u64(from)?).map_err(std::io::Error::other)?,
                times: None,
            })
        })
        .collect()
}
