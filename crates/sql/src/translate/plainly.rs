//! What DataFusion says at length or in its own terms, in a sentence of ours and with a way out.

use super::between;

/// The message, and the word that it is about.
pub(super) fn plainly(text: &str) -> Option<(String, Option<String>)> {
    let failed = between(text, "Function '", "'").or_else(|| between(text, "unction '", "'"));
    if let Some(name) = failed.filter(|_| text.contains("failed")) {
        let told = text
            .rsplit("Error during planning: ")
            .next()
            .unwrap_or(text);
        let own = told
            .split(". No function matches")
            .next()
            .unwrap_or(told)
            .trim();
        let message = match own.contains(" takes ") {
            true => own.to_owned(),
            false => format!("{name} does not take these arguments"),
        };
        return Some((message, Some(name.to_owned())));
    }
    if let Some(name) = between(text, "'", "' does not support zero arguments") {
        return Some((format!("{name} needs arguments"), Some(name.to_owned())));
    }
    if text.contains("ubstring without for/from") {
        let message = "substr needs to know where to begin";
        return Some((message.to_owned(), Some("substr".to_owned())));
    }
    if let Some(field) = between(text, "Field ", " not found in struct") {
        let message = format!("there is no field \"{field}\" in this STRUCT");
        return Some((message, Some(field.to_owned())));
    }
    if text.contains("annot access field at argument") {
        return Some(("a field is taken of what is no STRUCT".to_owned(), None));
    }
    None
}

/// Arrow's names of types as the language has them.
pub(super) fn in_our_types(text: &str) -> String {
    const TYPES: [(&str, &str); 9] = [
        ("Timestamp(µs, \"UTC\")", "TIMESTAMPTZ"),
        ("Timestamp(µs)", "TIMESTAMP"),
        ("List(Utf8)", "TEXT[]"),
        ("Utf8", "TEXT"),
        ("Int64", "BIGINT"),
        ("Int32", "INT"),
        ("Float64", "DOUBLE"),
        ("Boolean", "BOOLEAN"),
        ("Date32", "DATE"),
    ];
    let all = TYPES.iter();
    all.fold(text.to_owned(), |text, (arrow, ours)| {
        text.replace(arrow, ours)
    })
}

const CAST: &str = "write a value of the column's type, or cast the column: CAST(x AS TEXT)";
const TIMES: &str =
    "write for example TIMESTAMPTZ '2024-01-31 12:00:00Z', DATE '2024-01-31', INTERVAL '5 minutes'";

/// A part of a message, and what to write instead.
const WAYS: [(&str, &str); 21] = [
    ("no field \"", "DESCRIBE shows the fields of the STRUCT"),
    (
        "no STRUCT",
        "write relation.column, or column.field of a STRUCT column",
    ),
    (
        "compound identifier",
        "write column, relation.column or relation.column.field",
    ),
    (
        "cannot coerce arithmetic",
        "cast one side: CAST(x AS BIGINT); to a time add an INTERVAL: ts + INTERVAL '5 seconds'; of JSON: x::jsonb - 'key'",
    ),
    (
        "non-boolean",
        "compare it with something: x = 'value', x > 0, x IS NOT NULL",
    ),
    ("cast error", CAST),
    ("annot cast", CAST),
    (
        "unsupported SQL type",
        "there are BOOLEAN, SMALLINT, INT, BIGINT, REAL, DOUBLE, DECIMAL(p, s), TEXT, DATE, TIMESTAMP, TIMESTAMPTZ, BYTEA, STRUCT<...>, T[]",
    ),
    (" takes ", "cast the argument: CAST(x AS DOUBLE)"),
    (
        "does not take these arguments",
        "cast the arguments, or give as many as it takes: CAST(x AS TEXT)",
    ),
    (
        "needs arguments",
        "write what it is to be applied to between the parentheses",
    ),
    (
        "where to begin",
        "write substr(text, start) or substr(text, start, length)",
    ),
    (
        "different number of columns",
        "give both sides the same columns, with NULL AS name for what one lacks",
    ),
    (
        "ncompatible inputs for Union",
        "cast the columns of one side: CAST(x AS TEXT)",
    ),
    (
        "not allowed in the WHERE",
        "write HAVING after the GROUP BY",
    ),
    (
        "annot find column with position",
        "write the number of a column of the SELECT list, or the column itself",
    ),
    (
        "HAVING clause references",
        "add the column to the GROUP BY, or put it into an aggregate",
    ),
    ("rror parsing timestamp", TIMES),
    ("parser error", TIMES),
    (
        "no relation or STRUCT",
        "write the name or alias of a relation of the FROM",
    ),
    ("ubquer", "write a JOIN with the subquery in FROM"),
];

/// What to write instead of what is refused with this message.
pub(super) fn way_out(message: &str) -> Option<String> {
    let found = WAYS.iter().find(|(part, _)| message.contains(part));
    found.map(|(_, hint)| (*hint).to_owned())
}
