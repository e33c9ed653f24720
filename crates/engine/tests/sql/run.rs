//! One group in some variants: what is wrong with it, with file, line, variant and difference.

use std::collections::BTreeMap;
use std::fmt;

use headwater_sql::model::{Catalog, Definition, Relation};
use headwater_sql::{Planner, ast, define, graph::Changelog, parse};
use serde_json::Value;

use crate::file::{Group, Query};
use crate::input::{self, Record};
use crate::node::Node;
use crate::values;
use crate::variant::{Random, Variant};

/// What is wrong, and where.
pub struct Failure {
    pub file: String,
    pub line: usize,
    pub variant: String,
    pub told: String,
    /// What the file should say, if it is to be written anew.
    pub answer: Option<Vec<String>>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{} [{}]\n  {}",
            self.file, self.line, self.variant, self.told
        )
    }
}

/// What of a query's changes can be followed outside.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Appends,
    Keyed,
    Changes,
}

struct Case<'a> {
    query: &'a Query,
    columns: Vec<String>,
    shape: Shape,
}

#[derive(Default)]
struct Known(BTreeMap<String, Relation>);

impl Catalog for Known {
    fn relation(&self, name: &str) -> Option<Relation> {
        self.0.get(name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

/// What came of a group.
#[derive(Default)]
pub struct Outcome {
    pub failures: Vec<Failure>,
    /// Lines of open queries that are refused, or have no batch answer, and why.
    pub refused: BTreeMap<usize, String>,
    /// What the batch says to open queries.
    pub answers: BTreeMap<usize, Vec<String>>,
}

pub fn group(group: &Group, variants: &[Variant], rewriting: bool) -> Outcome {
    let mut told = Told {
        group,
        rewriting,
        out: Outcome::default(),
    };
    let Some(known) = told.known() else {
        return told.out;
    };
    let cases: Vec<Case<'_>> = group
        .queries
        .iter()
        .filter_map(|query| told.plan(&known, query))
        .collect();
    let records = input::records(group);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        for variant in variants {
            let plain = variant.seed == 0;
            if let Err(reason) = told.run(&cases, &records, variant, plain).await {
                told.fail(group.line, variant, reason);
            }
        }
    });
    told.out
}

struct Told<'a> {
    group: &'a Group,
    rewriting: bool,
    out: Outcome,
}

impl<'a> Told<'a> {
    fn add(&mut self, line: usize, variant: &str, told: String, answer: Option<Vec<String>>) {
        let file = self.group.file.clone();
        self.out.failures.push(Failure {
            file,
            line,
            variant: variant.to_owned(),
            told,
            answer,
        });
    }

    fn fail(&mut self, line: usize, variant: &Variant, told: String) {
        self.add(line, &variant.to_string(), told, None);
    }

    /// The catalog that the statements make.
    fn known(&mut self) -> Option<Known> {
        let mut known = Known::default();
        for text in &self.group.statements {
            if let Err(error) = learn(&mut known, &text.sql) {
                self.add(text.line, "planning", error.render(), None);
                return None;
            }
        }
        Some(known)
    }

    fn plan(&mut self, known: &Known, query: &'a Query) -> Option<Case<'a>> {
        let statement = format!(
            "CREATE MATERIALIZED VIEW v {} AS {}",
            query.options, query.sql
        );
        let planned = parse(&statement, None).and_then(|all| match &all[0].kind {
            ast::StatementKind::Create(create) => match &create.body {
                ast::CreateBody::View { query, emit, .. } => {
                    Planner::new(known).plan_query(query, *emit)
                }
                _ => unreachable!("it is a view"),
            },
            _ => unreachable!("it is a view"),
        });
        match planned {
            Ok(planned) => {
                let names: Vec<String> = planned
                    .schema
                    .fields()
                    .iter()
                    .map(|f| f.name().clone())
                    .collect();
                let shape = match (&planned.props.key, planned.props.changelog) {
                    (_, Changelog::AppendOnly) => Shape::Appends,
                    (Some(_), _) => Shape::Keyed,
                    (None, _) => Shape::Changes,
                };
                Some(Case {
                    query,
                    columns: names,
                    shape,
                })
            }
            Err(error) if query.open => {
                self.out.refused.insert(query.line, error.to_string());
                None
            }
            Err(error) => {
                self.add(query.line, "planning", error.render(), None);
                None
            }
        }
    }

    fn text(&self, cases: &[Case<'_>], variant: &Variant) -> String {
        let mut text = String::new();
        for statement in &self.group.statements {
            text.push_str(&format!("{};\n", statement.sql));
        }
        for case in cases {
            let Query {
                line, options, sql, ..
            } = case.query;
            text.push_str(&format!(
                "CREATE MATERIALIZED VIEW q{line} {options} AS {sql};\n"
            ));
            if case.followed(variant) {
                text.push_str(&format!(
                    "CREATE SINK s{line} INTO topic FROM q{line} WITH (topic = 'out-{line}');\n"
                ));
            }
        }
        text
    }

    async fn run(
        &mut self,
        cases: &[Case<'_>],
        records: &[Record],
        variant: &Variant,
        plain: bool,
    ) -> Result<(), String> {
        let mut random = Random::new(variant.seed + variant.step_rows as u64);
        let mut all = records.to_vec();
        if variant.shuffled {
            input::shuffle(&mut all, &mut random);
            input::restore(&mut all, records);
        }
        let mut node = Node::new(variant).await?;
        if plain {
            self.errors(&node).await?;
        }
        if cases.is_empty() {
            node.engine.stop().await;
            return Ok(());
        }
        let text = self.text(cases, variant);
        let early = if variant.late_views { all.len() / 3 } else { 0 };
        node.produce(&all[..early], &mut random).await;
        node.apply(&text).await?;
        let rest = &all[early..];
        let piece = rest.len().div_ceil(variant.crashes + 1).max(1);
        for (number, part) in rest.chunks(piece).enumerate() {
            if number > 0 && variant.crashes > 0 {
                node = node.crash(&mut random).await?;
            }
            if variant.lockstep {
                node.one_by_one(part, &mut random).await?;
            } else {
                node.produce(part, &mut random).await;
            }
        }
        if variant.crashes > 0 {
            node = node.crash(&mut random).await?;
        }
        node.settle().await?;
        for case in cases {
            if let Err(reason) = self.check(&node, case, variant, plain).await {
                self.fail(case.query.line, variant, reason);
            }
        }
        node.engine.stop().await;
        Ok(())
    }

    async fn check(
        &mut self,
        node: &Node,
        case: &Case<'_>,
        variant: &Variant,
        plain: bool,
    ) -> Result<(), String> {
        let query = case.query;
        let texts = |rows: Vec<Vec<Value>>| {
            values::sorted(rows.iter().map(|row| values::row(row)).collect())
        };
        let view = texts(node.rows(&format!("SELECT * FROM q{}", query.line)).await?);
        if plain && !query.view_only {
            let batch = match node.rows(query.batch()).await {
                Ok(rows) => texts(rows),
                Err(error) if query.open => {
                    self.out
                        .refused
                        .insert(query.line, format!("as a batch: {error}"));
                    return Ok(());
                }
                Err(error) => return Err(format!("as a batch: {error}")),
            };
            if !values::same(&batch, &view) {
                let diff = values::diff(&batch, &view);
                return Err(format!("the view is not the batch's answer{diff}"));
            }
            self.out.answers.insert(query.line, batch);
        }
        let expect = match query.open {
            true => match self.out.answers.get(&query.line) {
                Some(rows) => rows.clone(),
                None => return Ok(()),
            },
            false => values::sorted(query.expect.clone()),
        };
        if self.rewriting && query.expect != view {
            self.add(query.line, "rewritten", String::new(), Some(view));
            return Ok(());
        }
        if !values::same(&expect, &view) {
            return Err(format!(
                "other rows than expected{}",
                values::diff(&expect, &view)
            ));
        }
        if case.followed(variant) {
            let sent = node.contents(&format!("out-{}", query.line));
            if let Some(expect) = query.changelog.as_ref().filter(|_| variant.lockstep) {
                let told = case.changes(&sent);
                if !values::same(expect, &told) {
                    return Err(format!(
                        "another changelog than expected:\n    {}",
                        told.join("\n    ")
                    ));
                }
            }
            let sum = values::sorted(case.add_up(&sent)?);
            if !values::same(&sum, &view) {
                return Err(format!(
                    "the changelog adds up to other rows{}",
                    values::diff(&view, &sum)
                ));
            }
        }
        Ok(())
    }

    async fn errors(&mut self, node: &Node) -> Result<(), String> {
        if self.group.errors.is_empty() {
            return Ok(());
        }
        let statements: Vec<&str> = self
            .group
            .statements
            .iter()
            .map(|text| text.sql.as_str())
            .collect();
        if !statements.is_empty() {
            node.apply(&format!("{};", statements.join(";\n"))).await?;
        }
        for case in &self.group.errors {
            let told = match node.engine.execute(&case.sql, None).await {
                Ok(_) => {
                    // By convention what is to be refused has one of these names.
                    for gone in [
                        "MATERIALIZED VIEW v",
                        "VIEW v",
                        "SINK k",
                        "ALERT a",
                        "SOURCE s",
                        "TABLE t",
                    ] {
                        let (kind, name) = gone.rsplit_once(' ').unwrap_or_default();
                        let _ = node
                            .engine
                            .execute(&format!("DROP {kind} IF EXISTS {name} CASCADE"), None)
                            .await;
                    }
                    vec!["it is taken".to_owned()]
                }
                Err(error) => {
                    let place =
                        format!("{}:{}", error.line.unwrap_or(0), error.column.unwrap_or(0));
                    let mut told = vec![format!("{place} {}", error.message.replace('\n', " "))];
                    told.extend(
                        error
                            .hint
                            .map(|hint| format!("hint: {}", hint.replace('\n', " "))),
                    );
                    told
                }
            };
            if told == case.expect {
                continue;
            }
            let shown = format!(
                "told:   {}\n  expect: {}",
                told.join("\n          "),
                case.expect.join("\n          ")
            );
            self.add(case.line, "refused", shown, self.rewriting.then_some(told));
        }
        Ok(())
    }
}

fn learn(known: &mut Known, text: &str) -> headwater_sql::error::Result<()> {
    for statement in parse(text, None)? {
        let Some(defined) = define(&statement)? else {
            continue;
        };
        let relation = match &defined.definition {
            Definition::Source(source) => source.relation(),
            Definition::Table(table) => table.relation(),
            Definition::View(view) if view.materialized => {
                Planner::new(known).plan_view(view)?.relation(&view.name)
            }
            Definition::View(view) => view.inline_relation(),
            _ => continue,
        };
        known.0.insert(relation.name.clone(), relation);
    }
    Ok(())
}

impl Case<'_> {
    /// Whether a sink shows this view's changes: of those that can have one, the half that the seed picks.
    fn followed(&self, variant: &Variant) -> bool {
        let number = self.query.line as u64 + variant.seed + u64::from(variant.shuffled);
        let picked = number.is_multiple_of(2);
        self.shape != Shape::Changes && (picked || self.query.changelog.is_some())
    }

    fn row(&self, value: &Value) -> String {
        let cells: Vec<Value> = self.columns.iter().map(|c| value[c].clone()).collect();
        values::row(&cells)
    }

    /// `+ row` and `- key`, key by key, those of a key in order; rows that are only added sorted.
    fn changes(&self, sent: &[(Option<Value>, Option<Value>)]) -> Vec<String> {
        let mut sent = sent.to_vec();
        sent.sort_by_cached_key(|(key, _)| key.as_ref().map(ToString::to_string));
        let line = |(key, value): &(Option<Value>, Option<Value>)| match (key, value) {
            (_, Some(value)) => format!("+ {}", self.row(value)),
            (key, None) => {
                let fields = key
                    .as_ref()
                    .and_then(Value::as_object)
                    .cloned()
                    .unwrap_or_default();
                format!(
                    "- {}",
                    values::row(&fields.values().cloned().collect::<Vec<_>>())
                )
            }
        };
        let lines = sent.iter().map(line).collect();
        match self.shape {
            // Rows without a key go to any partition.
            Shape::Appends => values::sorted(lines),
            _ => lines,
        }
    }

    /// The rows that are left when all that was sent is applied in order.
    fn add_up(&self, sent: &[(Option<Value>, Option<Value>)]) -> Result<Vec<String>, String> {
        if self.shape == Shape::Appends {
            let all = sent.iter().map(|(_, value)| {
                value
                    .as_ref()
                    .map(|v| self.row(v))
                    .ok_or("a tombstone among rows that are only added")
            });
            return Ok(all.collect::<Result<_, _>>()?);
        }
        let mut left = BTreeMap::new();
        for (key, value) in sent {
            let key = key.as_ref().ok_or("a change without a key")?.to_string();
            match value {
                Some(value) => drop(left.insert(key, self.row(value))),
                None => left
                    .remove(&key)
                    .map(drop)
                    .ok_or_else(|| format!("{key} is deleted without being there"))?,
            }
        }
        Ok(left.into_values().collect())
    }
}
