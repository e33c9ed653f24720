//! Rows as the files write them (`INSERT INTO`, `DELETE FROM`, records) to records of topics.

use std::collections::HashMap;

use headwater_sql::model::{ColumnDef, Definition};
use headwater_sql::{define, parse};
use serde_json::{Map, Value};

use crate::file::{Group, Input, Text};
use crate::variant::Random;

/// One record on its way into a topic.
#[derive(Clone, Debug)]
pub struct Record {
    pub topic: String,
    /// Records of one of these keep their order and their partition.
    pub together: Option<String>,
    pub key: Option<String>,
    pub value: Option<String>,
}

struct Target {
    topic: String,
    columns: Vec<ColumnDef>,
    /// Of a table; empty for a source.
    key: Vec<usize>,
}

/// All records of a group, in the file's order.
pub fn records(group: &Group) -> Vec<Record> {
    let targets = targets(group);
    let mut all = Vec::new();
    for input in &group.inputs {
        match input {
            Input::Sql(text) => sql(&targets, group, text, &mut all),
            Input::Records(topic, lines) => all.extend(lines.iter().map(|line| raw(topic, line))),
        }
    }
    all
}

fn targets(group: &Group) -> HashMap<String, Target> {
    let mut found = HashMap::new();
    for statement in group
        .statements
        .iter()
        .flat_map(|text| parse(&text.sql, None).unwrap_or_default())
    {
        let Ok(Some(defined)) = define(&statement) else {
            continue;
        };
        let (name, topic, columns, key) = match defined.definition {
            Definition::Source(d) => (d.name, d.topic, d.columns, Vec::new()),
            Definition::Table(d) => (d.name, d.topic, d.columns, d.primary_key),
            _ => continue,
        };
        let columns = columns
            .into_iter()
            .filter(|c| c.computed.is_none())
            .collect();
        found.insert(
            name,
            Target {
                topic,
                columns,
                key,
            },
        );
    }
    found
}

fn raw(topic: &str, line: &str) -> Record {
    let (key, value) = match line.split_once("->") {
        Some((key, value))
            if !key.trim_start().starts_with('{')
                || line.starts_with("{") && key.trim_end().ends_with('}') =>
        {
            (Some(key.trim().to_owned()), value.trim())
        }
        _ => (None, line.trim()),
    };
    let value = (!value.is_empty()).then(|| value.to_owned());
    Record {
        topic: topic.to_owned(),
        together: key.clone(),
        key,
        value,
    }
}

fn sql(targets: &HashMap<String, Target>, group: &Group, text: &Text, all: &mut Vec<Record>) {
    let place = format!("{}:{}", group.file, text.line);
    let mut reader = Reader {
        text: &text.sql,
        place: &place,
    };
    let insert = reader.word().to_uppercase() == "INSERT";
    reader.word();
    let name = reader.word();
    let target = targets
        .get(&name)
        .unwrap_or_else(|| panic!("{place}: there is no {name}"));
    if !insert {
        let mut fields = Map::new();
        while reader.peek().is_some_and(|c| c != ';') {
            reader.word();
            let column = reader.word();
            reader.take('=');
            let at = target
                .columns
                .iter()
                .position(|c| c.name == column)
                .unwrap_or_else(|| panic!("{place}: {column}"));
            fields.insert(column, reader.value(&target.columns[at]));
        }
        all.push(Record {
            value: None,
            ..keyed(target, &fields)
        });
        return;
    }
    let columns = reader.columns(target);
    assert_eq!(reader.word().to_uppercase(), "VALUES", "{place}");
    while reader.peek() == Some('(') {
        let mut fields = Map::new();
        reader.take('(');
        for (number, at) in columns.iter().enumerate() {
            if number > 0 {
                reader.take(',');
            }
            let value = reader.value(&target.columns[*at]);
            // A field that is missing is NULL as well.
            if !value.is_null() || at % 2 == 0 {
                fields.insert(target.columns[*at].name.clone(), value);
            }
        }
        reader.take(')');
        all.push(keyed(target, &fields));
        if reader.peek() == Some(',') {
            reader.take(',');
        }
    }
}

fn keyed(target: &Target, fields: &Map<String, Value>) -> Record {
    let names: Vec<&String> = target
        .key
        .iter()
        .map(|at| &target.columns[*at].name)
        .collect();
    let part = |wanted: bool| -> Map<String, Value> {
        let fit = fields
            .iter()
            .filter(|(name, _)| names.contains(name) == wanted);
        fit.map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    };
    let key = (!names.is_empty()).then(|| Value::Object(part(true)).to_string());
    let value = Value::Object(part(false)).to_string();
    Record {
        topic: target.topic.clone(),
        together: key.clone(),
        key,
        value: Some(value),
    }
}

/// Reads the literals of `VALUES`.
struct Reader<'a> {
    text: &'a str,
    place: &'a str,
}

impl Reader<'_> {
    fn peek(&mut self) -> Option<char> {
        self.text = self.text.trim_start();
        self.text.chars().next()
    }

    fn take(&mut self, expected: char) {
        assert_eq!(
            self.peek(),
            Some(expected),
            "{}: before \"{}\"",
            self.place,
            &self.text[..self.text.len().min(40)]
        );
        self.text = &self.text[expected.len_utf8()..];
    }

    fn word(&mut self) -> String {
        self.peek();
        let end = self
            .text
            .find(|c: char| !(c.is_alphanumeric() || "_.+-".contains(c)))
            .unwrap_or(self.text.len());
        let (word, rest) = self.text.split_at(end);
        self.text = rest;
        word.to_owned()
    }

    fn columns(&mut self, target: &Target) -> Vec<usize> {
        if self.peek() != Some('(') {
            return (0..target.columns.len()).collect();
        }
        let mut found = Vec::new();
        while self.peek() != Some(')') {
            self.text = &self.text[1..];
            let name = self.word();
            let at = target.columns.iter().position(|c| c.name == name);
            found.push(at.unwrap_or_else(|| panic!("{}: column {name}", self.place)));
            self.peek();
        }
        self.take(')');
        found
    }

    fn value(&mut self, column: &ColumnDef) -> Value {
        let value = self.literal();
        let time = matches!(
            column.data_type,
            datafusion::arrow::datatypes::DataType::Timestamp(..)
        );
        match value {
            Value::String(text) if time => instant(&text),
            other => other,
        }
    }

    fn literal(&mut self) -> Value {
        match self.peek() {
            Some('\'') => Value::String(self.quoted()),
            Some('[') => self.list(),
            Some('{') => self.object(),
            _ => {
                let word = self.word();
                match word.to_uppercase().as_str() {
                    "NULL" => Value::Null,
                    "TRUE" => Value::Bool(true),
                    "FALSE" => Value::Bool(false),
                    "ARRAY" => self.list(),
                    "TIMESTAMPTZ" | "TIMESTAMP" | "DATE" => self.literal(),
                    _ => serde_json::from_str(&word)
                        .unwrap_or_else(|_| panic!("{}: \"{word}\"", self.place)),
                }
            }
        }
    }

    fn quoted(&mut self) -> String {
        let mut out = String::new();
        self.take('\'');
        loop {
            let end = self
                .text
                .find('\'')
                .unwrap_or_else(|| panic!("{}: no end of a text", self.place));
            out.push_str(&self.text[..end]);
            self.text = &self.text[end + 1..];
            match self.text.strip_prefix('\'') {
                Some(rest) => self.text = rest,
                None => return out,
            }
            out.push('\'');
        }
    }

    fn list(&mut self) -> Value {
        let mut items = Vec::new();
        self.take('[');
        while self.peek() != Some(']') {
            items.push(self.literal());
            if self.peek() == Some(',') {
                self.take(',');
            }
        }
        self.take(']');
        Value::Array(items)
    }

    fn object(&mut self) -> Value {
        let mut fields = Map::new();
        self.take('{');
        while self.peek() != Some('}') {
            let name = self.quoted();
            self.take(':');
            fields.insert(name, self.literal());
            if self.peek() == Some(',') {
                self.take(',');
            }
        }
        self.take('}');
        Value::Object(fields)
    }
}

/// `2024-01-01 10:00:00Z` and the like, as RFC 3339.
fn instant(text: &str) -> Value {
    let text = text.replacen(' ', "T", 1);
    let text = if text.len() == 10 {
        format!("{text}T00:00:00")
    } else {
        text
    };
    let zoned = text.ends_with('Z') || text[10..].contains(['+', '-']);
    Value::String(if zoned { text } else { format!("{text}Z") })
}

/// Another order, in which the records of one key of a table stay in theirs.
pub fn shuffle(records: &mut [Record], random: &mut Random) {
    for end in (1..records.len()).rev() {
        let other = usize::try_from(random.below(end as u64 + 1)).unwrap();
        records.swap(end, other);
    }
}

/// Puts the records of each key back into the order they have in `original`.
pub fn restore(shuffled: &mut [Record], original: &[Record]) {
    let mut places: HashMap<(String, String), Vec<usize>> = HashMap::new();
    for (at, record) in shuffled.iter().enumerate() {
        if let Some(key) = &record.together {
            places
                .entry((record.topic.clone(), key.clone()))
                .or_default()
                .push(at);
        }
    }
    let mut next: HashMap<(String, String), usize> = HashMap::new();
    for record in original {
        let Some(key) = &record.together else {
            continue;
        };
        let id = (record.topic.clone(), key.clone());
        let number = next.entry(id.clone()).or_default();
        shuffled[places[&id][*number]] = record.clone();
        *number += 1;
    }
}
