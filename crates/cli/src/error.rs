//! Failures of commands, each with a sentence that says what to do, and their exit codes.

use crate::client::ClientError;

/// Why a command ended without success.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error(transparent)]
    Kafka(#[from] ClientError),
    #[error(
        "nothing listens on {address}: start a node with `headwater up`, or say where its HTTP address is with --http HOST:PORT"
    )]
    HttpNotListening { address: String },
    #[error("the request to {address} failed: {reason}")]
    Http { address: String, reason: String },
    /// The node's answer to SQL that is wrong, as it is to be shown.
    #[error("{0}")]
    Sql(String),
    /// Definitions changed, and `--replace` was not given.
    #[error("{0}")]
    Changed(String),
    #[error("{what}: {source}")]
    Io {
        what: String,
        source: std::io::Error,
    },
    #[error("{0}")]
    Usage(String),
    /// Whoever read our output has seen enough.
    #[error("the output was closed")]
    OutputClosed,
}

impl CliError {
    pub fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        if source.kind() == std::io::ErrorKind::BrokenPipe {
            Self::OutputClosed
        } else {
            Self::Io {
                what: what.into(),
                source,
            }
        }
    }

    pub(crate) fn output(source: std::io::Error) -> Self {
        Self::io("cannot write the output", source)
    }

    /// 1: refused or failed; 2: used wrongly; 3: no node there; 4: a changed definition needs `--replace`.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::OutputClosed => 0,
            Self::Usage(_) => 2,
            Self::HttpNotListening { .. } => 3,
            Self::Kafka(ClientError::NotListening { .. } | ClientError::Address { .. }) => 3,
            Self::Changed(_) => 4,
            Self::Kafka(_) | Self::Http { .. } | Self::Sql(_) | Self::Io { .. } => 1,
        }
    }

    /// The text for the terminal: SQL errors stand as the node rendered them.
    pub fn shown(&self) -> String {
        match self {
            Self::Sql(rendered) | Self::Changed(rendered) => rendered.clone(),
            other => format!("headwater: {other}"),
        }
    }
}
