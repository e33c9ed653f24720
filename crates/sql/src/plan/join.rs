//! Inner, left and (by swapping) right joins.

use datafusion::common::{DFSchema, JoinType, NullEquality};
use datafusion::logical_expr::{Expr, ExprSchemable, Join as Logical, LogicalPlan};

use super::Refused;
use super::build::Builder;
use crate::graph::{Join, JoinKind, NodeId, Op};

pub(super) fn join(builder: &mut Builder<'_>, node: &Logical) -> Result<NodeId, Refused> {
    if node.on.is_empty() {
        let message = "a join in a view needs an equality between its two sides";
        return Err(Refused::new(
            message,
            "write JOIN ... ON a.key = b.key, further conditions with AND",
        ));
    }
    if node.null_equality == NullEquality::NullEqualsNull {
        return Err(Refused::new(
            "a join on IS NOT DISTINCT FROM is not known in a view",
            "join with =, or coalesce both sides first",
        ));
    }
    match node.join_type {
        JoinType::Inner => one_way(builder, node, JoinKind::Inner, false),
        JoinType::Left => one_way(builder, node, JoinKind::Left, false),
        JoinType::Right => {
            let swapped = one_way(builder, node, JoinKind::Left, true)?;
            let (left, right) = (width(&node.left), width(&node.right));
            let back: Vec<usize> = (right..right + left).chain(0..right).collect();
            Ok(builder.pick(swapped, &back, &node.schema))
        }
        JoinType::Full => Err(Refused::new(
            "FULL JOIN is not known in a view",
            "write UNION ALL of a LEFT JOIN and of what is missing on the left",
        )),
        other => Err(Refused::new(
            format!("a {other} join is not known in a view"),
            "write an INNER or LEFT JOIN",
        )),
    }
}

fn one_way(
    builder: &mut Builder<'_>,
    node: &Logical,
    kind: JoinKind,
    swap: bool,
) -> Result<NodeId, Refused> {
    let (left, right) = if swap {
        (&node.right, &node.left)
    } else {
        (&node.left, &node.right)
    };
    let inputs = vec![builder.plan(left)?, builder.plan(right)?];
    let mut on = Vec::with_capacity(node.on.len());
    for (a, b) in &node.on {
        let (a, b) = if swap { (b, a) } else { (a, b) };
        check_types(a, left, b, right)?;
        on.push((
            builder.timeless_expr(a, left.schema())?,
            builder.timeless_expr(b, right.schema())?,
        ));
    }
    let joined = if swap {
        right_then_left(left, right)?
    } else {
        node.schema.as_ref().clone()
    };
    let filter = node
        .filter
        .as_ref()
        .map(|f| builder.timeless_expr(f, &joined))
        .transpose()?;
    Ok(builder.add(Op::Join(Join { kind, on, filter }), inputs, &joined))
}

fn right_then_left(first: &LogicalPlan, second: &LogicalPlan) -> Result<DFSchema, Refused> {
    Ok(first.schema().join(second.schema())?)
}

fn check_types(a: &Expr, left: &LogicalPlan, b: &Expr, right: &LogicalPlan) -> Result<(), Refused> {
    let (a_type, b_type) = (a.get_type(left.schema())?, b.get_type(right.schema())?);
    if a_type.equals_datatype(&b_type) {
        return Ok(());
    }
    let (a_name, b_name) = (crate::types::to_sql(&a_type), crate::types::to_sql(&b_type));
    Err(Refused::new(
        format!("the join compares {a} of type {a_name} with {b} of type {b_name}"),
        "cast one of them: CAST(x AS type)",
    ))
}

fn width(plan: &LogicalPlan) -> usize {
    plan.schema().fields().len()
}
