//! Windows that are not plain multiples of a fixed length since 1970: with an offset, in the days and months of a time zone, or cumulating.
//!
//! Such windows are reckoned on the zone's clock and brought back: a day in Berlin has 23, 24 or 25 hours. An hour that the clock shows twice is
//! one window.

use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Datelike, LocalResult, NaiveDate, NaiveDateTime, Offset, TimeZone};
use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, ListArray, StructArray, TimestampMicrosecondArray,
};
use datafusion::arrow::buffer::{OffsetBuffer, ScalarBuffer};
use datafusion::arrow::datatypes::{DataType, TimestampMicrosecondType};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit,
};

use super::window::{HOP_WINDOWS_MAX, element, window_fields};
use crate::types::timestamptz;

/// Name of the function; users reach it by TUMBLE, HOP and CUMULATE only.
pub(crate) const LIST: &str = "window_list";

/// The length of a window: whole months, or microseconds (a day is 24 hours of the zone's clock).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Length {
    pub months: i64,
    pub us: i64,
}

impl Length {
    /// About how long it is, not less.
    pub fn us_max(self) -> i64 {
        self.months
            .saturating_mul(31 * 86_400_000_000)
            .saturating_add(self.us)
    }

    /// The last multiple of it that is not after a time of the clock.
    fn floor(self, at: i64) -> i64 {
        if self.months == 0 {
            return at.saturating_sub(at.rem_euclid(self.us));
        }
        let date = naive(at);
        let month = (i64::from(date.year()) - 1970) * 12 + i64::from(date.month0());
        month_start(month.div_euclid(self.months) * self.months)
    }

    /// A multiple of it, `count` lengths on.
    fn after(self, start: i64, count: i64) -> i64 {
        if self.months == 0 {
            return start.saturating_add(self.us.saturating_mul(count));
        }
        let date = naive(start);
        let month = (i64::from(date.year()) - 1970) * 12 + i64::from(date.month0());
        month_start(month.saturating_add(self.months.saturating_mul(count)))
    }
}

fn naive(us: i64) -> NaiveDateTime {
    DateTime::from_timestamp_micros(us)
        .unwrap_or_default()
        .naive_utc()
}

fn month_start(month: i64) -> i64 {
    let year = i32::try_from(1970 + month.div_euclid(12)).unwrap_or(i32::MAX);
    let date = NaiveDate::from_ymd_opt(year, month.rem_euclid(12) as u32 + 1, 1);
    let midnight = date.and_then(|d| d.and_hms_opt(0, 0, 0));
    midnight.map_or(i64::MAX, |m| m.and_utc().timestamp_micros())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Tumble,
    /// Slide, size.
    Hop,
    /// Step, size.
    Cumulate,
}

/// Which windows a time is in.
#[derive(Clone, Debug)]
pub(crate) struct Windows {
    pub shape: Shape,
    /// Slide or step; of TUMBLE the size again.
    pub step: Length,
    pub size: Length,
    pub offset_us: i64,
    pub zone: Option<String>,
}

impl Windows {
    /// The list of windows of a time.
    pub fn call(&self, time: Expr) -> Expr {
        static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(WindowList::new().into()));
        let shape = match self.shape {
            Shape::Tumble => "tumble",
            Shape::Hop => "hop",
            Shape::Cumulate => "cumulate",
        };
        let numbers = [
            self.step.months,
            self.step.us,
            self.size.months,
            self.size.us,
            self.offset_us,
        ];
        let mut args = vec![time, lit(shape)];
        args.extend(numbers.map(lit));
        args.push(lit(self.zone.clone().unwrap_or_default()));
        UDF.call(args)
    }

    fn of_args(args: &[ColumnarValue]) -> Result<(Self, Option<Tz>)> {
        let text = |at: usize| match args.get(at) {
            Some(ColumnarValue::Scalar(ScalarValue::Utf8(Some(text)))) => Ok(text.clone()),
            _ => exec_err!("a window's shape and zone are constants"),
        };
        let number = |at: usize| match args.get(at) {
            Some(ColumnarValue::Scalar(ScalarValue::Int64(Some(number)))) => Ok(*number),
            _ => exec_err!("a window's lengths are constants"),
        };
        let shape = match text(1)?.as_str() {
            "tumble" => Shape::Tumble,
            "hop" => Shape::Hop,
            _ => Shape::Cumulate,
        };
        let length = |at: usize| {
            Ok::<_, datafusion::common::DataFusionError>(Length {
                months: number(at)?,
                us: number(at + 1)?,
            })
        };
        let zone = Some(text(7)?).filter(|zone| !zone.is_empty());
        let tz = zone.as_deref().map(str::parse::<Tz>).transpose()?;
        let windows = Self {
            shape,
            step: length(2)?,
            size: length(4)?,
            offset_us: number(6)?,
            zone,
        };
        Ok((windows, tz))
    }

    /// Start and end of each window that holds a time, on the clock less the offset.
    fn on_clock(&self, at: i64, out: &mut Vec<(i64, i64)>) {
        match self.shape {
            Shape::Tumble => {
                let start = self.size.floor(at);
                out.push((start, self.size.after(start, 1)));
            }
            Shape::Hop => {
                let from = out.len();
                let mut start = self.step.floor(at);
                while self.size.after(start, 1) > at && out.len() - from < HOP_WINDOWS_MAX as usize
                {
                    out.push((start, self.size.after(start, 1)));
                    start = self.step.after(start, -1);
                }
                out[from..].reverse();
            }
            Shape::Cumulate => {
                let start = self.size.floor(at);
                let last = self.size.after(start, 1);
                let mut end = start;
                while end < last {
                    end = self.step.after(end, 1).min(last);
                    if end > at {
                        out.push((start, end));
                    }
                }
            }
        }
    }
}

/// The zone's clock at a time, and back: a time that the clock shows twice is the first, one that it leaves out is when it went on.
fn to_clock(us: i64, zone: Option<Tz>) -> i64 {
    let Some(zone) = zone else { return us };
    let offset = zone.offset_from_utc_datetime(&naive(us)).fix();
    us.saturating_add(i64::from(offset.local_minus_utc()) * 1_000_000)
}

fn from_clock(us: i64, zone: Option<Tz>) -> i64 {
    let Some(zone) = zone else { return us };
    let offset = match zone.offset_from_local_datetime(&naive(us)) {
        LocalResult::Single(offset) | LocalResult::Ambiguous(offset, _) => offset.fix(),
        // The clock went on within the last day, and never by more than that.
        LocalResult::None => zone
            .offset_from_utc_datetime(&naive(us - 86_400_000_000))
            .fix(),
    };
    us.saturating_sub(i64::from(offset.local_minus_utc()) * 1_000_000)
}

/// `window_list(ts, shape, step months, step us, size months, size us, offset us, zone)`: a list of `STRUCT<window_start, window_end>`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct WindowList {
    signature: Signature,
}

impl WindowList {
    fn new() -> Self {
        let mut args = vec![timestamptz(), DataType::Utf8];
        args.extend(std::iter::repeat_n(DataType::Int64, 5));
        args.push(DataType::Utf8);
        Self {
            signature: Signature::exact(args, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for WindowList {
    fn name(&self) -> &str {
        LIST
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(element()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (windows, zone) = Windows::of_args(&args.args)?;
        let Some(times) = args.args.first() else {
            return exec_err!("a window needs a time");
        };
        let times = times.to_array(args.number_rows)?;
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let (mut starts, mut ends, mut offsets) = (Vec::new(), Vec::new(), vec![0_i32]);
        let mut of_row = Vec::new();
        for row in 0..times.len() {
            if times.is_valid(row) {
                of_row.clear();
                let clock = to_clock(times.value(row), zone).saturating_sub(windows.offset_us);
                windows.on_clock(clock, &mut of_row);
                for (start, end) in &of_row {
                    starts.push(from_clock(start.saturating_add(windows.offset_us), zone));
                    ends.push(from_clock(end.saturating_add(windows.offset_us), zone));
                }
            }
            offsets.push(i32::try_from(starts.len()).unwrap_or(i32::MAX));
        }
        let column = |values: Vec<i64>| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC"))
        };
        let columns = vec![column(starts), column(ends)];
        let list = ListArray::try_new(
            element(),
            OffsetBuffer::new(ScalarBuffer::from(offsets)),
            Arc::new(StructArray::try_new(window_fields(), columns, None)?),
            times.nulls().cloned(),
        )?;
        Ok(ColumnarValue::Array(Arc::new(list)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(
        shape: Shape,
        step: (i64, i64),
        size: (i64, i64),
        offset_us: i64,
        zone: &str,
        at: &str,
    ) -> Vec<String> {
        let length = |(months, us)| Length { months, us };
        let windows = Windows {
            shape,
            step: length(step),
            size: length(size),
            offset_us,
            zone: None,
        };
        let zone = (!zone.is_empty()).then(|| zone.parse::<Tz>().unwrap());
        let at = at
            .parse::<DateTime<chrono::Utc>>()
            .unwrap()
            .timestamp_micros();
        let mut out = Vec::new();
        windows.on_clock(to_clock(at, zone) - offset_us, &mut out);
        let shown = |us: i64| {
            naive(from_clock(us + offset_us, zone))
                .format("%m-%dT%H:%M")
                .to_string()
        };
        out.iter()
            .map(|(s, e)| format!("{} {}", shown(*s), shown(*e)))
            .collect()
    }

    const HOUR: i64 = 3_600_000_000;
    const DAY: i64 = 24 * HOUR;

    #[test]
    fn days_and_months_are_those_of_the_zone() {
        let berlin = |size, at| of(Shape::Tumble, size, size, 0, "Europe/Berlin", at);
        assert_eq!(
            berlin((0, DAY), "2026-03-28T23:30:00Z"),
            ["03-28T23:00 03-29T22:00"]
        );
        assert_eq!(
            berlin((0, DAY), "2026-10-25T12:00:00Z"),
            ["10-24T22:00 10-25T23:00"]
        );
        assert_eq!(
            berlin((1, 0), "2026-03-31T22:30:00Z"),
            ["03-31T22:00 04-30T22:00"]
        );
        assert_eq!(
            berlin((3, 0), "2026-02-10T00:00:00Z"),
            ["12-31T23:00 03-31T22:00"]
        );
        // Clocks go back at 01:00Z: 02:00 to 03:00 comes twice.
        assert_eq!(
            berlin((0, HOUR), "2026-10-25T00:10:00Z"),
            ["10-25T00:00 10-25T02:00"]
        );
        assert_eq!(
            berlin((0, HOUR), "2026-10-25T01:10:00Z"),
            ["10-25T00:00 10-25T02:00"]
        );
        // And on at 01:00Z: there is no 02:00.
        assert_eq!(
            berlin((0, HOUR), "2026-03-29T00:59:00Z"),
            ["03-29T00:00 03-29T01:00"]
        );
        assert_eq!(
            berlin((0, HOUR), "2026-03-29T01:00:00Z"),
            ["03-29T01:00 03-29T02:00"]
        );
    }

    #[test]
    fn offsets_shift_and_steps_cumulate() {
        let day = (0, DAY);
        assert_eq!(
            of(
                Shape::Tumble,
                day,
                day,
                6 * HOUR,
                "",
                "2026-01-02T05:00:00Z"
            ),
            ["01-01T06:00 01-02T06:00"]
        );
        assert_eq!(
            of(
                Shape::Cumulate,
                (0, 8 * HOUR),
                day,
                0,
                "",
                "2026-01-01T09:00:00Z"
            ),
            ["01-01T00:00 01-01T16:00", "01-01T00:00 01-02T00:00"]
        );
        assert_eq!(
            of(
                Shape::Hop,
                (0, 12 * HOUR),
                day,
                HOUR,
                "",
                "2026-01-01T12:59:00Z"
            ),
            ["12-31T13:00 01-01T13:00", "01-01T01:00 01-02T01:00"]
        );
        assert_eq!(
            of(Shape::Hop, (1, 0), (2, 0), 0, "", "2026-05-03T00:00:00Z"),
            ["04-01T00:00 06-01T00:00", "05-01T00:00 07-01T00:00"]
        );
    }
}
