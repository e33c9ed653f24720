//! Ad-hoc queries: planned against the catalog first, so that only the relations they read need be fetched, then bound to tables.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::LogicalPlan;

use crate::ast::Query;
use crate::error::{Result, SqlError};
use crate::logical;
use crate::plan::Planner;
use crate::provider::{Provider, RelationSource};
use crate::source::Source;
use crate::translate::{in_query, translate};

/// An ad-hoc query that knows what it reads.
#[derive(Clone, Debug)]
pub struct AdHoc {
    plan: LogicalPlan,
    relations: Vec<String>,
}

impl AdHoc {
    /// Names of the relations that it reads, once each; inline views are expanded.
    pub fn relations(&self) -> &[String] {
        &self.relations
    }

    pub fn schema(&self) -> &DFSchema {
        self.plan.schema()
    }

    /// The plan over these tables, to be run by `Session::context().execute_logical_plan`. A table's columns must be those of its
    /// relation in the catalog.
    ///
    /// # Errors
    /// If a table is missing.
    pub fn bind(
        self,
        tables: &dyn Fn(&str) -> Option<Arc<dyn TableProvider>>,
    ) -> Result<LogicalPlan> {
        let bound = self.plan.transform_up_with_subqueries(|node| match node {
            // What a recursive query says of itself is no relation of the catalog.
            LogicalPlan::TableScan(mut scan)
                if scan.source.downcast_ref::<RelationSource>().is_some() =>
            {
                let name = scan.table_name.table().to_owned();
                let table = tables(&name).ok_or_else(|| {
                    DataFusionError::Plan(format!(
                        "unknown relation {name}; it may just have been dropped"
                    ))
                })?;
                scan.source = provider_as_source(table);
                Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
            }
            other => Ok(Transformed::no(other)),
        });
        bound.map(|t| t.data).map_err(|e| runtime_error(&e))
    }
}

impl Planner<'_> {
    /// Plans any query of DataFusion's, with our functions and types.
    ///
    /// # Errors
    /// Whatever is wrong in it, with its place.
    pub fn ad_hoc(&self, query: &Query) -> Result<AdHoc> {
        let provider = Provider::new(self.session(), self.catalog());
        let plan = logical::bind(&provider, query)?;
        let plan = logical::analyze(self.session(), plan)
            .map_err(|e| in_query(query, &e, &provider.function_names()))?;
        let plan = self.apart(query, plan)?;
        let relations = logical::relations(&plan)?;
        let plan = logical::for_batch(self.session(), plan)
            .map_err(|e| in_query(query, &e, &provider.function_names()))?;
        Ok(AdHoc { plan, relations })
    }
}

/// What DataFusion says while a query runs, in our form.
pub fn runtime_error(error: &DataFusionError) -> SqlError {
    let told = translate(&Source::new(None, ""), error, &[]);
    SqlError {
        line: 0,
        column: 0,
        source_line: String::new(),
        ..told
    }
}
