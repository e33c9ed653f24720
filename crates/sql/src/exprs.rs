//! Computed columns and watermarks: expressions over the columns of one source or table.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DataFusionError};
use datafusion::logical_expr::builder::LogicalTableSource;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Volatility, cast, when,
};
use datafusion::physical_expr::create_physical_expr;
use datafusion::sql::planner::{PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast;

use crate::error::{Result, SqlError};
use crate::graph::{Graph, Node, NodeId, Op, PhysExpr, Props};
use crate::model::{Catalog, ColumnDef, Relation, SourceDef, TableDef, WatermarkDef};
use crate::provider::Provider;
use crate::session::Session;
use crate::source::Source;
use crate::translate::translate;
use crate::types::{timestamptz, to_sql};

/// The relation that [`input_graph`] reads.
pub const INPUT: &str = "input";
/// The column that [`input_graph`] adds when there is a watermark.
pub const WATERMARK: &str = "__watermark";

/// All columns in the order of declaration, all nullable.
pub fn schema_of(columns: &[ColumnDef]) -> SchemaRef {
    let fields: Vec<Field> = columns
        .iter()
        .map(|c| Field::new(&c.name, c.data_type.clone(), true))
        .collect();
    Arc::new(Schema::new(fields))
}

/// The columns that records carry, in the order of declaration. Not nullable where `NOT NULL` was declared.
pub fn physical_schema_of(columns: &[ColumnDef]) -> SchemaRef {
    let physical = columns.iter().filter(|c| c.computed.is_none());
    let fields: Vec<Field> = physical
        // A default takes the place of what is missing.
        .map(physical_field)
        .collect();
    Arc::new(Schema::new(fields))
}

/// Marks fields that take any JSON value, in their metadata.
const JSON: &str = "headwater.json";

fn physical_field(column: &ColumnDef) -> Field {
    let nullable = !column.not_null || column.default.is_some();
    let field = Field::new(&column.name, column.data_type.clone(), nullable);
    match column.json {
        true => field.with_metadata([(JSON.to_owned(), String::new())].into()),
        false => field,
    }
}

/// What turns decoded records into rows.
#[derive(Clone, Debug)]
pub struct InputExprs {
    /// The columns that records carry.
    pub physical: SchemaRef,
    /// One expression per declared column, over the physical columns.
    pub columns: Vec<PhysExpr>,
    /// The columns of the rows.
    pub schema: SchemaRef,
    /// The watermark that a row asks for, over the physical columns: Timestamp in microseconds, UTC.
    pub watermark: Option<PhysExpr>,
}

/// Expressions for a source.
///
/// # Errors
/// If an expression has no physical form, which [`crate::define`] has checked.
pub fn source_exprs(source: &SourceDef) -> Result<InputExprs> {
    input_exprs(&source.columns, source.watermark.as_ref())
}

/// Expressions for a table.
///
/// # Errors
/// As [`source_exprs`].
pub fn table_exprs(table: &TableDef) -> Result<InputExprs> {
    input_exprs(&table.columns, table.watermark.as_ref())
}

/// Expressions for declared columns and a watermark.
///
/// # Errors
/// As [`source_exprs`].
pub fn input_exprs(columns: &[ColumnDef], watermark: Option<&WatermarkDef>) -> Result<InputExprs> {
    input_exprs_at(&Session::new(), columns, watermark)
}

fn input_exprs_at(
    session: &Session,
    columns: &[ColumnDef],
    watermark: Option<&WatermarkDef>,
) -> Result<InputExprs> {
    let physical = physical_schema_of(columns);
    let schema = DFSchema::try_from(physical.as_ref().clone()).map_err(internal)?;
    let substituted = columns
        .iter()
        .map(|c| over_physical(&Expr::Column(Column::new_unqualified(&c.name)), columns));
    let physical_of = |expr: Expr| -> Result<PhysExpr> {
        let expr = with_clock_of(session, expr)?;
        let props = session.state().execution_props();
        create_physical_expr(&expr, &schema, props, &PhysicalPlanningContext::default())
            .map_err(internal)
    };
    let exprs = substituted
        .map(|e| e.and_then(physical_of))
        .collect::<Result<Vec<_>>>()?;
    let watermark = watermark
        .map(|w| over_physical(&w.expr, columns).and_then(physical_of))
        .transpose()?;
    Ok(InputExprs {
        physical,
        columns: exprs,
        schema: schema_of(columns),
        watermark,
    })
}

/// The same as a graph that `dataflow` runs: from the relation [`INPUT`] of the physical columns to all columns in the order of
/// declaration and, if there is a watermark, a last column [`WATERMARK`].
///
/// # Errors
/// As [`source_exprs`].
pub fn input_graph(columns: &[ColumnDef], watermark: Option<&WatermarkDef>) -> Result<Graph> {
    input_graph_at(&Session::new(), columns, watermark)
}

/// The same; columns that are `now()` read the session's clock.
///
/// # Errors
/// As [`source_exprs`].
pub fn input_graph_at(
    session: &Session,
    columns: &[ColumnDef],
    watermark: Option<&WatermarkDef>,
) -> Result<Graph> {
    let input = input_exprs_at(session, columns, watermark)?;
    let props = Props {
        changelog: crate::graph::Changelog::AppendOnly,
        key: None,
        event_time: watermark.map(|w| w.column),
        window_end: None,
    };
    let node = |id: NodeId, key: &str, op, inputs, schema| Node {
        id,
        key: key.to_owned(),
        op,
        inputs,
        schema,
        props: props.clone(),
    };
    let leaf_schema = crate::plan::all_nullable(&input.physical);
    let leaf = node(
        0,
        "relation-1",
        Op::Relation {
            name: INPUT.to_owned(),
        },
        Vec::new(),
        leaf_schema,
    );
    let as_they_come = |c: &ColumnDef| c.computed.is_none() && c.default.is_none();
    if input.watermark.is_none() && columns.iter().all(as_they_come) {
        return Ok(Graph { nodes: vec![leaf] });
    }
    let mut exprs = input.columns;
    let mut fields: Vec<Field> = input
        .schema
        .fields()
        .iter()
        .map(|f| f.as_ref().clone())
        .collect();
    if let Some(watermark) = input.watermark {
        exprs.push(watermark);
        fields.push(Field::new(WATERMARK, timestamptz(), true));
    }
    let project = node(
        1,
        "project-1",
        Op::Project { exprs },
        vec![0],
        Arc::new(Schema::new(fields)),
    );
    Ok(Graph {
        nodes: vec![leaf, project],
    })
}

/// Definitions outlive the session that read them: their `now()` becomes this session's.
fn with_clock_of(session: &Session, expr: Expr) -> Result<Expr> {
    let replaced = expr.transform_up(|e| match e {
        Expr::ScalarFunction(mut call) if CLOCK.contains(&call.name()) => {
            if let Some(own) = session.state().scalar_functions().get(call.name()) {
                call.func = Arc::clone(own);
            }
            Ok(Transformed::yes(Expr::ScalarFunction(call)))
        }
        other => Ok(Transformed::no(other)),
    });
    replaced.map(|t| t.data).map_err(internal)
}

trait Unqualified {
    fn unqualified(self) -> Self;
}

impl Unqualified for Expr {
    fn unqualified(self) -> Self {
        match self {
            Self::Column(column) => {
                Self::Column(datafusion::common::Column::new_unqualified(column.name))
            }
            other => other,
        }
    }
}

/// The expression with computed columns replaced by what they are computed from.
fn over_physical(expr: &Expr, columns: &[ColumnDef]) -> Result<Expr> {
    let replaced = expr.clone().transform_up(|e| match &e {
        Expr::Column(column) => match columns.iter().find(|c| c.name == column.name) {
            Some(ColumnDef {
                computed: Some(computed),
                ..
            }) => over_physical(computed, columns)
                .map(Transformed::yes)
                .map_err(crate::translate::carry),
            Some(ColumnDef {
                default: Some(default),
                ..
            }) => {
                let default = default.clone();
                let given = when(e.clone().is_not_null(), e).otherwise(default)?;
                Ok(Transformed::yes(given))
            }
            _ => Ok(Transformed::no(e)),
        },
        _ => Ok(Transformed::no(e)),
    });
    replaced.map(|t| t.data).map_err(internal)
}

fn internal(error: DataFusionError) -> SqlError {
    translate(&Source::new(None, ""), &error, &[])
}

/// What an expression may read: the columns declared so far.
pub(crate) struct Scope<'a> {
    pub session: &'a Session,
    pub source: &'a Source,
    pub columns: &'a [ColumnDef],
    /// Whether the step's clock may be read: the time at which a record arrives.
    pub clock: bool,
}

impl Scope<'_> {
    /// The expression resolved, with types coerced and cast to `wanted`, over unqualified columns.
    pub fn resolve(&self, expr: &ast::Expr, wanted: &DataType, what: &str) -> Result<Expr> {
        let span = ast::Spanned::span(expr);
        let at = crate::source::Position {
            line: span.start.line as u32,
            column: span.start.column as u32,
        };
        let provider = Provider::new(self.session, &NoRelations);
        let tell = |e: DataFusionError| translate(self.source, &e, &provider.function_names());
        let schema = DFSchema::try_from(schema_of(self.columns).as_ref().clone()).map_err(tell)?;
        let mut written = expr.clone();
        crate::rewrite::expr(&mut written);
        let bound = SqlToRel::new_with_options(&provider, crate::logical::parser_options())
            .sql_to_expr(written, &schema, &mut PlannerContext::new())
            .map_err(tell)?;
        let from = bound.get_type(&schema).map_err(tell)?;
        if !castable(&from, wanted) {
            let message = format!(
                "{what} is {}, but its expression gives {}",
                to_sql(wanted),
                to_sql(&from)
            );
            return Err(self
                .source
                .error(at, message)
                .hint(cast_hint(&from, wanted)));
        }
        let bound = if from.equals_datatype(wanted) {
            bound
        } else {
            cast(bound, wanted.clone())
        };
        refuse_unrepeatable(&bound, self.clock).map_err(|message| {
            self.source
                .error(at, message)
                .hint("compute it from the record's own columns")
        })?;
        analyze_expr(self.session, bound, self.columns).map_err(tell)
    }
}

/// Declared columns can be read from whatever casts without losing the value.
fn castable(from: &DataType, wanted: &DataType) -> bool {
    let time = |t: &DataType| matches!(t, DataType::Timestamp(..) | DataType::Date32);
    from.equals_datatype(wanted)
        || from.is_null()
        || (from.is_numeric() && wanted.is_numeric())
        || (time(from) && time(wanted))
        || (from.is_string() && (wanted.is_string() || time(wanted)))
        || matches!(
            (from, wanted),
            (
                DataType::Timestamp(TimeUnit::Nanosecond, _),
                DataType::Timestamp(..)
            )
        )
}

fn cast_hint(from: &DataType, wanted: &DataType) -> String {
    match (from, wanted) {
        (t, DataType::Timestamp(..)) if t.is_numeric() => {
            "write to_timestamp_millis(x) or to_timestamp_seconds(x)".to_owned()
        }
        _ => format!("write CAST(... AS {})", to_sql(wanted)),
    }
}

/// Functions that read the step's clock, which is written down with the step.
const CLOCK: [&str; 2] = ["now", "current_date"];

/// Whether an expression is `now()` itself.
pub(crate) fn is_now(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if call.name() == "now")
}

/// If a watermark is a time of arrival: how far it is ahead of the clock, microseconds (behind it: below 0).
pub fn clock_watermark(columns: &[ColumnDef], watermark: &WatermarkDef) -> Option<i64> {
    let expr = over_physical(&watermark.expr, columns).ok()?;
    crate::plan::temporal::ahead_of_clock(&expr)
}

/// Rows are decoded again after a restart, so the same record must give the same row.
fn refuse_unrepeatable(expr: &Expr, clock: bool) -> Result<(), String> {
    let mut found = None;
    let visited = expr.apply(|e| {
        match e {
            Expr::ScalarFunction(call) if clock && CLOCK.contains(&call.name()) => {}
            Expr::ScalarFunction(call)
                if call.func.signature().volatility == Volatility::Volatile =>
            {
                found = Some(format!("{}() gives another answer each time", call.name()));
            }
            Expr::AggregateFunction(_) | Expr::WindowFunction(_) => {
                found = Some("aggregates have no place here".to_owned())
            }
            Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) => {
                found = Some("subqueries have no place here".to_owned())
            }
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    });
    match (visited, found) {
        (Ok(_), None) => Ok(()),
        (_, found) => Err(found.unwrap_or_else(|| "the expression cannot be read".to_owned())),
    }
}

/// Runs the analyzer on one expression, by way of a projection.
fn analyze_expr(
    session: &Session,
    expr: Expr,
    columns: &[ColumnDef],
) -> Result<Expr, DataFusionError> {
    let scan = LogicalPlanBuilder::scan(
        INPUT,
        Arc::new(LogicalTableSource::new(schema_of(columns))),
        None,
    )?;
    let plan = scan.project(vec![expr.alias("value")])?.build()?;
    let plan = session.state().analyzer().execute_and_check(
        plan,
        session.state().config_options(),
        |_, _| {},
    )?;
    let LogicalPlan::Projection(projection) = plan else {
        return Err(DataFusionError::Plan(
            "the expression cannot be analyzed".to_owned(),
        ));
    };
    let analyzed = projection
        .expr
        .first()
        .cloned()
        .ok_or_else(|| DataFusionError::Plan("the expression is empty".to_owned()))?;
    let unqualified = analyzed.transform_up(|e| match e {
        Expr::Column(_) => Ok(Transformed::yes(e.unqualified())),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(unqualified.data.unalias_nested().data)
}

/// A catalog for expressions that read no relation.
struct NoRelations;

impl Catalog for NoRelations {
    fn relation(&self, _name: &str) -> Option<Relation> {
        None
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}
