//! The parts of the tree that stand in a version's place.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, ExcludeSelectItem, Expr, Ident, ObjectName, SelectItem,
    SelectItemQualifiedWildcardKind, TableAlias, TableAliasColumnDef, TableFactor,
    WildcardAdditionalOptions,
};

use super::{LOOKUP, UNTIL, Versions, lower};
use crate::error::Result;
use crate::made;

/// Columns that are joined by and that nobody sees: from when and until when a version is valid.
pub(super) struct Hidden {
    alias: Ident,
    from: String,
    until: String,
    /// Whether a version is a deletion, where there are such.
    gone: Option<String>,
}

impl Hidden {
    pub fn new(alias: &TableAlias, number: usize, deletes: bool) -> Self {
        Self {
            alias: alias.name.clone(),
            from: format!("__from_{number}"),
            until: format!("{UNTIL}{number}"),
            gone: deletes.then(|| format!("__gone_{number}")),
        }
    }

    fn columns(&self) -> impl Iterator<Item = &String> {
        [&self.from, &self.until].into_iter().chain(&self.gone)
    }

    fn column(&self, name: &str) -> Expr {
        Expr::CompoundIdentifier(vec![self.alias.clone(), Ident::with_quote('"', name)])
    }
}

/// `SELECT *` without the hidden columns.
pub(super) fn hide(projection: &mut [SelectItem], hidden: &[Hidden]) {
    if hidden.is_empty() {
        return;
    }
    for item in projection {
        match item {
            SelectItem::Wildcard(options) => {
                exclude(options, hidden.iter().flat_map(Hidden::columns));
            }
            SelectItem::QualifiedWildcard(
                SelectItemQualifiedWildcardKind::ObjectName(name),
                options,
            ) => {
                let named = name.0.last().and_then(|part| part.as_ident()).map(lower);
                let own = hidden.iter().filter(|h| Some(lower(&h.alias)) == named);
                exclude(options, own.flat_map(Hidden::columns));
            }
            _ => {}
        }
    }
}

fn exclude<'a>(options: &mut WildcardAdditionalOptions, columns: impl Iterator<Item = &'a String>) {
    let mut all: Vec<ObjectName> = match options.opt_exclude.take() {
        Some(ExcludeSelectItem::Single(one)) => vec![one],
        Some(ExcludeSelectItem::Multiple(some)) => some,
        None => Vec::new(),
    };
    all.extend(columns.map(|name| ObjectName::from(vec![Ident::with_quote('"', name)])));
    options.opt_exclude = (!all.is_empty()).then_some(ExcludeSelectItem::Multiple(all));
}

/// The rows of a relation as they are, under the alias that marks a look-up.
pub(super) fn lookup(name: &ObjectName, alias: TableAlias) -> Result<TableFactor> {
    derived(
        &format!("SELECT * FROM (SELECT * FROM {name}) AS \"{LOOKUP}\""),
        alias,
    )
}

/// The rows of a relation that have a time, each with its own time and that of its successor.
pub(super) fn ranges(
    versions: &Versions,
    mut alias: TableAlias,
    keys: &[String],
    hidden: &Hidden,
) -> Result<TableFactor> {
    let list = |names: &[String]| {
        let all: Vec<String> = names.iter().map(|name| quoted(name)).collect();
        all.join(", ")
    };
    if !alias.columns.is_empty() {
        let more = hidden.columns().map(TableAliasColumnDef::from_name);
        alias.columns.extend(more);
    }
    // Of one time the last record counts.
    let (ties, gone) = match &hidden.gone {
        Some(gone) => (
            ", \"__partition\", \"__offset\"",
            format!(", \"__deleted\" AS \"{gone}\""),
        ),
        None => ("", String::new()),
    };
    let Hidden { from, until, .. } = hidden;
    let Versions {
        from: read,
        time,
        columns,
        ..
    } = versions;
    let (columns, keys) = (list(columns), list(keys));
    derived(
        &format!(
            "SELECT {columns}, {time} AS \"{from}\", lead({time}) OVER (PARTITION BY {keys} ORDER BY {time}{ties}) AS \"{until}\"{gone} \
             FROM {read} WHERE {time} IS NOT NULL"
        ),
        alias,
    )
}

pub(super) fn quoted(name: &str) -> String {
    Ident::with_quote('"', name).to_string()
}

fn derived(text: &str, alias: TableAlias) -> Result<TableFactor> {
    Ok(TableFactor::Derived {
        lateral: false,
        subquery: made::query(text)?,
        alias: Some(alias),
        sample: None,
    })
}

/// `on AND time >= from AND (until IS NULL OR time < until)`
pub(super) fn valid(on: Expr, time: Expr, hidden: &Hidden) -> Expr {
    let until = hidden.column(&hidden.until);
    let open = Expr::IsNull(Box::new(until.clone()));
    let nested = |expr: Expr| Expr::Nested(Box::new(expr));
    let begun = binary(
        nested(time.clone()),
        BinaryOperator::GtEq,
        hidden.column(&hidden.from),
    );
    let holds = binary(nested(time), BinaryOperator::Lt, until);
    let holds = nested(binary(holds, BinaryOperator::Or, open));
    let both = binary(nested(on), BinaryOperator::And, begun);
    let valid = binary(both, BinaryOperator::And, holds);
    match &hidden.gone {
        Some(gone) => {
            let there = Expr::IsNotTrue(Box::new(hidden.column(gone)));
            binary(valid, BinaryOperator::And, there)
        }
        None => valid,
    }
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp {
        left: Box::new(left),
        op,
        right: Box::new(right),
    }
}

/// The columns of the relation called `alias` that a condition compares with others.
pub(super) fn keys_of(on: &Expr, alias: &TableAlias, columns: &[String]) -> Vec<String> {
    let own = |expr: &Expr| own_column(expr, alias, columns);
    match on {
        Expr::Nested(inner) => keys_of(inner, alias, columns),
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And,
            right,
        } => {
            let mut keys = keys_of(left, alias, columns);
            for key in keys_of(right, alias, columns) {
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
            keys
        }
        Expr::BinaryOp {
            left,
            op: BinaryOperator::Eq,
            right,
        } => match (own(left), own(right)) {
            (Some(key), None) | (None, Some(key)) => vec![key],
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

fn own_column(expr: &Expr, alias: &TableAlias, columns: &[String]) -> Option<String> {
    let name = match expr {
        Expr::Nested(inner) => return own_column(inner, alias, columns),
        Expr::Identifier(name) => name,
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [relation, name] if lower(relation) == lower(&alias.name) => name,
            _ => return None,
        },
        _ => return None,
    };
    // The alias may give the columns other names.
    let name = lower(name);
    let renamed = alias.columns.iter().position(|c| lower(&c.name) == name);
    match renamed {
        Some(at) => columns.get(at).cloned(),
        None => columns.iter().find(|c| **c == name).cloned(),
    }
}
