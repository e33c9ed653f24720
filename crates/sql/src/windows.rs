//! `TUMBLE(relation, time, size)`, `HOP(relation, time, slide, size)`, `CUMULATE(relation, time, step, size)` and `SESSION(relation, key, time,
//! gap)` in FROM: the relation's rows with two more columns, `window_start` and `window_end`. HOP and CUMULATE repeat a row for each window that
//! it is in. Rows without a time have no window.

mod arguments;

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::NullHandling;
use datafusion::common::{Column, DFSchema, DataFusionError, Result, ScalarValue, UnnestOptions};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{
    Expr, ExprFunctionExt, ExprSchemable, LogicalPlan, LogicalPlanBuilder, WindowUDF, cast, lit,
};
use datafusion::sql::sqlparser::ast::{self, FunctionArg, ObjectName, Spanned, TableFactor};

use crate::functions::calendar::{self, Length, Shape};
use crate::functions::session;
use crate::functions::window::{self, HOP_WINDOWS_MAX, WINDOW_END, WINDOW_START};
use crate::made;
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
    Cumulate,
    Session,
}

impl Kind {
    fn of(name: &ObjectName) -> Option<Self> {
        match name.to_string().to_lowercase().as_str() {
            "tumble" => Some(Self::Tumble),
            "hop" => Some(Self::Hop),
            "cumulate" => Some(Self::Cumulate),
            "session" => Some(Self::Session),
            _ => None,
        }
    }

    fn form(self) -> &'static str {
        match self {
            Self::Tumble => "TUMBLE(relation, time column, INTERVAL '1 minute')",
            Self::Cumulate => {
                "CUMULATE(relation, time column, INTERVAL '1 hour' /* step */, INTERVAL '1 day' /* size */)"
            }
            Self::Session => {
                "SESSION(relation PARTITION BY key, time column, INTERVAL '10 minutes' /* gap */)"
            }
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
    let other = name.to_string().to_lowercase();
    let hint = crate::nearest::hint(&other, ["tumble", "hop", "cumulate", "session"])
        .unwrap_or_else(|| "in FROM there are TUMBLE, HOP, CUMULATE and SESSION".to_owned());
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
    let call = arguments::read(kind, args).map_err(|problem| wrong(&problem))?;
    let input = context.plan(
        as_relation(call.relation).ok_or_else(|| wrong("the first argument must be a relation"))?,
    )?;
    refuse_taken_names(&input, name)?;
    let time = time_expr(call.time, &input, context)?;
    if kind == Kind::Session {
        let [gap] = call.lengths.as_slice() else {
            return Err(wrong("arguments are missing"));
        };
        let gap = gap_us(gap.clone(), context)?;
        let keys = call.keys.into_iter();
        let keys = keys.map(|key| context.sql_to_expr(key, input.schema()));
        let keys = keys.collect::<Result<_>>()?;
        return sessions(input, time, keys, gap);
    }
    let lengths = call
        .lengths
        .into_iter()
        .map(|l| length(l, context))
        .collect::<Result<Vec<_>>>()?;
    let offset_us = match call.offset {
        Some(offset) => offset_us(offset, context)?,
        None => 0,
    };
    let zone = call.zone.map(zone).transpose()?;
    let plain = zone.is_none() && offset_us == 0 && lengths.iter().all(|l| l.months == 0);
    let (step, size) = match lengths.as_slice() {
        [size] => (*size, *size),
        [step, size] => (*step, *size),
        _ => return Err(wrong("arguments are missing")),
    };
    let fewer = size.us_max() / step.us_max().max(1);
    if fewer >= HOP_WINDOWS_MAX
        && kind != Kind::Tumble
        && size.us_max() > step.us_max() * HOP_WINDOWS_MAX
    {
        return Err(wrong(&format!(
            "a row would be in more than {HOP_WINDOWS_MAX} windows"
        )));
    }
    let shape = match kind {
        Kind::Tumble if plain => return tumble(input, &time, size.us),
        Kind::Hop if plain => {
            let windows = window::hops().call(vec![time, lit(step.us), lit(size.us)]);
            return unnested(input, windows);
        }
        Kind::Tumble => Shape::Tumble,
        Kind::Hop => Shape::Hop,
        _ if (step.months == 0) != (size.months == 0)
            || size.us.checked_rem(step.us).unwrap_or(0) != 0
            || size.months.checked_rem(step.months).unwrap_or(0) != 0 =>
        {
            return Err(wrong("the size must be a multiple of the step"));
        }
        _ => Shape::Cumulate,
    };
    let windows = calendar::Windows {
        shape,
        step,
        size,
        offset_us,
        zone,
    };
    unnested(input, windows.call(time))
}

/// Of a session.
fn gap_us(gap: ast::Expr, context: &mut dyn RelationPlannerContext) -> Result<i64> {
    let span = gap.span();
    let gap = length(gap, context)?;
    if gap.months != 0 {
        return Err(refusal(
            span,
            "months and years have no fixed length",
            "write the gap of a session in days, hours, minutes or seconds",
        ));
    }
    Ok(gap.us)
}

/// A time zone's name.
fn zone(expr: ast::Expr) -> Result<String> {
    let span = expr.span();
    let wrong = |message: String| {
        refusal(
            span,
            message,
            "write for example 'Europe/Berlin' or '+01:00'",
        )
    };
    let ast::Expr::Value(value) = &expr else {
        return Err(wrong("a time zone is a text".to_owned()));
    };
    let Some(name) = value.value.clone().into_string() else {
        return Err(wrong("a time zone is a text".to_owned()));
    };
    match name.parse::<datafusion::arrow::array::timezone::Tz>() {
        Ok(_) => Ok(name),
        Err(_) => Err(wrong(format!("there is no time zone \"{name}\""))),
    }
}

/// Microseconds by which windows are shifted; may be negative.
fn offset_us(expr: ast::Expr, context: &mut dyn RelationPlannerContext) -> Result<i64> {
    let span = expr.span();
    let wrong = || {
        let message =
            "the offset of a window must be an INTERVAL of days, hours, minutes or seconds";
        refusal(span, message, "write for example INTERVAL '6 hours'")
    };
    let (months, days, nanos) = interval(expr, context).ok_or_else(wrong)?;
    if months != 0 || nanos % 1_000 != 0 {
        return Err(wrong());
    }
    Ok(days
        .saturating_mul(86_400_000_000)
        .saturating_add(nanos / 1_000))
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
    Some(made::relation(ObjectName::from(parts), None, None))
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

/// Months, days and nanoseconds of a constant interval.
fn interval(expr: ast::Expr, context: &mut dyn RelationPlannerContext) -> Option<(i64, i64, i64)> {
    match context.sql_to_expr(expr, &DFSchema::empty()).ok()? {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(v)), _) => {
            Some((i64::from(v.months), i64::from(v.days), v.nanoseconds))
        }
        Expr::Literal(ScalarValue::IntervalDayTime(Some(v)), _) => Some((
            0,
            i64::from(v.days),
            i64::from(v.milliseconds).saturating_mul(1_000_000),
        )),
        Expr::Literal(ScalarValue::IntervalYearMonth(Some(months)), _) => {
            Some((i64::from(months), 0, 0))
        }
        Expr::Negative(inner) => {
            let Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(v)), _) = *inner else {
                return None;
            };
            Some((-i64::from(v.months), -i64::from(v.days), -v.nanoseconds))
        }
        _ => None,
    }
}

/// A constant interval as the length of a window.
fn length(expr: ast::Expr, context: &mut dyn RelationPlannerContext) -> Result<Length> {
    let span = expr.span();
    let wrong = |message: &str| refusal(span, message, "write for example INTERVAL '5 minutes'");
    let (months, days, nanos) = interval(expr, context)
        .ok_or_else(|| wrong("the length of a window must be an INTERVAL"))?;
    let us = days
        .saturating_mul(86_400_000_000)
        .saturating_add(nanos / 1_000);
    if months != 0 && us != 0 {
        return Err(refusal(
            span,
            "months and days together have no fixed length",
            "write the window's length in months alone, or in days, hours, minutes and seconds",
        ));
    }
    if months < 0 || us < 0 || months + us <= 0 || nanos % 1_000 != 0 {
        return Err(wrong(
            "the length of a window must be positive, in whole microseconds",
        ));
    }
    Ok(Length { months, us })
}

/// The relation's rows with the bounds of their session.
fn sessions(input: LogicalPlan, time: Expr, keys: Vec<Expr>, gap_us: i64) -> Result<LogicalPlan> {
    let kept = columns(&input);
    let bound = |function: Arc<WindowUDF>, name: &str| {
        let call = WindowFunction::new(function, vec![time.clone(), lit(gap_us)]);
        Ok::<_, DataFusionError>(
            Expr::WindowFunction(Box::new(call))
                .partition_by(keys.clone())
                .order_by(vec![time.clone().sort(true, false)])
                .build()?
                .alias(name),
        )
    };
    let bounds = vec![
        bound(session::start(), WINDOW_START)?,
        bound(session::end(), WINDOW_END)?,
    ];
    let mut exprs = kept;
    exprs
        .extend([WINDOW_START, WINDOW_END].map(|name| Expr::Column(Column::new_unqualified(name))));
    LogicalPlanBuilder::from(input)
        .filter(time.clone().is_not_null())?
        .window(bounds)?
        .project(exprs)?
        .build()
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

/// The relation's rows, each once for every window of its list.
fn unnested(input: LogicalPlan, list: Expr) -> Result<LogicalPlan> {
    let kept = columns(&input);
    let mut exprs = kept.clone();
    exprs.push(list.alias(WINDOWS));
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
