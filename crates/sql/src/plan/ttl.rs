//! `WITH (ttl = '7 days')`: a view over the rows of its streams that are younger than that, by their event time against the step's clock.
//!
//! Every scan of a stream gets the filter that a person would write, `event_time > now() - INTERVAL '7 days'`; so operators let go of what is
//! older by taking it back, and the view is at any time what the same query gives over the rows that are left. Tables are left alone.

use datafusion::arrow::datatypes::IntervalMonthDayNano;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::{close, temporal};
use crate::model::{Catalog, RelationKind};
use crate::translate::refusal;

/// The plan with a filter on each of its streams.
pub(super) fn bound(plan: LogicalPlan, catalog: &dyn Catalog, ttl_ms: i64) -> Result<LogicalPlan> {
    let on_stream = |node: LogicalPlan| -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::TableScan(scan) = &node else {
            return Ok(Transformed::no(node));
        };
        let name = scan.table_name.table();
        let Some(relation) = catalog.relation(name) else {
            return Ok(Transformed::no(node));
        };
        let time = match (&relation.kind, relation.event_time) {
            (RelationKind::Source, None) => {
                let declare = close::missing_watermark(&relation);
                return Err(refusal(
                    Span::empty(),
                    format!("ttl goes by event time, and {name} has none"),
                    declare.unwrap_or_else(|| {
                        format!("declare WATERMARK FOR a column of {name} in its CREATE SOURCE")
                    }),
                ));
            }
            (RelationKind::Source | RelationKind::Materialized, Some(time)) => time,
            // A table's keys are finitely many, and what a view without a time keeps is its own affair.
            _ => return Ok(Transformed::no(node)),
        };
        let field = scan.projected_schema.qualified_field(
            scan.projected_schema
                .index_of_column_by_name(None, relation.schema.field(time).name())
                .unwrap_or(time),
        );
        let time = Expr::Column(Column::from(field));
        let filter = temporal::until(time + age(ttl_ms));
        LogicalPlanBuilder::from(node)
            .filter(filter)?
            .build()
            .map(Transformed::yes)
    };
    plan.transform_up_with_subqueries(on_stream)
        .map(|done| done.data)
}

fn age(ttl_ms: i64) -> Expr {
    let nanoseconds = ttl_ms.saturating_mul(1_000_000);
    let interval = IntervalMonthDayNano::new(0, 0, nanoseconds);
    lit(ScalarValue::IntervalMonthDayNano(Some(interval)))
}
