//! `EXPLAIN ANALYZE`: the operator tree of a view that runs, with its live figures; and how a plain SELECT reads the views of today.

use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::{LogicalPlan, TableScan};
use headwater_sql::graph::Node;
use headwater_sql::{Planner, SqlError, ast, explain};
use headwater_views::lookup_told;
use serde_json::Value;

use crate::engine::Engine;
use crate::pipeline::figures::operator_id;
use crate::statements::{StatementResult, table};
use crate::status::OperatorStatus;

impl Engine {
    /// A line an operator, then what the pipeline as a whole does.
    pub(crate) fn analyze(&self, view: &str) -> Result<StatementResult, SqlError> {
        let running = self.inner.running.lock();
        let found = running.values().find_map(|pipeline| {
            let plan = &pipeline.plan;
            let flow = plan
                .flows
                .iter()
                .find(|flow| flow.name == view && (flow.shown || flow.is_alert))?;
            Some((pipeline, flow))
        });
        let (pipeline, flow) = found.ok_or_else(|| {
            SqlError::new(format!("\"{view}\" does not run")).hint(format!(
                "EXPLAIN {view} shows its plan; figures are there of materialized views and alerts"
            ))
        })?;
        let visible = pipeline.running.shared.visible.lock();
        let of = |id: &str| visible.operators.iter().find(|operator| operator.id == id);
        let figures = |node: &Node| {
            let status = of(&operator_id(&pipeline.plan, flow, node));
            status.map_or_else(String::new, |status| {
                told(status, node.op.relation().is_some())
            })
        };
        let mut lines: Vec<String> = explain::with_figures(&flow.graph, &figures)
            .lines()
            .map(str::to_owned)
            .collect();
        lines.push(format!(
            "step {}: {} rows in, {:.0} rows/s, the last step took {:.1} ms",
            visible.step,
            visible.counters.rows,
            visible.rows_per_s,
            visible.step_last_us as f64 / 1e3
        ));
        let rows = lines
            .into_iter()
            .map(|line| vec![Value::from(line)])
            .collect();
        Ok(table(&["plan"], rows))
    }
}

impl Engine {
    /// A line for each keyed relation that a plain SELECT reads: by its key, or all of its rows. Nothing of relations that do not run.
    pub(crate) fn reads(&self, query: &ast::Query) -> Vec<String> {
        let objects = self.inner.objects.read().clone();
        let planner = Planner::new(&objects);
        let session = planner.session().clone();
        let planned = planner.ad_hoc(query).and_then(|adhoc| {
            let tables = self.tables(&objects, adhoc.relations())?;
            let find = |name: &str| {
                let found = tables.iter().find(|(known, _)| known == name);
                found.map(|(_, table)| Arc::clone(table))
            };
            adhoc.bind(&find)
        });
        let state = session.state();
        let Some(plan) = planned.ok().and_then(|plan| state.optimize(&plan).ok()) else {
            return Vec::new();
        };
        let mut lines = Vec::new();
        let _ = plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                lines.extend(self.read_of(scan));
            }
            Ok(TreeNodeRecursion::Continue)
        });
        lines
    }

    fn read_of(&self, scan: &TableScan) -> Option<String> {
        let name = scan.table_name.table();
        let (_, cell) = self.owner(name)?;
        let key = cell.info.key.as_ref().filter(|key| !key.is_empty())?;
        let schema = scan.source.schema();
        let found = lookup_told(&scan.filters, &schema, key);
        let names: Vec<&str> = key
            .iter()
            .map(|c| schema.field(*c).name().as_str())
            .collect();
        Some(match found {
            Some(found) => format!("SELECT reads {name} by its key: {found}"),
            None => format!(
                "SELECT reads all rows of {name}: no condition on the first column of its key ({})",
                names.join(", ")
            ),
        })
    }
}

fn told(status: &OperatorStatus, leaf: bool) -> String {
    if leaf {
        return format!("  {} rows", status.rows_out);
    }
    let mut text = format!("  {} rows in, {} out", status.rows_in, status.rows_out);
    if status.state_rows > 0 || status.state_bytes > 0 {
        text += &format!(
            ", state {} rows {} KiB",
            status.state_rows,
            status.state_bytes.div_ceil(1024)
        );
    }
    text + &format!(", {:.1} ms", status.busy_us as f64 / 1e3)
}
