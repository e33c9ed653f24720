//! Correlated subqueries that DataFusion's rules would pull apart wrongly: a condition on the outer row may not be moved past a window function,
//! an outer join's nullable side, or an aggregate without groups that is not the subquery's own result.

use datafusion::common::JoinType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::Refused;

pub(super) fn check(plan: &LogicalPlan) -> Result<(), Refused> {
    let mut found = None;
    plan.apply_with_subqueries(|node| {
        found = found.take().or(in_node(node)?);
        Ok(match found {
            Some(_) => TreeNodeRecursion::Stop,
            None => TreeNodeRecursion::Continue,
        })
    })?;
    found.map_or(Ok(()), |why| Err(refused(why)))
}

fn refused(why: &str) -> Refused {
    Refused::new(
        format!("{why} cannot depend on the outer row in a view"),
        "compute it in FROM for all outer rows, with the columns to join on, and write JOIN ... ON",
    )
    .of_subquery()
}

fn in_node(node: &LogicalPlan) -> datafusion::common::Result<Option<&'static str>> {
    if let LogicalPlan::Subquery(lateral) = node {
        return Ok(body(&lateral.subquery, true));
    }
    let mut found = None;
    node.apply_expressions(|expr| {
        expr.apply(|e| {
            let (plan, own) = match e {
                Expr::Exists(e) => (&e.subquery.subquery, false),
                Expr::InSubquery(e) => (&e.subquery.subquery, false),
                Expr::ScalarSubquery(s) => (&s.subquery, true),
                _ => return Ok(TreeNodeRecursion::Continue),
            };
            found = found.or(body(plan, own));
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(found)
}

/// `own`: whether an aggregate without groups here is the result itself.
fn body(plan: &LogicalPlan, own: bool) -> Option<&'static str> {
    let outer = |plan: &LogicalPlan| !plan.all_out_ref_exprs().is_empty();
    if !outer(plan) {
        return None;
    }
    match plan {
        LogicalPlan::Window(_) => Some("a window function"),
        LogicalPlan::Aggregate(a) if a.group_expr.is_empty() && !own && outer(&a.input) => {
            Some("an aggregate without GROUP BY inside EXISTS, IN or a join")
        }
        LogicalPlan::Join(join) => {
            let (left, right) = match join.join_type {
                JoinType::Inner => (false, false),
                JoinType::Full => (true, true),
                JoinType::Right | JoinType::RightSemi | JoinType::RightAnti => (true, false),
                _ => (false, true),
            };
            if (left && outer(&join.left)) || (right && outer(&join.right)) {
                return Some("the optional side of a join");
            }
            body(&join.left, false).or_else(|| body(&join.right, false))
        }
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Filter(_) => {
            plan.inputs().into_iter().find_map(|input| body(input, own))
        }
        _ => plan
            .inputs()
            .into_iter()
            .find_map(|input| body(input, false)),
    }
}
