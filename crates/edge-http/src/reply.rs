//! How answers and errors become HTTP: JSON both, errors as `{"error": {...}}`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, Request};
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{ApiError, ErrorKind, SourceError};
use crate::limits::{BODY_BYTES_MAX, BODY_PAUSE};

pub(crate) type Reply<T> = Result<Fresh<T>, ApiError>;

/// JSON that no cache may keep.
pub(crate) struct Fresh<T>(pub T);

impl<T: Serialize> IntoResponse for Fresh<T> {
    fn into_response(self) -> Response {
        ([(header::CACHE_CONTROL, "no-store")], Json(self.0)).into_response()
    }
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: &'a SourceError,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status.is_server_error() {
            tracing::warn!(status = status.as_u16(), message = %self.detail.message, "request failed");
        }
        (
            status,
            Fresh(ErrorBody {
                error: &self.detail,
            }),
        )
            .into_response()
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_request(format!(
            "the address is wrong after its '?': {}",
            rejection.body_text()
        ))
    }
}

/// Reads a POST's body as JSON and nothing else, so that a plain form of another page never gets here.
pub(crate) async fn json_body<T: DeserializeOwned>(request: Request) -> Result<T, ApiError> {
    let headers = request.headers();
    if !headers.get(header::CONTENT_TYPE).is_some_and(is_json) {
        return Err(ApiError::new(
            ErrorKind::NotJson,
            "the body must be sent as content-type application/json",
        ));
    }
    if claimed_length(headers) > BODY_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let body = tokio::time::timeout(BODY_PAUSE, Bytes::from_request(request, &())).await;
    let body = body.map_err(|_| ApiError::bad_request("the body did not arrive in time"))?;
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        _ => ApiError::bad_request(format!(
            "the body could not be read: {}",
            rejection.body_text()
        )),
    })?;
    serde_json::from_slice(&body)
        .map_err(|e| ApiError::bad_request(format!("the body is not what is expected: {e}")))
}

fn claimed_length(headers: &HeaderMap) -> u64 {
    let claimed = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    claimed.and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn too_large() -> ApiError {
    ApiError::new(
        ErrorKind::TooLarge,
        format!("the body is larger than {BODY_BYTES_MAX} bytes"),
    )
}

fn is_json(content_type: &HeaderValue) -> bool {
    let text = content_type.to_str().unwrap_or_default();
    let kind = text.split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/json")
}

pub(crate) async fn no_such_route(uri: Uri) -> ApiError {
    ApiError::not_found(format!("there is nothing at {}", uri.path()))
}

pub(crate) async fn wrong_method(method: Method, uri: Uri) -> Response {
    let error = ApiError::bad_request(format!("{} does not take {method}", uri.path()));
    (StatusCode::METHOD_NOT_ALLOWED, error.into_response()).into_response()
}
