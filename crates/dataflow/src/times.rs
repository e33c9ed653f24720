//! Columns of times as microseconds.

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type, TimeUnit};

/// Times in microseconds since 1970; NULL is never reached.
pub(crate) fn times_us(column: &ArrayRef) -> Result<Vec<i64>, String> {
    let us = match column.data_type() {
        DataType::Timestamp(_, zone) => cast(
            column,
            &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        ),
        other => return Err(format!("a window's end is a timestamp, not {other}")),
    };
    let words = us
        .and_then(|us| cast(&us, &DataType::Int64))
        .map_err(|e| e.to_string())?;
    let words = words.as_primitive::<Int64Type>();
    Ok((0..words.len())
        .map(|row| match words.is_valid(row) {
            true => words.value(row),
            false => i64::MAX,
        })
        .collect())
}
