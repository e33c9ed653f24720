//! Logical expressions to physical ones, with what a view may not call.

use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, Volatility};
use datafusion::physical_expr::create_physical_expr;

use super::{Refused, temporal};
use crate::graph::{Changelog, PhysExpr};
use crate::session::Session;

/// Functions that read the step's clock.
const CLOCK: [&str; 2] = ["now", "current_date"];

/// The physical form of an expression over rows of `schema`, that come with this changelog.
pub(super) fn physical(
    session: &Session,
    expr: &Expr,
    schema: &DFSchema,
    changelog: Changelog,
) -> Result<PhysExpr, Refused> {
    check(expr, changelog)?;
    let props = session.state().execution_props();
    Ok(create_physical_expr(
        expr,
        schema,
        props,
        &PhysicalPlanningContext::default(),
    )?)
}

fn check(expr: &Expr, changelog: Changelog) -> Result<(), Refused> {
    let mut refused = None;
    expr.apply(|e| {
        refused = refusal(e, changelog);
        Ok(if refused.is_some() {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    })?;
    refused.map_or(Ok(()), Err)
}

fn refusal(expr: &Expr, changelog: Changelog) -> Option<Refused> {
    match expr {
        Expr::ScalarFunction(call) if CLOCK.contains(&call.name()) => (changelog == Changelog::Retracting).then(|| {
            let message = format!("{}() over rows that may be taken back would keep rows that should be gone", call.name());
            Refused::new(message, "use it over a source, before the join or aggregate, or in an ad-hoc SELECT over the view")
        }),
        Expr::ScalarFunction(call) if [temporal::UNTIL, temporal::FROM].contains(&call.name()) => {
            Some(Refused::new(
                "a comparison with now() must be a condition of its own, joined to others by AND; in an outer join's ON it may only be about the side that need not match",
                "put it into WHERE, or into a view of its own over that side",
            ))
        }
        Expr::ScalarFunction(call) if call.name() == "current_time" => {
            Some(Refused::new("current_time is not known in a view", "write now()"))
        }
        Expr::ScalarFunction(call) if call.func.signature().volatility == Volatility::Volatile => {
            let message = format!("{}() gives another answer each time, so a view could not be computed again after a restart", call.name());
            Some(Refused::new(message, "put the value into the event, or use it in an ad-hoc SELECT"))
        }
        Expr::ScalarSubquery(_)
        | Expr::Exists(_)
        | Expr::InSubquery(_)
        | Expr::SetComparison(_)
        | Expr::OuterReferenceColumn(..) => Some(not_pulled_up()),
        _ => None,
    }
}

/// A correlated subquery that could not be made a join.
pub(super) fn not_pulled_up() -> Refused {
    Refused::new(
        "this subquery depends on the outer row in a way that a view cannot follow",
        "leave out what GROUPING SETS or outer joins within it have to do with the outer row, or write a JOIN",
    )
    .of_subquery()
}
