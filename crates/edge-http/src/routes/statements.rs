//! What changes something: `POST /api/sql`, `POST /api/apply`.

use axum::extract::{Request, State};
use tokio::sync::SemaphorePermit;

use crate::dto::{Applied, ApplyRequest, SqlAnswer, SqlRequest};
use crate::error::ApiError;
use crate::reply::{Fresh, Reply, json_body};
use crate::serve::App;

pub(super) async fn sql(State(app): State<App>, request: Request) -> Reply<SqlAnswer> {
    let request: SqlRequest = json_body(request).await?;
    let _turn = turn(&app)?;
    app.control.sql(request.sql).await.map(Fresh)
}

pub(super) async fn apply(State(app): State<App>, request: Request) -> Reply<Applied> {
    let request: ApplyRequest = json_body(request).await?;
    let _turn = turn(&app)?;
    app.control.apply(request).await.map(Fresh)
}

fn turn(app: &App) -> Result<SemaphorePermit<'_>, ApiError> {
    let turn = app.statements.try_acquire();
    turn.map_err(|_| {
        ApiError::unavailable("too many statements are running; try again in a moment")
    })
}
