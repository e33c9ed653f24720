//! PostgreSQL's functions that DataFusion lacks or answers otherwise, one file for a family.

mod arrays;
pub(crate) mod civil;
mod format;
mod json;
pub(crate) mod kit;
mod numeric;
mod overlaps;
mod pattern;
mod regex;
mod shown;
mod text;
mod times;
mod zone;

use std::sync::{Arc, LazyLock};

use datafusion::logical_expr::ScalarUDF;

pub(crate) use json::array_literal;

/// All of them, to be registered over DataFusion's.
pub(crate) fn functions() -> &'static [Arc<ScalarUDF>] {
    static ALL: LazyLock<Vec<Arc<ScalarUDF>>> = LazyLock::new(|| {
        let families = [
            text::FUNCTIONS,
            regex::FUNCTIONS,
            times::FUNCTIONS,
            overlaps::FUNCTIONS,
            numeric::FUNCTIONS,
            json::FUNCTIONS,
            arrays::FUNCTIONS,
        ];
        let rows = families.into_iter().flatten().map(kit::Def::udf);
        rows.chain([arrays::remove()]).collect()
    });
    &ALL
}

/// One of them.
pub(crate) fn function(name: &str) -> Option<Arc<ScalarUDF>> {
    functions().iter().find(|f| f.name() == name).cloned()
}

/// A value of any type as PostgreSQL writes it; empty for NULL.
pub fn value_text(array: &datafusion::arrow::array::ArrayRef, row: usize) -> String {
    shown::text(array, row)
}
