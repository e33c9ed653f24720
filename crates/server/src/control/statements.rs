//! SQL and pipeline folders, handed to the engine.

use headwater_edge_http::dto::{
    Applied, AppliedAction, AppliedChange, ApplyRequest, Column, SqlAnswer, SqlResult,
};
use headwater_edge_http::{Answer, Statements};
use headwater_engine::{Action, StatementResult};

use super::{NodeControl, refused};

impl Statements for NodeControl {
    fn sql(&self, sql: String) -> Answer<'_, SqlAnswer> {
        Box::pin(async move {
            let results = self.engine.execute(&sql, None).await.map_err(refused)?;
            Ok(SqlAnswer {
                results: results.into_iter().map(result).collect(),
            })
        })
    }

    fn apply(&self, request: ApplyRequest) -> Answer<'_, Applied> {
        Box::pin(async move {
            let ApplyRequest {
                pipeline,
                files,
                replace,
            } = request;
            let files = files
                .into_iter()
                .map(|file| (file.name, file.text))
                .collect();
            let report = self
                .engine
                .apply(&pipeline, files, replace)
                .await
                .map_err(refused)?;
            let change = |change: headwater_engine::AppliedObject| AppliedChange {
                name: change.name,
                kind: change.kind,
                action: action(change.action),
            };
            let message = report.summary();
            Ok(Applied {
                pipeline,
                changes: report.objects.into_iter().map(change).collect(),
                message,
            })
        })
    }
}

fn action(of: Action) -> AppliedAction {
    match of {
        Action::Created => AppliedAction::Created,
        Action::Unchanged => AppliedAction::Unchanged,
        Action::Replaced => AppliedAction::Replaced,
        Action::Dropped => AppliedAction::Dropped,
        Action::Orphaned => AppliedAction::Orphaned,
    }
}

fn result(of: StatementResult) -> SqlResult {
    SqlResult {
        columns: of
            .columns
            .into_iter()
            .map(|(name, data_type)| Column { name, data_type })
            .collect(),
        rows: of.rows,
        message: of.message,
        behind: of.behind,
        truncated: of.truncated,
    }
}
