//! What changes something: `POST /api/sql`, `POST /api/apply`.

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use tokio::sync::SemaphorePermit;

use crate::dto::{Applied, ApplyRequest, SqlAnswer, SqlRequest};
use crate::error::ApiError;
use crate::reply::{Fresh, Reply, json_body};
use crate::serve::App;

type Body = Result<Bytes, BytesRejection>;

pub(super) async fn sql(
    State(app): State<App>,
    headers: HeaderMap,
    body: Body,
) -> Reply<SqlAnswer> {
    let request: SqlRequest = json_body(&headers, body)?;
    let _turn = turn(&app)?;
    app.control.sql(request.sql).await.map(Fresh)
}

pub(super) async fn apply(
    State(app): State<App>,
    headers: HeaderMap,
    body: Body,
) -> Reply<Applied> {
    let request: ApplyRequest = json_body(&headers, body)?;
    let _turn = turn(&app)?;
    app.control.apply(request).await.map(Fresh)
}

fn turn(app: &App) -> Result<SemaphorePermit<'_>, ApiError> {
    let turn = app.statements.try_acquire();
    turn.map_err(|_| {
        ApiError::unavailable("too many statements are running; try again in a moment")
    })
}
