//! What delivers an alert's event to a target outside. Implemented elsewhere (HTTP).

use std::future::Future;
use std::pin::Pin;

use super::state::AlertEvent;

/// The target did not take the event; it will be tried again, unless `permanent`.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct NotifyError {
    pub message: String,
}

/// Delivers events. At least once; `event.idempotency_key` is the same for every attempt.
pub trait Notifier: Send + Sync + 'static {
    /// `target` is what follows `notify =`, with `${VAR}` expanded: `webhook:URL`. It must not appear in errors.
    fn notify<'a>(
        &'a self,
        target: &'a str,
        event: &'a AlertEvent,
    ) -> Pin<Box<dyn Future<Output = Result<(), NotifyError>> + Send + 'a>>;
}
