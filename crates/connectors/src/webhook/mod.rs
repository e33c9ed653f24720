//! [`Webhook`]: delivers an event as JSON to a URL. One attempt a call; whoever calls retries, with the same key.
//!
//! The URL is a secret (tokens stand in paths and queries): it never appears in an error or a log, only the host does.

use std::time::Duration;

use ureq::Agent;
use ureq::http::Uri;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(15);
/// Only the start of an answer is read, for the message.
const ANSWER_BYTES_MAX: u64 = 512;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct WebhookError {
    pub message: String,
    /// Trying again cannot help: the URL is none, or the receiver refuses the event itself.
    pub permanent: bool,
}

#[derive(Clone, Debug)]
pub struct Webhook {
    agent: Agent,
}

impl Default for Webhook {
    fn default() -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .http_status_as_error(false)
            // A redirect would carry the event to somebody who was not named.
            .max_redirects(0)
            .user_agent(concat!("headwater/", env!("CARGO_PKG_VERSION")))
            .build();
        Self {
            agent: config.new_agent(),
        }
    }
}

impl Webhook {
    /// Posts `body` (JSON) with `Idempotency-Key`. `Ok` on any 2xx answer.
    pub async fn post(
        &self,
        url: &str,
        idempotency_key: &str,
        body: Vec<u8>,
    ) -> Result<(), WebhookError> {
        let (agent, url, key) = (
            self.agent.clone(),
            url.to_owned(),
            idempotency_key.to_owned(),
        );
        let posting = tokio::task::spawn_blocking(move || post_blocking(&agent, &url, &key, &body));
        posting.await.map_err(|_| WebhookError {
            message: "the delivery was cancelled".into(),
            permanent: false,
        })?
    }
}

fn post_blocking(agent: &Agent, url: &str, key: &str, body: &[u8]) -> Result<(), WebhookError> {
    let uri: Option<Uri> = url.parse().ok();
    let host = uri
        .as_ref()
        .filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")))
        .and_then(Uri::host);
    let Some(host) = host else {
        return Err(WebhookError {
            message: "the webhook's target is no http or https URL".into(),
            permanent: true,
        });
    };
    let request = agent
        .post(url)
        .header("Content-Type", "application/json")
        .header("Idempotency-Key", key);
    let mut answer = request.send(body).map_err(|error| WebhookError {
        message: format!("webhook at {host}: {}", without_url(&error)),
        permanent: false,
    })?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let text = answer
        .body_mut()
        .with_config()
        .limit(ANSWER_BYTES_MAX)
        .lossy_utf8(true)
        .read_to_string()
        .unwrap_or_default();
    let shown: String = text.chars().filter(|c| !c.is_control()).take(120).collect();
    // A receiver that is busy or broken may recover; one that understood and refused will not.
    let permanent = status.is_client_error()
        && !matches!(status.as_u16(), 401 | 403 | 404 | 408 | 409 | 425 | 429);
    Err(WebhookError {
        message: format!("webhook at {host} answered {status} {shown}")
            .trim_end()
            .to_owned(),
        permanent,
    })
}

/// What went wrong, in words that cannot hold the URL.
fn without_url(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "no answer in time".into(),
        ureq::Error::HostNotFound => "host not found".into(),
        ureq::Error::ConnectionFailed => "connection failed".into(),
        ureq::Error::Io(error) => error.kind().to_string(),
        ureq::Error::Tls(what) => format!("TLS: {what}"),
        ureq::Error::Rustls(error) => format!("TLS: {error}"),
        _ => "the request failed".into(),
    }
}

#[cfg(test)]
mod tests;
