//! Columns from what records hold: the narrowest type that all samples of a field fit, objects as STRUCT, lists as arrays.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use serde_json::Value;

use crate::time::{parse_date, parse_timestamp};

/// Most columns, and most fields of an object; one more than a declaration takes, so that nothing is left out unseen.
const FIELDS_MAX: usize = 1_001;
/// Deepest nesting; deeper values become text.
const DEPTH_MAX: usize = 8;

/// What the values of one field have been so far.
#[derive(Clone, Debug, Default, PartialEq)]
enum Seen {
    /// Nothing but null.
    #[default]
    Nothing,
    Bool,
    Integer,
    Float,
    Date,
    Timestamp,
    Text,
    Object(Vec<(String, Seen)>),
    List(Box<Seen>),
    /// Values that no type holds together.
    Mixed(String),
}

/// Columns of records.
#[derive(Clone, Debug, Default)]
pub struct Inference {
    fields: Vec<(String, Seen)>,
    records: usize,
}

impl Inference {
    /// Takes a record's value into account; false if it is no JSON object.
    pub fn sample(&mut self, value: &[u8]) -> bool {
        let Ok(Value::Object(object)) = serde_json::from_slice(value) else {
            return false;
        };
        self.records += 1;
        merge_object(&mut self.fields, object, 0);
        true
    }

    /// How many records have been taken into account.
    pub fn records(&self) -> usize {
        self.records
    }

    /// The columns in the order in which they were first seen, each with its type, or with what its values were if they fit no one
    /// type: then only JSON holds them.
    pub fn columns(&self) -> Vec<(String, Result<DataType, String>)> {
        let column = |(name, seen): &(String, Seen)| (name.clone(), data_type(seen));
        self.fields.iter().map(column).collect()
    }
}

fn merge_object(
    fields: &mut Vec<(String, Seen)>,
    object: serde_json::Map<String, Value>,
    depth: usize,
) {
    for (name, value) in object {
        let known = fields.iter().position(|(known, _)| *known == name);
        match known {
            Some(at) => merge(&mut fields[at].1, value, depth),
            None if fields.len() < FIELDS_MAX => {
                let mut seen = Seen::Nothing;
                merge(&mut seen, value, depth);
                fields.push((name, seen));
            }
            None => {}
        }
    }
}

fn merge(seen: &mut Seen, value: Value, depth: usize) {
    match value {
        Value::Null => {}
        Value::Object(object) if depth < DEPTH_MAX => match seen {
            Seen::Object(fields) => merge_object(fields, object, depth + 1),
            Seen::Nothing => {
                let mut fields = Vec::new();
                merge_object(&mut fields, object, depth + 1);
                *seen = Seen::Object(fields);
            }
            other => *other = mixed(other, "an object"),
        },
        Value::Array(items) if depth < DEPTH_MAX => match seen {
            Seen::List(item) => items.into_iter().for_each(|v| merge(item, v, depth + 1)),
            Seen::Nothing => {
                let mut item = Seen::Nothing;
                items
                    .into_iter()
                    .for_each(|v| merge(&mut item, v, depth + 1));
                *seen = Seen::List(Box::new(item));
            }
            other => *other = mixed(other, "an array"),
        },
        scalar => {
            let found = scalar_kind(&scalar);
            *seen = widened(std::mem::take(seen), found);
        }
    }
}

fn scalar_kind(value: &Value) -> Seen {
    match value {
        Value::Bool(_) => Seen::Bool,
        Value::Number(number) if number.as_i64().is_some() => Seen::Integer,
        Value::Number(_) => Seen::Float,
        Value::String(text) if parse_date(text.as_bytes()).is_some() => Seen::Date,
        Value::String(text) if parse_timestamp(text.as_bytes()).is_some() => Seen::Timestamp,
        Value::String(_) => Seen::Text,
        Value::Object(_) => Seen::Mixed("nested too deep".to_owned()),
        _ => Seen::Nothing,
    }
}

fn word(seen: &Seen) -> &str {
    match seen {
        Seen::Nothing => "null",
        Seen::Bool => "a boolean",
        Seen::Integer | Seen::Float => "a number",
        Seen::Date | Seen::Timestamp | Seen::Text => "a string",
        Seen::Object(_) => "an object",
        Seen::List(_) => "an array",
        Seen::Mixed(what) => what,
    }
}

fn mixed(seen: &Seen, found: &str) -> Seen {
    match seen {
        Seen::Mixed(_) => seen.clone(),
        other => Seen::Mixed(format!(
            "{} in some records and {found} in others",
            word(other)
        )),
    }
}

fn widened(before: Seen, found: Seen) -> Seen {
    match (before, found) {
        (Seen::Nothing, found) => found,
        (before, found) if before == found => before,
        (Seen::Integer | Seen::Float, Seen::Integer | Seen::Float) => Seen::Float,
        (Seen::Date | Seen::Timestamp | Seen::Text, Seen::Date | Seen::Timestamp | Seen::Text) => {
            Seen::Text
        }
        (before, found) => mixed(&before, word(&found)),
    }
}

fn data_type(seen: &Seen) -> Result<DataType, String> {
    Ok(match seen {
        Seen::Nothing | Seen::Text => DataType::Utf8,
        Seen::Bool => DataType::Boolean,
        Seen::Integer => DataType::Int64,
        Seen::Float => DataType::Float64,
        Seen::Date => DataType::Date32,
        Seen::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Seen::List(item) => DataType::List(Arc::new(Field::new_list_field(data_type(item)?, true))),
        Seen::Object(fields) if fields.is_empty() => return Err("an empty object".to_owned()),
        Seen::Object(fields) => {
            let field =
                |(name, seen): &(String, Seen)| data_type(seen).map(|t| Field::new(name, t, true));
            DataType::Struct(
                fields
                    .iter()
                    .map(field)
                    .collect::<Result<Fields, String>>()?,
            )
        }
        Seen::Mixed(what) => return Err(what.clone()),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::types::sql_name;

    fn columns(records: &[&str]) -> String {
        let mut inference = Inference::default();
        for record in records {
            assert!(inference.sample(record.as_bytes()));
        }
        let shown = |t: &Result<DataType, String>| match t {
            Ok(t) => sql_name(t),
            Err(what) => format!("JSON ({what})"),
        };
        let all = inference.columns();
        let all = all.iter().map(|(name, t)| format!("{name} {}", shown(t)));
        all.collect::<Vec<String>>().join(", ")
    }

    #[test]
    fn types_are_widened_over_the_sample() {
        let records = [
            r#"{"id": 1, "amount": 2, "at": "2024-05-06T10:00:00Z", "day": "2024-05-06", "ok": true, "note": null}"#,
            r#"{"id": 2, "amount": 2.5, "at": "2024-05-06 10:00:00.5+02:00", "day": "soon", "tags": ["a"], "new": 1}"#,
        ];
        let wanted = "id BIGINT, amount DOUBLE, at TIMESTAMPTZ, day TEXT, ok BOOLEAN, note TEXT, tags TEXT[], new BIGINT";
        assert_eq!(columns(&records), wanted);
    }

    #[test]
    fn objects_nest_and_their_fields_come_together() {
        let records = [
            r#"{"a": {"b": 1, "c": [{"d": 1}]}}"#,
            r#"{"a": {"e": "x", "c": [{"d": 1.5}, {"f": true}]}}"#,
        ];
        assert_eq!(
            columns(&records),
            "a STRUCT<b BIGINT, c STRUCT<d DOUBLE, f BOOLEAN>[], e TEXT>"
        );
    }

    #[test]
    fn what_fits_no_type_is_told_by_name() {
        assert_eq!(
            columns(&[
                r#"{"a": 1, "b": {"c": "x"}, "e": {}}"#,
                r#"{"a": {"b": 1}, "b": {"c": [1]}}"#
            ]),
            "a JSON (a number in some records and an object in others), b JSON (a string in some records and an array in others), \
             e JSON (an empty object)"
        );
        assert!(!Inference::default().sample(b"[1]"));
        assert_eq!(columns(&[r#"{"n": 18446744073709551615}"#]), "n DOUBLE");
    }
}
