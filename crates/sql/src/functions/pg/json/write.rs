//! JSON as PostgreSQL's `jsonb` writes it.

use serde_json::Value;

/// Keys by length and then bytes, one blank after `,` and `:`.
pub(crate) fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

/// The same for a text that is JSON already.
pub(crate) fn canonical_text(text: &str) -> Result<String, String> {
    Ok(canonical(&super::parse(text)?))
}

pub(super) fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

fn sorted(fields: &serde_json::Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut all: Vec<_> = fields.iter().collect();
    all.sort_by(|(a, _), (b, _)| (a.len(), a.as_bytes()).cmp(&(b.len(), b.as_bytes())));
    all
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            out.push('{');
            for (i, (key, value)) in sorted(fields).into_iter().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                out.push_str(&quoted(key));
                out.push_str(": ");
                write(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                write(item, out);
            }
            out.push(']');
        }
        Value::Number(n) => out.push_str(&number(&n.to_string())),
        Value::String(text) => out.push_str(&quoted(text)),
        other => out.push_str(&other.to_string()),
    }
}

/// Longest number that is written out without its exponent, in digits.
const DIGITS_MAX: i64 = 1_000;

/// A number without an exponent.
pub(super) fn number(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let Some((mantissa, power)) = lower.split_once('e') else {
        return text.to_owned();
    };
    let (Ok(power), negative) = (
        power.trim_start_matches('+').parse::<i64>(),
        mantissa.starts_with('-'),
    ) else {
        return text.to_owned();
    };
    let mantissa = mantissa.trim_start_matches('-');
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if power.abs() > DIGITS_MAX {
        return text.to_owned();
    }
    let digits = format!("{whole}{fraction}");
    let point = whole.len() as i64 + power;
    let plain = if point <= 0 {
        format!("0.{}{digits}", "0".repeat(point.unsigned_abs() as usize))
    } else if point as usize >= digits.len() {
        format!("{digits}{}", "0".repeat(point as usize - digits.len()))
    } else {
        format!(
            "{}.{}",
            &digits[..point as usize],
            &digits[point as usize..]
        )
    };
    let plain = match plain.trim_start_matches('0') {
        rest if rest.is_empty() || rest.starts_with('.') => format!("0{rest}"),
        rest => rest.to_owned(),
    };
    if negative { format!("-{plain}") } else { plain }
}

/// Four blanks a level.
pub(super) fn pretty(value: &Value) -> String {
    let mut out = String::new();
    indented(value, 0, &mut out);
    out
}

fn indented(value: &Value, level: usize, out: &mut String) {
    let line = |out: &mut String, level: usize| {
        out.push('\n');
        out.push_str(&"    ".repeat(level));
    };
    match value {
        Value::Object(fields) => {
            out.push('{');
            for (i, (key, value)) in sorted(fields).into_iter().enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                line(out, level + 1);
                out.push_str(&quoted(key));
                out.push_str(": ");
                indented(value, level + 1, out);
            }
            line(out, level);
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                line(out, level + 1);
                indented(item, level + 1, out);
            }
            line(out, level);
            out.push(']');
        }
        other => write(other, out),
    }
}
