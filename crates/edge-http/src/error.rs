//! The one error of the API: a sentence, where it is in the SQL if it is there, and what to do about it.

use serde::{Deserialize, Serialize};

/// What the caller does next decides the kind, and the kind the HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// 400: change the request.
    BadRequest,
    /// 403: not from here.
    Forbidden,
    /// 404: there is no such thing.
    NotFound,
    /// 409: it exists with another definition.
    Conflict,
    /// 413: send less.
    TooLarge,
    /// 415: send JSON.
    NotJson,
    /// 503: try again later.
    Unavailable,
    /// 500: our fault.
    Internal,
}

impl ErrorKind {
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::NotJson => 415,
            Self::Unavailable => 503,
            Self::Internal => 500,
        }
    }
}

/// The error as it goes over the wire: `{"error": {...}}`. Absent parts are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceError {
    /// One sentence.
    pub message: String,
    /// From 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// From 1, in characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The offending line and, below it, a `^` under the column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caret: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// All of it as a terminal would show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rendered: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", detail.message)]
pub struct ApiError {
    pub kind: ErrorKind,
    /// Boxed, as it is large and rare.
    pub detail: Box<SourceError>,
}

impl ApiError {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            detail: Box::new(SourceError {
                message: message.into(),
                ..SourceError::default()
            }),
        }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadRequest, message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// An error at a place in SQL.
    pub fn in_source(detail: SourceError) -> Self {
        Self {
            kind: ErrorKind::BadRequest,
            detail: Box::new(detail),
        }
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.detail.hint = Some(hint.into());
        self
    }
}
