//! Column types of views as PostgreSQL has them, and values as the text that it reads.

use headwater_connect::ColumnType;
use serde_json::Value;

/// The type that a new column gets.
pub(super) fn declared(kind: &ColumnType) -> String {
    match kind {
        ColumnType::Bool => "boolean".into(),
        ColumnType::Int16 => "smallint".into(),
        ColumnType::Int32 => "integer".into(),
        ColumnType::Int64 => "bigint".into(),
        ColumnType::Float32 => "real".into(),
        ColumnType::Float64 => "double precision".into(),
        ColumnType::Decimal { precision, scale } => format!("numeric({precision},{scale})"),
        ColumnType::Text => "text".into(),
        ColumnType::Bytes => "bytea".into(),
        ColumnType::Date => "date".into(),
        ColumnType::Timestamp => "timestamp".into(),
        ColumnType::TimestampTz => "timestamptz".into(),
        ColumnType::Json => "jsonb".into(),
    }
}

/// Types (as `regtype` prints them) of existing columns that hold every value without loss.
pub(super) fn accepted(kind: &ColumnType) -> &'static [&'static str] {
    match kind {
        ColumnType::Bool => &["boolean"],
        ColumnType::Int16 => &["smallint", "integer", "bigint", "numeric"],
        ColumnType::Int32 => &["integer", "bigint", "numeric"],
        ColumnType::Int64 => &["bigint", "numeric"],
        ColumnType::Float32 => &["real", "double precision"],
        ColumnType::Float64 => &["double precision"],
        ColumnType::Decimal { .. } => &["numeric"],
        ColumnType::Text => &["text", "character varying", "citext", "uuid"],
        ColumnType::Bytes => &["bytea"],
        ColumnType::Date => &["date"],
        ColumnType::Timestamp => &["timestamp without time zone"],
        ColumnType::TimestampTz => &["timestamp with time zone"],
        ColumnType::Json => &["jsonb", "json", "text"],
    }
}

/// A value as text for a cast to the column's type; `None` for NULL.
pub(super) fn text(kind: &ColumnType, value: &Value) -> Option<String> {
    match (kind, value) {
        (_, Value::Null) => None,
        (ColumnType::Json, value) => Some(without_nul_escapes(value)),
        (
            ColumnType::Timestamp | ColumnType::TimestampTz | ColumnType::Date,
            Value::String(time),
        ) => Some(civil(time)),
        // PostgreSQL's text cannot hold NUL.
        (_, Value::String(text)) => Some(text.replace('\0', "\u{FFFD}")),
        (_, other) => Some(other.to_string()),
    }
}

fn without_nul_escapes(value: &Value) -> String {
    fn clean(value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(text.replace('\0', "\u{FFFD}")),
            Value::Array(items) => items.iter().map(clean).collect(),
            Value::Object(members) => Value::Object(
                members
                    .iter()
                    .map(|(name, value)| (name.replace('\0', "\u{FFFD}"), clean(value)))
                    .collect(),
            ),
            other => other.clone(),
        }
    }
    let text = value.to_string();
    if text.contains("\\u0000") {
        clean(value).to_string()
    } else {
        text
    }
}

/// Years outside 1 to 9999 as PostgreSQL writes them: without a sign, and `BC` for those before 1.
fn civil(text: &str) -> String {
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let Some((year, rest)) = digits.split_once('-') else {
        return text.to_owned();
    };
    match year.parse::<i64>() {
        Ok(0) => format!("0001-{rest} BC"),
        Ok(year) if negative => format!("{:04}-{rest} BC", year + 1),
        Ok(year) => format!("{year:04}-{rest}"),
        Err(_) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_as_postgresql_reads_them() {
        let cases = [
            (
                ColumnType::Int64,
                json!(i64::MIN),
                Some("-9223372036854775808"),
            ),
            (ColumnType::Float64, json!("-Infinity"), Some("-Infinity")),
            (ColumnType::Bool, json!(true), Some("true")),
            (ColumnType::Text, json!("a\0b"), Some("a\u{FFFD}b")),
            (ColumnType::Text, Value::Null, None),
            (
                ColumnType::Json,
                json!({"a": ["x\0"]}),
                Some("{\"a\":[\"x\u{FFFD}\"]}"),
            ),
            (
                ColumnType::TimestampTz,
                json!("2013-01-01T05:00:00Z"),
                Some("2013-01-01T05:00:00Z"),
            ),
            (
                ColumnType::TimestampTz,
                json!("+012345-01-01T05:00:00Z"),
                Some("12345-01-01T05:00:00Z"),
            ),
            (ColumnType::Date, json!("0000-03-01"), Some("0001-03-01 BC")),
            (
                ColumnType::Date,
                json!("-000043-03-15"),
                Some("0044-03-15 BC"),
            ),
        ];
        for (kind, value, expected) in cases {
            assert_eq!(text(&kind, &value).as_deref(), expected, "{value}");
        }
    }
}
