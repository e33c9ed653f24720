//! What has been created, under which pipeline, in the words it was created with. `store` keeps it in the log, `build` makes
//! pipelines of it.

pub mod build;
pub mod change;
pub mod reads;
pub mod store;
pub mod topic_sink;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use headwater_sql::ast::Query;
use headwater_sql::model::{Catalog, Definition, Relation};
use headwater_sql::{Defined, Places, PlannedView, Planner, SqlError, query_names};

use crate::builtin;

/// One created object.
#[derive(Clone, Debug)]
pub struct Object {
    pub name: String,
    pub pipeline: String,
    /// The statement as it is shown; `${VAR}` unexpanded.
    pub text: String,
    pub file: Option<String>,
    pub definition: Definition,
    pub query: Option<Query>,
    /// Names of the relations that it reads.
    pub reads: Vec<String>,
    pub variables: Vec<String>,
    pub places: Places,
    /// For views and alerts: what the query gives.
    pub planned: Option<Relation>,
}

impl Object {
    pub fn new(defined: Defined, pipeline: &str, file: Option<&str>) -> Self {
        let reads = match (&defined.definition, &defined.query) {
            (Definition::Sink(sink), _) => vec![sink.from.clone()],
            (_, Some(query)) => query_names(query),
            (_, None) => Vec::new(),
        };
        Self {
            name: defined.definition.name().to_owned(),
            pipeline: pipeline.to_owned(),
            text: defined.text,
            file: file.map(str::to_owned),
            definition: defined.definition,
            query: defined.query,
            reads,
            variables: defined.variables,
            places: defined.places,
            planned: None,
        }
    }

    /// As a relation that queries may read.
    pub fn relation(&self) -> Option<Relation> {
        match &self.definition {
            Definition::Source(source) => Some(source.relation()),
            Definition::Table(table) => Some(table.relation()),
            Definition::View(view) if !view.materialized => Some(view.inline_relation()),
            Definition::View(_) | Definition::Alert(_) => self.planned.clone(),
            Definition::Sink(_) => None,
        }
    }
}

/// All objects, by name. Cheap to clone, so that a change is made on a copy and taken or thrown away.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    pub by_name: BTreeMap<String, Arc<Object>>,
    /// Pipelines that take no input until they are resumed.
    pub paused: BTreeSet<String>,
}

impl Catalog for Objects {
    fn relation(&self, name: &str) -> Option<Relation> {
        self.by_name
            .get(name)
            .and_then(|object| object.relation())
            .or_else(|| builtin::relation(name))
    }

    fn names(&self) -> Vec<String> {
        self.by_name
            .keys()
            .cloned()
            .chain(builtin::names().map(str::to_owned))
            .collect()
    }
}

impl Objects {
    pub fn get(&self, name: &str) -> Option<&Arc<Object>> {
        self.by_name.get(name)
    }

    pub fn pipelines(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .by_name
            .values()
            .map(|object| object.pipeline.clone())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    pub fn of_pipeline<'a>(&'a self, pipeline: &'a str) -> impl Iterator<Item = &'a Arc<Object>> {
        self.by_name
            .values()
            .filter(move |object| object.pipeline == pipeline)
    }

    /// Checks an object against what is there and adds it.
    pub fn admit(&mut self, mut object: Object) -> Result<(), SqlError> {
        match &object.definition {
            Definition::View(view) => {
                let planned = self.plan(&object, view.emit)?;
                if view.materialized {
                    object.planned = Some(planned.relation(&object.name));
                }
            }
            Definition::Alert(alert) => {
                let planned = self.plan(&object, alert.view.emit)?;
                object.planned = Some(planned.relation(&object.name));
                build::alert_key(alert, &planned)?;
            }
            Definition::Sink(sink) => build::check_sink(self, sink, &object.places)?,
            Definition::Source(_) | Definition::Table(_) => {}
        }
        self.by_name.insert(object.name.clone(), Arc::new(object));
        Ok(())
    }

    fn plan(
        &self,
        object: &Object,
        emit: headwater_sql::model::Emit,
    ) -> Result<PlannedView, SqlError> {
        let planner = Planner::new(self);
        let query = object
            .query
            .as_ref()
            .ok_or_else(|| SqlError::new("a view without a query"))?;
        let ttl_ms = match &object.definition {
            Definition::View(view) => view.ttl_ms,
            Definition::Alert(alert) => alert.view.ttl_ms,
            _ => None,
        };
        planner.planned(query, emit, ttl_ms)
    }

    /// Of operators that keep rows for ever, a line each.
    pub fn warnings(&self, graph: &headwater_sql::graph::Graph) -> impl Iterator<Item = String> {
        let is_stream = |name: &str| {
            let kind = self.relation(name).map(|relation| relation.kind);
            !matches!(kind, Some(headwater_sql::model::RelationKind::Table))
        };
        let found = headwater_sql::unbounded::unbounded(graph, &is_stream);
        found
            .into_iter()
            .map(|warning| format!("warning: {warning}"))
    }

    /// Adds objects in whatever order they need one another.
    pub fn admit_all(&mut self, objects: Vec<Object>) -> Result<(), SqlError> {
        let mut waiting = objects;
        loop {
            let before = waiting.len();
            let mut refused = Vec::new();
            let mut first_error = None;
            for object in waiting {
                if let Err(error) = self.admit(object.clone()) {
                    first_error.get_or_insert((refused.len(), error));
                    refused.push(object);
                }
            }
            match first_error {
                None => return Ok(()),
                Some((_, error)) if refused.len() == before => {
                    return Err(best_error(self, &refused, error));
                }
                Some(_) => waiting = refused,
            }
        }
    }

    /// Everything that an object's meaning depends on, itself included: the relations that its query reads, and theirs.
    pub fn closure(&self, name: &str) -> Vec<&Arc<Object>> {
        let mut found: BTreeMap<&str, &Arc<Object>> = BTreeMap::new();
        let mut todo = vec![name];
        while let Some(name) = todo.pop() {
            let Some((name, object)) = self.by_name.get_key_value(name) else {
                continue;
            };
            if found.insert(name, object).is_some() {
                continue;
            }
            todo.extend(object.reads.iter().map(String::as_str));
        }
        found.into_values().collect()
    }
}

/// Of several refusals the one that is not only about another refused object.
fn best_error(objects: &Objects, refused: &[Object], first: SqlError) -> SqlError {
    for object in refused {
        if let Err(error) = objects.clone().admit(object.clone()) {
            let about_another = refused.iter().any(|other| {
                other.name != object.name && words(&error.message).any(|w| w == other.name)
            });
            if !about_another {
                return error;
            }
        }
    }
    first
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| !word.is_empty())
}
