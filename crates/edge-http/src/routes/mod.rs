//! What is served where. One file per subject; a handler only translates between HTTP and `Control`.

mod flows;
mod node;
mod statements;
mod topics;

use axum::Router;
use axum::routing::{get, post};

use crate::serve::App;
use crate::{assets, reply};

pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/api/sql", post(statements::sql))
        .route("/api/apply", post(statements::apply))
        .route("/api/overview", get(node::overview))
        .route("/api/live", get(node::live))
        .route("/api/topics", get(topics::topics))
        .route("/api/topics/{topic}", get(topics::topic))
        .route("/api/topics/{topic}/records", get(topics::records))
        .route("/api/groups", get(topics::groups))
        .route("/api/pipelines", get(flows::pipelines))
        .route("/api/views", get(flows::views))
        .route("/api/views/{view}/rows", get(flows::view_rows))
        .route("/api/views/{view}/changes", get(flows::view_changes))
        .route("/api/alerts", get(flows::alerts))
        .route("/api/dead-letters", get(flows::dead_letters))
        .route("/api", get(reply::no_such_route))
        .route("/metrics", get(node::metrics))
        .route("/health", get(node::health))
        .fallback(get(assets::asset))
        .method_not_allowed_fallback(reply::wrong_method)
        .with_state(app)
}
