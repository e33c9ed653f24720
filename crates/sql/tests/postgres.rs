//! Expressions and PostgreSQL's answers to them: `tests/postgres/*.txt`, one `expression  =>  answer` a line. The answers were given by a
//! real PostgreSQL 15; `tests/e2e/test_expressions.py` asks one again.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::util::display::array_value_to_string;
use headwater_sql::model::{Catalog, Relation};
use headwater_sql::source::Source;
use headwater_sql::{Planner, SqlError, parse_query, runtime_error, value_text};

struct Nothing;

impl Catalog for Nothing {
    fn relation(&self, _name: &str) -> Option<Relation> {
        None
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

fn evaluate(expression: &str) -> Result<ArrayRef, SqlError> {
    let planner = Planner::new(&Nothing);
    let query = parse_query(Source::new(None, &format!("SELECT {expression} AS x")))?;
    let plan = planner.ad_hoc(&query)?.bind(&|_| None)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let context = planner.session().context();
    let batches = runtime
        .block_on(async { context.execute_logical_plan(plan).await?.collect().await })
        .map_err(|e| runtime_error(&e))?;
    Ok(Arc::clone(batches[0].column(0)))
}

fn shown(column: &ArrayRef) -> String {
    if column.is_null(0) || column.data_type().is_null() {
        return "NULL".to_owned();
    }
    let text = value_text(column, 0);
    let _ = array_value_to_string(column, 0);
    text.replace('\\', "\\\\")
        .replace('\n', "\\n")
        .replace('\t', "\\t")
}

/// Equal as texts, or as numbers: PostgreSQL shows more digits of a NUMERIC.
fn same(ours: &str, theirs: &str) -> bool {
    let number = |text: &str| text.parse::<f64>().ok();
    ours == theirs
        || matches!((number(ours), number(theirs)), (Some(a), Some(b)) if a == b || (a - b).abs() <= 1e-9 * b.abs())
}

#[test]
fn expressions_answer_as_in_postgresql() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/postgres");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|f| f.unwrap().path())
        .collect();
    files.sort();
    let (mut wrong, mut asked) = (String::new(), 0);
    for file in files {
        for line in std::fs::read_to_string(&file).unwrap().lines() {
            let Some((expression, theirs)) = line.split_once("  =>  ") else {
                continue;
            };
            asked += 1;
            let ours = match evaluate(expression) {
                Ok(column) => shown(&column),
                Err(error) => format!("ERROR {}", error.message),
            };
            let fine =
                same(&ours, theirs) || (ours.starts_with("ERROR") && theirs.starts_with("ERROR"));
            if !fine {
                let _ = writeln!(
                    wrong,
                    "{expression}\n     ours: {ours}\n   theirs: {theirs}"
                );
            }
        }
    }
    assert!(asked > 500, "{asked} expressions");
    assert!(wrong.is_empty(), "\n{wrong}");
}
