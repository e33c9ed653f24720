//! Values of any type to JSON.

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::DataType;

use super::super::kit::{A, Answer, O};
use super::super::shown;
use super::canonical_text;
use super::write::quoted;

/// A value as JSON text; `jsonb`: in its form.
pub(super) fn value(arg: &A<'_>, jsonb: bool) -> Result<String, String> {
    let A::Any(array, row) = arg else {
        return Ok("null".to_owned());
    };
    let json = of(array, *row);
    if jsonb {
        canonical_text(&json)
    } else {
        Ok(json)
    }
}

fn of(array: &ArrayRef, row: usize) -> String {
    if array.is_null(row) {
        return "null".to_owned();
    }
    match array.data_type() {
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        t if t.is_numeric() => {
            let text = shown::text(array, row);
            if text.contains(['N', 'I']) {
                quoted(&text)
            } else {
                text
            }
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            let all: Vec<String> = (0..items.len()).map(|i| of(&items, i)).collect();
            format!("[{}]", all.join(","))
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct();
            let pair = |(i, field): (usize, &datafusion::arrow::datatypes::FieldRef)| {
                format!("{}:{}", quoted(field.name()), of(columns.column(i), row))
            };
            let all: Vec<String> = fields.iter().enumerate().map(pair).collect();
            format!("{{{}}}", all.join(","))
        }
        DataType::Timestamp(_, zone) => {
            let text = shown::text(array, row).replacen(' ', "T", 1);
            quoted(&if zone.is_some() {
                format!("{text}:00")
            } else {
                text
            })
        }
        _ => quoted(&shown::text(array, row)),
    }
}

/// An argument; those that the mask marks are JSON already.
fn element(mask: &str, index: usize, arg: &A<'_>) -> Result<String, String> {
    let json = mask.as_bytes().get(index + crate::rewrite::MASK.len()) == Some(&b'1');
    match arg {
        _ if arg.is_null() => Ok("null".to_owned()),
        A::Any(array, row) if json => Ok(shown::text(array, *row)),
        other => value(other, false),
    }
}

pub(super) fn object(args: &[A<'_>], jsonb: bool) -> Answer {
    let (mask, args) = (args[0].text(), &args[1..]);
    if args.len() % 2 != 0 {
        return Err("argument list must have even number of elements".to_owned());
    }
    let mut pairs = Vec::new();
    for (i, pair) in args.chunks(2).enumerate() {
        let A::Any(keys, row) = &pair[0] else {
            continue;
        };
        if pair[0].is_null() {
            return Err("argument of a key must not be null".to_owned());
        }
        let key = quoted(&shown::text(keys, *row));
        pairs.push(format!("{key} : {}", element(mask, i * 2 + 1, &pair[1])?));
    }
    finish(format!("{{{}}}", pairs.join(", ")), jsonb)
}

pub(super) fn array(args: &[A<'_>], jsonb: bool) -> Answer {
    let (mask, args) = (args[0].text(), &args[1..]);
    let all = args
        .iter()
        .enumerate()
        .map(|(i, arg)| element(mask, i, arg));
    let all = all.collect::<Result<Vec<_>, _>>()?;
    finish(format!("[{}]", all.join(", ")), jsonb)
}

fn finish(json: String, jsonb: bool) -> Answer {
    Ok(O::Text(if jsonb { canonical_text(&json)? } else { json }))
}

/// Keys and values by turns.
pub(super) fn from_texts(texts: &[Option<&str>], jsonb: bool) -> Answer {
    if !texts.len().is_multiple_of(2) {
        return Err("array must have even number of elements".to_owned());
    }
    pairs(texts.chunks(2).map(|pair| (pair[0], pair[1])), jsonb)
}

pub(super) fn from_pairs(keys: &[Option<&str>], values: &[Option<&str>], jsonb: bool) -> Answer {
    if keys.len() != values.len() {
        return Err("mismatched array dimensions".to_owned());
    }
    pairs(keys.iter().copied().zip(values.iter().copied()), jsonb)
}

fn pairs<'a>(all: impl Iterator<Item = (Option<&'a str>, Option<&'a str>)>, jsonb: bool) -> Answer {
    let one = |(key, value): (Option<&str>, Option<&str>)| {
        let key = key.ok_or("null value not allowed for object key")?;
        Ok(format!(
            "{} : {}",
            quoted(key),
            value.map_or_else(|| "null".to_owned(), quoted)
        ))
    };
    let all = all.map(one).collect::<Result<Vec<_>, String>>()?;
    finish(format!("{{{}}}", all.join(", ")), jsonb)
}
