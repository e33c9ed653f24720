//! Results as a table, as JSON and as CSV. Numbers are printed as the node wrote them, to the last digit.

use std::collections::HashSet;
use std::io::{self, Write};

use serde_json::Value;

use super::SqlFormat;
use crate::http::{Column, SqlResult};
use crate::output;

/// Writes one result; `first` when nothing was written before.
pub(super) fn write(
    out: &mut impl Write,
    result: &SqlResult,
    format: SqlFormat,
    first: bool,
) -> io::Result<()> {
    match format {
        SqlFormat::Table => table(out, result),
        SqlFormat::Json => json(out, result),
        SqlFormat::Csv if result.columns.is_empty() => Ok(()),
        SqlFormat::Csv => {
            out.write_all(if first { b"" } else { b"\n" })?;
            csv(out, result)
        }
    }
}

/// Says beside the results what they do not say themselves.
pub(super) fn remarks(result: &SqlResult, format: SqlFormat) {
    if let (Some(message), false) = (&result.message, format == SqlFormat::Table) {
        output::note(message);
    }
    if result.behind > 0 {
        output::note(&format!(
            "note: {} records acked before are not in this answer yet",
            output::count(result.behind)
        ));
    }
    if result.truncated {
        output::note(
            "note: rows were left out because the answer would have been too large; add a LIMIT or a WHERE",
        );
    }
}

fn table(out: &mut impl Write, result: &SqlResult) -> io::Result<()> {
    if !result.columns.is_empty() {
        let heading: Vec<&str> = result
            .columns
            .iter()
            .map(|column| column.name.as_str())
            .collect();
        let right: Vec<usize> = result
            .columns
            .iter()
            .enumerate()
            .filter(|(_, column)| is_number(&column.kind))
            .map(|(at, _)| at)
            .collect();
        let rows = result
            .rows
            .iter()
            .map(|row| row.iter().map(cell).collect())
            .collect();
        writeln!(out, "{}", output::table(&heading, rows, &right))?;
        let plural = if result.rows.len() == 1 {
            "row"
        } else {
            "rows"
        };
        writeln!(
            out,
            "({} {plural})",
            output::count(result.rows.len() as u64)
        )?;
    }
    result
        .message
        .iter()
        .try_for_each(|message| writeln!(out, "{message}"))
}

/// Control characters would let what is in a record move the cursor of a terminal.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => return "NULL".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let visible = |char: char| {
        if char.is_control() && char != '\n' && char != '\t' {
            '\u{fffd}'
        } else {
            char
        }
    };
    text.chars().map(visible).collect()
}

fn is_number(kind: &str) -> bool {
    let kind = kind.to_ascii_uppercase();
    let numbers = [
        "SMALLINT", "INT", "BIGINT", "REAL", "DOUBLE", "FLOAT", "DECIMAL", "NUMERIC", "UINT",
    ];
    numbers.iter().any(|number| kind.starts_with(number))
        && !kind.starts_with("INTERVAL")
        && !kind.ends_with("[]")
}

fn json(out: &mut impl Write, result: &SqlResult) -> io::Result<()> {
    let names = unique_names(&result.columns);
    out.write_all(b"[")?;
    for (at, row) in result.rows.iter().enumerate() {
        out.write_all(if at == 0 { b"\n{" } else { b",\n{" })?;
        for (column, (name, value)) in names.iter().zip(row).enumerate() {
            out.write_all(if column == 0 { b"" } else { b"," })?;
            serde_json::to_writer(&mut *out, name)?;
            out.write_all(b":")?;
            serde_json::to_writer(&mut *out, value)?;
        }
        out.write_all(b"}")?;
    }
    out.write_all(if result.rows.is_empty() {
        b"]\n"
    } else {
        b"\n]\n"
    })
}

/// An object cannot hold one name twice: the second becomes `name_2`.
fn unique_names(columns: &[Column]) -> Vec<String> {
    let mut taken: HashSet<String> = HashSet::new();
    let mut names = Vec::with_capacity(columns.len());
    for column in columns {
        let mut name = column.name.clone();
        let mut number = 2;
        while !taken.insert(name.clone()) {
            name = format!("{}_{number}", column.name);
            number += 1;
        }
        names.push(name);
    }
    names
}

fn csv(out: &mut impl Write, result: &SqlResult) -> io::Result<()> {
    let heading = result.columns.iter().map(|column| column.name.clone());
    csv_line(out, heading)?;
    for row in &result.rows {
        let fields = row.iter().map(|value| match value {
            Value::Null => String::new(),
            // An empty text is told apart from NULL by its quotes.
            Value::String(text) if text.is_empty() => "\"\"".to_owned(),
            Value::String(text) => quoted(text),
            other => quoted(&other.to_string()),
        });
        let line: Vec<String> = fields.collect();
        writeln!(out, "{}", line.join(","))?;
    }
    Ok(())
}

fn csv_line(out: &mut impl Write, fields: impl Iterator<Item = String>) -> io::Result<()> {
    let line: Vec<String> = fields.map(|field| quoted(&field)).collect();
    writeln!(out, "{}", line.join(","))
}

/// Quoted where RFC 4180 asks for it.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::http::SqlAnswer;

    fn shown(format: SqlFormat) -> String {
        let answer: SqlAnswer = serde_json::from_str(
            r#"{"results":[{"columns":[{"name":"n","type":"BIGINT"},{"name":"d","type":"DECIMAL(38,2)"},{"name":"t","type":"TEXT"},{"name":"t","type":"TEXT"}],
            "rows":[[9223372036854775807,12345678901234567890123456789012345.67,"a,\"b\"",null],[-1,0.10,"","\u001b[2J"]],"behind":0},
            {"message":"created view v"}]}"#,
        )
        .unwrap();
        let mut out = Vec::new();
        for (at, result) in answer.results.iter().enumerate() {
            write(&mut out, result, format, at == 0).unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_is_exact() {
        let text = shown(SqlFormat::Json);
        assert!(text.contains(r#"{"n":9223372036854775807,"d":12345678901234567890123456789012345.67,"t":"a,\"b\"","t_2":null}"#), "{text}");
        assert!(text.ends_with("]\n[]\n"), "{text}");
    }

    #[test]
    fn csv_quotes_and_tells_null_from_empty() {
        let text = shown(SqlFormat::Csv);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "n,d,t,t");
        assert_eq!(
            lines[1],
            r#"9223372036854775807,12345678901234567890123456789012345.67,"a,""b""","#
        );
        assert!(lines[2].starts_with(r#"-1,0.10,"","#));
    }

    #[test]
    fn tables_are_safe_to_look_at() {
        let text = shown(SqlFormat::Table);
        assert!(
            text.contains("NULL") && text.contains("(2 rows)") && text.contains("created view v"),
            "{text}"
        );
        assert!(
            !text.contains('\u{1b}'),
            "an escape sequence reached the terminal"
        );
    }

    #[test]
    fn numbers_stand_right() {
        assert!(is_number("BIGINT") && is_number("DECIMAL(38,0)") && is_number("double precision"));
        assert!(
            !is_number("TEXT")
                && !is_number("INTERVAL")
                && !is_number("INT[]")
                && !is_number("TIMESTAMPTZ")
        );
    }
}
