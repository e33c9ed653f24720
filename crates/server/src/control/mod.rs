//! What the page and the command line ask of a node, answered by broker and engine.

mod flows;
mod process;
mod rows;
mod statements;
mod streams;

use std::net::SocketAddr;
use std::sync::Arc;

use headwater_base::{Clock as _, SystemClock};
use headwater_broker::Broker;
use headwater_edge_http::ApiError;
use headwater_edge_http::error::{ErrorKind, SourceError};
use headwater_engine::Engine;
use headwater_engine::error::StatementError;
use headwater_log::local::LocalLog;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::settings::Settings;

/// One node, as the HTTP edge sees it.
pub struct NodeControl {
    broker: Arc<Broker>,
    engine: Arc<Engine>,
    log: Arc<LocalLog>,
    metrics: Option<PrometheusHandle>,
    started_ms: i64,
    kafka: String,
    http: String,
    state_bytes_max: usize,
}

impl NodeControl {
    pub fn new(
        (broker, engine, log): (Arc<Broker>, Arc<Engine>, Arc<LocalLog>),
        metrics: Option<PrometheusHandle>,
        settings: &Settings,
        (kafka, http): (SocketAddr, SocketAddr),
    ) -> Self {
        Self {
            broker,
            engine,
            log,
            metrics,
            started_ms: SystemClock.now_ms(),
            kafka: kafka.to_string(),
            http: http.to_string(),
            state_bytes_max: settings.state_bytes_max,
        }
    }
}

/// An engine's refusal, as the API says it.
fn refused(error: StatementError) -> ApiError {
    ApiError {
        kind: ErrorKind::BadRequest,
        detail: Box::new(SourceError {
            message: error.message,
            line: error.line,
            column: error.column,
            file: error.file,
            caret: error.caret,
            hint: error.hint,
            rendered: Some(error.rendered),
        }),
    }
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Microseconds to the API's milliseconds; the ends of time are no time.
fn ms(us: Option<i64>) -> Option<i64> {
    us.filter(|us| *us != i64::MIN && *us != i64::MAX)
        .map(|us| us.div_euclid(1_000))
}
