//! Invented answers to SQL: every SELECT reads the one live view, and one misspelt column is found.

use futures::FutureExt;
use headwater_edge_http::dto::{
    Applied, AppliedAction, AppliedChange, ApplyRequest, Column, RowsQuery, SqlAnswer, SqlResult,
};
use headwater_edge_http::{Answer, ApiError, SourceError, Statements};

use crate::world::World;

const WRONG: &str = "departure_delay";

impl World {
    fn run(&self, sql: &str) -> Result<SqlAnswer, ApiError> {
        if let Some(at) = sql.find(WRONG) {
            return Err(unknown_column(sql, at));
        }
        let statements = sql.split(';').filter(|text| !text.trim().is_empty());
        Ok(SqlAnswer {
            results: statements.map(|text| self.result(text.trim())).collect(),
        })
    }

    fn result(&self, statement: &str) -> SqlResult {
        let word = statement
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_uppercase();
        if word == "EXPLAIN" {
            return plan(statement.to_uppercase().contains("ANALYZE"));
        }
        if !matches!(word.as_str(), "SELECT" | "SHOW" | "DESCRIBE" | "WITH") {
            return SqlResult {
                message: Some(format!("{} done", word.to_lowercase())),
                ..SqlResult::default()
            };
        }
        let rows = self.table.rows(&RowsQuery {
            limit: 40,
            order_by: None,
            descending: true,
        });
        let columns = rows.columns.into_iter().map(|c| Column {
            name: c.name,
            data_type: c.data_type,
        });
        SqlResult {
            columns: columns.collect(),
            rows: rows.rows,
            behind: 0,
            ..SqlResult::default()
        }
    }
}

fn unknown_column(sql: &str, at: usize) -> ApiError {
    let start = sql[..at].rfind('\n').map_or(0, |n| n + 1);
    let text = sql[start..].lines().next().unwrap_or_default();
    let column = at - start;
    let caret = format!("{text}\n{}{}", " ".repeat(column), "^".repeat(WRONG.len()));
    ApiError::in_source(SourceError {
        message: format!("there is no column '{WRONG}' in hourly_by_airport"),
        line: Some(sql[..at].matches('\n').count() as u32 + 1),
        column: Some(column as u32 + 1),
        caret: Some(caret),
        hint: Some("did you mean 'departures'?".into()),
        ..SourceError::default()
    })
}

/// Lines as the engine's `EXPLAIN` and `EXPLAIN ANALYZE` have them.
fn plan(live: bool) -> SqlResult {
    let lines = [
        (
            "aggregate-1 count(*), sum(delay) BY origin  [retracts; key origin; state: a row a group]",
            "  120000 rows in, 48 out, state 3 rows 4 KiB, 84.2 ms",
        ),
        (
            "  relation-1 flights  [appends; watermark time_hour]",
            "  120000 rows",
        ),
    ];
    let told = |(line, figures): (&str, &str)| format!("{line}{}", if live { figures } else { "" });
    SqlResult {
        columns: vec![Column {
            name: "plan".into(),
            data_type: "TEXT".into(),
        }],
        rows: lines.map(|line| vec![told(line).into()]).to_vec(),
        ..SqlResult::default()
    }
}

impl Statements for World {
    fn sql(&self, sql: String) -> Answer<'_, SqlAnswer> {
        async move { self.run(&sql) }.boxed()
    }

    fn apply(&self, request: ApplyRequest) -> Answer<'_, Applied> {
        let change = AppliedChange {
            name: "flights".into(),
            kind: "source".into(),
            action: AppliedAction::Unchanged,
        };
        let message = format!("{}: nothing to change", request.pipeline);
        async {
            Ok(Applied {
                pipeline: request.pipeline,
                changes: vec![change],
                message,
            })
        }
        .boxed()
    }
}
