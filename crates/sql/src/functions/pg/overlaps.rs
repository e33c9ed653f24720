//! `(a, b) OVERLAPS (c, d)`: a period is given by its ends or by its beginning and length.

use datafusion::arrow::datatypes::IntervalMonthDayNano;

use super::civil::{Civil, DAY_US, days as civil_days, days_in_month};
use super::kit::T::{Bool, Interval, Ts, Tstz};
use super::kit::{A, Answer, Def, O, def, nullable};

pub(super) const FUNCTIONS: &[Def] = &[def(
    "times_overlap",
    &[
        nullable(&[Ts, Ts, Ts, Ts], Bool, overlap),
        nullable(&[Tstz, Tstz, Tstz, Tstz], Bool, overlap),
        nullable(&[Ts, Interval, Ts, Ts], Bool, overlap),
        nullable(&[Tstz, Interval, Tstz, Tstz], Bool, overlap),
        nullable(&[Ts, Ts, Ts, Interval], Bool, overlap),
        nullable(&[Tstz, Tstz, Tstz, Interval], Bool, overlap),
        nullable(&[Ts, Interval, Ts, Interval], Bool, overlap),
        nullable(&[Tstz, Interval, Tstz, Interval], Bool, overlap),
    ],
)];

/// Whether two periods have a moment in common; each holds its beginning and not its end, or is one moment. NULL where that hangs on a time
/// that is NULL.
fn overlap(a: &[A<'_>]) -> Answer {
    let (Some(one), Some(other)) = (period(&a[0], &a[1])?, period(&a[2], &a[3])?) else {
        return Ok(O::Null);
    };
    let (first, second) = if one.0 <= other.0 {
        (one, other)
    } else {
        (other, one)
    };
    Ok(match (first, second) {
        ((from, end), (other, other_end)) if from == other => {
            end.and(other_end).map_or(O::Null, |_| O::Bool(true))
        }
        ((_, Some(end)), (from, _)) if from < end => O::Bool(true),
        ((_, Some(_)), (_, Some(_))) => O::Bool(false),
        _ => O::Null,
    })
}

/// The earlier end of a period, and the later one if both are known.
fn period(a: &A<'_>, b: &A<'_>) -> Result<Option<(i64, Option<i64>)>, String> {
    let end = match b {
        A::Null => None,
        A::Interval(length) if !a.is_null() => Some(later(a.int(), *length)?),
        A::Interval(_) => None,
        time => Some(time.int()),
    };
    let begin = (!a.is_null()).then(|| a.int());
    Ok(match (begin, end) {
        (Some(a), Some(b)) => Some((a.min(b), Some(a.max(b)))),
        (Some(known), None) | (None, Some(known)) => Some((known, None)),
        (None, None) => None,
    })
}

/// A time and a length: months by the calendar, then days, then the rest.
fn later(time: i64, length: IntervalMonthDayNano) -> Result<i64, String> {
    let range = || "timestamp out of range".to_owned();
    let from = Civil::of_micros(time);
    let months = from.year * 12 + from.month - 1 + i64::from(length.months);
    let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
    let day = from.day.min(days_in_month(year, month));
    let days = civil_days(year, month, day) + i64::from(length.days);
    days.checked_mul(DAY_US)
        .and_then(|us| us.checked_add(from.of_day))
        .and_then(|us| us.checked_add(length.nanoseconds / 1_000))
        .ok_or_else(range)
}
