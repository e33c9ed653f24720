//! Every fixed-width type of up to 8 bytes as an `i64` whose order is the type's order (floats: IEEE total order, -0.0 as 0.0).
//!
//! One representation serves keys, min and max, distinct values and rows.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, PrimitiveArray};
use datafusion::arrow::buffer::{NullBuffer, ScalarBuffer};
use datafusion::arrow::datatypes::*;

/// Native values that map onto words and back.
trait Word: Copy {
    fn to_word(self) -> i64;
    fn of_word(word: i64) -> Self;
}

macro_rules! word_ints {
    ($($t:ty),*) => {$(impl Word for $t {
        fn to_word(self) -> i64 { i64::from(self) }
        fn of_word(word: i64) -> Self { word as $t }
    })*};
}
word_ints!(i8, i16, i32, i64, u8, u16, u32);

impl Word for u64 {
    fn to_word(self) -> i64 {
        (self ^ (1 << 63)) as i64
    }
    fn of_word(word: i64) -> Self {
        word as u64 ^ (1 << 63)
    }
}

/// Negative floats order backwards by their bits: flip all but the sign.
impl Word for f64 {
    fn to_word(self) -> i64 {
        // -0.0 equals 0.0: one of them is a key, the other never comes back.
        let bits = (self + 0.0).to_bits() as i64;
        bits ^ ((bits >> 63) & i64::MAX)
    }
    fn of_word(word: i64) -> Self {
        Self::from_bits((word ^ ((word >> 63) & i64::MAX)) as u64)
    }
}

impl Word for f32 {
    fn to_word(self) -> i64 {
        let bits = (self + 0.0).to_bits() as i32;
        i64::from(bits ^ ((bits >> 31) & i32::MAX))
    }
    fn of_word(word: i64) -> Self {
        let word = word as i32;
        Self::from_bits((word ^ ((word >> 31) & i32::MAX)) as u32)
    }
}

/// Runs `$run!(ArrowType)` for the primitive word type of `$type`, else `$other`.
macro_rules! by_word_type {
    ($type:expr, $run:ident, $other:expr) => {
        match $type {
            DataType::Int8 => $run!(Int8Type),
            DataType::Int16 => $run!(Int16Type),
            DataType::Int32 => $run!(Int32Type),
            DataType::Int64 => $run!(Int64Type),
            DataType::UInt8 => $run!(UInt8Type),
            DataType::UInt16 => $run!(UInt16Type),
            DataType::UInt32 => $run!(UInt32Type),
            DataType::UInt64 => $run!(UInt64Type),
            DataType::Float32 => $run!(Float32Type),
            DataType::Float64 => $run!(Float64Type),
            DataType::Date32 => $run!(Date32Type),
            DataType::Date64 => $run!(Date64Type),
            DataType::Time32(TimeUnit::Second) => $run!(Time32SecondType),
            DataType::Time32(_) => $run!(Time32MillisecondType),
            DataType::Time64(TimeUnit::Microsecond) => $run!(Time64MicrosecondType),
            DataType::Time64(_) => $run!(Time64NanosecondType),
            DataType::Timestamp(TimeUnit::Second, _) => $run!(TimestampSecondType),
            DataType::Timestamp(TimeUnit::Millisecond, _) => $run!(TimestampMillisecondType),
            DataType::Timestamp(TimeUnit::Microsecond, _) => $run!(TimestampMicrosecondType),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => $run!(TimestampNanosecondType),
            DataType::Duration(TimeUnit::Second) => $run!(DurationSecondType),
            DataType::Duration(TimeUnit::Millisecond) => $run!(DurationMillisecondType),
            DataType::Duration(TimeUnit::Microsecond) => $run!(DurationMicrosecondType),
            DataType::Duration(TimeUnit::Nanosecond) => $run!(DurationNanosecondType),
            DataType::Interval(IntervalUnit::YearMonth) => $run!(IntervalYearMonthType),
            _ => $other,
        }
    };
}

pub(crate) fn is_word(data_type: &DataType) -> bool {
    macro_rules! yes {
        ($t:ty) => {
            true
        };
    }
    by_word_type!(data_type, yes, *data_type == DataType::Boolean)
}

/// The array's values as words; what stands under a NULL is arbitrary. `None` for other types.
pub(crate) fn to_words(array: &dyn Array) -> Option<ScalarBuffer<i64>> {
    macro_rules! convert {
        ($t:ty) => {
            Some(
                array
                    .as_primitive::<$t>()
                    .values()
                    .iter()
                    .map(|v| v.to_word())
                    .collect(),
            )
        };
    }
    match array.data_type() {
        DataType::Boolean => Some(array.as_boolean().values().iter().map(i64::from).collect()),
        DataType::Int64 => Some(array.as_primitive::<Int64Type>().values().clone()),
        DataType::Timestamp(TimeUnit::Microsecond, _) => Some(
            array
                .as_primitive::<TimestampMicrosecondType>()
                .values()
                .clone(),
        ),
        other => by_word_type!(other, convert, None),
    }
}

/// The array of `data_type` that these words stand for. `None` for other types.
pub(crate) fn from_words(
    data_type: &DataType,
    words: Vec<i64>,
    nulls: Option<NullBuffer>,
) -> Option<ArrayRef> {
    macro_rules! convert {
        ($t:ty) => {{
            let values = words.into_iter().map(Word::of_word).collect();
            let array = PrimitiveArray::<$t>::try_new(values, nulls).ok()?;
            Some(Arc::new(array.with_data_type(data_type.clone())))
        }};
    }
    match data_type {
        DataType::Boolean => {
            let values = words.into_iter().map(|w| w != 0).collect();
            Some(Arc::new(BooleanArray::new(values, nulls)))
        }
        other => by_word_type!(other, convert, None),
    }
}
