//! The console's files, embedded when built. Built from `console/` at the root of the repository; not to be edited here.

use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::error::ApiError;

#[derive(RustEmbed)]
#[folder = "console/"]
struct Bundle;

const INDEX: &str = "index.html";

/// A file of the bundle, or the page itself for the addresses that it makes up (`/topics/flights.late`).
pub(crate) async fn asset(uri: Uri, headers: HeaderMap) -> Result<Response, ApiError> {
    let path = uri.path().trim_start_matches('/');
    let missing = || ApiError::not_found(format!("there is nothing at {}", uri.path()));
    if path.starts_with("api/") {
        return Err(missing());
    }
    if let Some(file) = Bundle::get(path) {
        return Ok(file_response(path, file, &headers));
    }
    if path.starts_with("assets/") {
        return Err(missing());
    }
    let index =
        Bundle::get(INDEX).ok_or_else(|| ApiError::internal("this build has no console in it"))?;
    Ok(file_response(INDEX, index, &headers))
}

/// Names are stable, so browsers keep files and ask each time whether they changed.
fn file_response(path: &str, file: EmbeddedFile, asked: &HeaderMap) -> Response {
    let hash: String = file
        .metadata
        .sha256_hash()
        .iter()
        .take(12)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let tag = format!("\"{hash}\"");
    let known = asked
        .get(header::IF_NONE_MATCH)
        .is_some_and(|held| held.as_bytes() == tag.as_bytes());
    let mut headers = HeaderMap::new();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(content_type(path)),
    );
    headers.extend(
        HeaderValue::from_str(&tag)
            .ok()
            .map(|tag| (header::ETAG, tag)),
    );
    match known {
        true => (StatusCode::NOT_MODIFIED, headers).into_response(),
        false => (headers, file.data).into_response(),
    }
}

/// The kinds of file that the bundle has; anything else is only bytes.
fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "json" => "application/json",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
