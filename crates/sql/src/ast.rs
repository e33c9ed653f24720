//! The statements of the language as parsed: names, options and queries, nothing resolved yet.

use datafusion::sql::sqlparser::ast;

use crate::model::{ColumnFrom, Emit};
use crate::source::{Position, Source};

/// One statement of a file.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The statement's own text without the `;`, knowing its place in the file.
    pub source: Source,
    pub kind: StatementKind,
}

#[derive(Clone, Debug)]
pub enum StatementKind {
    Create(Box<Create>),
    Drop {
        kind: ObjectKind,
        name: Name,
        if_exists: bool,
        cascade: bool,
    },
    Alter {
        kind: ObjectKind,
        name: Name,
        if_exists: bool,
        changes: Vec<OptionChange>,
    },
    /// The pipeline of this name, or the one that this object belongs to, takes no input until it is resumed.
    Pause(Name),
    Resume(Name),
    Show(ShowKind),
    ShowCreate(Name),
    Describe(Name),
    Explain(ExplainTarget),
    /// `SELECT`, `WITH`, `VALUES`.
    Query(Query),
}

/// A name and where it stands in the statement's text.
#[derive(Clone, Debug)]
pub struct Name {
    pub text: String,
    pub at: Position,
}

#[derive(Clone, Debug)]
pub struct Create {
    pub name: Name,
    pub or_replace: bool,
    pub if_not_exists: bool,
    pub body: CreateBody,
    pub options: Vec<OptionItem>,
}

#[derive(Clone, Debug)]
pub enum CreateBody {
    Source(Columns),
    Table(Columns),
    View {
        query: Query,
        materialized: bool,
        emit: Emit,
    },
    Sink {
        connector: Name,
        from: Name,
    },
    Alert {
        query: Query,
        emit: Emit,
    },
}

/// What stands between the parentheses of `CREATE SOURCE` and `CREATE TABLE`.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    pub columns: Vec<Column>,
    pub primary_key: Option<Vec<Name>>,
    pub watermark: Option<Watermark>,
}

#[derive(Clone, Debug)]
pub struct Column {
    pub name: Name,
    pub data_type: ast::DataType,
    pub type_at: Position,
    pub computed: Option<ast::Expr>,
    pub not_null: bool,
    pub default: Option<ast::Expr>,
    pub from: ColumnFrom,
}

#[derive(Clone, Debug)]
pub struct Watermark {
    pub column: Name,
    pub expr: ast::Expr,
    pub expr_at: Position,
}

/// `name = value` of a `WITH (...)`.
#[derive(Clone, Debug)]
pub struct OptionItem {
    pub name: Name,
    pub value: String,
    pub value_at: Position,
}

/// What `ALTER ... SET` and `RESET` do to an option; without a value it is as if it had never been given.
#[derive(Clone, Debug)]
pub struct OptionChange {
    pub name: Name,
    pub value: Option<String>,
}

/// A query, its text and its tree.
#[derive(Clone, Debug)]
pub struct Query {
    /// The query's own text; positions in `ast` are positions in it.
    pub source: Source,
    pub ast: Box<ast::Query>,
}

#[derive(Clone, Debug)]
pub enum ExplainTarget {
    Query(Query),
    Relation(Name),
    /// `ANALYZE`: with the live figures of a view that runs.
    Running(Name),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    Source,
    Table,
    View,
    MaterializedView,
    Sink,
    Alert,
}

impl ObjectKind {
    /// As people write it, in lower case.
    pub fn word(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Table => "table",
            Self::View => "view",
            Self::MaterializedView => "materialized view",
            Self::Sink => "sink",
            Self::Alert => "alert",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShowKind {
    Sources,
    Tables,
    Views,
    Sinks,
    Alerts,
    Pipelines,
    Topics,
    All,
}
