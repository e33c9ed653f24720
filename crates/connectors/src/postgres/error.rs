//! PostgreSQL's errors by what the runner does next. Messages never hold the URL.

use headwater_connect::SinkError;
use tokio_postgres::Error;
use tokio_postgres::error::DbError;

/// What the server, or the way to it, answered.
pub(super) fn classify(error: &Error) -> SinkError {
    let Some(database) = error.as_db_error() else {
        return SinkError::Unavailable(chain(error));
    };
    let text = describe(database);
    // The first two characters are the class of the state (PostgreSQL, appendix A).
    match database.code().code().get(..2) {
        Some("22" | "23" | "42") => SinkError::Rejected(text),
        _ => SinkError::Unavailable(text),
    }
}

fn describe(error: &DbError) -> String {
    let mut text = format!("PostgreSQL: {} ({})", error.message(), error.code().code());
    for more in [error.detail(), error.hint()].into_iter().flatten() {
        text.push_str("; ");
        text.push_str(more);
    }
    text
}

/// The error with its causes: "error connecting to server: Connection refused".
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = format!("PostgreSQL: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = inner.source();
    }
    text
}
