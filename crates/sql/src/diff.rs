//! In words, how two definitions of one name differ.

use std::fmt::Debug;

use crate::define::kind_of;
use crate::model::{
    AlertDef, ColumnDef, Definition, Options, SinkDef, SourceDef, TableDef, ViewDef, WatermarkDef,
};
use crate::parse::words;
use crate::types::to_sql;

/// One sentence for each difference; empty if both mean the same. Blanks, comments and the case of words do not count.
pub fn diff(old: &Definition, new: &Definition) -> Vec<String> {
    let mut found = Found(Vec::new());
    match (old, new) {
        (Definition::Source(old), Definition::Source(new)) => source(&mut found, old, new),
        (Definition::Table(old), Definition::Table(new)) => table(&mut found, old, new),
        (Definition::View(old), Definition::View(new)) if old.materialized == new.materialized => {
            view(&mut found, old, new)
        }
        (Definition::Sink(old), Definition::Sink(new)) => sink(&mut found, old, new),
        (Definition::Alert(old), Definition::Alert(new)) => alert(&mut found, old, new),
        _ => found.0.push(format!(
            "it was a {}, now it is a {}",
            kind_of(old).word(),
            kind_of(new).word()
        )),
    }
    found.0
}

struct Found(Vec<String>);

impl Found {
    fn value<T: PartialEq + Debug>(&mut self, what: &str, old: &T, new: &T) {
        if old != new {
            self.0.push(format!("{what}: {old:?} becomes {new:?}"));
        }
    }

    fn options(&mut self, old: &Options, new: &Options) {
        for (name, value) in old {
            match new.get(name) {
                None => self.0.push(format!("option {name} = '{value}' goes")),
                Some(other) if other != value => self
                    .0
                    .push(format!("option {name}: '{value}' becomes '{other}'")),
                Some(_) => {}
            }
        }
        for (name, value) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
            self.0.push(format!("option {name} = '{value}' comes"));
        }
    }

    fn columns(&mut self, old: &[ColumnDef], new: &[ColumnDef]) {
        for column in old {
            match new.iter().find(|c| c.name == column.name) {
                None => self.0.push(format!("column {} goes", column.name)),
                Some(other) => self.column(column, other),
            }
        }
        for column in new.iter().filter(|n| !old.iter().any(|o| o.name == n.name)) {
            self.0.push(format!(
                "column {} {} comes",
                column.name,
                to_sql(&column.data_type)
            ));
        }
        let names =
            |columns: &[ColumnDef]| columns.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
        if self.0.is_empty() && names(old) != names(new) {
            self.0.push(format!(
                "the order of columns becomes {}",
                names(new).join(", ")
            ));
        }
    }

    fn column(&mut self, old: &ColumnDef, new: &ColumnDef) {
        if old.data_type != new.data_type {
            self.0.push(format!(
                "column {}: {} becomes {}",
                old.name,
                to_sql(&old.data_type),
                to_sql(&new.data_type)
            ));
        }
        if old.computed != new.computed {
            self.0
                .push(format!("column {} is computed in another way", old.name));
        }
        if old.not_null != new.not_null {
            let now = if new.not_null {
                "becomes"
            } else {
                "is no longer"
            };
            self.0.push(format!("column {} {now} NOT NULL", old.name));
        }
    }

    fn watermark(&mut self, old: Option<&WatermarkDef>, new: Option<&WatermarkDef>) {
        match (old, new) {
            (None, Some(_)) => self.0.push("a watermark comes".to_owned()),
            (Some(_), None) => self.0.push("the watermark goes".to_owned()),
            (Some(old), Some(new)) if (old.column, &old.expr) != (new.column, &new.expr) => {
                self.0.push("the watermark changes".to_owned())
            }
            _ => {}
        }
    }
}

fn source(found: &mut Found, old: &SourceDef, new: &SourceDef) {
    found.columns(&old.columns, &new.columns);
    found.watermark(old.watermark.as_ref(), new.watermark.as_ref());
    found.options(&old.options, &new.options);
}

fn table(found: &mut Found, old: &TableDef, new: &TableDef) {
    found.columns(&old.columns, &new.columns);
    let key = |t: &TableDef| {
        t.primary_key
            .iter()
            .filter_map(|i| t.columns.get(*i))
            .map(|c| c.name.clone())
            .collect::<Vec<_>>()
            .join(", ")
    };
    found.value("primary key", &key(old), &key(new));
    found.watermark(old.watermark.as_ref(), new.watermark.as_ref());
    found.options(&old.options, &new.options);
}

fn view(found: &mut Found, old: &ViewDef, new: &ViewDef) {
    let (before, after) = (words(&old.query), words(&new.query));
    if before != after {
        found.0.push(first_difference(&before, &after));
    }
    found.value("EMIT", &old.emit, &new.emit);
    found.options(&old.options, &new.options);
}

/// The query's words around the first one that differs.
fn first_difference(old: &[String], new: &[String]) -> String {
    const AROUND: usize = 4;
    let at = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let part = |all: &[String]| {
        let start = at.saturating_sub(AROUND).min(all.len());
        let end = (at + AROUND).min(all.len());
        all[start..end].join(" ")
    };
    format!(
        "the query changes: \"... {} ...\" becomes \"... {} ...\"",
        part(old),
        part(new)
    )
}

fn sink(found: &mut Found, old: &SinkDef, new: &SinkDef) {
    found.value("connector", &old.connector, &new.connector);
    found.value("view", &old.from, &new.from);
    found.options(&old.options, &new.options);
}

fn alert(found: &mut Found, old: &AlertDef, new: &AlertDef) {
    view(found, &old.view, &new.view);
}
