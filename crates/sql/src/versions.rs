//! `JOIN t FOR SYSTEM_TIME AS OF time`: each row of the left side with the version of `t` that was valid at that time.
//!
//! A version is valid from its own time until that of the next one with its key. So the join is one with the rows of `t` (of a table with
//! all records of its topic), each of which knows the time of its successor (`lead`): plain SQL, whose result does not depend on the order in which rows come, in views and ad-hoc queries
//! alike. `AS OF now()` only marks what is looked up ([`LOOKUP`]); the planner makes a join of it that keeps no left rows.
//!
//! Done on the parsed tree. Knows the catalog, no plans.

mod build;

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, Join, JoinConstraint, JoinOperator, ObjectName, Query as SqlQuery, Select,
    Spanned, TableAlias, TableFactor, TableVersion, TableWithJoins, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use crate::ast::Query;
use crate::catalog::VERSIONS;
use crate::error::{Result, SqlError};
use crate::model::{Emit, Relation, RelationKind};
use crate::plan::Planner;
use crate::provider::Provider;
use crate::source::Source;
use build::{Hidden, hide, keys_of, lookup, quoted, ranges, valid};

/// The alias under which stands what `AS OF now()` looks up.
pub(crate) const LOOKUP: &str = "__as_of_now";
/// How the columns begin that tell when a version ends.
pub(crate) const UNTIL: &str = "__until_";

/// Puts joins of their rows in the place of versions.
///
/// # Errors
/// Where a version stands that has no such join.
pub(crate) fn resolve(provider: &Provider<'_>, query: &Query, ast: &mut SqlQuery) -> Result<()> {
    let mut resolver = Resolver {
        provider,
        query,
        joins: 0,
    };
    match VisitMut::visit(ast, &mut resolver) {
        ControlFlow::Break(error) => Err(*error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Resolver<'a> {
    provider: &'a Provider<'a>,
    query: &'a Query,
    /// How many there were, to name their columns apart.
    joins: usize,
}

impl VisitorMut for Resolver<'_> {
    type Break = Box<SqlError>;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Box<SqlError>> {
        let mut hidden = Vec::new();
        for item in &mut select.from {
            if let Err(error) = self.joins(item, &mut hidden) {
                return ControlFlow::Break(Box::new(error));
            }
        }
        hide(&mut select.projection, &hidden);
        ControlFlow::Continue(())
    }

    /// Those that stand elsewhere.
    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Box<SqlError>> {
        let TableFactor::Table {
            name,
            version: Some(version),
            ..
        } = factor
        else {
            return ControlFlow::Continue(());
        };
        let (message, hint) = match version {
            TableVersion::ForSystemTimeAsOf(_) => (
                "FOR SYSTEM_TIME AS OF is known of the right side of a JOIN only",
                "write FROM stream s JOIN table FOR SYSTEM_TIME AS OF s.ts AS t ON s.key = t.key",
            ),
            _ => (
                "this choice of a version is not known",
                "write JOIN table FOR SYSTEM_TIME AS OF s.ts AS t ON s.key = t.key",
            ),
        };
        ControlFlow::Break(Box::new(self.refused(name.span(), message, hint)))
    }
}

impl Resolver<'_> {
    fn refused(&self, span: Span, message: impl Into<String>, hint: impl Into<String>) -> SqlError {
        self.query.refused(span, message, hint)
    }

    fn joins(&mut self, item: &mut TableWithJoins, hidden: &mut Vec<Hidden>) -> Result<()> {
        if let TableFactor::NestedJoin {
            table_with_joins, ..
        } = &mut item.relation
        {
            self.joins(table_with_joins, hidden)?;
        }
        for join in &mut item.joins {
            match &mut join.relation {
                TableFactor::NestedJoin {
                    table_with_joins, ..
                } => self.joins(table_with_joins, hidden)?,
                TableFactor::Table {
                    version: Some(TableVersion::ForSystemTimeAsOf(time)),
                    ..
                } => {
                    let time = time.clone();
                    hidden.extend(self.join(join, time)?);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn join(&mut self, join: &mut Join, time: Expr) -> Result<Option<Hidden>> {
        let TableFactor::Table { name, alias, .. } = &join.relation else {
            return Ok(None);
        };
        let (name, span) = (name.clone(), name.span());
        let alias = alias.clone().unwrap_or_else(|| plain_alias(&name));
        let Some(constraint) = constraint(&mut join.join_operator) else {
            return Err(self.refused(
                span,
                "FOR SYSTEM_TIME AS OF is known with JOIN and LEFT JOIN only",
                "put the rows whose time it is to the left, and LEFT JOIN what has versions",
            ));
        };
        self.joins += 1;
        if is_clock(&time) {
            if matches!(constraint, JoinConstraint::None) {
                return Err(self.refused(
                    span,
                    "FOR SYSTEM_TIME AS OF needs a condition",
                    "write ON s.key = t.key",
                ));
            }
            join.relation = lookup(&name, alias)?;
            return Ok(None);
        }
        let JoinConstraint::On(on) = constraint else {
            return Err(self.refused(
                span,
                "FOR SYSTEM_TIME AS OF needs its condition behind ON",
                "write ON s.key = t.key",
            ));
        };
        let versions = self.versions(&name, span)?;
        let keys = match &versions.key {
            Some(key) => key.clone(),
            None => keys_of(on, &alias, &versions.columns),
        };
        if keys.is_empty() {
            return Err(self.refused(
                span,
                "FOR SYSTEM_TIME AS OF needs a key by which versions follow each other",
                "compare the key's columns: ON s.key = t.key",
            ));
        }
        let hidden = Hidden::new(&alias, self.joins, versions.key.is_some());
        *on = valid(on.clone(), time, &hidden);
        join.relation = ranges(&versions, alias, &keys, &hidden)?;
        Ok(Some(hidden))
    }

    /// What a relation's versions are.
    fn versions(&self, name: &ObjectName, span: Span) -> Result<Versions> {
        let shown = name.to_string();
        let known = name.0.last().and_then(|part| part.as_ident());
        let known = known.and_then(|ident| self.provider.catalog().relation(&lower(ident)));
        let Some(relation) = known else {
            return Err(self.refused(
                span,
                format!(
                    "there is no source, table or view \"{shown}\" whose versions could be read"
                ),
                "FOR SYSTEM_TIME AS OF stands behind the name of a source, table or view",
            ));
        };
        let relation = self.planned(relation)?;
        let columns = relation.schema.fields().iter().map(|f| f.name().clone());
        let columns: Vec<String> = columns.collect();
        let time = relation
            .event_time
            .and_then(|at| columns.get(at))
            .map(|c| quoted(c));
        if relation.kind == RelationKind::Table {
            let key = relation.key.iter().flatten();
            return Ok(Versions {
                from: quoted(&format!("{}{VERSIONS}", relation.name)),
                key: Some(key.filter_map(|at| columns.get(*at).cloned()).collect()),
                time: match time {
                    // Who deletes says no more than the key.
                    Some(time) => {
                        format!("CASE WHEN \"__deleted\" THEN \"__timestamp\" ELSE {time} END")
                    }
                    None => "\"__timestamp\"".to_owned(),
                },
                columns,
            });
        }
        if !relation.append_only {
            return Err(self.refused(
                span,
                format!("\"{shown}\" has only the newest version of each row"),
                "join with the stream or table that it is made of; or join without FOR SYSTEM_TIME, and later changes correct the result",
            ));
        }
        let Some(time) = time else {
            return Err(self.refused(
                span,
                format!("the versions of \"{shown}\" have no event time"),
                "declare it: WATERMARK FOR ts AS ts - INTERVAL '5 seconds'",
            ));
        };
        Ok(Versions {
            from: name.to_string(),
            columns,
            time,
            key: None,
        })
    }

    /// The relation with its columns: of a plain view those of its query.
    fn planned(&self, relation: Relation) -> Result<Relation> {
        let RelationKind::Inline { query } = &relation.kind else {
            return Ok(relation);
        };
        let source = Source::new(Some(&format!("view {}", relation.name)), query);
        let query = crate::parse::parse_query(source)?;
        let provider = self.provider;
        let planner = Planner::with_session(provider.catalog(), provider.session().clone());
        let planned = planner.planned(&query, Emit::Changes, None)?;
        Ok(planned.relation(&relation.name))
    }
}

/// How a relation's versions follow each other.
struct Versions {
    /// What is read.
    from: String,
    /// Columns that are seen.
    columns: Vec<String>,
    /// From when a version is valid: an expression.
    time: String,
    /// The columns whose versions they are, of a table; else those that the join compares.
    key: Option<Vec<String>>,
}

fn constraint(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    match operator {
        JoinOperator::Join(on)
        | JoinOperator::Inner(on)
        | JoinOperator::Left(on)
        | JoinOperator::LeftOuter(on) => Some(on),
        _ => None,
    }
}

/// `now()`, or how others call it.
fn is_clock(time: &Expr) -> bool {
    let Expr::Function(call) = time else {
        return false;
    };
    let name = call.name.to_string().to_lowercase();
    ["now", "proctime", "current_timestamp", "localtimestamp"].contains(&name.as_str())
}

fn plain_alias(name: &ObjectName) -> TableAlias {
    let last = name.0.last().and_then(|part| part.as_ident()).cloned();
    TableAlias {
        explicit: true,
        name: last.unwrap_or_else(|| Ident::new(name.to_string())),
        columns: Vec::new(),
        at: None,
    }
}

fn lower(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}
