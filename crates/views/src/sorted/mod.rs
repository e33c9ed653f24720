//! Rows of a view that has outgrown memory: sorted runs, merged in tiers (a log-structured tree). Small runs are in memory, the others in a
//! spill store. A row that is taken back is a row of weight -1; equal rows add up when they are read or merged, so nothing has to be
//! looked up when rows come or go, whatever their order.
//!
//! Reading order: `order` (what rows are sorted by), `run`, `merge`.

mod merge;
mod order;
mod run;

use std::io::{Read, Write};
use std::ops::Bound;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, UInt32Array};
use datafusion::arrow::compute::{filter_record_batch, take_record_batch};
use datafusion::arrow::datatypes::{DataType, SchemaRef, TimeUnit, TimestampMicrosecondType};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::record_batch::RecordBatch;
use headwater_base::{PartId, SpillStore};

use crate::error::ViewError;
use crate::part::Part;
use crate::persist::{get_u64, put_u64};
use crate::store::CHUNK_ROWS_MAX;
use merge::{ALL, Merge, Range};
use order::{Order, weights};
use run::{Place, Run};

/// This many runs of one tier become one of the next.
const FAN_IN: usize = 8;
/// Memory that runs take before they are merged into one of the store.
const MEMORY_BYTES_MAX: usize = 16 * 1024 * 1024;
const VERSION: u64 = 1;

/// See the module's description.
#[derive(Clone, Debug)]
pub(crate) struct Sorted {
    order: Arc<Order>,
    store: Arc<dyn SpillStore>,
    /// Those in memory last. A clone is a consistent picture.
    runs: Vec<Arc<Run>>,
    rows: i64,
}

/// Batches of rows as the view has them.
pub type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

impl Sorted {
    pub fn new(
        schema: &SchemaRef,
        key: &[usize],
        store: &Arc<dyn SpillStore>,
    ) -> Result<Self, ViewError> {
        Ok(Self {
            order: Arc::new(Order::new(schema, key)?),
            store: Arc::clone(store),
            runs: Vec::new(),
            rows: 0,
        })
    }

    pub fn rows(&self) -> usize {
        usize::try_from(self.rows).unwrap_or(0)
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        self.runs.iter().map(|run| run.bytes()).sum()
    }

    /// Rows that come (or go, where `adds` says so).
    pub fn apply(&mut self, rows: &RecordBatch, adds: Option<&[bool]>) -> Result<(), ViewError> {
        let stored = self.order.store(rows, adds)?;
        self.rows += weights(&stored).values().iter().sum::<i64>();
        let sorted = self.sort(&stored)?;
        if sorted.num_rows() == 0 {
            return Ok(());
        }
        let mut run = Run::default();
        for at in (0..sorted.num_rows()).step_by(CHUNK_ROWS_MAX) {
            let piece = sorted.slice(at, CHUNK_ROWS_MAX.min(sorted.num_rows() - at));
            run.blocks.push(Place::new(&self.order, piece, None)?);
        }
        self.runs.push(Arc::new(run));
        Ok(())
    }

    /// In order, equal rows added up.
    fn sort(&self, stored: &RecordBatch) -> Result<RecordBatch, ViewError> {
        let (keys, weights) = (self.order.keys(stored)?, weights(stored));
        let mut rows: Vec<u32> = (0..).take(stored.num_rows()).collect();
        rows.sort_unstable_by(|a, b| keys.row(*a as usize).cmp(&keys.row(*b as usize)));
        let (mut firsts, mut counts): (Vec<u32>, Vec<i64>) = (Vec::new(), Vec::new());
        for equal in rows.chunk_by(|a, b| keys.row(*a as usize) == keys.row(*b as usize)) {
            let count: i64 = equal.iter().map(|row| weights.value(*row as usize)).sum();
            if count != 0 {
                firsts.push(equal[0]);
                counts.push(count);
            }
        }
        let taken = take_record_batch(stored, &UInt32Array::from(firsts))?;
        Ok(self
            .order
            .with_weights(taken.columns().to_vec(), Int64Array::from(counts))?)
    }

    /// Keeps the runs few and those in memory small. For after a change; may take as long as reading all rows.
    pub fn tidy(&mut self) -> Result<(), ViewError> {
        let memory = self
            .runs
            .iter()
            .rev()
            .take_while(|run| run.in_memory())
            .count();
        let first = self.runs.len() - memory;
        let bytes: usize = self.runs[first..].iter().map(|run| run.bytes()).sum();
        if bytes > MEMORY_BYTES_MAX {
            self.merge_from(first, true)?;
            while let Some(at) = self.full_tier(0) {
                self.merge_from(at, true)?;
            }
        } else if let Some(at) = self.full_tier(first) {
            self.merge_from(at, false)?;
        }
        Ok(())
    }

    /// From where on the newest runs are of one tier or below, and enough of them; none before `first`.
    fn full_tier(&self, first: usize) -> Option<usize> {
        let tier = |run: &Arc<Run>| run.rows().max(1).ilog(FAN_IN);
        let limit = tier(self.runs.last()?);
        let runs = self.runs[first..].iter().rev();
        let count = runs.take_while(|run| tier(run) <= limit).count();
        (count >= FAN_IN).then(|| self.runs.len() - count)
    }

    fn merge_from(&mut self, first: usize, stored: bool) -> Result<(), ViewError> {
        let merge = Merge::new(&self.order, &self.runs[first..], ALL, first == 0);
        let run = self.collect(merge, stored)?;
        self.runs.truncate(first);
        self.runs
            .extend((!run.blocks.is_empty()).then(|| Arc::new(run)));
        Ok(())
    }

    fn collect(
        &self,
        batches: impl Iterator<Item = Result<RecordBatch, ViewError>>,
        stored: bool,
    ) -> Result<Run, ViewError> {
        let mut run = Run::default();
        for batch in batches {
            let batch = batch?;
            if batch.num_rows() > 0 {
                let place = Place::new(&self.order, batch, stored.then_some(&self.store))?;
                run.blocks.push(place);
            }
        }
        Ok(run)
    }

    /// Drops the rows whose value in `column` (microseconds) is below `bound_us`; NULLs stay. How many were dropped.
    pub fn retain(&mut self, column: usize, bound_us: i64) -> Result<usize, ViewError> {
        let times = self
            .order
            .view()
            .fields()
            .get(column)
            .map(|f| f.data_type());
        if !matches!(times, Some(DataType::Timestamp(TimeUnit::Microsecond, _))) {
            return Ok(0);
        }
        let at = self.order.place_of(column);
        let kept = |batch: Result<RecordBatch, ViewError>| {
            let batch = batch?;
            let array = batch.column(at).as_primitive::<TimestampMicrosecondType>();
            let stays = |row: usize| array.is_null(row) || array.value(row) >= bound_us;
            let mask = BooleanArray::from((0..batch.num_rows()).map(stays).collect::<Vec<_>>());
            Ok(filter_record_batch(&batch, &mask)?)
        };
        let (before, mut left) = (self.rows, 0);
        let counted = Merge::new(&self.order, &self.runs, ALL, true)
            .map(kept)
            .inspect(|batch| {
                left += batch
                    .as_ref()
                    .map_or(0, |batch| weights(batch).values().iter().sum::<i64>());
            });
        let run = self.collect(counted, true)?;
        self.runs = if run.blocks.is_empty() {
            Vec::new()
        } else {
            vec![Arc::new(run)]
        };
        self.rows = left;
        Ok(usize::try_from(before - left).unwrap_or(0))
    }

    /// All rows, by key.
    pub fn batches(&self) -> Batches {
        self.range(ALL)
    }

    /// Rows whose key columns lie between the bounds, which may name only the first of them. Arrays of one row each.
    pub fn between(
        &self,
        lower: Bound<&[ArrayRef]>,
        upper: Bound<&[ArrayRef]>,
    ) -> Result<Batches, ArrowError> {
        let bytes = |bound: Bound<&[ArrayRef]>| -> Result<Bound<Vec<u8>>, ArrowError> {
            Ok(match bound {
                Bound::Unbounded => Bound::Unbounded,
                Bound::Included(values) => Bound::Included(self.order.prefix(values)?),
                Bound::Excluded(values) => Bound::Excluded(self.order.prefix(values)?),
            })
        };
        Ok(self.range((bytes(lower)?, bytes(upper)?)))
    }

    fn range(&self, range: Range) -> Batches {
        let order = Arc::clone(&self.order);
        let show = move |batch: Result<RecordBatch, ViewError>| {
            let batch = batch.map_err(|error| ArrowError::ExternalError(Box::new(error)))?;
            order.show(&batch)
        };
        Box::new(Merge::new(&self.order, &self.runs, range, true).map(show))
    }

    /// Puts everything into the store.
    pub fn settle(&mut self) -> Result<(), ViewError> {
        match self.runs.iter().position(|run| run.in_memory()) {
            Some(first) => self.merge_from(first, true),
            None => Ok(()),
        }
    }

    /// Writes down where everything is, which must be in the store.
    pub fn save(&self, out: &mut dyn Write) -> Result<(), ViewError> {
        put_u64(out, VERSION)?;
        put_u64(out, self.rows.cast_unsigned())?;
        put_u64(out, self.runs.len() as u64)?;
        for run in &self.runs {
            put_u64(out, run.blocks.len() as u64)?;
            for block in &run.blocks {
                let Place::Stored { part, first, rows } = block else {
                    return Err(ViewError::Snapshot("a run is not stored".into()));
                };
                put_u64(out, part.id())?;
                put_u64(out, *rows as u64)?;
                put_u64(out, first.len() as u64)?;
                out.write_all(first)?;
            }
        }
        Ok(())
    }

    /// Takes what [`Sorted::save`] wrote; rows are read when they are needed.
    pub fn load(&mut self, from: &mut dyn Read) -> Result<(), ViewError> {
        if get_u64(from)? != VERSION {
            return Err(ViewError::Snapshot(
                "it was written by another version".into(),
            ));
        }
        self.rows = get_u64(from)?.cast_signed();
        for _ in 0..get_u64(from)? {
            let mut run = Run::default();
            for _ in 0..get_u64(from)? {
                let part = Part::known(&self.store, get_u64(from)?)?;
                let rows = usize::try_from(get_u64(from)?).map_err(std::io::Error::other)?;
                let mut first = Vec::new();
                let length = get_u64(from)?;
                if from.take(length).read_to_end(&mut first)? as u64 != length {
                    return Err(ViewError::Snapshot("it is cut".into()));
                }
                run.blocks.push(Place::Stored {
                    part,
                    first: first.into(),
                    rows,
                });
            }
            self.runs.push(Arc::new(run));
        }
        Ok(())
    }

    /// The parts that the store holds for it.
    pub fn parts(&self) -> Vec<PartId> {
        self.runs.iter().flat_map(|run| run.parts()).collect()
    }
}
