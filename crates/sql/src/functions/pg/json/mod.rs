//! JSON in text: operators and functions of PostgreSQL's `json` and `jsonb`.
//!
//! A value is its text. `json` keeps it as it was written; `jsonb` is the same text in one form for all equal values: keys sorted and once
//! each, `{"a": 1}`. Parts keep the form of the whole.

mod build;
mod change;
mod path;
mod write;

use serde_json::Value;

use super::kit::T::{Any, Bool, Int4, Int8, Text, Texts};
use super::kit::{A, Def, O, def, over, variadic};
pub(crate) use path::array_literal;
pub(super) use write::{canonical, canonical_text};

pub(super) const FUNCTIONS: &[Def] = &[
    def(
        "json_in",
        &[over(&[Text], Text, |a| {
            parse(a[0].text()).map(|_| O::Text(a[0].text().to_owned()))
        })],
    ),
    def(
        "jsonb_in",
        &[over(&[Text], Text, |a| {
            Ok(O::Text(canonical(&parse(a[0].text())?)))
        })],
    ),
    def(
        "json_get",
        &[
            over(&[Text, Text], Text, |a| {
                path::key(a[0].text(), a[1].text()).map(|v| raw(v))
            }),
            over(&[Text, Int8], Text, |a| {
                path::element(a[0].text(), a[1].int()).map(|v| raw(v))
            }),
        ],
    ),
    def(
        "json_get_text",
        &[
            over(&[Text, Text], Text, |a| {
                path::as_text(path::key(a[0].text(), a[1].text())?)
            }),
            over(&[Text, Int8], Text, |a| {
                path::as_text(path::element(a[0].text(), a[1].int())?)
            }),
        ],
    ),
    def(
        "json_path",
        &[
            over(&[Text, Text], Text, |a| {
                path::walk_literal(a[0].text(), a[1].text()).map(|v| raw(v))
            }),
            over(&[Text, Texts], Text, |a| {
                path::walk(a[0].text(), a[1].texts()).map(|v| raw(v))
            }),
        ],
    ),
    def(
        "json_path_text",
        &[
            over(&[Text, Text], Text, |a| {
                path::as_text(path::walk_literal(a[0].text(), a[1].text())?)
            }),
            over(&[Text, Texts], Text, |a| {
                path::as_text(path::walk(a[0].text(), a[1].texts())?)
            }),
        ],
    ),
    Def {
        name: "jsonb_extract_path",
        aliases: &["json_extract_path"],
        overloads: &[variadic(&[Text], Text, Text, |a| {
            extract(a).map(|v| raw(v))
        })],
    },
    Def {
        name: "jsonb_extract_path_text",
        aliases: &["json_extract_path_text"],
        overloads: &[variadic(&[Text], Text, Text, |a| {
            path::as_text(extract(a)?)
        })],
    },
    def(
        "jsonb_contains",
        &[over(&[Text, Text], Bool, |a| {
            Ok(O::Bool(contains(
                &parse(a[0].text())?,
                &parse(a[1].text())?,
                true,
            )))
        })],
    ),
    def(
        "jsonb_exists",
        &[over(&[Text, Text], Bool, |a| {
            Ok(O::Bool(exists(&parse(a[0].text())?, a[1].text())))
        })],
    ),
    def(
        "jsonb_exists_any",
        &[over(&[Text, Texts], Bool, |a| {
            let value = parse(a[0].text())?;
            Ok(O::Bool(
                a[1].texts().iter().flatten().any(|key| exists(&value, key)),
            ))
        })],
    ),
    def(
        "jsonb_exists_all",
        &[over(&[Text, Texts], Bool, |a| {
            let value = parse(a[0].text())?;
            Ok(O::Bool(
                a[1].texts().iter().flatten().all(|key| exists(&value, key)),
            ))
        })],
    ),
    def(
        "jsonb_concat",
        &[over(&[Text, Text], Text, |a| {
            change::concat(a[0].text(), a[1].text())
        })],
    ),
    def(
        "jsonb_delete",
        &[
            over(&[Text, Text], Text, |a| {
                change::delete(a[0].text(), &[Some(a[1].text())])
            }),
            over(&[Text, Int8], Text, |a| {
                change::delete_at(a[0].text(), a[1].int())
            }),
            over(&[Text, Texts], Text, |a| {
                change::delete(a[0].text(), a[1].texts())
            }),
        ],
    ),
    def(
        "jsonb_delete_path",
        &[
            over(&[Text, Text], Text, |a| {
                change::delete_path(a[0].text(), &path::literal(a[1].text())?)
            }),
            over(&[Text, Texts], Text, |a| {
                change::delete_path(a[0].text(), &path::plain(a[1].texts())?)
            }),
        ],
    ),
    def(
        "jsonb_set",
        &[
            over(&[Text, Text, Text], Text, |a| change::set(a, true)),
            over(&[Text, Text, Text, Bool], Text, |a| {
                change::set(a, matches!(a[3], A::Bool(true)))
            }),
            over(&[Text, Texts, Text], Text, |a| change::set(a, true)),
            over(&[Text, Texts, Text, Bool], Text, |a| {
                change::set(a, matches!(a[3], A::Bool(true)))
            }),
        ],
    ),
    def(
        "jsonb_insert",
        &[
            over(&[Text, Text, Text], Text, |a| change::insert(a, false)),
            over(&[Text, Text, Text, Bool], Text, |a| {
                change::insert(a, matches!(a[3], A::Bool(true)))
            }),
            over(&[Text, Texts, Text], Text, |a| change::insert(a, false)),
            over(&[Text, Texts, Text, Bool], Text, |a| {
                change::insert(a, matches!(a[3], A::Bool(true)))
            }),
        ],
    ),
    Def {
        name: "jsonb_array_length",
        aliases: &["json_array_length"],
        overloads: &[over(&[Text], Int4, |a| match parse(a[0].text())? {
            Value::Array(items) => Ok(O::Int(items.len() as i64)),
            Value::Object(_) => Err("cannot get array length of a non-array".to_owned()),
            _ => Err("cannot get array length of a scalar".to_owned()),
        })],
    },
    Def {
        name: "jsonb_typeof",
        aliases: &["json_typeof"],
        overloads: &[over(&[Text], Text, |a| {
            Ok(O::Text(
                match parse(a[0].text())? {
                    Value::Null => "null",
                    Value::Bool(_) => "boolean",
                    Value::Number(_) => "number",
                    Value::String(_) => "string",
                    Value::Array(_) => "array",
                    Value::Object(_) => "object",
                }
                .to_owned(),
            ))
        })],
    },
    def(
        "jsonb_strip_nulls",
        &[over(&[Text], Text, |a| {
            Ok(O::Text(canonical(&change::stripped(parse(a[0].text())?))))
        })],
    ),
    def(
        "json_strip_nulls",
        &[over(&[Text], Text, |a| {
            let stripped = change::stripped(parse(a[0].text())?);
            serde_json::to_string(&stripped)
                .map(O::Text)
                .map_err(|e| e.to_string())
        })],
    ),
    def(
        "jsonb_pretty",
        &[over(&[Text], Text, |a| {
            Ok(O::Text(write::pretty(&parse(a[0].text())?)))
        })],
    ),
    def(
        "to_json",
        &[over(&[Any], Text, |a| {
            Ok(O::Text(build::value(&a[0], false)?))
        })],
    ),
    def(
        "to_jsonb",
        &[over(&[Any], Text, |a| {
            Ok(O::Text(build::value(&a[0], true)?))
        })],
    ),
    Def {
        name: "array_to_json",
        aliases: &["row_to_json"],
        overloads: &[over(&[Any], Text, |a| {
            Ok(O::Text(build::value(&a[0], false)?))
        })],
    },
    // The first argument says which of the others are JSON already; the parser puts it there.
    def(
        "json_build_object",
        &[variadic(&[Text], Any, Text, |a| build::object(a, false))],
    ),
    def(
        "jsonb_build_object",
        &[variadic(&[Text], Any, Text, |a| build::object(a, true))],
    ),
    def(
        "json_build_array",
        &[variadic(&[Text], Any, Text, |a| build::array(a, false))],
    ),
    def(
        "jsonb_build_array",
        &[variadic(&[Text], Any, Text, |a| build::array(a, true))],
    ),
    def(
        "json_object",
        &[
            over(&[Texts], Text, |a| build::from_texts(a[0].texts(), false)),
            over(&[Texts, Texts], Text, |a| {
                build::from_pairs(a[0].texts(), a[1].texts(), false)
            }),
        ],
    ),
    def(
        "jsonb_object",
        &[
            over(&[Texts], Text, |a| build::from_texts(a[0].texts(), true)),
            over(&[Texts, Texts], Text, |a| {
                build::from_pairs(a[0].texts(), a[1].texts(), true)
            }),
        ],
    ),
    // As arrays; FROM and SELECT unnest them.
    Def {
        name: "jsonb_array_elements",
        aliases: &["json_array_elements"],
        overloads: &[over(&[Text], Texts, |a| path::elements(a[0].text(), false))],
    },
    Def {
        name: "jsonb_array_elements_text",
        aliases: &["json_array_elements_text"],
        overloads: &[over(&[Text], Texts, |a| path::elements(a[0].text(), true))],
    },
    Def {
        name: "jsonb_object_keys",
        aliases: &["json_object_keys"],
        overloads: &[over(&[Text], Texts, |a| path::keys(a[0].text()))],
    },
];

fn raw(value: Option<&str>) -> O {
    value.map_or(O::Null, |text| O::Text(text.to_owned()))
}

pub(super) fn parse(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|e| format!("invalid input syntax for type json: {e}"))
}

fn extract<'a>(a: &[A<'a>]) -> Result<Option<&'a str>, String> {
    if a.iter().any(A::is_null) {
        return Ok(None);
    }
    let keys: Vec<Option<&str>> = a[1..].iter().map(|key| Some(key.text())).collect();
    path::walk(a[0].text(), &keys)
}

fn exists(value: &Value, key: &str) -> bool {
    match value {
        Value::Object(fields) => fields.contains_key(key),
        Value::Array(items) => items.iter().any(|item| item.as_str() == Some(key)),
        Value::String(text) => text == key,
        _ => false,
    }
}

/// `whole @> part`. Only at the top may an array contain a bare scalar.
fn contains(whole: &Value, part: &Value, top: bool) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => part
            .iter()
            .all(|(key, value)| whole.get(key).is_some_and(|w| contains(w, value, false))),
        (Value::Array(whole), Value::Array(part)) => part
            .iter()
            .all(|value| whole.iter().any(|w| contains(w, value, false))),
        (Value::Array(whole), scalar) if top && !scalar.is_object() => {
            whole.iter().any(|w| contains(w, scalar, false))
        }
        (Value::Number(a), Value::Number(b)) => {
            write::number(&a.to_string())
                .trim_end_matches('0')
                .trim_end_matches('.')
                == write::number(&b.to_string())
                    .trim_end_matches('0')
                    .trim_end_matches('.')
                || a.as_f64() == b.as_f64()
        }
        (a, b) => a == b,
    }
}
