//! Connections to the world outside: one folder each. They implement the traits of `connect` and know nothing of pipelines.

pub mod postgres;
pub mod secrets;
pub mod webhook;

pub use postgres::{PostgresOptions, PostgresSink};
pub use secrets::{Resolver, expand};
pub use webhook::{Webhook, WebhookError};
