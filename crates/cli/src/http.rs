//! Calls of the node's HTTP API: JSON in, JSON out, answers of any size.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::CliError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a node's HTTP address is.
#[derive(Clone, Debug, clap::Args)]
pub struct HttpArgs {
    /// The node's HTTP address
    #[arg(
        long,
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:8080",
        env = "HEADWATER_HTTP"
    )]
    pub http: String,
}

/// `POST /api/sql`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct SqlAnswer {
    pub results: Vec<SqlResult>,
}

/// The result of one statement.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct SqlResult {
    /// Empty for statements that return no rows.
    #[serde(default)]
    pub columns: Vec<Column>,
    #[serde(default)]
    pub rows: Vec<Vec<Value>>,
    #[serde(default)]
    pub message: Option<String>,
    /// Records acked before the statement that the answer does not contain yet.
    #[serde(default)]
    pub behind: u64,
    #[serde(default)]
    pub truncated: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Column {
    pub name: String,
    #[serde(default, rename = "type")]
    pub kind: String,
}

/// `POST /api/apply`.
#[derive(Clone, Debug, Serialize)]
pub struct ApplyRequest {
    pub pipeline: String,
    pub files: Vec<ApplyFile>,
    pub replace: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApplyFile {
    pub name: String,
    pub text: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Applied {
    pub pipeline: String,
    pub changes: Vec<AppliedChange>,
    #[serde(default)]
    pub message: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct AppliedChange {
    pub name: String,
    pub kind: String,
    /// `created`, `unchanged`, `replaced`, `dropped` or `orphaned`.
    pub action: String,
}

#[derive(Deserialize)]
struct Refusal {
    error: RefusalDetail,
}

#[derive(Default, Deserialize)]
struct RefusalDetail {
    #[serde(default)]
    message: String,
    #[serde(default)]
    rendered: Option<String>,
    #[serde(default)]
    hint: Option<String>,
}

/// Runs statements.
///
/// # Errors
/// No node there, or what it says about the statements.
pub async fn sql(http: &str, sql: String) -> Result<SqlAnswer, CliError> {
    post(http, "/api/sql", serde_json::json!({ "sql": sql })).await
}

/// Applies a pipeline.
///
/// # Errors
/// No node there, or what it says about the files.
pub async fn apply(http: &str, request: &ApplyRequest) -> Result<Applied, CliError> {
    let address = address(http);
    let body = serde_json::to_value(request).map_err(|error| failed(&address, &error))?;
    post(http, "/api/apply", body).await
}

async fn post<T: serde::de::DeserializeOwned + Send + 'static>(
    http: &str,
    path: &'static str,
    body: Value,
) -> Result<T, CliError> {
    let address = address(http);
    let given = address.clone();
    let call = tokio::task::spawn_blocking(move || blocking_post(&address, path, &body));
    call.await.map_err(|error| failed(&given, &error))?
}

fn blocking_post<T: serde::de::DeserializeOwned>(
    address: &str,
    path: &str,
    body: &Value,
) -> Result<T, CliError> {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .proxy(None)
        .build();
    let sent = ureq::Agent::from(config)
        .post(format!("http://{address}{path}"))
        .header("content-type", "application/json")
        .send(body.to_string());
    let mut response = sent.map_err(|error| match &error {
        ureq::Error::Io(cause) if cause.kind() == std::io::ErrorKind::ConnectionRefused => {
            CliError::HttpNotListening {
                address: address.to_owned(),
            }
        }
        _ => failed(address, &error),
    })?;
    let status = response.status().as_u16();
    let read = response
        .body_mut()
        .with_config()
        .limit(u64::MAX)
        .read_to_vec();
    let bytes = read.map_err(|error| failed(address, &error))?;
    if (200..300).contains(&status) {
        return serde_json::from_slice(&bytes)
            .map_err(|error| failed(address, &format!("its answer is not as expected: {error}")));
    }
    Err(refusal(address, status, &bytes))
}

/// What a node said instead of an answer.
fn refusal(address: &str, status: u16, bytes: &[u8]) -> CliError {
    let Ok(Refusal { error }) = serde_json::from_slice(bytes) else {
        return failed(
            address,
            &format!("HTTP status {status}; is this the node's --http address?"),
        );
    };
    let hint = error
        .hint
        .map(|hint| format!("\nhint: {hint}"))
        .unwrap_or_default();
    let shown = error
        .rendered
        .unwrap_or_else(|| format!("headwater: {}{hint}", error.message));
    if status == 409 {
        CliError::Changed(shown)
    } else {
        CliError::Sql(shown)
    }
}

fn failed(address: &str, reason: &dyn std::fmt::Display) -> CliError {
    CliError::Http {
        address: address.to_owned(),
        reason: reason.to_string(),
    }
}

/// `HOST:PORT` of what a user may have written as a URL.
fn address(http: &str) -> String {
    http.trim_start_matches("http://")
        .trim_end_matches('/')
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_shown_as_the_node_rendered_them() {
        let rendered = refusal(
            "a:1",
            400,
            br#"{"error":{"message":"m","rendered":"line 1\n  ^"}}"#,
        );
        assert_eq!(
            (rendered.shown().as_str(), rendered.exit_code()),
            ("line 1\n  ^", 1)
        );
        let changed = refusal(
            "a:1",
            409,
            br#"{"error":{"message":"view v differs","hint":"use --replace"}}"#,
        );
        assert_eq!(changed.exit_code(), 4);
        assert!(
            changed.shown().contains("view v differs") && changed.shown().contains("--replace")
        );
        assert!(refusal("a:1", 502, b"<html>").shown().contains("502"));
        assert_eq!(address("http://localhost:8080/"), "localhost:8080");
    }
}
