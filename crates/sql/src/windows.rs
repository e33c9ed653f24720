//! `TUMBLE(relation, time, size)` and `HOP(relation, time, slide, size)` in FROM: the relation's rows with two more columns,
//! `window_start` and `window_end`. HOP repeats a row for each window that it is in. Rows without a time have no window.

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::NullHandling;
use datafusion::common::{Column, DFSchema, DataFusionError, Result, ScalarValue, UnnestOptions};
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, cast, lit};
use datafusion::sql::sqlparser::ast::{
    self, FunctionArg, FunctionArgExpr, ObjectName, Spanned, TableFactor,
};

use crate::functions::window::{self, HOP_WINDOWS_MAX, WINDOW_END, WINDOW_START};
use crate::translate::refusal;
use crate::types::{timestamptz, to_sql};

/// The column that holds a row's windows between HOP's function and its unnesting.
const WINDOWS: &str = "__windows";

#[derive(Debug)]
pub(crate) struct Windows;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tumble,
    Hop,
}

impl Kind {
    fn of(name: &ObjectName) -> Option<Self> {
        match name.to_string().to_lowercase().as_str() {
            "tumble" => Some(Self::Tumble),
            "hop" => Some(Self::Hop),
            _ => None,
        }
    }

    fn form(self) -> &'static str {
        match self {
            Self::Tumble => "TUMBLE(relation, time column, INTERVAL '1 minute')",
            Self::Hop => {
                "HOP(relation, time column, INTERVAL '1 minute' /* slide */, INTERVAL '5 minutes' /* size */)"
            }
        }
    }
}

impl RelationPlanner for Windows {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        match relation {
            TableFactor::Table {
                name,
                alias,
                args: Some(args),
                ..
            } => {
                let Some(kind) = Kind::of(&name) else {
                    return Err(unknown_function(&name));
                };
                let plan = window(kind, &name, args.args, context)?;
                Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(
                    plan, alias,
                ))))
            }
            other => Ok(RelationPlanning::Original(Box::new(other))),
        }
    }
}

fn unknown_function(name: &ObjectName) -> DataFusionError {
    let hint = match name.to_string().to_lowercase().as_str() {
        "session" | "cumulate" => "windows are TUMBLE and HOP".to_owned(),
        other => crate::nearest::hint(other, ["tumble", "hop"])
            .unwrap_or_else(|| "in FROM there are TUMBLE and HOP".to_owned()),
    };
    refusal(
        name.span(),
        format!("there is no function {name} in FROM"),
        hint,
    )
}

fn window(
    kind: Kind,
    name: &ObjectName,
    args: Vec<FunctionArg>,
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlan> {
    let wrong = |problem: &str| {
        refusal(
            name.span(),
            format!("{name}: {problem}"),
            format!("write {}", kind.form()),
        )
    };
    let exprs = args
        .into_iter()
        .map(plain)
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| wrong("arguments are given by position"))?;
    let wanted = if kind == Kind::Tumble { 3 } else { 4 };
    if exprs.len() != wanted {
        return Err(wrong(&format!(
            "expected {wanted} arguments, found {}",
            exprs.len()
        )));
    }
    let mut exprs = exprs.into_iter();
    let (Some(relation), Some(time), lengths) = (exprs.next(), exprs.next(), exprs) else {
        return Err(wrong("arguments are missing"));
    };
    let input = context.plan(
        as_relation(relation).ok_or_else(|| wrong("the first argument must be a relation"))?,
    )?;
    refuse_taken_names(&input, name)?;
    let time = time_expr(time, &input, context)?;
    let lengths = lengths
        .map(|l| length_us(l, context))
        .collect::<Result<Vec<_>>>()?;
    match lengths.as_slice() {
        [size] => tumble(input, &time, *size),
        [slide, size] if (size + slide - 1) / slide > HOP_WINDOWS_MAX => Err(wrong(&format!(
            "a row would be in more than {HOP_WINDOWS_MAX} windows"
        ))),
        [slide, size] => hop(input, time, *slide, *size),
        _ => Err(wrong("arguments are missing")),
    }
}

fn plain(arg: FunctionArg) -> Option<ast::Expr> {
    match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    }
}

/// A name or a subquery in brackets, as a FROM item.
fn as_relation(expr: ast::Expr) -> Option<TableFactor> {
    let parts = match expr {
        ast::Expr::Identifier(ident) => vec![ident],
        ast::Expr::CompoundIdentifier(parts) => parts,
        ast::Expr::Subquery(subquery) => {
            return Some(TableFactor::Derived {
                lateral: false,
                subquery,
                alias: None,
                sample: None,
            });
        }
        ast::Expr::Nested(inner) => return as_relation(*inner),
        _ => return None,
    };
    Some(TableFactor::Table {
        name: ObjectName::from(parts),
        alias: None,
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    })
}

fn refuse_taken_names(input: &LogicalPlan, name: &ObjectName) -> Result<()> {
    for taken in [WINDOW_START, WINDOW_END] {
        if input.schema().fields().iter().any(|f| f.name() == taken) {
            let hint = "leave it out or rename it in a subquery: TUMBLE((SELECT ...), ...)";
            return Err(refusal(
                name.span(),
                format!("{name}: the relation already has a column \"{taken}\""),
                hint,
            ));
        }
    }
    Ok(())
}

fn time_expr(
    time: ast::Expr,
    input: &LogicalPlan,
    context: &mut dyn RelationPlannerContext,
) -> Result<Expr> {
    let span = time.span();
    let expr = context.sql_to_expr(time, input.schema())?;
    match expr.get_type(input.schema())? {
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if zone.as_ref() == "UTC" => {
            Ok(expr)
        }
        DataType::Timestamp(..) => Ok(cast(expr, timestamptz())),
        other => {
            let message = format!("a window needs a time, but this is {}", to_sql(&other));
            Err(refusal(
                span,
                message,
                "use a TIMESTAMPTZ column, or declare a computed one: ts TIMESTAMPTZ AS to_timestamp_millis(ms)",
            ))
        }
    }
}

/// Microseconds of a constant interval.
fn length_us(expr: ast::Expr, context: &mut dyn RelationPlannerContext) -> Result<i64> {
    let span = expr.span();
    let wrong = |message: &str| refusal(span, message, "write for example INTERVAL '5 minutes'");
    let planned = context
        .sql_to_expr(expr, &DFSchema::empty())
        .map_err(|_| wrong("the length of a window must be an INTERVAL"))?;
    let (months, days, nanos) = match planned {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(v)), _) => {
            (v.months, i64::from(v.days), v.nanoseconds)
        }
        Expr::Literal(ScalarValue::IntervalDayTime(Some(v)), _) => (
            0,
            i64::from(v.days),
            i64::from(v.milliseconds).saturating_mul(1_000_000),
        ),
        Expr::Literal(ScalarValue::IntervalYearMonth(Some(months)), _) => (months, 0, 0),
        _ => return Err(wrong("the length of a window must be an INTERVAL")),
    };
    if months != 0 {
        return Err(refusal(
            span,
            "months and years have no fixed length",
            "write the window's length in days, hours, minutes or seconds",
        ));
    }
    let us = days
        .saturating_mul(86_400_000_000)
        .saturating_add(nanos / 1_000);
    if us <= 0 || nanos % 1_000 != 0 {
        return Err(wrong(
            "the length of a window must be positive, in whole microseconds",
        ));
    }
    Ok(us)
}

fn tumble(input: LogicalPlan, time: &Expr, size: i64) -> Result<LogicalPlan> {
    let mut exprs = columns(&input);
    exprs.push(
        window::start()
            .call(vec![time.clone(), lit(size)])
            .alias(WINDOW_START),
    );
    exprs.push(
        window::end()
            .call(vec![time.clone(), lit(size)])
            .alias(WINDOW_END),
    );
    LogicalPlanBuilder::from(input)
        .filter(time.clone().is_not_null())?
        .project(exprs)?
        .build()
}

fn hop(input: LogicalPlan, time: Expr, slide: i64, size: i64) -> Result<LogicalPlan> {
    let kept = columns(&input);
    let mut exprs = kept.clone();
    exprs.push(
        window::hops()
            .call(vec![time, lit(slide), lit(size)])
            .alias(WINDOWS),
    );
    let options = UnnestOptions::new().with_null_handling(NullHandling::Drop);
    let windows = Column::new_unqualified(WINDOWS);
    let unnested = LogicalPlanBuilder::from(input)
        .project(exprs)?
        .unnest_column_with_options(windows.clone(), options)?;
    let field = |name: &str| {
        datafusion::functions::core::expr_fn::get_field(Expr::Column(windows.clone()), name)
            .alias(name)
    };
    let mut exprs = kept;
    exprs.extend([field(WINDOW_START), field(WINDOW_END)]);
    unnested.project(exprs)?.build()
}

fn columns(plan: &LogicalPlan) -> Vec<Expr> {
    plan.schema()
        .columns()
        .into_iter()
        .map(Expr::Column)
        .collect()
}
