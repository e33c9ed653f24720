//! Values as texts, and when two of them are the same.

use serde_json::Value;

/// Floats are the same up to this part of the larger one: sums come in any order.
const FLOAT_TOLERANCE: f64 = 1e-9;

/// A row as the files write it: columns between `|`, NULL, `(empty)` for the empty text.
pub fn row(values: &[Value]) -> String {
    let texts: Vec<String> = values.iter().map(text).collect();
    texts.join("|")
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::String(text) if text.is_empty() => "(empty)".to_owned(),
        Value::String(text) => text.replace('\n', "\\n").replace('|', "\\p"),
        other => other.to_string(),
    }
}

/// Rows in one order, whatever the last digits of their floats.
pub fn sorted(mut rows: Vec<String>) -> Vec<String> {
    rows.sort_by_cached_key(|row| row.split('|').map(rounded).collect::<Vec<_>>());
    rows
}

fn float(text: &str) -> Option<f64> {
    let looks = text.contains(['.', 'e', 'E'])
        && text.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    text.parse().ok().filter(|_| looks)
}

fn rounded(text: &str) -> String {
    float(text).map_or_else(|| text.to_owned(), |value| format!("{:.6e}", value + 0.0))
}

pub fn same(a: &[String], b: &[String]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b || same_row(a, b))
}

fn same_row(a: &str, b: &str) -> bool {
    let (a, b): (Vec<&str>, Vec<&str>) = (a.split('|').collect(), b.split('|').collect());
    a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a == b || close(a, b))
}

fn close(a: &str, b: &str) -> bool {
    match (float(a), float(b)) {
        (Some(a), Some(b)) => (a - b).abs() <= FLOAT_TOLERANCE * a.abs().max(b.abs()),
        _ => false,
    }
}

/// What is in one and not in the other.
pub fn diff(expect: &[String], got: &[String]) -> String {
    let mut left = got.to_vec();
    let mut out = String::new();
    for row in expect {
        match left
            .iter()
            .position(|other| other == row || same_row(row, other))
        {
            Some(at) => drop(left.remove(at)),
            None => out.push_str(&format!("\n  missing:  {row}")),
        }
    }
    left.iter()
        .for_each(|row| out.push_str(&format!("\n  too much: {row}")));
    if out.is_empty() {
        "\n  the same rows in another order".to_owned()
    } else {
        out
    }
}
