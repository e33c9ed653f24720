//! The process itself: overview, metrics, health.

use headwater_base::{Clock as _, SystemClock};
use headwater_edge_http::dto::{
    Check, Health, HealthStatus, LagSummary, Memory, NodeInfo, Overview, PipelineSummary, Storage,
    Traffic,
};
use headwater_edge_http::{Answer, Node};
use headwater_engine::status::EngineStatus;

use super::flows::{firing, state};
use super::{NodeControl, ms, unsigned};

/// Firing alerts in the overview.
const ALERTS_SHOWN: usize = 100;

impl Node for NodeControl {
    fn overview(&self) -> Answer<'_, Overview> {
        Box::pin(async move { Ok(self.look()) })
    }

    fn metrics(&self) -> Answer<'_, String> {
        Box::pin(async move {
            self.gauges();
            Ok(self
                .metrics
                .as_ref()
                .map(|handle| handle.render())
                .unwrap_or_default())
        })
    }

    fn health(&self) -> Answer<'_, Health> {
        Box::pin(async move { Ok(self.check()) })
    }
}

impl NodeControl {
    fn look(&self) -> Overview {
        let status = self.engine.status();
        let alerts = firing(&status);
        Overview {
            at_ms: SystemClock.now_ms(),
            node: self.info(),
            traffic: self.traffic(),
            lag: self.lag(&status),
            storage: self.storage(),
            memory: Memory {
                resident_bytes: crate::resident_bytes(),
                state_bytes: status.state_bytes,
                state_limit_bytes: self.state_bytes_max as u64,
            },
            pipelines: summaries(&status),
            alerts_firing: alerts.len() as u64,
            alerts: alerts.into_iter().take(ALERTS_SHOWN).collect(),
            dead_letters_total: status.dead_letters,
            late_rows_total: status.late_rows,
            history: Vec::new(),
        }
    }

    fn info(&self) -> NodeInfo {
        NodeInfo {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node_id: self.broker.config().node_id,
            cluster_id: self.broker.cluster_id(),
            kafka: self.kafka.clone(),
            http: self.http.clone(),
            started_ms: self.started_ms,
        }
    }

    fn traffic(&self) -> Traffic {
        let mut sum = Traffic::default();
        for topic in self
            .broker
            .topic_views()
            .iter()
            .filter(|topic| !topic.internal)
        {
            sum.records_in_total += topic.flow.records_in;
            sum.bytes_in_total += topic.flow.bytes_in;
            sum.records_out_total += topic.flow.records_out;
            sum.bytes_out_total += topic.flow.bytes_out;
        }
        sum
    }

    fn lag(&self, status: &EngineStatus) -> LagSummary {
        let inputs = status
            .pipelines
            .iter()
            .flat_map(|pipeline| &pipeline.inputs);
        let groups = self.broker.group_lags();
        LagSummary {
            pipelines_records: inputs.map(|input| unsigned(input.lag_records)).sum(),
            groups_records: groups
                .iter()
                .flat_map(|group| &group.partitions)
                .map(|part| unsigned(part.lag()))
                .sum(),
            sinks_records: status
                .sinks
                .iter()
                .map(|sink| unsigned(sink.lag_records))
                .sum(),
        }
    }

    fn storage(&self) -> Storage {
        let topics = self.broker.topic_views();
        let shown = || topics.iter().filter(|topic| !topic.internal);
        Storage {
            topics: shown().count() as u64,
            partitions: shown().map(|topic| topic.partitions.len() as u64).sum(),
            log_bytes: topics.iter().map(|topic| topic.bytes()).sum(),
            connections: headwater_edge_kafka::connections(),
        }
    }

    /// Figures that nobody counts as they happen.
    fn gauges(&self) {
        let (log, status) = (self.log.metrics(), self.engine.status());
        metrics::gauge!("headwater_log_queued_bytes").set(log.queued_bytes as f64);
        metrics::gauge!("headwater_log_chunks").set(log.chunks as f64);
        metrics::gauge!("headwater_log_full").set(if log.full { 1.0 } else { 0.0 });
        metrics::counter!("headwater_log_syncs_total").absolute(log.fsyncs);
        metrics::counter!("headwater_log_written_bytes_total").absolute(log.written_bytes);
        metrics::gauge!("headwater_log_last_sync_seconds").set(log.last_fsync_us as f64 / 1e6);
        metrics::gauge!("headwater_log_live_bytes").set(log.live_bytes as f64);
        metrics::gauge!("headwater_log_rotten_batches").set(log.rotten_batches as f64);
        metrics::counter!("headwater_log_scrubbed_bytes_total").absolute(log.scrubbed_bytes);
        metrics::counter!("headwater_log_moved_bytes_total").absolute(log.moved_bytes);
        metrics::gauge!("headwater_state_bytes").set(status.state_bytes as f64);
        metrics::gauge!("headwater_resident_bytes").set(crate::resident_bytes() as f64);
        metrics::counter!("headwater_dead_letters_total").absolute(status.dead_letters);
        metrics::counter!("headwater_late_rows_total").absolute(status.late_rows);
        for pipeline in &status.pipelines {
            let name = || pipeline.name.clone();
            let lag: u64 = pipeline
                .inputs
                .iter()
                .map(|input| unsigned(input.lag_records))
                .sum();
            metrics::gauge!("headwater_pipeline_lag_records", "pipeline" => name()).set(lag as f64);
            metrics::counter!("headwater_pipeline_rows_total", "pipeline" => name())
                .absolute(pipeline.rows_in);
            metrics::counter!("headwater_pipeline_steps_total", "pipeline" => name())
                .absolute(pipeline.step);
            metrics::gauge!("headwater_pipeline_state_bytes", "pipeline" => name())
                .set(pipeline.state_bytes as f64);
            for operator in pipeline
                .operators
                .iter()
                .filter(|o| o.state_bytes + o.spilled_bytes > 0)
            {
                let labels = [("pipeline", name()), ("operator", operator.id.clone())];
                metrics::gauge!("headwater_operator_state_bytes", &labels)
                    .set(operator.state_bytes as f64);
                metrics::gauge!("headwater_operator_spilled_bytes", &labels)
                    .set(operator.spilled_bytes as f64);
                metrics::counter!("headwater_operator_state_loads_total", &labels)
                    .absolute(operator.state_loads);
            }
        }
        for sink in &status.sinks {
            metrics::gauge!("headwater_sink_lag_records", "sink" => sink.name.clone())
                .set(unsigned(sink.lag_records) as f64);
            metrics::counter!("headwater_sink_rows_total", "sink" => sink.name.clone())
                .absolute(sink.written);
        }
    }

    fn check(&self) -> Health {
        let log = self.log.metrics();
        let full = log
            .full
            .then(|| "the disk is full: writes are refused".to_owned());
        let mut checks = vec![Check {
            name: "log".into(),
            ok: full.is_none(),
            message: full,
        }];
        for pipeline in self.engine.status().pipelines {
            let (state, reason) = state(&pipeline.state);
            let ok = !matches!(
                state,
                headwater_edge_http::dto::PipelineState::Failed
                    | headwater_edge_http::dto::PipelineState::Paused
            );
            checks.push(Check {
                name: format!("pipeline {}", pipeline.name),
                ok,
                message: reason,
            });
        }
        let status = if checks.iter().all(|check| check.ok) {
            HealthStatus::Ok
        } else {
            HealthStatus::Degraded
        };
        Health { status, checks }
    }
}

fn summaries(status: &EngineStatus) -> Vec<PipelineSummary> {
    let summary = |pipeline: &headwater_engine::status::PipelineStatus| {
        let (state, reason) = state(&pipeline.state);
        PipelineSummary {
            name: pipeline.name.clone(),
            state,
            reason,
            lag_records: pipeline
                .inputs
                .iter()
                .map(|input| unsigned(input.lag_records))
                .sum(),
            rows_total: pipeline.rows_in,
            rows_per_s: None,
            watermark_ms: ms(pipeline.watermark_us),
        }
    };
    status.pipelines.iter().map(summary).collect()
}
