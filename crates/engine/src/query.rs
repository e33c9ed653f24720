//! Plain SELECTs: over what views hold, over topics as they are, after everything acked before is visible (or saying what is not).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use datafusion::arrow::array::{
    ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use datafusion::catalog::TableProvider;
use headwater_base::Offset;
use headwater_connect::{StepLog, TopicInfo, Visibility};
use headwater_dataflow::Dataflow;
use headwater_formats::JsonEncoder;
use headwater_sql::ast;
use headwater_sql::model::{Catalog, Definition, Relation, SourceDef};
use headwater_sql::{
    Planner, Session, SqlError, VERSIONS, explain, input_graph_at, physical_schema_of,
    topic_relation, topic_schema,
};
use headwater_views::{Query, QueryError, batches_table, lazy_table, view_table};

use crate::builtin;
use crate::catalog::Objects;
use crate::engine::Engine;
use crate::pipeline::decode::InputDecoder;
use crate::pipeline::decoders::Decoders;
use crate::pipeline::input::Taken;
use crate::pipeline::record::Range;
use crate::pipeline::shared::Shared;
use crate::pipeline::watermark;
use crate::statements::StatementResult;

/// Most rows of one answer.
const ROWS_MAX: usize = 100_000;
const TIMEOUT: Duration = Duration::from_secs(120);
const READ_BYTES: usize = 4 * 1024 * 1024;

/// The catalog, and all topics under their own names.
struct WithTopics<'a> {
    objects: &'a Objects,
    log: &'a dyn StepLog,
}

impl Catalog for WithTopics<'_> {
    fn relation(&self, name: &str) -> Option<Relation> {
        self.objects
            .relation(name)
            .or_else(|| self.log.topic(name).map(|_| topic_relation(name)))
    }

    fn names(&self) -> Vec<String> {
        let topics = self
            .log
            .topics()
            .into_iter()
            .map(|topic| topic.name)
            .filter(|name| !name.starts_with("__"));
        self.objects
            .names()
            .into_iter()
            .chain(topics)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect()
    }
}

type Answered = Result<Arc<dyn TableProvider>, SqlError>;

/// A relation and its name.
type Named = (String, Arc<dyn TableProvider>);

/// Ends of a pipeline's partitions: (input, partition) and offset.
type Ends = Vec<((u32, i32), Offset)>;

impl Engine {
    pub(crate) async fn select(&self, query: &ast::Query) -> Result<StatementResult, SqlError> {
        let objects = self.inner.objects.read().clone();
        let log = Arc::clone(&self.inner.log);
        let (adhoc, session) = {
            let catalog = WithTopics {
                objects: &objects,
                log: log.as_ref(),
            };
            let planner = Planner::new(&catalog);
            planner
                .clock()
                .set_us(self.inner.config.clock.now_ms().saturating_mul(1_000));
            (planner.ad_hoc(query)?, planner.session().clone())
        };
        let relations = adhoc.relations().to_vec();
        let behind = self.wait_for(&relations).await;
        let tables = self.tables(&objects, &relations)?;
        let find = |name: &str| {
            tables
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, table)| Arc::clone(table))
        };
        let plan = adhoc.bind(&find)?;
        let context = self.inner.adhoc.session(session.state());
        let query = Query {
            session: context,
            plan,
            rows_max: ROWS_MAX,
            timeout: TIMEOUT,
        };
        let answer = self
            .inner
            .adhoc
            .run(query)
            .await
            .map_err(|error| failed(&error))?;
        let mut rows = Vec::with_capacity(answer.rows);
        for batch in &answer.batches {
            let encoder = JsonEncoder::new(&batch.schema());
            let bound = encoder
                .bind(batch)
                .map_err(|error| SqlError::new(error.to_string()))?;
            rows.extend((0..batch.num_rows()).map(|row| bound.values(row)));
        }
        let columns = explain::columns(&answer.schema);
        Ok(StatementResult {
            columns,
            rows,
            message: None,
            behind,
            truncated: answer.truncated,
        })
    }

    /// Waits until the views hold everything that is durable now; answers how many records they are behind if that takes too long.
    async fn wait_for(&self, relations: &[String]) -> u64 {
        let mut waits: Vec<(Arc<Shared>, Ends)> = Vec::new();
        let mut read: Vec<String> = relations.to_vec();
        if relations
            .iter()
            .any(|name| builtin::names().any(|builtin| builtin == name))
        {
            // What all pipelines report: all of them have to have seen it.
            let running = self.inner.running.lock();
            let shown = running
                .values()
                .flat_map(|r| r.running.shared.cells.iter().flatten());
            read.extend(shown.map(|cell| cell.info.name.clone()));
        }
        for name in &read {
            if let Some((shared, _)) = self.owner(name)
                && !waits.iter().any(|(known, _)| Arc::ptr_eq(known, &shared))
            {
                let ends = durable_ends(&shared, self.inner.log.as_ref());
                waits.push((shared, ends));
            }
        }
        let deadline = tokio::time::Instant::now() + self.inner.config.query_wait;
        let mut missing = 0;
        for (shared, ends) in waits {
            missing += caught_up(&shared, &ends, deadline).await;
        }
        missing
    }

    /// The relations of one query, those of one pipeline as of one step.
    pub(crate) fn tables(
        &self,
        objects: &Objects,
        names: &[String],
    ) -> Result<Vec<Named>, SqlError> {
        let mut owners: Vec<Arc<Shared>> = Vec::new();
        for (shared, _) in names.iter().filter_map(|name| self.owner(name)) {
            if !owners.iter().any(|known| Arc::ptr_eq(known, &shared)) {
                owners.push(shared);
            }
        }
        let _as_they_are: Vec<_> = owners.iter().map(|shared| shared.showing.read()).collect();
        let table = |name: &String| Ok((name.clone(), self.table(objects, name)?));
        names.iter().map(table).collect()
    }

    fn table(&self, objects: &Objects, name: &str) -> Answered {
        let failed =
            |error: datafusion::error::DataFusionError| SqlError::new(error.strip_backtrace());
        if let Some((_, cell)) = self.owner(name) {
            return view_table(cell.picture().rows, cell.info.key.clone()).map_err(failed);
        }
        if name == builtin::ERRORS {
            return batches_table(builtin::errors_schema(), vec![self.errors()?]).map_err(failed);
        }
        if let Some(table) = name.strip_suffix(VERSIONS)
            && let Some(object) = objects.get(table)
            && let Definition::Table(table) = &object.definition
        {
            return self.source_table(table.versions());
        }
        match objects.get(name).map(|object| &object.definition) {
            Some(Definition::Source(source)) => self.source_table(source.clone()),
            Some(Definition::Table(table)) => Err(not_running(&table.name)),
            Some(_) => Err(not_running(name)),
            None => match builtin::source(name) {
                Some(source) => self.source_table(source),
                None => self.topic_table(name),
            },
        }
    }

    fn errors(&self) -> Result<RecordBatch, SqlError> {
        let mut found = Vec::new();
        for pipeline in self.inner.running.lock().values() {
            let name = pipeline.plan.name.clone();
            let visible = pipeline.running.shared.visible.lock();
            found.extend(
                visible
                    .withheld
                    .iter()
                    .map(|withheld| (name.clone(), withheld.clone())),
            );
        }
        let text =
            |pick: &dyn Fn(&(String, crate::pipeline::core::Withheld)) -> String| -> ArrayRef {
                Arc::new(
                    found
                        .iter()
                        .map(|one| Some(pick(one)))
                        .collect::<StringArray>(),
                )
            };
        let columns = vec![
            text(&|one| one.0.clone()),
            text(&|one| one.1.view.clone()),
            text(&|one| one.1.operator.clone()),
            text(&|one| one.1.key.clone()),
            text(&|one| one.1.message.clone()),
            Arc::new(
                found
                    .iter()
                    .map(|one| Some(one.1.times))
                    .collect::<Int64Array>(),
            ) as ArrayRef,
        ];
        RecordBatch::try_new(builtin::errors_schema(), columns)
            .map_err(|error| SqlError::new(error.to_string()))
    }

    fn topic(&self, name: &str) -> Result<TopicInfo, SqlError> {
        self.inner
            .log
            .topic(name)
            .ok_or_else(|| SqlError::new(format!("there is no topic \"{name}\"")))
    }

    /// The topic decoded anew for each query: what does not decode is left out, as in views.
    fn source_table(&self, source: SourceDef) -> Answered {
        let topic = self.topic(&source.topic)?;
        let schema = source.schema();
        let pieces = Pieces::new(&self.inner.log, &topic);
        let now_us = self.inner.config.clock.now_ms().saturating_mul(1_000);
        let start = move || -> Box<dyn Iterator<Item = Result<RecordBatch, String>> + Send> {
            let mut decoder = match source_decoder(&source, now_us) {
                Ok(decoder) => decoder,
                Err(error) => return Box::new(std::iter::once(Err(error))),
            };
            Box::new(pieces.clone().map(move |taken| {
                let taken = taken?;
                let rows = decoder.source_rows(&taken, watermark::NONE, now_us, &mut Vec::new())?;
                Ok(rows.delta.rows)
            }))
        };
        lazy_table(schema, start).map_err(|error| SqlError::new(error.strip_backtrace()))
    }

    fn topic_table(&self, name: &str) -> Answered {
        let pieces = Pieces::new(&self.inner.log, &self.topic(name)?);
        let start = move || -> Box<dyn Iterator<Item = Result<RecordBatch, String>> + Send> {
            Box::new(pieces.clone().map(|taken| raw_rows(&taken?)))
        };
        lazy_table(topic_schema(), start).map_err(|error| SqlError::new(error.strip_backtrace()))
    }
}

/// What ended a query, in our words.
fn failed(error: &QueryError) -> SqlError {
    let text = error.to_string();
    let parts = ["Arrow error: ", "Execution error: ", "External error: "];
    let told = parts
        .iter()
        .fold(text.as_str(), |told, part| told.trim_start_matches(part));
    match told {
        "Divide by zero error" => SqlError::new("division by zero")
            .hint("divide by nullif(x, 0): the result is NULL then"),
        other => SqlError::new(other),
    }
}

fn not_running(name: &str) -> SqlError {
    SqlError::new(format!("\"{name}\" is not running")).hint("SHOW PIPELINES says why")
}

fn source_decoder(source: &SourceDef, now_us: i64) -> Result<InputDecoder, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let decoders = Decoders::new(source.clone(), physical_schema_of(&source.columns));
    decoders.check()?;
    let session = Session::new();
    session.clock().set_us(now_us);
    let graph = input_graph_at(&session, &source.columns, source.watermark.as_ref())
        .map_err(|error| text(&error))?;
    let computed = Dataflow::new(&graph).map_err(|error| text(&error))?;
    Ok(InputDecoder::source(
        0,
        Arc::new(decoders),
        computed,
        source.schema(),
        source.watermark.is_some(),
    ))
}

/// What a topic holds now, piece by piece.
#[derive(Clone)]
struct Pieces {
    log: Arc<dyn StepLog>,
    topic: TopicInfo,
    /// Partition, where to go on, where to end.
    left: Vec<(i32, Offset, Offset)>,
}

impl Pieces {
    fn new(log: &Arc<dyn StepLog>, topic: &TopicInfo) -> Self {
        let extent = |index: i32| {
            let (start, end) = log.extent(topic.partition(index));
            (index, start, end)
        };
        let left = (0..topic.partitions).rev().map(extent).collect();
        Self {
            log: Arc::clone(log),
            topic: topic.clone(),
            left,
        }
    }
}

impl Iterator for Pieces {
    type Item = Result<Taken, String>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (partition, from, end) = self.left.last_mut()?;
            if from >= end {
                self.left.pop();
                continue;
            }
            let read = self.log.read_committed(
                self.topic.partition(*partition),
                *from,
                READ_BYTES,
                Visibility::Durable,
            );
            let read = match read {
                Ok(read) if read.next > *from => read,
                Ok(_) => {
                    self.left.pop();
                    continue;
                }
                Err(error) => {
                    self.left.clear();
                    return Some(Err(error.to_string()));
                }
            };
            let range = Range {
                input: 0,
                partition: *partition,
                from: *from,
                next: read.next.min(*end),
            };
            *from = read.next;
            return Some(Ok(Taken {
                batches: read.batches,
                ..Taken::new(range)
            }));
        }
    }
}

fn raw_rows(taken: &Taken) -> Result<RecordBatch, String> {
    let (mut offsets, mut times) = (Vec::new(), Vec::new());
    let (mut keys, mut values, mut headers) = (Vec::new(), Vec::new(), Vec::new());
    let text = |bytes: Option<bytes::Bytes>| {
        bytes.and_then(|bytes| std::str::from_utf8(&bytes).ok().map(str::to_owned))
    };
    for batch in &taken.batches {
        for record in headwater_record::records(batch).map_err(|error| error.to_string())? {
            let record = record.map_err(|error| error.to_string())?;
            if record.offset < taken.range.from || record.offset >= taken.range.next {
                continue;
            }
            offsets.push(record.offset);
            times.push(record.timestamp.saturating_mul(1_000));
            keys.push(text(record.key));
            values.push(text(record.value));
            headers.push(headers_text(&record.headers));
        }
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![taken.range.partition; offsets.len()])),
        Arc::new(Int64Array::from(offsets)),
        Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")),
        Arc::new(StringArray::from(keys)),
        Arc::new(StringArray::from(values)),
        Arc::new(StringArray::from(headers)),
    ];
    RecordBatch::try_new(topic_schema(), columns).map_err(|error| error.to_string())
}

/// In order; a key may come several times. Bytes that are no text are shown as well as it goes.
fn headers_text(headers: &[headwater_record::Header]) -> Option<String> {
    let lossy = |bytes: &bytes::Bytes| String::from_utf8_lossy(bytes).into_owned();
    let all: Vec<serde_json::Value> = headers
        .iter()
        .map(|header| {
            let value = header.value.as_ref().map(lossy);
            serde_json::json!({"key": lossy(&header.key), "value": value})
        })
        .collect();
    (!all.is_empty()).then(|| serde_json::Value::Array(all).to_string())
}

/// Ends of everything that a pipeline reads.
pub(crate) fn durable_ends(shared: &Shared, log: &dyn StepLog) -> Vec<((u32, i32), Offset)> {
    let mut ends = Vec::new();
    for (index, input) in shared.plan.inputs.iter().enumerate() {
        let topic = log
            .topic(&input.topic.name)
            .filter(|topic| topic.id == input.topic.id);
        for partition in 0..topic.map_or(0, |topic| topic.partitions) {
            let end = log.extent(input.topic.partition(partition)).1;
            ends.push(((u32::try_from(index).unwrap_or(u32::MAX), partition), end));
        }
    }
    ends
}

/// Records up to `ends` that are not visible.
pub(crate) fn missing(shared: &Shared, ends: &[((u32, i32), Offset)]) -> u64 {
    let visible = shared.visible.lock();
    let lacks = |(id, end): &((u32, i32), Offset)| {
        let position = visible.positions.get(id).copied().unwrap_or(0);
        u64::try_from(end - position).unwrap_or(0)
    };
    ends.iter().map(lacks).sum()
}

async fn caught_up(
    shared: &Shared,
    ends: &[((u32, i32), Offset)],
    deadline: tokio::time::Instant,
) -> u64 {
    let mut published = shared.published.subscribe();
    loop {
        let lacks = missing(shared, ends);
        let first = shared.first_step_due.load(Ordering::Acquire);
        let starting = {
            let visible = shared.visible.lock();
            matches!(visible.state, crate::status::PipelineState::Starting)
                || (first && visible.step == 0)
        };
        if (lacks == 0 && !starting) || shared.failed() {
            return lacks;
        }
        if tokio::time::timeout_at(deadline, published.changed())
            .await
            .is_err()
        {
            return lacks;
        }
    }
}
