//! A value of any type as PostgreSQL writes it.

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
    TimestampMicrosecondType,
};
use datafusion::arrow::util::display::array_value_to_string;

use super::civil::Civil;

/// The value's text; empty for NULL.
pub(crate) fn text(array: &ArrayRef, row: usize) -> String {
    if array.is_null(row) {
        return String::new();
    }
    match array.data_type() {
        DataType::LargeUtf8 | DataType::Utf8View => {
            array_value_to_string(array, row).unwrap_or_default()
        }
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::Float64 => float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Float32 => {
            let value = array.as_primitive::<Float32Type>().value(row);
            if value.is_finite() {
                float32(value)
            } else {
                float(f64::from(value))
            }
        }
        DataType::Date32 => {
            let days = i64::from(array.as_primitive::<Date32Type>().value(row));
            Civil::of_days(days).date()
        }
        DataType::Timestamp(_, zone) => {
            let micros = DataType::Timestamp(
                datafusion::arrow::datatypes::TimeUnit::Microsecond,
                zone.clone(),
            );
            let Ok(times) = cast(array, &micros) else {
                return String::new();
            };
            let civil =
                Civil::of_micros(times.as_primitive::<TimestampMicrosecondType>().value(row));
            let zone = if zone.is_some() { "+00" } else { "" };
            format!("{} {}{zone}", civil.date(), civil.time())
        }
        DataType::Interval(_) => match array.as_primitive_opt::<IntervalMonthDayNanoType>() {
            Some(intervals) => interval(intervals.value(row)),
            None => array_value_to_string(array, row).unwrap_or_default(),
        },
        DataType::Binary => format!(
            "\\x{}",
            super::text::hex(array.as_binary::<i32>().value(row))
        ),
        DataType::List(_) => list(array, row),
        _ => array_value_to_string(array, row).unwrap_or_default(),
    }
}

fn list(array: &ArrayRef, row: usize) -> String {
    let elements = array.as_list::<i32>().value(row);
    let nested = matches!(elements.data_type(), DataType::List(_));
    let one = |i: usize| match elements.is_null(i) {
        true => "NULL".to_owned(),
        false => {
            let mut plain = text(&elements, i);
            if elements.data_type() == &DataType::Boolean {
                plain.truncate(1);
            }
            let special = |c: char| c.is_whitespace() || matches!(c, '"' | '\\' | '{' | '}' | ',');
            let quote = !nested
                && (plain.is_empty()
                    || plain.eq_ignore_ascii_case("null")
                    || plain.contains(special));
            match quote {
                true => format!("\"{}\"", plain.replace('\\', "\\\\").replace('"', "\\\"")),
                false => plain,
            }
        }
    };
    let parts: Vec<String> = (0..elements.len()).map(one).collect();
    format!("{{{}}}", parts.join(","))
}

/// The shortest text that reads back as the number, with an exponent where PostgreSQL writes one.
pub(crate) fn float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    exponent(format!("{value:e}"), value.to_string(), 15)
}

fn float32(value: f32) -> String {
    exponent(format!("{value:e}"), value.to_string(), 6)
}

fn exponent(scientific: String, plain: String, digits: i32) -> String {
    let Some((mantissa, power)) = scientific.split_once('e') else {
        return plain;
    };
    match power.parse::<i32>() {
        Ok(power) if power < -4 || power >= digits => {
            let sign = if power < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", power.abs())
        }
        _ => plain,
    }
}

/// `1 year 2 mons 3 days 04:05:06.5`
pub(crate) fn interval(value: IntervalMonthDayNano) -> String {
    let mut parts = Vec::new();
    let mut unit = |n: i32, name: &str| {
        if n != 0 {
            parts.push(format!("{n} {name}{}", if n == 1 { "" } else { "s" }));
        }
    };
    unit(value.months / 12, "year");
    unit(value.months % 12, "mon");
    unit(value.days, "day");
    if value.nanoseconds != 0 || parts.is_empty() {
        let micros = value.nanoseconds / 1_000;
        let sign = if micros < 0 { "-" } else { "" };
        let plus = if micros > 0 && (value.months < 0 || value.days < 0) {
            "+"
        } else {
            ""
        };
        let all = micros.unsigned_abs();
        let (seconds, fraction) = (all / 1_000_000, all % 1_000_000);
        let mut text = format!(
            "{sign}{plus}{:02}:{:02}:{:02}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        );
        if fraction != 0 {
            text.push_str(format!(".{fraction:06}").trim_end_matches('0'));
        }
        parts.push(text);
    }
    parts.join(" ")
}
