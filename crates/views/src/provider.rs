//! What ad-hoc SQL may read, as DataFusion tables: a view's snapshot, batches at hand, or batches that come as they are read.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;

use crate::keyed::KeyedTable;
use crate::snapshot::ViewSnapshot;

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, String>> + Send>;

/// The rows of a view at one moment. With `key`, the columns that it is keyed by, conditions on the first of them are answered
/// without reading other rows.
pub fn view_table(
    snapshot: Arc<ViewSnapshot>,
    key: Option<Vec<usize>>,
) -> Result<Arc<dyn TableProvider>> {
    match key {
        Some(key) if !key.is_empty() => Ok(Arc::new(KeyedTable::new(snapshot, key))),
        _ => all_rows(snapshot),
    }
}

pub(crate) fn all_rows(snapshot: Arc<ViewSnapshot>) -> Result<Arc<dyn TableProvider>> {
    let schema = Arc::clone(snapshot.schema());
    lazy_table(schema, move || {
        Box::new(
            snapshot
                .batches()
                .map(|batch| batch.map_err(|e| e.to_string())),
        )
    })
}

/// Batches that are in memory.
pub fn batches_table(
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
) -> Result<Arc<dyn TableProvider>> {
    let batches: Arc<[RecordBatch]> = batches.into();
    lazy_table(schema, move || {
        let batches = Arc::clone(&batches);
        Box::new((0..batches.len()).map(move |index| Ok(batches[index].clone())))
    })
}

/// Batches that are read while the query runs: `start` is called once a scan. The iterator may block: queries have their own
/// threads. An error ends the query with its text.
pub fn lazy_table(
    schema: SchemaRef,
    start: impl Fn() -> Batches + Send + Sync + 'static,
) -> Result<Arc<dyn TableProvider>> {
    let partition = Lazy {
        schema: Arc::clone(&schema),
        start: Arc::new(start),
    };
    Ok(Arc::new(StreamingTable::try_new(
        schema,
        vec![Arc::new(partition)],
    )?))
}

struct Lazy {
    schema: SchemaRef,
    start: Arc<dyn Fn() -> Batches + Send + Sync>,
}

impl fmt::Debug for Lazy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lazy")
            .field("columns", &self.schema.fields().len())
            .finish()
    }
}

impl PartitionStream for Lazy {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let schema = Arc::clone(&self.schema);
        let conform = move |batch: Result<RecordBatch, String>| {
            batch
                .map_err(DataFusionError::Execution)
                .and_then(|batch| fit(&schema, &batch))
        };
        let stream = futures::stream::iter((self.start)().map(conform));
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            stream,
        ))
    }
}

/// The batch under the table's schema: nullability and small differences of type are the producer's affair.
fn fit(schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    let columns = batch.columns().iter().zip(schema.fields());
    let columns: Vec<ArrayRef> = columns
        .map(|(array, field)| cast(array, field.data_type()))
        .collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        Arc::new(Schema::clone(schema)),
        columns,
        &options,
    )?)
}
