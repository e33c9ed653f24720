//! Carrying out statements: one by one as typed, or a folder of them as one pipeline.

use headwater_sql::ast::{ExplainTarget, ShowKind, Statement, StatementKind};
use headwater_sql::model::Definition;
use headwater_sql::{Planner, SqlError, define, explain, kind_of, parse};
use serde::Serialize;
use serde_json::Value;

pub use crate::catalog::change::{Action, ObjectChange as AppliedObject};
use crate::catalog::change::{Wanted, create, drop_object, make_pipeline};
use crate::catalog::{Object, Objects};
use crate::engine::Engine;
use crate::error::StatementError;
use crate::infer;

/// The answer to one statement.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StatementResult {
    /// Name and SQL type.
    pub columns: Vec<(String, String)>,
    pub rows: Vec<Vec<Value>>,
    pub message: Option<String>,
    /// Records that were acked before the query and that it does not see yet.
    pub behind: u64,
    /// There are more rows than were answered.
    pub truncated: bool,
}

/// What applying a pipeline did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ApplyReport {
    pub objects: Vec<AppliedObject>,
}

impl ApplyReport {
    /// Such as `3 created, 2 unchanged`.
    pub fn summary(&self) -> String {
        let count = |action: Action| {
            self.objects
                .iter()
                .filter(|object| object.action == action)
                .count()
        };
        let words = [
            (Action::Created, "created"),
            (Action::Replaced, "replaced"),
            (Action::Dropped, "dropped"),
            (Action::Unchanged, "unchanged"),
            (
                Action::Orphaned,
                "no longer in the files (--replace drops them)",
            ),
        ];
        let parts: Vec<String> = words
            .iter()
            .filter(|(action, _)| count(*action) > 0)
            .map(|(action, word)| format!("{} {word}", count(*action)))
            .collect();
        if parts.is_empty() {
            "nothing to do".to_owned()
        } else {
            parts.join(", ")
        }
    }
}

impl Engine {
    /// Runs the statements of a text in order; the first error ends it, what ran before it stays. Each `CREATE` makes a pipeline of its
    /// own, named as the object.
    pub async fn execute(
        &self,
        text: &str,
        file: Option<&str>,
    ) -> Result<Vec<StatementResult>, StatementError> {
        let statements = parse(text, file)?;
        let mut results = Vec::with_capacity(statements.len());
        for statement in statements {
            let done = self.execute_one(&statement, file).await;
            results.push(done.map_err(|error| at_its_name(error, &statement))?);
        }
        Ok(results)
    }

    /// Makes one pipeline of a folder's files, given as name and text: any order of files and statements, all or nothing.
    pub async fn apply(
        &self,
        pipeline: &str,
        files: Vec<(String, String)>,
        replace: bool,
    ) -> Result<ApplyReport, StatementError> {
        let _changing = self.inner.changing.lock().await;
        let mut wanted = Vec::new();
        for (name, text) in &files {
            for statement in parse(text, Some(name))? {
                let statement = self.with_columns(statement)?;
                let defined = define(&statement)?.ok_or_else(|| {
                    let error = statement
                        .source
                        .error_at_start("a pipeline consists of CREATE statements");
                    error.hint("run other statements with `headwater sql`")
                })?;
                self.check_variables(&defined.variables)?;
                wanted.push(Wanted {
                    defined,
                    pipeline: pipeline.to_owned(),
                    file: Some(name.clone()),
                    replace,
                });
            }
        }
        let before = self.inner.objects.read().clone();
        let (after, objects) = make_pipeline(&before, pipeline, wanted, replace)?;
        let as_before = |action| matches!(action, Action::Unchanged | Action::Orphaned);
        if !objects.iter().all(|object| as_before(object.action)) {
            self.change_to(after).await?;
        } else {
            self.take_up_again(pipeline).await?;
        }
        Ok(ApplyReport { objects })
    }

    /// Columns that a source leaves out are found out from its topic.
    fn with_columns(&self, statement: Statement) -> Result<Statement, SqlError> {
        let objects = self.inner.objects.read().clone();
        let found = infer::with_columns(&statement, self.inner.log.as_ref(), &objects)?;
        Ok(found.unwrap_or(statement))
    }

    pub(crate) fn check_variables(&self, names: &[String]) -> Result<(), SqlError> {
        let missing = names
            .iter()
            .find(|name| (self.inner.config.variable)(name).is_none());
        missing.map_or(Ok(()), |name| {
            let error = SqlError::new(format!(
                "the environment variable {name} is not set on the node"
            ));
            Err(error.hint(format!(
                "start `headwater up` with {name} in its environment"
            )))
        })
    }

    async fn execute_one(
        &self,
        statement: &Statement,
        file: Option<&str>,
    ) -> Result<StatementResult, SqlError> {
        match &statement.kind {
            StatementKind::Create(_) => self.create(statement, file).await,
            StatementKind::Drop {
                kind,
                name,
                if_exists,
                cascade,
            } => {
                let _changing = self.inner.changing.lock().await;
                let before = self.inner.objects.read().clone();
                let (after, dropped) =
                    drop_object(&before, *kind, &name.text, *if_exists, *cascade)?;
                if dropped.is_empty() {
                    return Ok(message(format!(
                        "there is no {} {}",
                        kind.word(),
                        name.text
                    )));
                }
                self.change_to(after).await?;
                let names: Vec<String> = dropped
                    .iter()
                    .map(|object| format!("{} {}", object.kind, object.name))
                    .collect();
                Ok(message(format!("dropped {}", names.join(", "))))
            }
            StatementKind::Alter {
                kind,
                name,
                if_exists,
                changes,
            } => {
                self.alter(statement, (*kind, name), *if_exists, changes)
                    .await
            }
            StatementKind::Pause(name) => self.pause(statement, name, true).await,
            StatementKind::Resume(name) => self.pause(statement, name, false).await,
            StatementKind::Show(what) => Ok(self.show(*what)),
            StatementKind::ShowCreate(name) => {
                let objects = self.inner.objects.read();
                let object = found(&objects, &name.text)?;
                Ok(table(
                    &["name", "statement"],
                    vec![vec![object.name.clone().into(), object.text.clone().into()]],
                ))
            }
            StatementKind::Describe(name) => self.describe(&name.text),
            StatementKind::Explain(target) => self.explain(target),
            StatementKind::Query(query) => self.select(query).await,
        }
    }

    async fn create(
        &self,
        statement: &Statement,
        file: Option<&str>,
    ) -> Result<StatementResult, SqlError> {
        let _changing = self.inner.changing.lock().await;
        let statement = &self.with_columns(statement.clone())?;
        let defined =
            define(statement)?.ok_or_else(|| SqlError::new("the statement creates nothing"))?;
        self.check_variables(&defined.variables)?;
        let name = defined.definition.name().to_owned();
        let before = self.inner.objects.read().clone();
        // An object of a folder that is replaced by hand stays where it is.
        let pipeline = before
            .get(&name)
            .map_or_else(|| name.clone(), |object| object.pipeline.clone());
        let wanted = Wanted {
            defined,
            pipeline: pipeline.clone(),
            file: file.map(str::to_owned),
            replace: false,
        };
        let (after, changes) = create(&before, vec![wanted])?;
        let Some(change) = changes.first() else {
            return Ok(StatementResult::default());
        };
        if change.action == Action::Unchanged {
            self.take_up_again(&pipeline).await?;
        } else {
            self.change_to(after).await?;
        }
        let done = match change.action {
            Action::Created => "created",
            Action::Replaced => "replaced",
            _ => "unchanged:",
        };
        let mut text = format!("{done} {} {name}", change.kind);
        for warning in self.warnings_of(&name)? {
            text.push('\n');
            text.push_str(&warning);
        }
        Ok(message(text))
    }

    /// What a person should know of a view's state.
    fn warnings_of(&self, name: &str) -> Result<Vec<String>, SqlError> {
        let objects = self.inner.objects.read();
        let Some(object) = objects.get(name) else {
            return Ok(Vec::new());
        };
        let view = match &object.definition {
            Definition::View(view) if view.materialized => view,
            Definition::Alert(alert) => &alert.view,
            _ => return Ok(Vec::new()),
        };
        let Some(query) = &object.query else {
            return Ok(Vec::new());
        };
        let planned = Planner::new(&*objects).planned(query, view.emit, view.ttl_ms)?;
        Ok(objects.warnings(&planned.graph).collect())
    }

    fn show(&self, what: ShowKind) -> StatementResult {
        let objects = self.inner.objects.read().clone();
        let of = |wanted: fn(&Definition) -> bool| {
            let rows = objects
                .by_name
                .values()
                .filter(|object| wanted(&object.definition))
                .map(|object| {
                    let kind = kind_of(&object.definition).word();
                    vec![
                        object.name.clone().into(),
                        kind.into(),
                        object.pipeline.clone().into(),
                    ]
                });
            table(&["name", "kind", "pipeline"], rows.collect())
        };
        match what {
            ShowKind::Sources => of(|d| matches!(d, Definition::Source(_))),
            ShowKind::Tables => of(|d| matches!(d, Definition::Table(_))),
            ShowKind::Views => of(|d| matches!(d, Definition::View(_))),
            ShowKind::Sinks => of(|d| matches!(d, Definition::Sink(_))),
            ShowKind::Alerts => of(|d| matches!(d, Definition::Alert(_))),
            ShowKind::All => of(|_| true),
            ShowKind::Topics => {
                let topics = self
                    .inner
                    .log
                    .topics()
                    .into_iter()
                    .filter(|topic| !topic.name.starts_with("__"));
                table(
                    &["name", "partitions"],
                    topics
                        .map(|t| vec![t.name.into(), t.partitions.into()])
                        .collect(),
                )
            }
            ShowKind::Pipelines => {
                let row = |pipeline: crate::status::PipelineStatus| {
                    let (state, reason) = pipeline.state.words();
                    let objects = pipeline.objects.join(", ");
                    vec![
                        pipeline.name.into(),
                        state.into(),
                        reason.map_or(Value::Null, Value::from),
                        objects.into(),
                    ]
                };
                let rows = self.status().pipelines.into_iter().map(row).collect();
                table(&["name", "state", "reason", "objects"], rows)
            }
        }
    }

    fn describe(&self, name: &str) -> Result<StatementResult, SqlError> {
        use headwater_sql::model::Catalog;
        let objects = self.inner.objects.read();
        let relation = match objects.relation(name) {
            Some(relation) => relation,
            None if self.inner.log.topic(name).is_some() => headwater_sql::topic_relation(name),
            None => {
                let object = found(&objects, name)?;
                return Ok(table(
                    &["property", "value"],
                    vec![
                        vec!["kind".into(), kind_of(&object.definition).word().into()],
                        vec!["statement".into(), object.text.clone().into()],
                    ],
                ));
            }
        };
        let schema = match (
            &relation.kind,
            objects.get(name).and_then(|object| object.query.as_ref()),
        ) {
            (headwater_sql::model::RelationKind::Inline { .. }, Some(query)) => {
                Planner::new(&*objects)
                    .plan_query(query, headwater_sql::model::Emit::Changes)?
                    .schema
            }
            _ => relation.schema,
        };
        let columns = explain::columns(&schema).into_iter().enumerate().map(
            |(index, (column, data_type))| {
                let key = relation
                    .key
                    .as_ref()
                    .is_some_and(|key| key.contains(&index));
                let time = relation.event_time == Some(index);
                vec![column.into(), data_type.into(), key.into(), time.into()]
            },
        );
        Ok(table(
            &["column", "type", "key", "event_time"],
            columns.collect(),
        ))
    }

    fn explain(&self, target: &ExplainTarget) -> Result<StatementResult, SqlError> {
        let objects = self.inner.objects.read();
        let planner = Planner::new(&*objects);
        let planned = match target {
            ExplainTarget::Running(name) => {
                found(&objects, &name.text)?;
                return self.analyze(&name.text);
            }
            ExplainTarget::Query(query) => {
                planner.plan_query(query, headwater_sql::model::Emit::Changes)?
            }
            ExplainTarget::Relation(name) => {
                let object = found(&objects, &name.text)?;
                let view = match &object.definition {
                    Definition::View(view) => view,
                    Definition::Alert(alert) => &alert.view,
                    _ => {
                        let error = SqlError::new(format!("\"{}\" is no view", name.text));
                        return Err(error.hint(format!("DESCRIBE {} shows its columns", name.text)));
                    }
                };
                let query = object
                    .query
                    .as_ref()
                    .ok_or_else(|| SqlError::new("a view without a query"))?;
                planner.planned(query, view.emit, view.ttl_ms)?
            }
        };
        let mut lines: Vec<String> = explain::graph(&planned.graph)
            .lines()
            .map(str::to_owned)
            .collect();
        lines.extend(objects.warnings(&planned.graph));
        drop(objects);
        if let ExplainTarget::Query(query) = target {
            lines.extend(self.reads(query));
        }
        let rows = lines
            .into_iter()
            .map(|line| vec![Value::from(line)])
            .collect();
        Ok(table(&["plan"], rows))
    }
}

/// An error that knows no place is about the object that the statement names.
fn at_its_name(error: SqlError, statement: &Statement) -> SqlError {
    let name = match &statement.kind {
        StatementKind::Create(create) => &create.name,
        StatementKind::Drop { name, .. }
        | StatementKind::ShowCreate(name)
        | StatementKind::Describe(name)
        | StatementKind::Explain(ExplainTarget::Relation(name)) => name,
        _ => return error,
    };
    if error.position().is_some() {
        return error;
    }
    statement
        .source
        .error(name.at, error.message)
        .maybe_hint(error.hint)
}

fn found<'a>(objects: &'a Objects, name: &str) -> Result<&'a Object, SqlError> {
    let object = objects.get(name).map(AsRef::as_ref);
    object.ok_or_else(|| {
        SqlError::new(format!("there is nothing named \"{name}\""))
            .hint("SHOW ALL lists what there is")
    })
}

pub(crate) fn message(text: String) -> StatementResult {
    StatementResult {
        message: Some(text),
        ..StatementResult::default()
    }
}

pub(crate) fn table(columns: &[&str], rows: Vec<Vec<Value>>) -> StatementResult {
    let columns = columns
        .iter()
        .map(|name| ((*name).to_owned(), "TEXT".to_owned()))
        .collect();
    StatementResult {
        columns,
        rows,
        ..StatementResult::default()
    }
}
