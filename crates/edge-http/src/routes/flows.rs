//! Pipelines, views, alerts, dead letters.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;

use super::node::event_stream;
use crate::changes;
use crate::dto::{Alerts, DeadLetters, Pipeline, RowsQuery, View, ViewRows};
use crate::error::ApiError;
use crate::limits::{DEAD_LETTERS_MAX, ROWS_MAX};
use crate::reply::{Fresh, Reply};
use crate::serve::App;

const ROWS_DEFAULT: usize = 200;
const DEAD_LETTERS_DEFAULT: usize = 100;

pub(super) async fn pipelines(State(app): State<App>) -> Reply<Vec<Pipeline>> {
    let mut pipelines = app.control.pipelines().await?;
    pipelines
        .iter_mut()
        .for_each(|pipeline| app.rates.pipeline(pipeline));
    Ok(Fresh(pipelines))
}

pub(super) async fn views(State(app): State<App>) -> Reply<Vec<View>> {
    let mut views = app.control.views().await?;
    views.iter_mut().for_each(|view| app.rates.view(view));
    Ok(Fresh(views))
}

#[derive(Deserialize)]
pub(super) struct RowsParams {
    limit: Option<usize>,
    order_by: Option<String>,
    #[serde(default)]
    descending: bool,
}

pub(super) async fn view_rows(
    State(app): State<App>,
    Path(view): Path<String>,
    params: Result<Query<RowsParams>, QueryRejection>,
) -> Reply<ViewRows> {
    let Query(params) = params?;
    let limit = params.limit.unwrap_or(ROWS_DEFAULT).clamp(1, ROWS_MAX);
    let query = RowsQuery {
        limit,
        order_by: params.order_by,
        descending: params.descending,
    };
    app.control.view_rows(view, query).await.map(Fresh)
}

pub(super) async fn view_changes(
    State(app): State<App>,
    Path(view): Path<String>,
) -> Result<Response, ApiError> {
    event_stream(&app, async {
        Ok(changes::events(app.control.view_changes(view).await?))
    })
    .await
}

pub(super) async fn alerts(State(app): State<App>) -> Reply<Alerts> {
    app.control.alerts().await.map(Fresh)
}

#[derive(Deserialize)]
pub(super) struct DeadLettersParams {
    limit: Option<usize>,
}

pub(super) async fn dead_letters(
    State(app): State<App>,
    params: Result<Query<DeadLettersParams>, QueryRejection>,
) -> Reply<DeadLetters> {
    let Query(params) = params?;
    let limit = params
        .limit
        .unwrap_or(DEAD_LETTERS_DEFAULT)
        .clamp(1, DEAD_LETTERS_MAX);
    app.control.dead_letters(limit).await.map(Fresh)
}
