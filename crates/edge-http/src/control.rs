//! All that the HTTP side needs of a node. Implemented by `server` over broker and engine, and by a fake in tests.
//!
//! Split by what is asked about, so that each half can be implemented beside what it looks at. Nothing here may wait for
//! a reader: an answer is a snapshot, and a [`ChangeStream`] whose reader falls behind ends.

use std::pin::Pin;

use futures::future::BoxFuture;
use futures::stream::Stream;

use crate::dto::{
    Alerts, Applied, ApplyRequest, ChangeBatch, DeadLetters, Group, Health, Overview, Pipeline,
    RecordsQuery, RowsQuery, SqlAnswer, Topic, TopicDetail, TopicRecord, View, ViewRows,
};
use crate::error::ApiError;

pub type Answer<'a, T> = BoxFuture<'a, Result<T, ApiError>>;

/// Changes of one view, one item a commit. It ends when the view is dropped, when the node stops, or when the reader was
/// too slow for the implementer's bounded buffer; the page then reads the rows anew.
pub type ChangeStream = Pin<Box<dyn Stream<Item = ChangeBatch> + Send>>;

/// What changes something.
pub trait Statements: Send + Sync {
    /// Runs statements in order; stops at the first error, which is returned (what ran before it stays).
    fn sql(&self, sql: String) -> Answer<'_, SqlAnswer>;

    /// Creates what the files of a pipeline folder say, all or nothing; again is harmless.
    fn apply(&self, request: ApplyRequest) -> Answer<'_, Applied>;
}

/// The Kafka side: topics, records, groups.
pub trait Streams: Send + Sync {
    /// All topics by name, internal ones included (marked so).
    fn topics(&self) -> Answer<'_, Vec<Topic>>;

    fn topic(&self, name: String) -> Answer<'_, TopicDetail>;

    /// The newest records, newest first, by (timestamp, partition, offset).
    fn records(&self, topic: String, query: RecordsQuery) -> Answer<'_, Vec<TopicRecord>>;

    fn groups(&self) -> Answer<'_, Vec<Group>>;
}

/// The engine's side: pipelines, views, alerts, dead letters.
pub trait Flows: Send + Sync {
    fn pipelines(&self) -> Answer<'_, Vec<Pipeline>>;

    /// Materialized views, tables and alerts' conditions.
    fn views(&self) -> Answer<'_, Vec<View>>;

    /// Rows of one view as of one commit.
    fn view_rows(&self, view: String, query: RowsQuery) -> Answer<'_, ViewRows>;

    /// Changes after the commit that is current now.
    fn view_changes(&self, view: String) -> Answer<'_, ChangeStream>;

    fn alerts(&self) -> Answer<'_, Alerts>;

    fn dead_letters(&self, limit: usize) -> Answer<'_, DeadLetters>;
}

/// The process itself.
pub trait Node: Send + Sync {
    /// Counters and states; called once a second, so it must be cheap. Rates are derived from it here, at the edge.
    fn overview(&self) -> Answer<'_, Overview>;

    /// Prometheus text format.
    fn metrics(&self) -> Answer<'_, String>;

    fn health(&self) -> Answer<'_, Health>;
}

/// A node as the HTTP side sees it. Implemented by whatever implements the four parts.
pub trait Control: Statements + Streams + Flows + Node + 'static {}

impl<T: Statements + Streams + Flows + Node + 'static> Control for T {}
