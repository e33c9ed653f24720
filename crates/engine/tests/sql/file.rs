//! Reading case files: groups of statements, rows and queries.

use std::path::Path;

/// One engine's worth of a file: what is created, what comes in, and what is asked.
#[derive(Clone, Debug, Default)]
pub struct Group {
    pub file: String,
    pub line: usize,
    /// `CREATE ...`
    pub statements: Vec<Text>,
    /// `INSERT INTO`, `DELETE FROM`, and records as they are.
    pub inputs: Vec<Input>,
    pub queries: Vec<Query>,
    pub errors: Vec<Query>,
    /// Rows keep their order: what is late depends on it.
    pub ordered: bool,
}

#[derive(Clone, Debug)]
pub struct Text {
    pub line: usize,
    pub sql: String,
}

#[derive(Clone, Debug)]
pub enum Input {
    Sql(Text),
    /// Topic, and lines of `value` or `key -> value`.
    Records(String, Vec<String>),
}

/// A query and what it gives.
#[derive(Clone, Debug, Default)]
pub struct Query {
    pub line: usize,
    pub sql: String,
    /// After the view's name: `WITH (...)`.
    pub options: String,
    pub expect: Vec<String>,
    /// What a sink of the view gets, row by row in order, if told.
    pub changelog: Option<Vec<String>>,
    /// The view's rows are not what a batch gives, as told in the file: nothing but the expected rows is compared.
    pub view_only: bool,
    /// Nobody knows what it gives but the batch; it may be refused.
    pub open: bool,
}

impl Query {
    /// The query without what only views know.
    pub fn batch(&self) -> &str {
        let text = self.sql.trim_end();
        let text = text.strip_suffix("EMIT ON WINDOW CLOSE").unwrap_or(text);
        text.strip_suffix("EMIT CHANGES").unwrap_or(text)
    }
}

/// The groups of a file. Panics with file and line where it is not written as `cases/README.md` says.
pub fn read(path: &Path) -> Vec<Group> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let lines: Vec<&str> = text.lines().collect();
    let fresh = |line| Group {
        file: name.clone(),
        line,
        ..Group::default()
    };
    let (mut groups, mut group) = (Vec::new(), fresh(1));
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at].trim_end();
        if line.is_empty() || line.starts_with('#') {
            at += 1;
            continue;
        }
        let first = at;
        while at < lines.len() && !lines[at].trim().is_empty() {
            at += 1;
        }
        let block = Block {
            line: first + 1,
            head: line,
            body: &lines[first + 1..at],
        };
        match line.split_whitespace().next().unwrap_or_default() {
            "reset" => groups.push(std::mem::replace(&mut group, fresh(first + 1))),
            "ordered" => group.ordered = true,
            "include" => include(&mut group, path, &block),
            _ => record(&mut group, &block),
        }
    }
    groups.push(group);
    groups
}

struct Block<'a> {
    line: usize,
    head: &'a str,
    body: &'a [&'a str],
}

/// Takes over the statements and rows of another file.
fn include(group: &mut Group, path: &Path, block: &Block<'_>) {
    let name = block.head.split_whitespace().nth(1).unwrap_or_default();
    for other in read(&path.with_file_name(name)) {
        group.statements.extend(other.statements);
        group.inputs.extend(other.inputs);
        group.ordered |= other.ordered;
    }
}

fn record(group: &mut Group, block: &Block<'_>) {
    let words: Vec<&str> = block.head.split_whitespace().collect();
    let place = format!("{}:{}", group.file, block.line);
    let (sql, expect, changelog) = parts(block.body);
    let text = Text {
        line: block.line,
        sql: sql.clone(),
    };
    let word = sql
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_uppercase();
    match words.as_slice() {
        ["statement", "ok"] if word == "INSERT" || word == "DELETE" => {
            group.inputs.push(Input::Sql(text))
        }
        ["statement", "ok"] => group.statements.push(text),
        ["records", topic] => {
            let lines = block.body.iter().map(|line| (*line).to_owned()).collect();
            group
                .inputs
                .push(Input::Records((*topic).to_owned(), lines));
        }
        ["statement", "error"] | ["query", ..] => {
            let rest = block.head.strip_prefix("query").unwrap_or_default();
            let options = rest.find("WITH (").map_or("", |at| rest[at..].trim());
            let query = Query {
                line: block.line,
                sql,
                options: options.to_owned(),
                expect: expect.unwrap_or_else(|| panic!("{place}: no ----")),
                changelog,
                view_only: words.contains(&"view-only"),
                open: false,
            };
            if words[0] == "query" {
                group.queries.push(query)
            } else {
                group.errors.push(query)
            }
        }
        _ => panic!("{place}: what is \"{}\"?", block.head),
    }
}

type Parts = (String, Option<Vec<String>>, Option<Vec<String>>);

/// SQL, the lines after `----`, the lines after `---- changelog`.
fn parts(body: &[&str]) -> Parts {
    let owned = |lines: &[&str]| {
        lines
            .iter()
            .map(|line| (*line).to_owned())
            .collect::<Vec<_>>()
    };
    let cut = |lines: &[&str], mark: &str| lines.iter().position(|line| line.trim_end() == mark);
    let Some(answer) = cut(body, "----") else {
        return (body.join("\n"), None, None);
    };
    let (sql, rest) = (body[..answer].join("\n"), &body[answer + 1..]);
    match cut(rest, "---- changelog") {
        Some(at) => (sql, Some(owned(&rest[..at])), Some(owned(&rest[at + 1..]))),
        None => (sql, Some(owned(rest)), None),
    }
}

impl Group {
    /// The group as a file would have it, with these rows as what the queries give.
    pub fn text(&self, answer: impl Fn(&Query) -> Option<Vec<String>>) -> String {
        let mut out = format!("# {}\n", self.file);
        let statements = self.statements.iter().map(|text| &text.sql);
        let inputs = self.inputs.iter().filter_map(|input| match input {
            Input::Sql(text) => Some(&text.sql),
            Input::Records(..) => None,
        });
        statements
            .chain(inputs)
            .for_each(|sql| out.push_str(&format!("\nstatement ok\n{sql}\n")));
        for query in &self.queries {
            if let Some(rows) = answer(query) {
                let rows: String = rows.iter().map(|row| format!("{row}\n")).collect();
                out.push_str(&format!("\nquery\n{}\n----\n{rows}", query.sql));
            }
        }
        out
    }
}
