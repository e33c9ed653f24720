//! What the statements define: sources, tables, views, sinks, alerts. Plain data, as the engine keeps it.

use std::collections::BTreeMap;

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::logical_expr::Expr;

/// Options of a `WITH (...)` clause, lower-case keys. Values keep `${VAR}` unexpanded, so that they may be shown.
pub type Options = BTreeMap<String, String>;

/// A declared column of a source or table.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnDef {
    pub name: String,
    pub data_type: DataType,
    /// `c TYPE AS expr`: computed from the other columns, in order of declaration.
    pub computed: Option<Expr>,
    pub not_null: bool,
    /// Declared as JSON or JSONB: TEXT that takes any value of a record in JSON.
    pub json: bool,
    pub from: ColumnFrom,
    /// `DEFAULT expr`: what a missing or null field becomes.
    pub default: Option<Expr>,
}

/// What of a record fills a column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ColumnFrom {
    /// A field of the value.
    #[default]
    Value,
    /// A field of the key (`KEY`).
    Key,
    /// `METADATA FROM '...'`: `topic`, `partition`, `offset`, `timestamp`, `timestamp_type`, `key`, `value`, `headers` or
    /// `headers.<name>`.
    Metadata(String),
}

/// `CREATE SOURCE`: an append-only relation over a topic.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceDef {
    pub name: String,
    pub columns: Vec<ColumnDef>,
    pub watermark: Option<WatermarkDef>,
    pub topic: String,
    pub format: String,
    pub start: StartAt,
    pub options: Options,
    /// Of the versions of a table: what the table asks of its columns.
    pub of_table: Option<OfTable>,
}

/// What a table asks of records, which its versions ask of those that do not delete.
#[derive(Clone, Debug, PartialEq)]
pub struct OfTable {
    /// Columns of the primary key.
    pub primary_key: Vec<usize>,
    /// Columns that are declared NOT NULL.
    pub not_null: Vec<usize>,
}

/// `WATERMARK FOR column AS expr`.
#[derive(Clone, Debug, PartialEq)]
pub struct WatermarkDef {
    /// Index of the event-time column.
    pub column: usize,
    pub expr: Expr,
    /// How long a partition read to its end may be silent before it no longer holds the watermark back, in milliseconds.
    pub idle_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    Earliest,
    Latest,
}

/// `CREATE TABLE`: the latest row of each key of a topic; tombstones delete.
#[derive(Clone, Debug, PartialEq)]
pub struct TableDef {
    pub name: String,
    pub columns: Vec<ColumnDef>,
    /// Indexes of the primary key's columns, in the order of the key.
    pub primary_key: Vec<usize>,
    pub watermark: Option<WatermarkDef>,
    pub topic: String,
    pub format: String,
    pub options: Options,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emit {
    /// Running results, corrected as rows arrive.
    Changes,
    /// Each window once, when it has closed.
    OnWindowClose,
}

/// `CREATE MATERIALIZED VIEW` (`CREATE VIEW` is expanded where it is used and never reaches the engine's operators).
#[derive(Clone, Debug, PartialEq)]
pub struct ViewDef {
    pub name: String,
    /// The query's text as written, `${VAR}` unexpanded.
    pub query: String,
    pub materialized: bool,
    pub emit: Emit,
    /// Rows whose event time (or window end) is this much older than the watermark are let go.
    pub retention_ms: Option<i64>,
    /// It is a view over the rows of its streams that are younger than this, by event time.
    pub ttl_ms: Option<i64>,
    pub options: Options,
}

/// `CREATE SINK name INTO connector FROM view WITH (...)`.
#[derive(Clone, Debug, PartialEq)]
pub struct SinkDef {
    pub name: String,
    /// `topic` or `postgres`.
    pub connector: String,
    pub from: String,
    pub options: Options,
}

/// `CREATE ALERT name AS SELECT ... WITH (...)`: a materialized view whose rows are conditions that hold.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertDef {
    pub name: String,
    pub view: ViewDef,
    /// Columns that name the alert's subject; the view's key unless told.
    pub key: Vec<String>,
    pub severity: String,
    /// `webhook:URL` targets, `${VAR}` unexpanded. The console shows every alert.
    pub notify: Vec<String>,
    pub options: Options,
}

/// Anything that the catalog holds under a name.
#[derive(Clone, Debug, PartialEq)]
pub enum Definition {
    Source(SourceDef),
    Table(TableDef),
    View(ViewDef),
    Sink(SinkDef),
    Alert(AlertDef),
}

impl Definition {
    pub fn name(&self) -> &str {
        match self {
            Self::Source(d) => &d.name,
            Self::Table(d) => &d.name,
            Self::View(d) => &d.name,
            Self::Sink(d) => &d.name,
            Self::Alert(d) => &d.name,
        }
    }
}

/// What a query may read, as the planner sees it.
#[derive(Clone, Debug)]
pub struct Relation {
    pub name: String,
    pub schema: SchemaRef,
    pub kind: RelationKind,
    /// Columns that identify a row, if any.
    pub key: Option<Vec<usize>>,
    /// The event-time column that its watermark speaks of.
    pub event_time: Option<usize>,
    /// Whether rows are only ever added.
    pub append_only: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum RelationKind {
    Source,
    Table,
    /// A materialized view: read its rows.
    Materialized,
    /// `CREATE VIEW`: the text to expand in place.
    Inline {
        query: String,
    },
    /// A topic without a definition: metadata columns and raw key and value.
    Topic,
}

/// What exists, as the planner needs to know it.
pub trait Catalog: Send + Sync {
    fn relation(&self, name: &str) -> Option<Relation>;
    /// All names, for hints.
    fn names(&self) -> Vec<String>;
}
