//! The engine: pipelines of streaming SQL over a `StepLog`, their views, sinks and alerts.
//!
//! Reading order: [`config`], [`pipeline`] (one pipeline, its step and its recovery), [`cell`] (visible rows), [`alerts`], [`sinks`],
//! [`catalog`], [`engine`] (all of them together), [`statements`], `query`, [`report`]. Knows no broker, socket, database or page:
//! logs, sinks and notifiers are handed in.

pub mod alerts;
mod alter;
mod analyze;
mod builtin;
pub mod catalog;
pub mod cell;
mod codec;
pub mod config;
pub mod engine;
pub mod error;
mod infer;
pub mod pipeline;
mod query;
pub mod report;
pub mod sinks;
pub mod statements;
pub mod status;
pub mod testing;

pub use alerts::{AlertEvent, AlertPhase, Notifier, NotifyError};
pub use config::EngineConfig;
pub use engine::Engine;
pub use error::{EngineError, StatementError};
pub use report::DeadLetter;
pub use sinks::{SinkFactory, SinkRequest};
pub use statements::{Action, AppliedObject, ApplyReport, StatementResult};
