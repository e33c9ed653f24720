//! JSON values with parts put in, replaced or taken out. Results are in the form of `jsonb`.

use serde_json::Value;

use super::super::kit::{A, Answer, O};
use super::{canonical, parse, path};

fn done(value: &Value) -> Answer {
    Ok(O::Text(canonical(value)))
}

/// `a || b`
pub(super) fn concat(a: &str, b: &str) -> Answer {
    let list = |value: Value| match value {
        Value::Array(items) => items,
        other => vec![other],
    };
    match (parse(a)?, parse(b)?) {
        (Value::Object(mut a), Value::Object(b)) => {
            a.extend(b);
            done(&Value::Object(a))
        }
        (a, b) => {
            let mut items = list(a);
            items.extend(list(b));
            done(&Value::Array(items))
        }
    }
}

/// `value - key` and `value - keys`
pub(super) fn delete(text: &str, keys: &[Option<&str>]) -> Answer {
    let gone = |key: &str| keys.iter().flatten().any(|k| *k == key);
    match parse(text)? {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(key, _)| !gone(key));
            done(&Value::Object(kept.collect()))
        }
        Value::Array(mut items) => {
            items.retain(|item| !item.as_str().is_some_and(gone));
            done(&Value::Array(items))
        }
        _ => Err("cannot delete from scalar".to_owned()),
    }
}

/// `value - index`
pub(super) fn delete_at(text: &str, index: i64) -> Answer {
    match parse(text)? {
        Value::Array(mut items) => {
            if let Some(at) = place(index, items.len()) {
                items.remove(at);
            }
            done(&Value::Array(items))
        }
        Value::Object(_) => Err("cannot delete from object using integer index".to_owned()),
        _ => Err("cannot delete from scalar".to_owned()),
    }
}

fn place(index: i64, len: usize) -> Option<usize> {
    let index = if index < 0 { index + len as i64 } else { index };
    usize::try_from(index).ok().filter(|i| *i < len)
}

/// `value #- path`
pub(super) fn delete_path(text: &str, path: &[String]) -> Answer {
    let mut value = parse(text)?;
    if let Some((last, front)) = path.split_last()
        && let Some(parent) = find(&mut value, front)
    {
        match parent {
            Value::Object(fields) => {
                fields.shift_remove(last);
            }
            Value::Array(items) => {
                if let Some(at) = last.parse().ok().and_then(|i| place(i, items.len())) {
                    items.remove(at);
                }
            }
            _ => {}
        }
    }
    done(&value)
}

fn find<'v>(value: &'v mut Value, path: &[String]) -> Option<&'v mut Value> {
    path.iter().try_fold(value, |value, step| match value {
        Value::Object(fields) => fields.get_mut(step),
        Value::Array(items) => {
            let at = step.parse().ok().and_then(|i| place(i, items.len()))?;
            items.get_mut(at)
        }
        _ => None,
    })
}

fn path_of(arg: &A<'_>) -> Result<Vec<String>, String> {
    match arg {
        A::Text(text) => path::literal(text),
        other => path::plain(other.texts()),
    }
}

/// `jsonb_set(target, path, value [, create])`
pub(super) fn set(a: &[A<'_>], create: bool) -> Answer {
    changed(a, |parent, last, new| {
        match parent {
            Value::Object(fields) if create || fields.contains_key(last) => {
                fields.insert(last.to_owned(), new);
            }
            Value::Array(items) => {
                let index = index(last)?;
                match place(index, items.len()) {
                    Some(at) => items[at] = new,
                    None if create && index < 0 => items.insert(0, new),
                    None if create => items.push(new),
                    None => {}
                }
            }
            _ => {}
        }
        Ok(())
    })
}

/// `jsonb_insert(target, path, value [, after])`
pub(super) fn insert(a: &[A<'_>], after: bool) -> Answer {
    changed(a, |parent, last, new| {
        match parent {
            Value::Object(fields) if fields.contains_key(last) => {
                return Err("cannot replace existing key; use jsonb_set".to_owned());
            }
            Value::Object(fields) => {
                fields.insert(last.to_owned(), new);
            }
            Value::Array(items) => {
                let index = index(last)?;
                match place(index, items.len()) {
                    Some(at) => items.insert(at + usize::from(after), new),
                    None if index < 0 => items.insert(0, new),
                    None => items.push(new),
                }
            }
            _ => {}
        }
        Ok(())
    })
}

/// A value after a change to what holds the last step of a path, if there is such a thing: `change(it, the last step, the new value)`.
fn changed(
    a: &[A<'_>],
    change: impl FnOnce(&mut Value, &str, Value) -> Result<(), String>,
) -> Answer {
    let (mut value, path, new) = (parse(a[0].text())?, path_of(&a[1])?, parse(a[2].text())?);
    if let Some((last, front)) = path.split_last()
        && let Some(parent) = find(&mut value, front)
    {
        change(parent, last, new)?;
    }
    done(&value)
}

fn index(step: &str) -> Result<i64, String> {
    step.parse()
        .map_err(|_| format!("path element \"{step}\" is not an integer"))
}

/// Without fields that are null.
pub(super) fn stripped(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(_, v)| !v.is_null());
            Value::Object(kept.map(|(k, v)| (k, stripped(v))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(stripped).collect()),
        other => other,
    }
}
