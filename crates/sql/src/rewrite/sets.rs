//! Functions that give many rows: in FROM and in a SELECT list they are unnested.

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectName, SelectItem, Spanned, TableAlias, TableAliasColumnDef, TableFactor,
};

use super::calls::arguments;
use super::{call, plain};

/// Functions that give many rows, and the function that gives them as an array.
pub(super) const SETS: [(&str, &str); 9] = [
    ("generate_series", "generate_series"),
    ("jsonb_array_elements", "jsonb_array_elements"),
    ("json_array_elements", "jsonb_array_elements"),
    ("jsonb_array_elements_text", "jsonb_array_elements_text"),
    ("json_array_elements_text", "jsonb_array_elements_text"),
    ("jsonb_object_keys", "jsonb_object_keys"),
    ("json_object_keys", "jsonb_object_keys"),
    ("regexp_split_to_table", "regexp_split_to_array"),
    ("string_to_table", "string_to_array"),
];

pub(super) fn set_function(name: &ObjectName) -> Option<&'static str> {
    let name = name.to_string().to_lowercase();
    SETS.iter()
        .find(|(set, _)| *set == name)
        .map(|(_, array)| *array)
}

/// `FROM generate_series(1, 3) AS n` to an UNNEST, and `LATERAL unnest(list) AS n`.
pub(super) fn table_function(factor: &mut TableFactor) {
    if let TableFactor::UNNEST {
        alias: Some(alias),
        array_exprs,
        with_ordinality: false,
        ..
    } = factor
        && array_exprs.len() == 1
    {
        named_as_alias(alias);
    }
    let (name, alias, args, with_ordinality) = match factor {
        TableFactor::Table {
            name,
            alias,
            args: Some(args),
            with_ordinality,
            ..
        } => (name, alias, &args.args, with_ordinality),
        TableFactor::Function {
            lateral: true,
            name,
            args,
            with_ordinality,
            alias,
        } => (name, alias, &*args, with_ordinality),
        _ => return,
    };
    let values: Vec<Expr> = args.iter().filter_map(plain).cloned().collect();
    let array_exprs = match set_function(name) {
        Some(array) => vec![call(array, values, name.span())],
        None if name.to_string().eq_ignore_ascii_case("unnest") => values,
        None => return,
    };
    let mut alias = alias.clone().unwrap_or_else(|| TableAlias {
        explicit: true,
        columns: Vec::new(),
        name: Ident::new(name.to_string().to_lowercase()),
        at: None,
    });
    if array_exprs.len() == 1 && !*with_ordinality {
        named_as_alias(&mut alias);
    }
    *factor = TableFactor::UNNEST {
        alias: Some(alias),
        array_exprs,
        with_offset: false,
        with_offset_alias: None,
        with_ordinality: *with_ordinality,
    };
}

/// A function's only column has the name of the function, or of its alias.
fn named_as_alias(alias: &mut TableAlias) {
    if alias.columns.is_empty() {
        let name = alias.name.clone();
        let column = TableAliasColumnDef {
            name,
            data_type: None,
        };
        alias.columns.push(column);
    }
}

/// `SELECT jsonb_array_elements(x)` gives a row for each.
pub(super) fn set_in_list(item: &mut SelectItem) {
    let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else {
        return;
    };
    let Expr::Function(function) = &*expr else {
        return;
    };
    let Some(array) = set_function(&function.name) else {
        return;
    };
    let Some(args) = arguments(function) else {
        return;
    };
    let args = args.iter().filter_map(plain).cloned().collect();
    let span = expr.span();
    *expr = call("unnest", vec![call(array, args, span)], span);
}
