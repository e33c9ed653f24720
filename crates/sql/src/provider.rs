//! Names to relations and functions for DataFusion's binder: the catalog, with inline views expanded.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DataFusionError, Result, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::planner::{
    ContextProvider, ExprPlanner, RelationPlanner, TypePlanner,
};
use datafusion::logical_expr::{
    AggregateUDF, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, WindowUDF,
};

use crate::catalog::{VERSIONS, versions_of};
use crate::error::SqlError;
use crate::logical;
use crate::model::{Catalog, Relation, RelationKind};
use crate::nearest;
use crate::parse;
use crate::session::Session;
use crate::source::Source;
use crate::translate::carry;
use crate::types::OurTypes;

/// Most inline views within one another.
const VIEW_DEPTH_MAX: usize = 32;

/// A relation of the catalog as a leaf of a logical plan.
pub(crate) struct RelationSource {
    pub relation: Relation,
    inline: Option<LogicalPlan>,
}

impl TableSource for RelationSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.relation.schema)
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        self.inline.as_ref().map(Cow::Borrowed)
    }
}

pub(crate) struct Provider<'a> {
    session: &'a Session,
    catalog: &'a dyn Catalog,
    types: Arc<dyn TypePlanner>,
    /// Names of the inline views that are being expanded.
    expanding: RefCell<Vec<String>>,
}

impl<'a> Provider<'a> {
    pub fn new(session: &'a Session, catalog: &'a dyn Catalog) -> Self {
        Self {
            session,
            catalog,
            types: Arc::new(OurTypes),
            expanding: RefCell::new(Vec::new()),
        }
    }

    pub fn catalog(&self) -> &dyn Catalog {
        self.catalog
    }

    pub fn session(&self) -> &Session {
        self.session
    }

    pub fn function_names(&self) -> Vec<String> {
        let mut names = self.udf_names();
        names.extend(self.udaf_names());
        names
    }

    pub fn aggregate_names(&self) -> Vec<String> {
        self.udaf_names()
    }

    /// Of the catalog, or the versions of a table of it.
    fn relation(&self, name: &str) -> Option<Relation> {
        match name.strip_suffix(VERSIONS) {
            None => self.catalog.relation(name),
            Some(table) => {
                let table = self.catalog.relation(table)?;
                (table.kind == RelationKind::Table).then(|| versions_of(&table))
            }
        }
    }

    fn unknown(&self, name: &str) -> DataFusionError {
        let names = self.catalog.names();
        let hint = nearest::hint(name, names.iter().map(String::as_str));
        let hint = hint.unwrap_or_else(|| "SHOW ALL lists what there is".to_owned());
        DataFusionError::Plan(format!("unknown relation {name}; {hint}"))
    }

    fn expand(&self, name: &str, query: &str) -> Result<LogicalPlan> {
        if self.expanding.borrow().iter().any(|known| known == name) {
            return Err(carry(SqlError::new(format!(
                "view \"{name}\" reads itself"
            ))));
        }
        if self.expanding.borrow().len() >= VIEW_DEPTH_MAX {
            return Err(carry(SqlError::new(format!(
                "views are nested more than {VIEW_DEPTH_MAX} deep"
            ))));
        }
        self.expanding.borrow_mut().push(name.to_owned());
        let source = Source::new(Some(&format!("view {name}")), query);
        let plan = parse::parse_query(source).and_then(|query| logical::bind(self, &query));
        self.expanding.borrow_mut().pop();
        plan.map_err(carry)
    }
}

impl ContextProvider for Provider<'_> {
    fn get_table_source(&self, reference: TableReference) -> Result<Arc<dyn TableSource>> {
        let name = reference.table();
        let schema_is_ours = reference.schema().is_none_or(|schema| schema == "public");
        let relation = self.relation(name).filter(|_| schema_is_ours);
        let relation = relation.ok_or_else(|| self.unknown(name))?;
        let inline = match &relation.kind {
            RelationKind::Inline { query } => Some(self.expand(name, query)?),
            _ => None,
        };
        Ok(Arc::new(RelationSource { relation, inline }))
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> Result<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(
            name, schema,
        ))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.session.state().expr_planners()
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        self.session.state().relation_planners()
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::clone(&self.types))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.session.state().scalar_functions().get(name).cloned()
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.session
            .state()
            .higher_order_functions()
            .get(name)
            .cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.session
            .state()
            .aggregate_functions()
            .get(name)
            .cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.session.state().window_functions().get(name).cloned()
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.session.state().config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.session
            .state()
            .scalar_functions()
            .keys()
            .cloned()
            .collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.session
            .state()
            .higher_order_functions()
            .keys()
            .cloned()
            .collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.session
            .state()
            .aggregate_functions()
            .keys()
            .cloned()
            .collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.session
            .state()
            .window_functions()
            .keys()
            .cloned()
            .collect()
    }
}
