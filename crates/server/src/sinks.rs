//! The one place where a sink's connector and an alert's target get their implementation.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use headwater_connect::Sink;
use headwater_connectors::{PostgresOptions, PostgresSink, Resolver, Webhook};
use headwater_engine::{AlertEvent, Notifier, NotifyError, SinkFactory, SinkRequest};

/// Makes sinks by the name of their connector. A new connector is one line here.
pub fn factory() -> SinkFactory {
    Arc::new(|request| match request.def.connector.as_str() {
        "postgres" => postgres(request),
        other => Err(format!(
            "there is no connector {other:?}; known are topic, postgres"
        )),
    })
}

fn postgres(request: &SinkRequest) -> Result<Box<dyn Sink>, String> {
    let name = |at: &usize| request.columns.get(*at).map(|column| column.name.clone());
    let key: Option<Vec<String>> = request
        .key
        .as_ref()
        .map(|key| key.iter().filter_map(name).collect());
    let options = PostgresOptions::parse(&request.def.options, &request.columns, key.as_deref())
        .map_err(|error| error.to_string())?;
    let resolve: Resolver = Arc::new(|name| std::env::var(name).ok());
    Ok(Box::new(PostgresSink::new(
        request.id.clone(),
        options,
        request.columns.clone(),
        resolve,
    )))
}

/// Delivers alerts to `webhook:URL`.
pub fn notifier() -> Arc<dyn Notifier> {
    Arc::new(Targets {
        webhook: Webhook::default(),
    })
}

struct Targets {
    webhook: Webhook,
}

impl Notifier for Targets {
    fn notify<'a>(
        &'a self,
        target: &'a str,
        event: &'a AlertEvent,
    ) -> Pin<Box<dyn Future<Output = Result<(), NotifyError>> + Send + 'a>> {
        Box::pin(async move {
            let failed = |message: String| NotifyError { message };
            let url = target
                .strip_prefix("webhook:")
                .ok_or_else(|| failed("a target is written webhook:URL".into()))?;
            let body = serde_json::to_vec(event).map_err(|error| failed(error.to_string()))?;
            let posted = self.webhook.post(url, &event.idempotency_key, body).await;
            posted.map_err(|error| failed(error.message))
        })
    }
}
