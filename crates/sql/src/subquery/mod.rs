//! Subqueries and set operations, before DataFusion's rules turn them into joins: what those rules or its executor would answer otherwise than
//! PostgreSQL is written in terms that they answer alike. Views and ad-hoc queries share this. What it must not know: operators.

pub(crate) mod apart;
pub(crate) mod lower;
mod quantifier;
pub(crate) mod scalar;
pub(crate) mod setop;
mod unnest;

use datafusion::common::Result;
use datafusion::logical_expr::LogicalPlan;

/// IN, ANY, ALL and EXISTS with SQL's three truth values, as EXISTS alone. For analyzed plans.
pub(crate) fn exact(plan: LogicalPlan) -> Result<LogicalPlan> {
    Ok(plan.transform_up_with_subqueries(quantifier::rewrite)?.data)
}

/// Lists unnested for each row of another relation.
pub(crate) fn unnest(plan: LogicalPlan) -> Result<LogicalPlan> {
    Ok(plan.transform_up_with_subqueries(unnest::rewrite)?.data)
}
