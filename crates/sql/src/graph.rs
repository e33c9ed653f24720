//! The operator graph of one materialized view: what the planner hands to `dataflow`.
//!
//! Leaves are relations by name; their schema is the relation's whole schema (no projection is pushed into a leaf).

use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;

pub use crate::over::Stage;

pub type NodeId = usize;

/// Nodes in topological order: inputs come before their users; the last one is the result.
#[derive(Clone, Debug)]
pub struct Graph {
    pub nodes: Vec<Node>,
}

impl Graph {
    pub fn root(&self) -> Option<&Node> {
        self.nodes.last()
    }

    /// Names of the relations that it reads, once each.
    pub fn relations(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.nodes.iter().filter_map(|n| n.op.relation()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

#[derive(Clone, Debug)]
pub struct Node {
    pub id: NodeId,
    /// Stable across restarts and unrelated edits: operator kind and position, for example `aggregate-3`.
    pub key: String,
    pub op: Op,
    pub inputs: Vec<NodeId>,
    pub schema: SchemaRef,
    pub props: Props,
}

/// What the planning pass inferred of a node's output.
#[derive(Clone, Debug, PartialEq)]
pub struct Props {
    pub changelog: Changelog,
    /// Output columns that identify a row.
    pub key: Option<Vec<usize>>,
    /// Output column that the watermark speaks of.
    pub event_time: Option<usize>,
    /// Output column that holds the end of a window, if there is one.
    pub window_end: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changelog {
    /// Rows are only ever added.
    AppendOnly,
    /// Rows are added and taken back; every taken-back row carries all its columns.
    Retracting,
}

pub type PhysExpr = Arc<dyn PhysicalExpr>;

#[derive(Clone, Debug)]
pub enum Op {
    /// Rows of a relation of the catalog.
    Relation {
        name: String,
    },
    /// Rows that the query states itself (VALUES, a SELECT without FROM).
    Constant {
        rows: RecordBatch,
    },
    Filter {
        predicate: PhysExpr,
    },
    /// One expression per output column.
    Project {
        exprs: Vec<PhysExpr>,
    },
    /// One output row per element of the list in the last input column; the element takes its place (a struct element stays
    /// one struct column). Rows with an empty or NULL list vanish.
    Unnest,
    /// Rows that are there for a time, by the step's clock.
    Temporal(Temporal),
    Aggregate(Aggregate),
    Join(Join),
    SetOperation(SetOperation),
    /// All inputs have the node's column types.
    Union,
    Over(Over),
    TopN(TopN),
    /// Rows that are not late for their window.
    Gate(Gate),
    /// `EMIT ON WINDOW CLOSE`: the rows of each window, once, as inserts, when the watermark has reached its end.
    Close {
        /// Column with the window's end.
        column: usize,
    },
}

impl Op {
    pub fn relation(&self) -> Option<&str> {
        match self {
            Self::Relation { name } => Some(name),
            _ => None,
        }
    }

    /// What it is called where nodes are listed, and the first part of a node's key.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Relation { .. } => "relation",
            Self::Constant { .. } => "constant",
            Self::Filter { .. } => "filter",
            Self::Project { .. } => "project",
            Self::Unnest => "unnest",
            Self::Temporal(_) => "temporal",
            Self::Aggregate(_) => "aggregate",
            Self::Join(_) => "join",
            Self::SetOperation(_) => "setop",
            Self::Union => "union",
            Self::Over(_) => "over",
            Self::TopN(_) => "top",
            Self::Gate(_) => "gate",
            Self::Close { .. } => "close",
        }
    }
}

/// A row is there while `from <= now < until` holds for all of these times (Timestamp in microseconds, UTC; NULL is never).
#[derive(Clone, Debug)]
pub struct Temporal {
    pub from: Vec<PhysExpr>,
    pub until: Vec<PhysExpr>,
}

/// Output: the group columns, then one column per call. Without group columns there is always exactly one row
/// (`count` 0, others NULL), also over no input.
#[derive(Clone, Debug)]
pub struct Aggregate {
    pub group: Vec<PhysExpr>,
    pub calls: Vec<AggregateCall>,
    /// `EMIT ON WINDOW CLOSE`: the group column that holds the window's end (microseconds, UTC). A group is emitted once, as an
    /// insert, when the watermark has reached its end, then forgotten.
    pub close: Option<usize>,
    /// The groups are sessions, and the input tells labels of them, see [`Labels`].
    pub session: Option<SessionBounds>,
}

/// The group columns that hold the bounds of a session, in the input of [`Labels`]; in the output the first time of the session's rows,
/// and the last one and the gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionBounds {
    pub start: usize,
    pub end: usize,
    pub gap_us: i64,
}

#[derive(Clone, Debug)]
pub struct AggregateCall {
    pub function: AggregateFunction,
    /// `None` for `count(*)`. Already cast by the planner: sums arrive as Int64->Decimal128(38, s), Float64 or Decimal128.
    pub arg: Option<PhysExpr>,
    pub distinct: bool,
    pub filter: Option<PhysExpr>,
    pub return_type: DataType,
    /// Of [`AggregateFunction::Whole`]: what is computed from the structs that `arg` gives.
    pub whole: Option<Whole>,
}

/// A function of all rows of a group in an order: DataFusion's own, over the fields of a struct a row.
#[derive(Clone, Debug)]
pub struct Whole {
    pub function: Arc<AggregateFunctionExpr>,
    /// Fields by which rows are sorted first; rows that these do not tell apart by all fields.
    pub order: Vec<(usize, SortOptions)>,
    /// The function is that of one row only.
    pub pick: Option<Pick>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    First,
    Last,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AggregateFunction {
    Count,
    Sum,
    Avg,
    Min,
    Max,
    Whole,
}

#[derive(Clone, Debug)]
pub struct Gate {
    /// Column with the window's end; of sessions with the row's time.
    pub column: usize,
    /// A row is late as soon as the watermark has passed its own time: it could belong to a session that was given out.
    pub session: bool,
}

/// Window functions. Output: the input's columns, then one column for each function, stage by stage.
#[derive(Clone, Debug)]
pub struct Over {
    /// Input columns of the PARTITION BY, the same for all stages.
    pub partition: Vec<usize>,
    /// Each over the output of the one before it.
    pub stages: Vec<Stage>,
    /// The functions are the bounds of sessions, of which only an aggregate by session hears.
    pub labels: Option<Labels>,
}

/// What rows get instead of the bounds of their session: their own time as its start, and as its end a time that is the same for all rows of
/// the session, at or after its end, and the end of no other session of the key. It seldom changes when the session grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Labels {
    /// Input column with the row's time, microseconds; never NULL.
    pub time: usize,
    /// Rows this far apart are of two sessions.
    pub gap_us: i64,
    /// Output columns.
    pub start: usize,
    pub end: usize,
}

/// The first rows of each key in an order. Output: the input's columns, then the row's number (UINT64).
///
/// Rows that are equal by `order` follow each other as [`crate::over`] says.
#[derive(Clone, Debug)]
pub struct TopN {
    /// Input columns; none: of all rows.
    pub partition: Vec<usize>,
    pub order: Vec<(usize, SortOptions)>,
    pub rank: Rank,
    /// Numbers that are in the result, from 1 on, both ends inclusive.
    pub from: u64,
    pub to: u64,
    /// Whether somebody reads the row's number; it is 0 otherwise.
    pub numbered: bool,
}

/// How rows are numbered that are equal by the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// `row_number()`: each by itself.
    Row,
    /// `rank()`: as the first of them.
    Rank,
    /// `dense_rank()`: without gaps after them.
    Dense,
}

/// Output: the left columns, then (unless the kind says otherwise) the right columns. Both sides may retract; both are kept in state,
/// by key.
#[derive(Clone, Debug)]
pub struct Join {
    pub kind: JoinKind,
    /// Equal keys: expressions over the left and over the right input, of the same type. Empty: every row meets every row.
    pub on: Vec<(PhysExpr, PhysExpr)>,
    /// Whether NULL keys equal each other (`IS NOT DISTINCT FROM`); else they equal nothing.
    pub null_equal: bool,
    /// A further condition over the joined row (left columns, then right columns). It decides what matches.
    pub filter: Option<PhysExpr>,
    /// Of an interval join of two sides that only grow: when a row can be let go.
    pub within: Option<Within>,
    /// `FOR SYSTEM_TIME AS OF now()`: a left row meets what the right side holds at the end of its step, and is done with. Left rows are only
    /// ever added.
    pub lookup: bool,
    /// `FOR SYSTEM_TIME AS OF time`: a left row meets the version that was valid at its time, if the filter holds. Inner and left joins by keys
    /// that are not NULL; the right side only grows.
    pub as_of: Option<AsOf>,
}

/// How versions, the rows of a join's right side, follow each other. Versions of a key are valid until the next one begins.
#[derive(Clone, Debug)]
pub struct AsOf {
    /// The time of a left row.
    pub time: PhysExpr,
    /// Right column with the time from which a version is valid; without one it never is.
    pub from: usize,
    /// The order of versions by right columns: by time first. Of one time the last one counts.
    pub order: Vec<(usize, SortOptions)>,
    /// How far behind the watermark rows in time may be, by side, microseconds. Others are late, and what no row in time asks for is let
    /// go. `None`: everything is kept.
    pub slack_us: Option<[i64; 2]>,
}

/// How far apart in event time rows can match. All times in microseconds, by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Within {
    /// The side's column that tells a row's time, less `shift_us`.
    pub columns: [usize; 2],
    pub shift_us: [i64; 2],
    /// A row is done with when the watermark is past its time and this.
    pub keep_us: [i64; 2],
    /// A row is late when its time is further than this behind the watermark.
    pub slack_us: [i64; 2],
}

/// INTERSECT or EXCEPT of two inputs with the node's column types; NULLs are equal. With `all`, of n left and m right rows that are
/// equal INTERSECT has min(n, m) and EXCEPT n - m if that is more than none; without, one or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetOperation {
    pub except: bool,
    pub all: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    Inner,
    /// Left rows without a match too, with NULLs.
    Left,
    /// Rows of both sides without a match too, with NULLs.
    Full,
    /// Left rows that have a match, once each; left columns only.
    Semi,
    /// Left rows that have none; left columns only.
    Anti,
    /// Every left row, and whether it has a match: left columns, then a BOOLEAN that is never NULL.
    Mark,
}

impl JoinKind {
    /// Whether the right columns are left out of the result.
    pub fn only_left(self) -> bool {
        matches!(self, Self::Semi | Self::Anti | Self::Mark)
    }
}
