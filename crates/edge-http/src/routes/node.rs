//! The process itself: overview, its live stream, metrics, health.

use std::convert::Infallible;
use std::future::Future;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use futures::stream::Stream;

use crate::dto::{HealthStatus, Overview};
use crate::error::ApiError;
use crate::limits::KEEP_ALIVE_PAUSE;
use crate::reply::{Fresh, Reply};
use crate::serve::App;

const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) async fn overview(State(app): State<App>) -> Reply<Overview> {
    let mut overview = app.control.overview().await?;
    app.live.complete(&mut overview);
    Ok(Fresh(overview))
}

pub(super) async fn live(State(app): State<App>) -> Result<Response, ApiError> {
    let events = app
        .live
        .follow()
        .map(|json| Event::default().event("overview").data(&*json));
    event_stream(&app, async { Ok(events) }).await
}

/// Server-sent events, one of a limited number of streams, until the node stops.
pub(super) async fn event_stream<S>(
    app: &App,
    events: impl Future<Output = Result<S, ApiError>>,
) -> Result<Response, ApiError>
where
    S: Stream<Item = Event> + Send + 'static,
{
    let permit = app.streams.clone().try_acquire_owned();
    let permit = permit
        .map_err(|_| ApiError::unavailable("too many live streams are open; close some pages"))?;
    let mut closing = app.closing.clone();
    let stopped = async move { drop(closing.wait_for(|closing| *closing).await) };
    let events = events.await?.take_until(stopped).map(move |event| {
        // Held by the stream, and given back with it.
        let _held = &permit;
        Ok::<_, Infallible>(event)
    });
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE_PAUSE);
    Ok((
        [(header::CACHE_CONTROL, "no-store")],
        Sse::new(events).keep_alive(keep_alive),
    )
        .into_response())
}

pub(super) async fn metrics(State(app): State<App>) -> Result<Response, ApiError> {
    let text = app.control.metrics().await?;
    Ok((
        [
            (header::CONTENT_TYPE, METRICS_TYPE),
            (header::CACHE_CONTROL, "no-store"),
        ],
        text,
    )
        .into_response())
}

pub(super) async fn health(State(app): State<App>) -> Result<Response, ApiError> {
    let health = app.control.health().await?;
    let status = match health.status {
        HealthStatus::Ok | HealthStatus::Degraded => StatusCode::OK,
        HealthStatus::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    };
    Ok((status, Fresh(health)).into_response())
}
