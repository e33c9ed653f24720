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

/// `FROM generate_series(1, 3) AS n` to an UNNEST.
pub(super) fn table_function(factor: &mut TableFactor) {
    let TableFactor::Table {
        name,
        alias,
        args: Some(args),
        with_ordinality,
        ..
    } = factor
    else {
        return;
    };
    let Some(array) = set_function(name) else {
        return;
    };
    let values: Vec<Expr> = args.args.iter().filter_map(plain).cloned().collect();
    let mut alias = alias.clone();
    // A function's only column has the name of the function, or of its alias.
    if let Some(alias) = &mut alias
        && alias.columns.is_empty()
    {
        alias
            .columns
            .push(TableAliasColumnDef::from_name(alias.name.value.clone()));
    }
    let alias = alias.or_else(|| {
        let name = Ident::new(name.to_string().to_lowercase());
        Some(TableAlias {
            explicit: true,
            columns: vec![TableAliasColumnDef::from_name(name.value.clone())],
            name,
            at: None,
        })
    });
    *factor = TableFactor::UNNEST {
        alias,
        array_exprs: vec![call(array, values, name.span())],
        with_offset: false,
        with_offset_alias: None,
        with_ordinality: *with_ordinality,
    };
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
