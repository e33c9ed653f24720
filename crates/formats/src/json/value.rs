//! One JSON value into one column: which kinds of value a type takes, and what is said about the others.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use datafusion::arrow::datatypes::DataType;

use super::column::{Column, Flat, Varied};
use super::fault::{Fault, mismatch, syntax};
use super::number::Number;
use super::scan::{Cursor, Text};
use crate::time;
use crate::types::sql_name;

/// Longest piece of a value that a message repeats, in bytes.
const SHOWN_BYTES_MAX: usize = 40;

impl Column {
    /// Reads the value at the cursor. On a fault the column may hold half a value: truncate it.
    #[inline]
    pub fn append(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> Result<(), Fault> {
        if let Self::Unread(unread) = self {
            return unread.append(cursor, depth);
        }
        let at = cursor.at;
        match cursor.peek() {
            Some(first) if first != b'n' && matches!(self, Self::Json(_)) => {
                self.append_json(cursor, depth)
            }
            Some(b'"') => {
                let text = cursor.string()?;
                self.append_text(text)
            }
            Some(b'-' | b'0'..=b'9') => {
                let number = cursor.number()?;
                self.append_number(number, at)
            }
            Some(b'n') => {
                cursor.literal(b"null")?;
                self.push_null();
                Ok(())
            }
            Some(b't') => cursor
                .literal(b"true")
                .and_then(|()| self.append_bool(true, at)),
            Some(b'f') => cursor
                .literal(b"false")
                .and_then(|()| self.append_bool(false, at)),
            Some(b'{') => match self {
                Self::Struct(column) => column.append(cursor, depth),
                _ => Err(self.wrong(at, "an object")),
            },
            Some(b'[') => match self {
                Self::List(column) => column.append(cursor, depth),
                _ => Err(self.wrong(at, "an array")),
            },
            Some(_) => Err(syntax(at, "expected a value")),
            None => Err(syntax(at, "unexpected end")),
        }
    }

    /// The value's own text, once it is known to be a value.
    fn append_json(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> Result<(), Fault> {
        let at = cursor.at;
        cursor.skip_value(depth)?;
        if let Self::Json(varied) = self {
            varied.bytes.extend_from_slice(&cursor.text[at..cursor.at]);
            if !varied.close() {
                return Err(mismatch(at, "too much text for one batch".into()));
            }
        }
        Ok(())
    }

    #[inline]
    fn append_number(&mut self, number: Number<'_>, at: usize) -> Result<(), Fault> {
        let done = match self {
            Self::Int64(flat) => push(flat, number.to_i64()),
            Self::Int32(flat) => push(flat, number.to_i64().and_then(|v| i32::try_from(v).ok())),
            Self::Int16(flat) => push(flat, number.to_i64().and_then(|v| i16::try_from(v).ok())),
            Self::Float64(flat) => push(flat, number.to_f64().map(|v| v + 0.0)),
            // -0.0 equals 0.0, so it is 0.0.
            Self::Float32(flat) => push(flat, number.to_f32().map(|v| v + 0.0)),
            Self::Decimal {
                flat,
                precision,
                scale,
            } => push(flat, decimal(number, *precision, *scale)),
            // Epoch milliseconds; a fraction gives the microseconds.
            Self::Timestamp { flat, .. } => push(
                flat,
                number.to_decimal(3).and_then(|v| i64::try_from(v).ok()),
            ),
            _ => false,
        };
        if done {
            Ok(())
        } else {
            Err(self.wrong(at, &format!("number {}", shown(number.text))))
        }
    }

    fn append_bool(&mut self, value: bool, at: usize) -> Result<(), Fault> {
        match self {
            Self::Bool { values, nulls } => {
                values.append(value);
                nulls.append_non_null();
                Ok(())
            }
            _ => Err(self.wrong(at, if value { "true" } else { "false" })),
        }
    }

    #[inline]
    fn append_text(&mut self, text: Text<'_>) -> Result<(), Fault> {
        if let Self::Text(varied) = self {
            return append_string(varied, text);
        }
        if text.escaped {
            let mut plain = Vec::new();
            text.unescape(&mut plain)?;
            return self.append_parsed(&plain, text.at - 1);
        }
        self.append_parsed(text.raw, text.at - 1)
    }

    /// Types that have a text form.
    fn append_parsed(&mut self, text: &[u8], at: usize) -> Result<(), Fault> {
        let done = match self {
            Self::Timestamp { flat, .. } => push(flat, time::parse_timestamp(text)),
            Self::Date(flat) => push(flat, time::parse_date(text)),
            Self::Decimal {
                flat,
                precision,
                scale,
            } => {
                let whole = Number::scan(text)
                    .ok()
                    .filter(|(_, len)| *len == text.len());
                push(
                    flat,
                    whole.and_then(|(number, _)| decimal(number, *precision, *scale)),
                )
            }
            Self::Bytes(varied) => {
                let decoded = STANDARD.decode(text);
                decoded.is_ok_and(|bytes| {
                    varied.bytes.extend_from_slice(&bytes);
                    varied.close()
                })
            }
            // What the encoder writes where JSON has no number.
            Self::Float64(flat) => push(flat, special(text)),
            Self::Float32(flat) => push(flat, special(text).map(|v| v as f32)),
            _ => false,
        };
        if done {
            Ok(())
        } else {
            Err(self.wrong(at, &format!("string \"{}\"", shown(text))))
        }
    }

    fn wrong(&self, at: usize, found: &str) -> Fault {
        let hint = match self {
            Self::Timestamp { .. } => " (RFC 3339 text or epoch milliseconds)",
            Self::Date(_) => " (text as 2013-01-31)",
            Self::Bytes(_) => " (base64 text)",
            _ => "",
        };
        mismatch(
            at,
            format!("expected {}{hint}, found {found}", self.type_name()),
        )
    }

    fn type_name(&self) -> String {
        let data_type = match self {
            Self::Bool { .. } => DataType::Boolean,
            Self::Int16(_) => DataType::Int16,
            Self::Int32(_) => DataType::Int32,
            Self::Int64(_) => DataType::Int64,
            Self::Float32(_) => DataType::Float32,
            Self::Float64(_) => DataType::Float64,
            Self::Decimal {
                precision, scale, ..
            } => DataType::Decimal128(*precision, *scale),
            Self::Date(_) => DataType::Date32,
            Self::Timestamp { zone, .. } => {
                return if zone.is_some() {
                    "TIMESTAMPTZ"
                } else {
                    "TIMESTAMP"
                }
                .into();
            }
            Self::Text(_) | Self::Json(_) => DataType::Utf8,
            Self::Bytes(_) => DataType::Binary,
            Self::Struct(_) => return "an object".into(),
            // It has a column of its own for that.
            Self::Unread(_) => return "another value".into(),
            Self::List(_) => return "an array".into(),
        };
        sql_name(&data_type)
    }
}

#[inline]
fn push<T: Copy + Default>(flat: &mut Flat<T>, value: Option<T>) -> bool {
    value.is_some_and(|value| {
        flat.push(value);
        true
    })
}

#[inline]
fn append_string(varied: &mut Varied, text: Text<'_>) -> Result<(), Fault> {
    if text.escaped {
        text.unescape(&mut varied.bytes)?;
    } else {
        varied.bytes.extend_from_slice(text.raw);
    }
    if varied.close() {
        Ok(())
    } else {
        Err(mismatch(text.at, "too much text for one batch".into()))
    }
}

fn decimal(number: Number<'_>, precision: u8, scale: i8) -> Option<i128> {
    let value = number.to_decimal(scale)?;
    (value.unsigned_abs() < 10u128.checked_pow(u32::from(precision))?).then_some(value)
}

fn special(text: &[u8]) -> Option<f64> {
    match text {
        b"NaN" => Some(f64::NAN),
        b"Infinity" => Some(f64::INFINITY),
        b"-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

fn shown(text: &[u8]) -> String {
    let cut = &text[..text.len().min(SHOWN_BYTES_MAX)];
    let dots = if cut.len() < text.len() { "..." } else { "" };
    // Lossy: the cut may fall into a character.
    format!(
        "{}{dots}",
        String::from_utf8_lossy(cut).trim_end_matches('\u{FFFD}')
    )
}
