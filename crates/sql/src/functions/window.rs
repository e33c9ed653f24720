//! What TUMBLE and HOP compute: the start and end of the window of an event time, or the list of its windows.
//!
//! Windows are aligned to the epoch. Times and lengths are microseconds. A NULL time has no window.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, ListArray, StructArray, TimestampMicrosecondArray,
};
use datafusion::arrow::buffer::{OffsetBuffer, ScalarBuffer};
use datafusion::arrow::datatypes::{DataType, Field, Fields, TimestampMicrosecondType};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::types::timestamptz;

pub(crate) const WINDOW_START: &str = "window_start";
pub(crate) const WINDOW_END: &str = "window_end";
/// Names of the functions. `tumble_start` cannot clash: users reach windows by TUMBLE and HOP only.
pub(crate) const START: &str = "tumble_start";
pub(crate) const END: &str = "tumble_end";
pub(crate) const HOPS: &str = "hop_windows";
/// Most windows that one row may be in.
pub(crate) const HOP_WINDOWS_MAX: i64 = 1_000;

pub(crate) fn start() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> =
        LazyLock::new(|| Arc::new(Tumble::new(START, false).into()));
    Arc::clone(&UDF)
}

pub(crate) fn end() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> =
        LazyLock::new(|| Arc::new(Tumble::new(END, true).into()));
    Arc::clone(&UDF)
}

pub(crate) fn hops() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(Hop::new().into()));
    Arc::clone(&UDF)
}

/// `tumble_start(ts, size)`, `tumble_end(ts, size)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Tumble {
    name: &'static str,
    end: bool,
    signature: Signature,
}

impl Tumble {
    fn new(name: &'static str, end: bool) -> Self {
        Self {
            name,
            end,
            signature: Signature::exact(
                vec![timestamptz(), DataType::Int64],
                Volatility::Immutable,
            ),
        }
    }
}

impl ScalarUDFImpl for Tumble {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(timestamptz())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let size = length(args.args.get(1))?;
        let shift = if self.end { size } else { 0 };
        let times = times(&args)?;
        let windows = times.as_primitive::<TimestampMicrosecondType>();
        let windows: TimestampMicrosecondArray =
            windows.unary(|ts| floor(ts, size).saturating_add(shift));
        Ok(ColumnarValue::Array(Arc::new(windows.with_timezone("UTC"))))
    }
}

/// `hop_windows(ts, slide, size)`: a list of `STRUCT<window_start, window_end>`, earliest first.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Hop {
    signature: Signature,
}

impl Hop {
    fn new() -> Self {
        let args = vec![timestamptz(), DataType::Int64, DataType::Int64];
        Self {
            signature: Signature::exact(args, Volatility::Immutable),
        }
    }
}

pub(crate) fn window_fields() -> Fields {
    vec![
        Field::new(WINDOW_START, timestamptz(), true),
        Field::new(WINDOW_END, timestamptz(), true),
    ]
    .into()
}

pub(crate) fn element() -> Arc<Field> {
    Arc::new(Field::new_list_field(
        DataType::Struct(window_fields()),
        true,
    ))
}

impl ScalarUDFImpl for Hop {
    fn name(&self) -> &str {
        HOPS
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(element()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (slide, size) = (length(args.args.get(1))?, length(args.args.get(2))?);
        let times = times(&args)?;
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let (mut starts, mut offsets) = (Vec::new(), vec![0_i32]);
        for row in 0..times.len() {
            if times.is_valid(row) {
                push_starts(times.value(row), slide, size, &mut starts);
            }
            offsets.push(i32::try_from(starts.len()).unwrap_or(i32::MAX));
        }
        let ends: Vec<i64> = starts
            .iter()
            .map(|start| start.saturating_add(size))
            .collect();
        let column = |values: Vec<i64>| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC"))
        };
        let windows =
            StructArray::try_new(window_fields(), vec![column(starts), column(ends)], None)?;
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let list = ListArray::try_new(
            element(),
            offsets,
            Arc::new(windows),
            times.nulls().cloned(),
        )?;
        Ok(ColumnarValue::Array(Arc::new(list)))
    }
}

/// Starts of the windows that hold `ts`, earliest first.
fn push_starts(ts: i64, slide: i64, size: i64, starts: &mut Vec<i64>) {
    let last = floor(ts, slide);
    let count = (size - (ts - last) + slide - 1).div_euclid(slide);
    starts.extend(
        (0..count.max(0))
            .rev()
            .map(|back| last.saturating_sub(back * slide)),
    );
}

fn floor(ts: i64, size: i64) -> i64 {
    ts.saturating_sub(ts.rem_euclid(size))
}

fn times(args: &ScalarFunctionArgs) -> Result<ArrayRef> {
    match args.args.first() {
        Some(times) => times.to_array(args.number_rows),
        None => exec_err!("a window needs a time"),
    }
}

fn length(arg: Option<&ColumnarValue>) -> Result<i64> {
    match arg {
        Some(ColumnarValue::Scalar(ScalarValue::Int64(Some(length)))) if *length > 0 => Ok(*length),
        _ => exec_err!("the length of a window must be a positive constant"),
    }
}

#[cfg(test)]
mod tests {
    use super::push_starts;

    fn starts(ts: i64, slide: i64, size: i64) -> Vec<i64> {
        let mut starts = Vec::new();
        push_starts(ts, slide, size, &mut starts);
        starts
    }

    #[test]
    fn a_time_is_in_each_window_that_covers_it() {
        assert_eq!(starts(7, 5, 10), [0, 5]);
        assert_eq!(starts(10, 5, 10), [5, 10]);
        assert_eq!(starts(-1, 5, 10), [-10, -5]);
        assert_eq!(starts(12, 5, 7), [10]);
        assert_eq!(starts(11, 5, 7), [5, 10]);
        assert_eq!(starts(14, 10, 3), [0_i64; 0]);
        assert_eq!(starts(12, 10, 3), [10]);
    }
}
