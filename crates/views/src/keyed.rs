//! A keyed view as a DataFusion table: conditions on the key become reads of the rows that they name.

use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

use crate::lookup::{Edge, KeyRange, ranges};
use crate::provider::{all_rows, lazy_table};
use crate::snapshot::{Batches, ViewSnapshot};

pub(crate) struct KeyedTable {
    snapshot: Arc<ViewSnapshot>,
    key: Vec<usize>,
}

impl fmt::Debug for KeyedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedTable")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl KeyedTable {
    pub fn new(snapshot: Arc<ViewSnapshot>, key: Vec<usize>) -> Self {
        Self { snapshot, key }
    }

    /// The rows of these ranges, which do not overlap.
    fn of_ranges(&self, ranges: Vec<KeyRange>) -> Result<Arc<dyn TableProvider>> {
        let (snapshot, key) = (Arc::clone(&self.snapshot), self.key.clone());
        lazy_table(Arc::clone(self.snapshot.schema()), move || {
            let (snapshot, key) = (Arc::clone(&snapshot), key.clone());
            let each = move |range: KeyRange| read(&snapshot, &key, &range);
            let all = ranges.clone().into_iter().flat_map(each);
            Box::new(all.map(|batch| batch.map_err(|e| e.to_string())))
        })
    }
}

fn read(snapshot: &ViewSnapshot, key: &[usize], range: &KeyRange) -> Batches {
    let found = range
        .edges()
        .map_err(|error| ArrowError::ExternalError(Box::new(error)));
    let found = found.and_then(|(lower, upper)| {
        let found = snapshot.between(key, borrowed(&lower), borrowed(&upper));
        found.unwrap_or_else(|| Ok(snapshot.batches()))
    });
    found.unwrap_or_else(|error| Box::new(std::iter::once(Err(error))))
}

pub(crate) fn borrowed(edge: &Edge) -> Bound<&[ArrayRef]> {
    match edge {
        Bound::Unbounded => Bound::Unbounded,
        Bound::Included(values) => Bound::Included(values.as_slice()),
        Bound::Excluded(values) => Bound::Excluded(values.as_slice()),
    }
}

#[async_trait]
impl TableProvider for KeyedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.snapshot.schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Conditions are looked at here and checked again by the query.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let table = match ranges(filters, self.snapshot.schema(), &self.key) {
            Some(ranges) => self.of_ranges(ranges)?,
            None => all_rows(Arc::clone(&self.snapshot))?,
        };
        table.scan(session, projection, &[], limit).await
    }
}
