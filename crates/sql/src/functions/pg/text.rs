//! Functions on text and bytes that DataFusion lacks or that answer otherwise there.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::kit::T::{Any, Bool, Bytes, Int4, Int8, Text, Texts};
use super::kit::{A, Answer, Def, O, def, nullable, over, variadic};
use super::regex;

/// Longest text that one call makes, in bytes.
const TEXT_BYTES_MAX: usize = 16 << 20;

pub(super) const FUNCTIONS: &[Def] = &[
    Def {
        name: "substr",
        aliases: &["substring"],
        overloads: &[
            over(&[Text, Int8], Text, |a| {
                Ok(substr(a[0].text(), a[1].int(), None))
            }),
            over(&[Text, Int8, Int8], Text, |a| match a[2].int() {
                n if n < 0 => Err("negative substring length not allowed".to_owned()),
                n => Ok(substr(a[0].text(), a[1].int(), Some(n))),
            }),
            over(&[Text, Text], Text, |a| {
                regex::substring(a[0].text(), a[1].text())
            }),
            over(&[Text, Text, Text], Text, |a| {
                regex::similar_substring(a[0].text(), a[1].text(), a[2].text())
            }),
            over(&[Bytes, Int8, Int8], Bytes, |a| {
                let (from, to) = bounds(a[1].int(), Some(a[2].int()), a[0].bytes().len());
                Ok(O::Bytes(
                    a[0].bytes().get(from..to).unwrap_or_default().to_vec(),
                ))
            }),
        ],
    },
    def(
        "format",
        &[variadic(&[Text], Any, Text, super::format::format)],
    ),
    def(
        "quote_ident",
        &[over(&[Text], Text, |a| {
            Ok(O::Text(quote_ident(a[0].text())))
        })],
    ),
    // What a CAST to TEXT gives.
    def(
        "__text",
        &[over(&[Any], Text, |a| Ok(O::Text(shown(&a[0]))))],
    ),
    def(
        "quote_literal",
        &[over(&[Any], Text, |a| {
            Ok(O::Text(quote_literal(&shown(&a[0]))))
        })],
    ),
    def(
        "quote_nullable",
        &[nullable(&[Any], Text, |a| {
            Ok(O::Text(if a[0].is_null() {
                "NULL".to_owned()
            } else {
                quote_literal(&shown(&a[0]))
            }))
        })],
    ),
    def(
        "initcap",
        &[over(&[Text], Text, |a| Ok(O::Text(initcap(a[0].text()))))],
    ),
    def(
        "split_part",
        &[over(&[Text, Text, Int8], Text, |a| {
            split_part(a[0].text(), a[1].text(), a[2].int())
        })],
    ),
    def(
        "string_to_array",
        &[
            nullable(&[Text, Text], Texts, |a| {
                Ok(string_to_array(&a[0], &a[1], None))
            }),
            nullable(&[Text, Text, Text], Texts, |a| {
                Ok(string_to_array(&a[0], &a[1], Some(&a[2])))
            }),
        ],
    ),
    def(
        "like_escape",
        &[over(&[Text, Text], Text, |a| {
            like_escape(a[0].text(), a[1].text())
        })],
    ),
    def(
        "encode",
        &[
            over(&[Text, Text], Text, |a| match bytea(a[0].text())? {
                O::Bytes(bytes) => encode(&bytes, a[1].text()),
                _ => Ok(O::Null),
            }),
            over(&[Bytes, Text], Text, |a| encode(a[0].bytes(), a[1].text())),
        ],
    ),
    def(
        "decode",
        &[over(&[Text, Text], Bytes, |a| {
            decode(a[0].text(), a[1].text())
        })],
    ),
    def(
        "convert_from",
        &[over(&[Bytes, Text], Text, |a| {
            let text = std::str::from_utf8(a[0].bytes());
            text.map(|t| O::Text(t.to_owned()))
                .map_err(|_| "the bytes are not UTF-8".to_owned())
        })],
    ),
    def(
        "convert_to",
        &[over(&[Text, Text], Bytes, |a| {
            Ok(O::Bytes(a[0].bytes().to_vec()))
        })],
    ),
    def("bytea_in", &[over(&[Text], Bytes, |a| bytea(a[0].text()))]),
    def(
        "repeat",
        &[over(&[Text, Int8], Text, |a| {
            let times = usize::try_from(a[1].int()).unwrap_or(0);
            if a[0].text().len().saturating_mul(times) > TEXT_BYTES_MAX {
                return Err(format!("the result is longer than {TEXT_BYTES_MAX} bytes"));
            }
            Ok(O::Text(a[0].text().repeat(times)))
        })],
    ),
    def(
        "lpad",
        &[
            over(&[Text, Int8], Text, |a| {
                pad(a[0].text(), a[1].int(), " ", true)
            }),
            over(&[Text, Int8, Text], Text, |a| {
                pad(a[0].text(), a[1].int(), a[2].text(), true)
            }),
        ],
    ),
    def(
        "rpad",
        &[
            over(&[Text, Int8], Text, |a| {
                pad(a[0].text(), a[1].int(), " ", false)
            }),
            over(&[Text, Int8, Text], Text, |a| {
                pad(a[0].text(), a[1].int(), a[2].text(), false)
            }),
        ],
    ),
    def("unistr", &[over(&[Text], Text, |a| unistr(a[0].text()))]),
    def(
        "length",
        &[
            over(&[Text], Int4, |a| {
                Ok(O::Int(a[0].text().chars().count() as i64))
            }),
            over(&[Bytes], Int4, |a| Ok(O::Int(a[0].bytes().len() as i64))),
        ],
    ),
    def(
        "num_nulls",
        &[variadic(&[], Any, Int4, |a| {
            Ok(O::Int(a.iter().filter(|v| v.is_null()).count() as i64))
        })],
    ),
    def(
        "num_nonnulls",
        &[variadic(&[], Any, Int4, |a| {
            Ok(O::Int(a.iter().filter(|v| !v.is_null()).count() as i64))
        })],
    ),
    def(
        "bit_count",
        &[over(&[Bytes], Int8, |a| {
            Ok(O::Int(
                a[0].bytes().iter().map(|b| i64::from(b.count_ones())).sum(),
            ))
        })],
    ),
    def(
        "similar_to",
        &[
            over(&[Text, Text], Bool, |a| {
                regex::similar(a[0].text(), a[1].text(), "\\").map(O::Bool)
            }),
            over(&[Text, Text, Text], Bool, |a| {
                regex::similar(a[0].text(), a[1].text(), a[2].text()).map(O::Bool)
            }),
        ],
    ),
];

/// Start and end in a text of `len` characters, as SQL counts: from 1, and what lies before 1 counts against the length.
fn bounds(start: i64, count: Option<i64>, len: usize) -> (usize, usize) {
    let len = len as i64;
    let end = count.map_or(len, |n| start.saturating_add(n).saturating_sub(1));
    let from = (start - 1).clamp(0, len);
    (from as usize, end.clamp(from, len) as usize)
}

fn substr(text: &str, start: i64, count: Option<i64>) -> O {
    if text.is_ascii() {
        let (from, to) = bounds(start, count, text.len());
        return O::Text(text[from..to].to_owned());
    }
    let (from, to) = bounds(start, count, text.chars().count());
    O::Text(text.chars().skip(from).take(to - from).collect())
}

/// A value as `||` would write it.
pub(super) fn shown(value: &A<'_>) -> String {
    match value {
        A::Any(array, row) => super::shown::text(array, *row),
        A::Text(text) => (*text).to_owned(),
        A::Int(v) => v.to_string(),
        A::Bool(v) => v.to_string(),
        _ => String::new(),
    }
}

/// As an identifier, quoted where it would otherwise be read as another name.
pub(super) fn quote_ident(name: &str) -> String {
    crate::types::ident(name)
}

pub(super) fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    match quoted.contains('\\') {
        true => format!("E'{}'", quoted.replace('\\', "\\\\")),
        false => format!("'{quoted}'"),
    }
}

fn initcap(text: &str) -> String {
    let mut inside = false;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match inside {
            true => out.extend(c.to_lowercase()),
            false => out.extend(c.to_uppercase()),
        }
        inside = c.is_alphanumeric();
    }
    out
}

/// The pattern with a backslash in place of its own escape; backslashes in it are plain.
fn like_escape(pattern: &str, escape: &str) -> Answer {
    let mut chars = escape.chars();
    let (escape, more) = (chars.next(), chars.next());
    if more.is_some() {
        return Err("the escape must be one character".to_owned());
    }
    let mut out = String::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            c if Some(c) == escape => {
                out.push('\\');
                out.extend(chars.next());
            }
            '\\' => out.push_str("\\\\"),
            other => out.push(other),
        }
    }
    Ok(O::Text(out))
}

fn split_part(text: &str, separator: &str, field: i64) -> Answer {
    if field == 0 {
        return Err("field position must not be zero".to_owned());
    }
    let parts: Vec<&str> = match separator {
        "" => vec![text],
        separator => text.split(separator).collect(),
    };
    let at = if field > 0 {
        field - 1
    } else {
        parts.len() as i64 + field
    };
    let part = usize::try_from(at).ok().and_then(|at| parts.get(at));
    Ok(O::Text(part.copied().unwrap_or_default().to_owned()))
}

fn string_to_array(text: &A<'_>, separator: &A<'_>, null: Option<&A<'_>>) -> O {
    if text.is_null() {
        return O::Null;
    }
    let parts: Vec<String> = match (text.text(), separator) {
        ("", _) => Vec::new(),
        (text, A::Null) => text.chars().map(String::from).collect(),
        (text, separator) if separator.text().is_empty() => vec![text.to_owned()],
        (text, separator) => text.split(separator.text()).map(str::to_owned).collect(),
    };
    let null = null.filter(|n| !n.is_null()).map(A::text);
    O::Texts(
        parts
            .into_iter()
            .map(|p| (Some(p.as_str()) != null).then_some(p))
            .collect(),
    )
}

fn pad(text: &str, length: i64, fill: &str, left: bool) -> Answer {
    let wanted = usize::try_from(length).unwrap_or(0);
    if wanted > TEXT_BYTES_MAX {
        return Err(format!("the result is longer than {TEXT_BYTES_MAX} bytes"));
    }
    let have = text.chars().count();
    if have >= wanted {
        return Ok(O::Text(text.chars().take(wanted).collect()));
    }
    let fill: String = fill.chars().cycle().take(wanted - have).collect();
    Ok(O::Text(if left {
        fill + text
    } else {
        text.to_owned() + &fill
    }))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn from_hex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| {
            c.to_digit(16)
                .ok_or_else(|| format!("invalid hexadecimal digit: \"{c}\""))
        })
        .collect::<Result<_, _>>()?;
    if !digits.len().is_multiple_of(2) {
        return Err("invalid hexadecimal data: odd number of digits".to_owned());
    }
    Ok(digits
        .chunks(2)
        .map(|pair| (pair[0] * 16 + pair[1]) as u8)
        .collect())
}

/// Base64 lines have 76 characters, as in MIME.
const BASE64_LINE: usize = 76;

fn encode(bytes: &[u8], format: &str) -> Answer {
    Ok(O::Text(match format.to_lowercase().as_str() {
        "hex" => hex(bytes),
        "base64" => {
            let line = STANDARD.encode(bytes);
            let lines: Vec<String> = line
                .as_bytes()
                .chunks(BASE64_LINE)
                .map(|chunk| String::from_utf8_lossy(chunk).into_owned())
                .collect();
            lines.join("\n")
        }
        "escape" => bytes
            .iter()
            .map(|b| match b {
                b'\\' => "\\\\".to_owned(),
                0 | 128.. => format!("\\{b:03o}"),
                other => char::from(*other).to_string(),
            })
            .collect(),
        other => return Err(unknown_encoding(other)),
    }))
}

fn unknown_encoding(name: &str) -> String {
    format!("unrecognized encoding: \"{name}\"; there are hex, base64 and escape")
}

fn decode(text: &str, format: &str) -> Answer {
    Ok(O::Bytes(match format.to_lowercase().as_str() {
        "hex" => from_hex(text)?,
        "base64" => {
            let dense: String = text.chars().filter(|c| !c.is_whitespace()).collect();
            STANDARD
                .decode(dense)
                .map_err(|e| format!("invalid base64: {e}"))?
        }
        "escape" => return escape(text),
        other => return Err(unknown_encoding(other)),
    }))
}

/// `\x` and hexadecimal digits, or text with octal escapes.
fn bytea(text: &str) -> Answer {
    match text.strip_prefix("\\x") {
        Some(digits) => from_hex(digits).map(O::Bytes),
        None => escape(text),
    }
}

fn escape(text: &str) -> Answer {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let octal = bytes
            .get(at + 1..at + 4)
            .and_then(|d| std::str::from_utf8(d).ok());
        match (bytes[at], octal.and_then(|d| u8::from_str_radix(d, 8).ok())) {
            (b'\\', Some(byte)) => {
                out.push(byte);
                at += 4;
            }
            (b'\\', None) if bytes.get(at + 1) == Some(&b'\\') => {
                out.push(b'\\');
                at += 2;
            }
            (b'\\', None) => return Err("invalid input syntax for type bytea".to_owned()),
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    Ok(O::Bytes(out))
}

/// `\XXXX`, `\+XXXXXX`, `\uXXXX`, `\UXXXXXXXX` and `\\`.
fn unistr(text: &str) -> Answer {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('\\') {
            out.push('\\');
            rest = after;
            continue;
        }
        let (skip, digits) = match rest.chars().next() {
            Some('+') => (1, 6),
            Some('u') => (1, 4),
            Some('U') => (1, 8),
            _ => (0, 4),
        };
        let code = rest
            .get(skip..skip + digits)
            .and_then(|d| u32::from_str_radix(d, 16).ok());
        let c = code
            .and_then(char::from_u32)
            .ok_or("invalid Unicode escape")?;
        out.push(c);
        rest = &rest[skip + digits..];
    }
    out.push_str(rest);
    Ok(O::Text(out))
}
