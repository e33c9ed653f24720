//! A view's query to an operator graph.

mod aggregate;
mod as_of;
mod build;
mod close;
mod constant;
mod correlated;
mod expr;
mod grouping;
mod join;
mod lineage;
mod over;
pub(crate) mod places;
mod refuse;
mod sessions;
pub(crate) mod temporal;
#[cfg(test)]
pub(crate) mod tests;
mod top;
mod ttl;
mod whole;
mod within;

use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::DataFusionError;
use datafusion::logical_expr::LogicalPlan;

use crate::ast::Query;
use crate::error::{Result, SqlError};
use crate::functions::clock::StepClock;
use crate::graph::{Changelog, Graph, Props};
use crate::logical;
use crate::model::{Catalog, Emit, Relation, RelationKind, ViewDef};
use crate::parse::parse_query;
use crate::provider::Provider;
use crate::session::Session;
use crate::source::Source;
use crate::subquery;
use crate::translate::in_query;

pub use lineage::session_bound;

/// A view, ready to run.
#[derive(Clone, Debug)]
pub struct PlannedView {
    pub graph: Graph,
    /// The result's columns, all nullable.
    pub schema: SchemaRef,
    /// Of the result.
    pub props: Props,
}

impl PlannedView {
    /// The view's result as other queries see it.
    pub fn relation(&self, name: &str) -> Relation {
        Relation {
            name: name.to_owned(),
            schema: Arc::clone(&self.schema),
            kind: RelationKind::Materialized,
            key: self.props.key.clone(),
            event_time: self.props.event_time,
            append_only: self.props.changelog == Changelog::AppendOnly,
        }
    }
}

/// Plans queries against a catalog. All graphs of one planner read one clock.
pub struct Planner<'a> {
    session: Session,
    catalog: &'a dyn Catalog,
}

impl<'a> Planner<'a> {
    pub fn new(catalog: &'a dyn Catalog) -> Self {
        Self::with_session(catalog, Session::new())
    }

    pub fn with_session(catalog: &'a dyn Catalog, session: Session) -> Self {
        Self { session, catalog }
    }

    /// The clock that `now()` reads in the graphs planned here; to be set before each step.
    pub fn clock(&self) -> &StepClock {
        self.session.clock()
    }

    pub(crate) fn catalog(&self) -> &dyn Catalog {
        self.catalog
    }

    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The graph of a view.
    ///
    /// # Errors
    /// Whatever cannot run, with its place in the view's query.
    pub fn plan_view(&self, view: &ViewDef) -> Result<PlannedView> {
        let query = parse_query(Source::new(
            Some(&format!("view {}", view.name)),
            &view.query,
        ))?;
        self.planned(&query, view.emit, view.ttl_ms)
    }

    /// The graph of a view's query that is still in its file, so that errors show their place there.
    ///
    /// # Errors
    /// Whatever cannot run, with its place.
    pub fn plan_query(&self, query: &Query, emit: Emit) -> Result<PlannedView> {
        self.planned(query, emit, None)
    }

    /// The same over the rows of its streams that are younger than `ttl_ms`.
    ///
    /// # Errors
    /// Whatever cannot run, with its place.
    pub fn planned(&self, query: &Query, emit: Emit, ttl_ms: Option<i64>) -> Result<PlannedView> {
        refuse::check(query)?;
        let provider = Provider::new(&self.session, self.catalog);
        let plan = logical::bind(&provider, query)?;
        let tell = |e: DataFusionError| in_query(query, &e, &provider.function_names());
        let plan = match ttl_ms {
            Some(ttl_ms) => ttl::bound(plan, self.catalog, ttl_ms).map_err(tell)?,
            None => plan,
        };
        let plan = logical::analyze(&self.session, plan).map_err(tell)?;
        refuse::check_result(query, &plan)?;
        let plan = self.apart(query, plan)?;
        let plan = logical::optimize(&self.session, plan).map_err(tell)?;
        let mut built =
            build::build(&self.session, &plan).map_err(|refused| refused.into_error(query))?;
        let graph = match emit {
            Emit::Changes => {
                sessions::label(&mut built);
                built
            }
            Emit::OnWindowClose => {
                close::close(built).map_err(|refused| refused.into_error(query))?
            }
        };
        lineage::finish(graph).ok_or_else(|| query.source.error_at_start("the query has no result"))
    }

    /// Correlated subqueries that the rules could not follow, as joins.
    pub(crate) fn apart(&self, query: &Query, plan: LogicalPlan) -> Result<LogicalPlan> {
        let followed = |node: &LogicalPlan| {
            let joined = || logical::optimize(&self.session, node.clone());
            correlated::check(node).is_ok()
                && joined().is_ok_and(|plan| !subquery::apart::is_left(&plan))
        };
        let (plan, stuck) = subquery::apart::apart(plan, &followed)
            .map_err(|e| Refused::from(e).into_error(query))?;
        correlated::check(&plan).map_err(|refused| refused.into_error(query))?;
        match stuck {
            true => Err(expr::not_pulled_up().into_error(query)),
            false => Ok(plan),
        }
    }

    /// The names of the relations that a view's query reads: inline views are followed to what they read.
    ///
    /// # Errors
    /// If the query cannot be bound.
    pub fn relations(&self, view: &ViewDef) -> Result<Vec<String>> {
        let query = parse_query(Source::new(
            Some(&format!("view {}", view.name)),
            &view.query,
        ))?;
        let provider = Provider::new(&self.session, self.catalog);
        logical::relations(&logical::bind(&provider, &query)?)
    }
}

/// A schema as all nodes have it: every column nullable, no metadata.
pub(crate) fn all_nullable(schema: &datafusion::arrow::datatypes::Schema) -> SchemaRef {
    build::nullable(schema)
}

/// Why a plan cannot run as a view.
#[derive(Debug)]
pub(crate) struct Refused {
    pub message: String,
    pub hint: Option<String>,
    /// Whether it speaks of the query's first subquery; else of the whole query.
    subquery: bool,
}

impl Refused {
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: Some(hint.into()),
            subquery: false,
        }
    }

    /// The same, told at the query's first subquery.
    pub fn of_subquery(self) -> Self {
        Self {
            subquery: true,
            ..self
        }
    }

    fn into_error(self, query: &Query) -> SqlError {
        let at = match self.subquery {
            true => refuse::first_subquery(query),
            false => places::place(query, &self.message),
        };
        let error = match at {
            Some(at) => query.source.error(at, self.message),
            None => query.source.error_at_start(self.message),
        };
        error.maybe_hint(self.hint)
    }
}

impl From<DataFusionError> for Refused {
    fn from(error: DataFusionError) -> Self {
        let told = crate::translate::translate(&Source::new(None, ""), &error, &[]);
        Self {
            message: told.message,
            hint: told.hint,
            subquery: false,
        }
    }
}
