//! The frame of rules that put other expressions in place of some: what columns an expression sees, and that the result keeps its name.
//! Knows nothing of what is put in place.

use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, LogicalPlan};

/// Rewrites the expressions of every node, those of subqueries too.
pub(crate) fn everywhere(
    plan: LogicalPlan,
    mut rewrite: impl FnMut(Expr, &DFSchema) -> Result<Transformed<Expr>>,
) -> Result<LogicalPlan> {
    let done = plan.transform_up_with_subqueries(|node| in_node(node, &mut rewrite))?;
    Ok(done.data)
}

/// Rewrites the expressions of one node. The rewrite is given an expression as a whole, with the columns that it may name.
pub(crate) fn in_node(
    plan: LogicalPlan,
    mut rewrite: impl FnMut(Expr, &DFSchema) -> Result<Transformed<Expr>>,
) -> Result<Transformed<LogicalPlan>> {
    let schema = visible(&plan)?;
    let names = NamePreserver::new(&plan);
    let rewritten = plan.map_expressions(|expr| {
        let saved = names.save(&expr);
        Ok(rewrite(expr, &schema)?.update_data(|expr| saved.restore(expr)))
    })?;
    match rewritten.transformed {
        true => rewritten.map_data(LogicalPlan::recompute_schema),
        false => Ok(rewritten),
    }
}

/// The columns of a node's inputs; of a scan, which has none, those of its table.
fn visible(plan: &LogicalPlan) -> Result<DFSchema> {
    let mut schema = merge_schema(&plan.inputs());
    if let LogicalPlan::TableScan(scan) = plan {
        let table = scan.table_name.clone();
        schema.merge(&DFSchema::try_from_qualified_schema(
            table,
            &scan.source.schema(),
        )?);
    }
    Ok(schema)
}
