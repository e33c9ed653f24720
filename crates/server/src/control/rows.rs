//! Rows of views: as of one commit, and as they change.

use std::sync::Arc;

use futures::StreamExt as _;
use headwater_edge_http::dto::{
    ChangeBatch, ChangeOp, RowChange, RowsQuery, View, ViewColumn, ViewKind, ViewRows,
};
use headwater_edge_http::{ApiError, ChangeStream};
use headwater_engine::cell::{Told, ViewCell};
use headwater_engine::status::ViewStatus;
use headwater_formats::{JsonEncoder, sql_name};
use serde_json::Value;
use tokio_stream::wrappers::BroadcastStream;

use super::{NodeControl, ms, refused};

impl NodeControl {
    fn cell(&self, view: &str) -> Result<Arc<ViewCell>, ApiError> {
        let cell = self.engine.view(view);
        cell.ok_or_else(|| ApiError::not_found(format!("there is no materialized view {view:?}")))
    }

    pub async fn rows_of(&self, view: String, query: RowsQuery) -> Result<ViewRows, ApiError> {
        let cell = self.cell(&view)?;
        let picture = cell.picture();
        let rows = match &query.order_by {
            Some(column) => self.ordered(&cell, column, &query).await?,
            None => newest(&cell, query.limit)?,
        };
        Ok(ViewRows {
            columns: columns(&cell),
            rows,
            total: picture.rows.rows() as u64,
            commit: picture.step,
        })
    }

    /// Sorted by the database: the page never sorts more than it shows.
    async fn ordered(
        &self,
        cell: &ViewCell,
        column: &str,
        query: &RowsQuery,
    ) -> Result<Vec<Vec<Value>>, ApiError> {
        if cell.info.schema.index_of(column).is_err() {
            return Err(ApiError::bad_request(format!(
                "view {:?} has no column {column:?}",
                cell.info.name
            )));
        }
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let direction = if query.descending {
            "DESC NULLS LAST"
        } else {
            "ASC NULLS LAST"
        };
        let (from, by) = (quoted(&cell.info.name), quoted(column));
        let sql = format!(
            "SELECT * FROM {from} ORDER BY {by} {direction} LIMIT {}",
            query.limit
        );
        let results = self.engine.execute(&sql, None).await.map_err(refused)?;
        Ok(results
            .into_iter()
            .next()
            .map(|result| result.rows)
            .unwrap_or_default())
    }

    pub fn changes_of(&self, view: &str) -> Result<ChangeStream, ApiError> {
        let changes = BroadcastStream::new(self.cell(view)?.subscribe());
        // A reader that fell behind is told so by the end of its stream.
        let kept = changes.take_while(|item| std::future::ready(item.is_ok()));
        Ok(Box::pin(kept.filter_map(|item| {
            std::future::ready(item.ok().map(|changes| batch(&changes)))
        })))
    }
}

fn newest(cell: &ViewCell, limit: usize) -> Result<Vec<Vec<Value>>, ApiError> {
    let internal = |error: &dyn std::fmt::Display| ApiError::internal(error.to_string());
    let batches = cell
        .picture()
        .rows
        .newest(limit)
        .map_err(|error| internal(&error))?;
    let encoder = JsonEncoder::new(&cell.info.schema);
    let mut rows = Vec::new();
    for batch in &batches {
        let bound = encoder.bind(batch).map_err(|error| internal(&error))?;
        rows.extend((0..batch.num_rows()).map(|row| bound.values(row)));
    }
    Ok(rows)
}

fn columns(cell: &ViewCell) -> Vec<ViewColumn> {
    let key = cell.info.key.as_deref().unwrap_or(&[]);
    let fields = cell.info.schema.fields().iter().enumerate();
    fields
        .map(|(at, field)| ViewColumn {
            name: field.name().clone(),
            data_type: sql_name(field.data_type()),
            key: key.contains(&at),
        })
        .collect()
}

fn batch(told: &Told) -> ChangeBatch {
    let change = |(adds, row): (bool, Vec<Value>)| RowChange {
        op: if adds {
            ChangeOp::Insert
        } else {
            ChangeOp::Delete
        },
        row,
    };
    let changes: Vec<RowChange> = told.changes.rows().into_iter().map(change).collect();
    let left_out = told.count.saturating_sub(changes.len()) as u64;
    ChangeBatch {
        commit: told.changes.step,
        changes,
        left_out,
    }
}

/// A view in the list.
pub fn view(of: &ViewStatus) -> View {
    let column = |(name, data_type): &(String, String)| ViewColumn {
        name: name.clone(),
        data_type: data_type.clone(),
        key: of.key.contains(name),
    };
    View {
        name: of.name.clone(),
        kind: match of.kind.as_str() {
            "table" => ViewKind::Table,
            "alert" => ViewKind::Alert,
            _ => ViewKind::View,
        },
        pipeline: of.pipeline.clone(),
        query: of.query.clone(),
        columns: of.columns.iter().map(column).collect(),
        append_only: of.append_only,
        emit_on_close: of.emit_on_close,
        rows: of.rows,
        bytes: of.bytes,
        retention_ms: of.retention_ms,
        watermark_ms: ms(of.watermark_us),
        changes_total: of.changes,
        changes_per_s: None,
        error_rows: of.error_rows,
    }
}
