//! Pipelines, alerts and dead letters, as the page shows them.

use headwater_edge_http::dto::{
    AlertEvent, AlertEventKind, AlertInfo, Alerts, DeadLetter, DeadLetterCount, DeadLetters,
    FiringAlert, Operator, Pipeline, PipelineState, RowsQuery, Sink, SinkState, View, ViewRows,
};
use headwater_edge_http::payload::Payload;
use headwater_edge_http::{Answer, ChangeStream, Flows};
use headwater_engine::status::{self as engine, EngineStatus, SinkPhase};

use super::{NodeControl, ms, unsigned};

/// Events of the alerts' history that are shown.
const HISTORY_SHOWN: usize = 200;

impl Flows for NodeControl {
    fn pipelines(&self) -> Answer<'_, Vec<Pipeline>> {
        Box::pin(async move {
            let status = self.engine.status();
            Ok(status
                .pipelines
                .iter()
                .map(|of| self.pipeline(of, &status))
                .collect())
        })
    }

    fn views(&self) -> Answer<'_, Vec<View>> {
        Box::pin(async move {
            Ok(self
                .engine
                .status()
                .views
                .iter()
                .map(super::rows::view)
                .collect())
        })
    }

    fn view_rows(&self, view: String, query: RowsQuery) -> Answer<'_, ViewRows> {
        Box::pin(self.rows_of(view, query))
    }

    fn view_changes(&self, view: String) -> Answer<'_, ChangeStream> {
        Box::pin(async move { self.changes_of(&view) })
    }

    fn alerts(&self) -> Answer<'_, Alerts> {
        Box::pin(async move {
            let status = self.engine.status();
            let mut history: Vec<AlertEvent> = status
                .alerts
                .iter()
                .flat_map(|a| &a.history)
                .map(event)
                .collect();
            history.sort_by_key(|event| std::cmp::Reverse(event.at_ms));
            history.truncate(HISTORY_SHOWN);
            Ok(Alerts {
                alerts: status.alerts.iter().map(info).collect(),
                firing: firing(&status),
                history,
            })
        })
    }

    fn dead_letters(&self, limit: usize) -> Answer<'_, DeadLetters> {
        Box::pin(async move {
            let status = self.engine.status();
            let newest = self
                .engine
                .dead_letters(limit)
                .await
                .into_iter()
                .map(letter)
                .collect();
            let count = |c: &engine::DeadLetterCount| DeadLetterCount {
                pipeline: c.pipeline.clone(),
                source: c.source.clone(),
                total: c.total,
            };
            let counts = status.dead_letter_counts.iter().map(count).collect();
            Ok(DeadLetters {
                total: status.dead_letters,
                counts,
                newest,
            })
        })
    }
}

impl NodeControl {
    fn pipeline(&self, of: &engine::PipelineStatus, status: &EngineStatus) -> Pipeline {
        let (state, reason) = state(&of.state);
        Pipeline {
            name: of.name.clone(),
            state,
            reason,
            lag_records: of
                .inputs
                .iter()
                .map(|input| unsigned(input.lag_records))
                .sum(),
            rows_total: of.rows_in,
            rows_per_s: None,
            steps_total: of.step,
            step_last_us: of.step_last_us,
            state_bytes: of.state_bytes,
            state_limit_bytes: self.state_bytes_max as u64,
            watermark_ms: ms(of.watermark_us),
            operators: of.operators.iter().map(operator).collect(),
            sinks: status
                .sinks
                .iter()
                .filter(|sink| sink.pipeline == of.name)
                .map(sink)
                .collect(),
        }
    }
}

/// State and reason, in the page's words.
pub fn state(state: &engine::PipelineState) -> (PipelineState, Option<String>) {
    match state {
        engine::PipelineState::Starting => (PipelineState::CatchingUp, Some("recovering".into())),
        engine::PipelineState::CatchingUp => (PipelineState::CatchingUp, None),
        engine::PipelineState::Running => (PipelineState::Running, None),
        engine::PipelineState::Paused(reason) => (PipelineState::Paused, Some(reason.clone())),
        engine::PipelineState::Failed(reason) => (PipelineState::Failed, Some(reason.clone())),
        engine::PipelineState::Stopped => (PipelineState::Paused, Some("stopped".into())),
    }
}

fn operator(of: &engine::OperatorStatus) -> Operator {
    Operator {
        id: of.id.clone(),
        kind: of.kind.clone(),
        label: of.label.clone(),
        detail: of.detail.clone(),
        inputs: of.inputs.clone(),
        owner: of.view.clone(),
        rows_total: of.rows_out,
        rows_per_s: None,
        state_bytes: of.state_bytes,
        watermark_ms: ms(of.watermark_us),
        late_rows_total: of.late_rows,
    }
}

fn sink(of: &engine::SinkStatus) -> Sink {
    Sink {
        name: of.name.clone(),
        connector: of.connector.clone(),
        from: of.from.clone(),
        target: of.target.clone(),
        state: match of.state {
            SinkPhase::Starting | SinkPhase::Running => SinkState::Running,
            SinkPhase::Retrying => SinkState::Retrying,
            SinkPhase::Paused => SinkState::Paused,
            SinkPhase::Failed => SinkState::Failed,
        },
        lag_records: unsigned(of.lag_records),
        error: of.last_error.clone(),
        rows_total: of.written,
        rows_per_s: None,
        last_write_ms: of.last_write_ms,
    }
}

fn info(of: &engine::AlertStatus) -> AlertInfo {
    AlertInfo {
        name: of.name.clone(),
        pipeline: of.pipeline.clone(),
        severity: of.severity.clone(),
        query: of.query.clone(),
        notify: of.notify.clone(),
        firing: of.firing.len() as u64,
        fired_total: of.fired,
        pending: unsigned(of.undelivered),
        error: of.last_error.clone(),
    }
}

/// All alerts that hold, newest first.
pub fn firing(status: &EngineStatus) -> Vec<FiringAlert> {
    let of_alert = |alert: &engine::AlertStatus| {
        let one = |firing: &engine::Firing| FiringAlert {
            alert: alert.name.clone(),
            severity: alert.severity.clone(),
            key: key_text(&firing.key),
            since_ms: firing.since_ms,
            row: firing.row.clone(),
        };
        alert.firing.iter().map(one).collect::<Vec<_>>()
    };
    let mut all: Vec<FiringAlert> = status.alerts.iter().flat_map(of_alert).collect();
    all.sort_by_key(|alert| std::cmp::Reverse(alert.since_ms));
    all
}

fn event(of: &headwater_engine::alerts::AlertEvent) -> AlertEvent {
    AlertEvent {
        at_ms: of.at_ms,
        kind: match of.state {
            headwater_engine::alerts::AlertPhase::Firing => AlertEventKind::Fired,
            headwater_engine::alerts::AlertPhase::Resolved => AlertEventKind::Resolved,
        },
        alert: of.alert.clone(),
        severity: of.severity.clone(),
        key: key_text(&of.key),
        row: of.row.clone(),
    }
}

/// The key's values, such as `JFK` or `4711, DE`.
fn key_text(key: &serde_json::Map<String, serde_json::Value>) -> String {
    let text = |value: &serde_json::Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    key.values().map(text).collect::<Vec<_>>().join(", ")
}

fn letter(of: headwater_engine::DeadLetter) -> DeadLetter {
    DeadLetter {
        at_ms: of.at_ms,
        pipeline: of.pipeline,
        source: of.source,
        topic: of.topic,
        partition: of.partition,
        offset: of.offset,
        reason: of.reason,
        key: of.key.as_deref().map(Payload::decode),
        value: of.value.as_deref().map(Payload::decode),
    }
}
