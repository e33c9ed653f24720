//! Sinks outside the log: each reads its view's durable changelog with its own cursor, which the other side keeps.

pub mod columns;
pub mod runner;

use std::sync::Arc;

use headwater_connect::{Sink, SinkColumn};
use headwater_sql::model::SinkDef;

/// What is needed to make a sink.
#[derive(Clone, Debug)]
pub struct SinkRequest {
    /// Options hold `${VAR}` unexpanded.
    pub def: SinkDef,
    /// Identity on the other side. Another one whenever the changelog starts over.
    pub id: String,
    pub columns: Vec<SinkColumn>,
    /// Columns that name a row; `None`: rows are only added.
    pub key: Option<Vec<usize>>,
}

/// Makes sinks. Handed in, because this crate knows no connector.
pub type SinkFactory = Arc<dyn Fn(&SinkRequest) -> Result<Box<dyn Sink>, String> + Send + Sync>;
