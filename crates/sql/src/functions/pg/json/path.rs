//! Parts of a JSON text, as slices of it.

use serde_json::value::RawValue;

use super::super::kit::{Answer, O};

/// Most that a text is searched into, in levels.
fn first(text: &str) -> Option<char> {
    text.trim_start().chars().next()
}

fn invalid(error: &serde_json::Error) -> String {
    format!("invalid input syntax for type json: {error}")
}

/// The fields of an object in order, or nothing if it is none.
fn fields(text: &str) -> Result<Option<Vec<(String, &str)>>, String> {
    if first(text) != Some('{') {
        return Ok(None);
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let fields =
        serde::Deserializer::deserialize_map(&mut reader, Fields).map_err(|e| invalid(&e))?;
    Ok(Some(fields))
}

struct Fields;

impl<'de> serde::de::Visitor<'de> for Fields {
    type Value = Vec<(String, &'de str)>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: serde::de::MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut fields = Vec::new();
        while let Some((key, value)) = map.next_entry::<String, &'de RawValue>()? {
            fields.push((key, value.get()));
        }
        Ok(fields)
    }
}

fn items(text: &str) -> Result<Option<Vec<&str>>, String> {
    if first(text) != Some('[') {
        return Ok(None);
    }
    let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|e| invalid(&e))?;
    Ok(Some(items.into_iter().map(RawValue::get).collect()))
}

/// `text -> 'key'`
pub(super) fn key<'t>(text: &'t str, key: &str) -> Result<Option<&'t str>, String> {
    let found = fields(text)?
        .into_iter()
        .flatten()
        .rev()
        .find(|(name, _)| name == key);
    Ok(found.map(|(_, value)| value))
}

/// `text -> 2`; negative ones count from the end.
pub(super) fn element(text: &str, index: i64) -> Result<Option<&str>, String> {
    let items = items(text)?.unwrap_or_default();
    let index = if index < 0 {
        index + items.len() as i64
    } else {
        index
    };
    Ok(usize::try_from(index)
        .ok()
        .and_then(|i| items.get(i).copied()))
}

/// `text #> path`
pub(super) fn walk<'t>(text: &'t str, path: &[Option<&str>]) -> Result<Option<&'t str>, String> {
    let mut at = Some(text.trim());
    for step in path {
        let (Some(text), Some(step)) = (at, step) else {
            return Ok(None);
        };
        at = match first(text) {
            Some('[') => match step.parse() {
                Ok(index) => element(text, index)?,
                Err(_) => None,
            },
            _ => key(text, step)?,
        };
    }
    Ok(at)
}

pub(super) fn walk_literal<'t>(text: &'t str, path: &str) -> Result<Option<&'t str>, String> {
    let path = array_literal(path)?;
    let path: Vec<Option<&str>> = path.iter().map(Option::as_deref).collect();
    walk(text, &path)
}

pub(super) fn literal(path: &str) -> Result<Vec<String>, String> {
    let all: Option<Vec<String>> = array_literal(path)?.into_iter().collect();
    all.ok_or_else(|| "a path has no NULL".to_owned())
}

pub(super) fn plain(path: &[Option<&str>]) -> Result<Vec<String>, String> {
    let all: Option<Vec<String>> = path.iter().map(|p| p.map(str::to_owned)).collect();
    all.ok_or_else(|| "a path has no NULL".to_owned())
}

/// A JSON value as text: strings without their quotes, null as NULL.
pub(super) fn as_text(value: Option<&str>) -> Answer {
    let Some(value) = value else {
        return Ok(O::Null);
    };
    Ok(match first(value) {
        Some('"') => O::Text(serde_json::from_str(value).map_err(|e| invalid(&e))?),
        Some('n') => O::Null,
        _ => O::Text(value.to_owned()),
    })
}

/// The elements of an array.
pub(super) fn elements(text: &str, plain: bool) -> Answer {
    let items = items(text)?.ok_or("cannot extract elements from a value that is no array")?;
    let one = |item: &str| match plain {
        false => Ok(Some(item.to_owned())),
        true => Ok(match as_text(Some(item))? {
            O::Text(text) => Some(text),
            _ => None,
        }),
    };
    Ok(O::Texts(
        items.into_iter().map(one).collect::<Result<_, String>>()?,
    ))
}

/// The keys of an object.
pub(super) fn keys(text: &str) -> Answer {
    let fields = fields(text)?.ok_or("cannot take the keys of a value that is no object")?;
    Ok(O::Texts(
        fields.into_iter().map(|(key, _)| Some(key)).collect(),
    ))
}

/// `{a,"b c",NULL}`
pub(crate) fn array_literal(text: &str) -> Result<Vec<Option<String>>, String> {
    let malformed = || format!("malformed array literal: \"{text}\"");
    let inner = text
        .trim()
        .strip_prefix('{')
        .and_then(|t| t.strip_suffix('}'))
        .ok_or_else(malformed)?;
    if inner.trim().is_empty() {
        return Ok(Vec::new());
    }
    let (mut out, mut item, mut quoted, mut was_quoted) = (Vec::new(), String::new(), false, false);
    let mut chars = inner.chars();
    let end = |item: &mut String, was_quoted: &mut bool| {
        let text = std::mem::take(item);
        let text = if *was_quoted {
            text
        } else {
            text.trim().to_owned()
        };
        let null = !*was_quoted && text.eq_ignore_ascii_case("null");
        *was_quoted = false;
        (!null).then_some(text)
    };
    while let Some(c) = chars.next() {
        match c {
            '\\' => item.extend(chars.next()),
            '"' => {
                if !quoted && item.trim().is_empty() {
                    item.clear();
                }
                quoted = !quoted;
                was_quoted = true;
            }
            ',' if !quoted => out.push(end(&mut item, &mut was_quoted)),
            '{' | '}' if !quoted => return Err(malformed()),
            other if was_quoted && !quoted && other.is_whitespace() => {}
            other => item.push(other),
        }
    }
    if quoted {
        return Err(malformed());
    }
    out.push(end(&mut item, &mut was_quoted));
    Ok(out)
}
