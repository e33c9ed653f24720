//! What people and tests ask of a running engine: status, views, dead letters, the end of a bounded input.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use headwater_connect::Visibility;
use headwater_sql::SqlError;
use headwater_sql::explain;
use headwater_sql::model::{Definition, Emit};
use serde::Deserialize;

use crate::catalog::Objects;
use crate::cell::ViewCell;
use crate::engine::{Engine, RunningPipeline};
use crate::error::StatementError;
use crate::pipeline::plan::{OutputKind, OutputPlan};
use crate::query::{durable_ends, missing};
use crate::status::{
    AlertStatus, DeadLetterCount, EngineStatus, Firing, InputStatus, PipelineState, PipelineStatus,
    SinkPhase, SinkStatus, ViewStatus,
};

/// A record that some pipeline could not take in.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    pub at_ms: i64,
    pub pipeline: String,
    pub source: String,
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub reason: String,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
}

#[derive(Deserialize)]
struct Stored {
    time: i64,
    pipeline: String,
    source: String,
    topic: String,
    partition: i32,
    offset: i64,
    error: String,
    key_base64: Option<String>,
    value_base64: Option<String>,
}

impl Engine {
    /// States and figures of everything. Cheap enough for once a second.
    pub fn status(&self) -> EngineStatus {
        let objects = self.inner.objects.read().clone();
        let mut status = EngineStatus::default();
        for pipeline in self.inner.running.lock().values() {
            let of = self.pipeline_status(pipeline, &objects, &mut status);
            status.dead_letters += of.dead_letters;
            status.late_rows += of.late_rows;
            status.errors += of.errors;
            status.state_bytes += of.state_bytes;
            status.pipelines.push(of);
        }
        status
    }

    fn pipeline_status(
        &self,
        pipeline: &RunningPipeline,
        objects: &Objects,
        all: &mut EngineStatus,
    ) -> PipelineStatus {
        let shared = &pipeline.running.shared;
        for cell in shared
            .cells
            .iter()
            .flatten()
            .filter(|cell| pipeline.plan.objects.contains(&cell.info.name))
        {
            all.views.push(view_status(pipeline, cell, objects));
        }
        for output in &pipeline.plan.outputs {
            match &output.kind {
                OutputKind::Alert { .. } => {
                    all.alerts.extend(alert_status(pipeline, output, objects))
                }
                _ => all
                    .sinks
                    .extend(self.sink_status(pipeline, output, objects)),
            }
        }
        let inputs = self.input_status(pipeline);
        let visible = shared.visible.lock();
        all.alerts_fired += visible.counters.alerts_fired;
        for (input, total) in pipeline.plan.inputs.iter().zip(&visible.dead_by_input) {
            if *total > 0 {
                let (pipeline, source) = (pipeline.plan.name.clone(), input.name.clone());
                all.dead_letter_counts.push(DeadLetterCount {
                    pipeline,
                    source,
                    total: *total,
                });
            }
        }
        PipelineStatus {
            name: pipeline.plan.name.clone(),
            state: visible.state.clone(),
            objects: pipeline.plan.objects.clone(),
            step: visible.step,
            step_last_us: visible.step_last_us,
            rows_in: visible.counters.rows,
            rows_per_s: visible.rows_per_s,
            state_bytes: shared.state_bytes.load(Ordering::Acquire) as u64,
            watermark_us: visible.watermark,
            dead_letters: visible.counters.dead_letters,
            late_rows: visible.counters.late_rows,
            errors: visible.withheld.len() as u64,
            inputs,
            operators: visible.operators.clone(),
        }
    }

    fn input_status(&self, pipeline: &RunningPipeline) -> Vec<InputStatus> {
        let shared = &pipeline.running.shared;
        let ends = durable_ends(shared, self.inner.log.as_ref());
        let one = |(index, input): (usize, &crate::pipeline::plan::InputPlan)| {
            let number = u32::try_from(index).unwrap_or(u32::MAX);
            let own: Vec<_> = ends
                .iter()
                .filter(|((input, _), _)| *input == number)
                .copied()
                .collect();
            let figures = shared.visible.lock().input_watermarks.get(index).copied();
            let (watermark_us, rows) = figures.unwrap_or((None, 0));
            InputStatus {
                name: input.name.clone(),
                topic: input.topic.name.clone(),
                partitions: own.len(),
                lag_records: i64::try_from(missing(shared, &own)).unwrap_or(i64::MAX),
                watermark_us,
                rows,
            }
        };
        pipeline.plan.inputs.iter().enumerate().map(one).collect()
    }

    fn sink_status(
        &self,
        pipeline: &RunningPipeline,
        output: &OutputPlan,
        objects: &Objects,
    ) -> Option<SinkStatus> {
        let Definition::Sink(def) = &objects.get(&output.name)?.definition else {
            return None;
        };
        let mut status = SinkStatus {
            name: def.name.clone(),
            connector: def.connector.clone(),
            from: def.from.clone(),
            pipeline: pipeline.plan.name.clone(),
            state: SinkPhase::Running,
            lag_records: 0,
            written: 0,
            target: def
                .options
                .get("table")
                .or(def.options.get("topic"))
                .unwrap_or(&def.name)
                .clone(),
            last_write_ms: None,
            last_error: None,
        };
        match &output.kind {
            OutputKind::Topic { topic, .. } => {
                status.target = topic.name.clone();
                let extent = |index| self.inner.log.extent(topic.partition(index)).1;
                status.written = (0..topic.partitions)
                    .map(|index| u64::try_from(extent(index)).unwrap_or(0))
                    .sum();
            }
            OutputKind::Changelog { topic, .. } => {
                let view = pipeline.sinks.get(&output.name)?.lock().clone();
                status.lag_records =
                    (self.inner.log.extent(topic.partition(0)).1 - view.next).max(0);
                status.state = view.state;
                status.written = view.written;
                status.last_error = view.last_error;
                status.last_write_ms = view.last_write_ms;
            }
            OutputKind::Alert { .. } => return None,
        }
        Some(status)
    }

    /// The visible rows of a view or table.
    pub fn view(&self, name: &str) -> Option<Arc<ViewCell>> {
        self.owner(name).map(|(_, cell)| cell)
    }

    /// No more input will come to this pipeline: once all that is there now is consumed its windows close. Returns when that is visible.
    pub async fn end_of_input(&self, pipeline: &str) -> Result<(), StatementError> {
        let shared = self
            .inner
            .running
            .lock()
            .get(pipeline)
            .map(|running| Arc::clone(&running.running.shared));
        let shared = shared.ok_or_else(|| {
            StatementError::from(SqlError::new(format!("there is no pipeline {pipeline}")))
        })?;
        shared.end_asked.store(true, Ordering::Release);
        shared.wake.notify_one();
        let mut published = shared.published.subscribe();
        loop {
            if shared.visible.lock().ended {
                return Ok(());
            }
            if let PipelineState::Failed(reason) = shared.visible.lock().state.clone() {
                return Err(
                    SqlError::new(format!("pipeline {pipeline} has failed: {reason}")).into(),
                );
            }
            if published.changed().await.is_err() {
                return Err(SqlError::new(format!("pipeline {pipeline} has ended")).into());
            }
        }
    }

    /// Whether everything that is durable now is visible, and the input has ended if that was asked.
    pub fn settled(&self, pipeline: &str) -> bool {
        let shared = self
            .inner
            .running
            .lock()
            .get(pipeline)
            .map(|running| Arc::clone(&running.running.shared));
        shared.is_some_and(|shared| {
            let ended = !shared.end_asked.load(Ordering::Acquire) || shared.visible.lock().ended;
            let starting = shared.visible.lock().state == PipelineState::Starting;
            ended
                && !starting
                && missing(&shared, &durable_ends(&shared, self.inner.log.as_ref())) == 0
        })
    }

    /// The newest dead letters, newest first.
    pub async fn dead_letters(&self, limit: usize) -> Vec<DeadLetter> {
        let partition = self.inner.topics.dead_letters.partition(0);
        let (start, end) = self.inner.log.extent(partition);
        let mut next = start.max(end - i64::try_from(limit).unwrap_or(i64::MAX));
        let mut found = Vec::new();
        while let Ok(read) =
            self.inner
                .log
                .read_committed(partition, next, 1024 * 1024, Visibility::Durable)
        {
            let records = read
                .batches
                .iter()
                .filter_map(|batch| headwater_record::records(batch).ok())
                .flatten()
                .flatten();
            for record in records.filter(|record| record.offset >= next) {
                let stored = record
                    .value
                    .as_deref()
                    .and_then(|value| serde_json::from_slice::<Stored>(value).ok());
                found.extend(stored.map(letter));
            }
            if read.next <= next || read.next >= end {
                break;
            }
            next = read.next;
        }
        found.reverse();
        found.truncate(limit);
        found
    }
}

fn letter(stored: Stored) -> DeadLetter {
    let bytes = |text: Option<String>| text.and_then(|text| STANDARD.decode(text).ok());
    DeadLetter {
        at_ms: stored.time,
        pipeline: stored.pipeline,
        source: stored.source,
        topic: stored.topic,
        partition: stored.partition,
        offset: stored.offset,
        reason: stored.error,
        key: bytes(stored.key_base64),
        value: bytes(stored.value_base64),
    }
}

fn view_status(pipeline: &RunningPipeline, cell: &ViewCell, objects: &Objects) -> ViewStatus {
    let object = objects.get(&cell.info.name);
    let view = object.and_then(|object| match &object.definition {
        Definition::View(view) => Some(view),
        Definition::Alert(alert) => Some(&alert.view),
        _ => None,
    });
    let shared = &pipeline.running.shared;
    let visible = shared.visible.lock();
    let watermark_us = visible
        .operators
        .iter()
        .find(|operator| operator.id == cell.info.name)
        .and_then(|o| o.watermark_us);
    let error_rows = visible
        .withheld
        .iter()
        .filter(|withheld| withheld.view == cell.info.name)
        .count() as u64;
    drop(visible);
    let name = |column: &usize| {
        cell.info
            .schema
            .fields()
            .get(*column)
            .map(|field| field.name().clone())
    };
    ViewStatus {
        name: cell.info.name.clone(),
        kind: cell.info.kind.to_owned(),
        pipeline: cell.info.pipeline.clone(),
        rows: cell.rows() as u64,
        bytes: cell.bytes() as u64,
        key: cell.info.key.iter().flatten().filter_map(name).collect(),
        columns: explain::columns(&cell.info.schema),
        append_only: cell.info.append_only,
        query: view
            .map(|view| view.query.clone())
            .or(object.map(|object| object.text.clone()))
            .unwrap_or_default(),
        emit_on_close: view.is_some_and(|view| view.emit == Emit::OnWindowClose),
        retention_ms: view.and_then(|view| view.retention_ms),
        watermark_us,
        changes: cell.changed(),
        error_rows,
    }
}

fn alert_status(
    pipeline: &RunningPipeline,
    output: &OutputPlan,
    objects: &Objects,
) -> Option<AlertStatus> {
    let Definition::Alert(def) = &objects.get(&output.name)?.definition else {
        return None;
    };
    let view = pipeline.alerts.get(&output.name)?.lock().clone();
    let firing = view.firing.values().map(|event| Firing {
        key: event.key.clone(),
        row: event.row.clone(),
        since_ms: event.at_ms,
    });
    Some(AlertStatus {
        name: def.name.clone(),
        severity: def.severity.clone(),
        pipeline: pipeline.plan.name.clone(),
        query: def.view.query.clone(),
        notify: def.notify.clone(),
        firing: firing.collect(),
        history: view.history.iter().rev().cloned().collect(),
        fired: view.fired,
        undelivered: view.undelivered,
        last_error: view.last_error,
    })
}
