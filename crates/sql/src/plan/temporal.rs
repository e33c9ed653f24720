//! Comparisons with `now()` in WHERE, HAVING and ON to the time from which and until which a row is there.
//!
//! `ts > now() - INTERVAL '1 hour'` becomes `now_before(ts + INTERVAL '1 hour')`: a condition over the row alone, that the optimizer may
//! push as far down as any other, and that becomes a temporal filter where it comes to rest. What compares `now()` in another
//! way is refused.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::{DataType, IntervalMonthDayNano};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, Cast, ColumnarValue, Expr, Filter, Join, LogicalPlan, Operator, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility, cast, lit,
};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use datafusion::sql::sqlparser::tokenizer::Span;

use crate::functions::pg;
use crate::translate::refusal;
use crate::types::timestamptz;

/// `now_before(time)`: the row is there until then. `now_from(time)`: the row is there from then on.
pub(crate) const UNTIL: &str = "now_before";
pub(crate) const FROM: &str = "now_from";

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;
/// Weeks begin on Mondays; 1970-01-05 was one.
const MONDAY_US: i64 = 4 * DAY_US;

#[derive(Debug, PartialEq, Eq, Hash)]
struct Bound {
    name: &'static str,
    signature: Signature,
}

impl ScalarUDFImpl for Bound {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("a comparison with now() has no value of its own")
    }
}

fn bound(name: &'static str, time: Expr) -> Expr {
    static BOTH: LazyLock<[Arc<ScalarUDF>; 2]> = LazyLock::new(|| {
        [UNTIL, FROM].map(|name| {
            let signature = Signature::any(1, Volatility::Immutable);
            Arc::new(Bound { name, signature }.into())
        })
    });
    let function = &BOTH[usize::from(name == FROM)];
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(function), vec![time]))
}

/// The row is there until `time`.
pub(super) fn until(time: Expr) -> Expr {
    bound(UNTIL, time)
}

/// The time of a bound, if the expression is one.
pub(super) fn as_bound(expr: &Expr) -> Option<(&'static str, &Expr)> {
    let Expr::ScalarFunction(call) = expr else {
        return None;
    };
    let name = [UNTIL, FROM]
        .into_iter()
        .find(|name| *name == call.name())?;
    Some((name, call.args.first()?))
}

/// The optimizer rule.
#[derive(Debug)]
pub(crate) struct TemporalBounds;

impl OptimizerRule for TemporalBounds {
    fn name(&self) -> &str {
        "temporal_bounds"
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn apply_order(&self) -> Option<datafusion::optimizer::ApplyOrder> {
        Some(datafusion::optimizer::ApplyOrder::BottomUp)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        match plan {
            LogicalPlan::Filter(filter) if reads_clock(&filter.predicate) => {
                let predicate = bounds(filter.predicate)?;
                Ok(Transformed::yes(LogicalPlan::Filter(Filter::try_new(
                    predicate,
                    filter.input,
                )?)))
            }
            LogicalPlan::Join(join) if join.filter.as_ref().is_some_and(reads_clock) => {
                let filter = join.filter.clone().map(bounds).transpose()?;
                Ok(Transformed::yes(LogicalPlan::Join(Join { filter, ..join })))
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

pub(super) fn reads_clock(expr: &Expr) -> bool {
    let mut found = false;
    let _ = expr.apply(|e| {
        found |= matches!(e, Expr::ScalarFunction(call) if matches!(call.name(), "now" | "current_date"));
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found
}

fn bounds(predicate: Expr) -> Result<Expr> {
    let mut all = Vec::new();
    for part in split_conjunction_owned(predicate) {
        match reads_clock(&part) {
            true => all.extend(of_comparison(&part)?),
            false => all.push(part),
        }
    }
    Ok(conjunction(all).unwrap_or_else(|| lit(true)))
}

fn refused(expr: &Expr) -> datafusion::common::DataFusionError {
    let shown = expr.to_string();
    refusal(
        Span::empty(),
        format!(
            "now() in a condition must be compared with a time of the row, but here it is {shown}"
        ),
        "write conditions joined by AND, such as ts > now() - INTERVAL '1 hour' or ts BETWEEN now() - INTERVAL '1 day' AND now(); for OR, write two views or UNION; months and years have no fixed length: write days",
    )
}

fn of_comparison(expr: &Expr) -> Result<Vec<Expr>> {
    let found = match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => comparison(left, *op, right),
        Expr::Between(between) if !between.negated => {
            let low = comparison(&between.expr, Operator::GtEq, &between.low);
            let high = comparison(&between.expr, Operator::LtEq, &between.high);
            low.zip(high).map(|(mut low, high)| {
                low.extend(high);
                low
            })
        }
        _ => None,
    };
    found.ok_or_else(|| refused(expr))
}

fn comparison(left: &Expr, op: Operator, right: &Expr) -> Option<Vec<Expr>> {
    match (reads_clock(left), reads_clock(right)) {
        (false, false) => Some(vec![Expr::BinaryExpr(BinaryExpr::new(
            Box::new(left.clone()),
            op,
            Box::new(right.clone()),
        ))]),
        (false, true) => against(left, op, right),
        (true, false) => against(right, op.swap()?, left),
        (true, true) => None,
    }
}

/// How far ahead of the clock an expression is that is `now()` plus or minus a constant, microseconds.
pub(crate) fn ahead_of_clock(expr: &Expr) -> Option<i64> {
    let clock = Clock::read(expr)?;
    clock.step.is_none().then_some(clock.before)
}

/// `row op clock`, where the clock side may also be a distance to the clock and the row side the length of it.
fn against(row: &Expr, op: Operator, clock: &Expr) -> Option<Vec<Expr>> {
    if let Some(read) = Clock::read(clock) {
        return read.compare(row, op);
    }
    // length op (now() - time) is time op' now() - length; length op (time - now()) is now() + length op' time
    let (mut clock, mut length) = (strip(clock), fixed_us(row));
    if let Expr::ScalarFunction(call) = clock
        && call.name() == "interval_order"
    {
        (clock, length) = (call.args.first()?, number(row));
    }
    let length = length?;
    let Expr::ScalarFunction(call) = strip(clock) else {
        return None;
    };
    let ("time_minus_time", [later, earlier]) = (call.name(), call.args.as_slice()) else {
        return None;
    };
    match (Clock::read(later), Clock::read(earlier)) {
        (Some(now), None) if !reads_clock(earlier) => {
            now.plus(length.checked_neg()?)?.compare(earlier, op)
        }
        (None, Some(now)) if !reads_clock(later) => now.plus(length)?.compare(later, op.swap()?),
        _ => None,
    }
}

/// A function of the clock: `floor(now + before) + after`, or `now + before` without a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Clock {
    /// Length and origin of what is floored, microseconds.
    step: Option<(i64, i64)>,
    before: i64,
    after: i64,
}

fn strip(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => strip(&alias.expr),
        Expr::Cast(Cast { expr, field })
            if matches!(field.data_type(), DataType::Timestamp(..)) =>
        {
            strip(expr)
        }
        other => other,
    }
}

impl Clock {
    fn read(expr: &Expr) -> Option<Self> {
        match strip(expr) {
            Expr::ScalarFunction(call) => Self::call(call.name(), &call.args),
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
                Operator::Plus => Self::read(left)?.plus(fixed_us(right)?),
                Operator::Minus => Self::read(left)?.plus(fixed_us(right)?.checked_neg()?),
                _ => None,
            },
            Expr::Cast(Cast { expr, field }) if *field.data_type() == DataType::Date32 => {
                Self::read(expr)?.floored(DAY_US, 0)
            }
            _ => None,
        }
    }

    fn call(name: &str, args: &[Expr]) -> Option<Self> {
        let now = Self {
            step: None,
            before: 0,
            after: 0,
        };
        match (name, args) {
            ("now", []) => Some(now),
            ("current_date", []) => now.floored(DAY_US, 0),
            ("timezone", [zone, time]) if text(zone)?.eq_ignore_ascii_case("utc") => {
                Self::read(time)
            }
            ("date_plus_days", [date, days]) => {
                Self::read(date)?.plus(number(days)?.checked_mul(DAY_US)?)
            }
            ("date_minus_days", [date, days]) => {
                Self::read(date)?.plus(number(days)?.checked_mul(-DAY_US)?)
            }
            ("date_trunc", [unit, time]) => {
                let (length, origin) = match text(unit)?.to_lowercase().trim_end_matches('s') {
                    "microsecond" => (1, 0),
                    "millisecond" => (1_000, 0),
                    "second" => (1_000_000, 0),
                    "minute" => (60_000_000, 0),
                    "hour" => (HOUR_US, 0),
                    "day" => (DAY_US, 0),
                    "week" => (7 * DAY_US, MONDAY_US),
                    _ => return None,
                };
                Self::read(time)?.floored(length, origin)
            }
            ("date_bin", [length, time]) => Self::read(time)?.floored(fixed_us(length)?, 0),
            _ => None,
        }
    }

    fn floored(self, length: i64, origin: i64) -> Option<Self> {
        match self.step {
            None => Some(Self {
                step: Some((length, origin)),
                ..self
            }),
            // Days of days.
            Some((known, from))
                if known % length == 0 && (from + self.after - origin) % length == 0 =>
            {
                Some(self)
            }
            Some(_) => None,
        }
    }

    fn plus(self, us: i64) -> Option<Self> {
        Some(match self.step {
            None => Self {
                before: self.before.checked_add(us)?,
                ..self
            },
            Some(_) => Self {
                after: self.after.checked_add(us)?,
                ..self
            },
        })
    }

    /// The bounds of `row op clock`.
    fn compare(self, row: &Expr, op: Operator) -> Option<Vec<Expr>> {
        let time = cast(row.clone(), timestamptz());
        Some(match op {
            Operator::Gt => vec![bound(UNTIL, self.turn(time, false))],
            Operator::GtEq => vec![bound(UNTIL, self.turn(time, true))],
            Operator::Lt => vec![bound(FROM, self.turn(time, true))],
            Operator::LtEq => vec![bound(FROM, self.turn(time, false))],
            Operator::Eq => vec![
                bound(UNTIL, self.turn(time.clone(), true)),
                bound(FROM, self.turn(time, false)),
            ],
            _ => return None,
        })
    }

    /// The first instant at which the clock's value is `time` or later; with `past`: is later than it.
    fn turn(self, time: Expr, past: bool) -> Expr {
        let Some((length, origin)) = self.step else {
            return shifted(time, i64::from(past) - self.before);
        };
        // floor(now + before) >= t is now + before >= ceil(t), and > t is now + before >= floor(t) + length.
        let early = if past { 0 } else { length - 1 };
        let floored = floor(shifted(time, early - self.after), length, origin);
        shifted(floored, if past { length } else { 0 } - self.before)
    }
}

fn shifted(time: Expr, us: i64) -> Expr {
    match us {
        0 => time,
        us => Expr::BinaryExpr(BinaryExpr::new(
            Box::new(time),
            Operator::Plus,
            Box::new(lit(interval(us))),
        )),
    }
}

fn interval(us: i64) -> ScalarValue {
    let (days, rest) = (us / DAY_US, us % DAY_US);
    let days = i32::try_from(days).unwrap_or(i32::MAX);
    ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(0, days, rest * 1_000)))
}

fn floor(time: Expr, length: i64, origin: i64) -> Expr {
    let origin = ScalarValue::TimestampMicrosecond(Some(origin), Some("UTC".into()));
    match pg::function("date_bin") {
        Some(function) => function.call(vec![lit(interval(length)), time, lit(origin)]),
        None => time,
    }
}

/// Microseconds of a constant length without months.
fn fixed_us(expr: &Expr) -> Option<i64> {
    let Expr::Literal(value, _) = expr else {
        return None;
    };
    let (months, days, nanos) = match value {
        ScalarValue::IntervalMonthDayNano(Some(v)) => (v.months, i64::from(v.days), v.nanoseconds),
        ScalarValue::IntervalDayTime(Some(v)) => {
            (0, i64::from(v.days), i64::from(v.milliseconds) * 1_000_000)
        }
        ScalarValue::IntervalYearMonth(Some(months)) => (*months, 0, 0),
        _ => return None,
    };
    (months == 0 && nanos % 1_000 == 0)
        .then(|| days.checked_mul(DAY_US)?.checked_add(nanos / 1_000))
        .flatten()
}

fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)), _) => {
            Some(text)
        }
        _ => None,
    }
}

fn number(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(ScalarValue::Int64(Some(n)), _) => Some(*n),
        Expr::Literal(ScalarValue::Int32(Some(n)), _) => Some(i64::from(*n)),
        _ => None,
    }
}
