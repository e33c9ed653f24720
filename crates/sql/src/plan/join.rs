//! Joins of every kind; those that keep the right side are turned round.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{DFSchema, DFSchemaRef, JoinType, NullEquality, ScalarValue};
use datafusion::logical_expr::{Expr, ExprSchemable, Join as Logical, LogicalPlan};

use super::build::{Builder, ROW};
use super::{Refused, as_of};
use crate::graph::{Changelog, Join, JoinKind, NodeId, Op};
use crate::versions::LOOKUP;

pub(super) fn join(builder: &mut Builder<'_>, node: &Logical) -> Result<NodeId, Refused> {
    use JoinKind::{Anti, Full, Inner, Left, Mark, Semi};
    if let Some(as_of) = as_of::join(builder, node)? {
        return Ok(as_of);
    }
    match node.join_type {
        JoinType::Inner => one_way(builder, node, Inner, false),
        JoinType::Left => one_way(builder, node, Left, false),
        JoinType::Full => one_way(builder, node, Full, false),
        JoinType::LeftSemi => one_way(builder, node, Semi, false),
        JoinType::LeftAnti => one_way(builder, node, Anti, false),
        JoinType::LeftMark => one_way(builder, node, Mark, false),
        JoinType::RightSemi => one_way(builder, node, Semi, true),
        JoinType::RightAnti => one_way(builder, node, Anti, true),
        JoinType::RightMark => one_way(builder, node, Mark, true),
        JoinType::Right => {
            let swapped = one_way(builder, node, Left, true)?;
            let (left, right) = (width(&node.left), width(&node.right));
            let back: Vec<usize> = (right..right + left).chain(0..right).collect();
            Ok(builder.pick(swapped, &back, &node.schema))
        }
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
    let lookup = is_looked_up(right);
    let inputs = match lookup {
        false => vec![builder.plan(left)?, builder.plan(right)?],
        true => vec![builder.plan(left)?, builder.looked_up(right)?],
    };
    if lookup {
        check_lookup(builder, kind, inputs[0])?;
    }
    let schemas = [held(left, "__left")?, held(right, "__right")?];
    let mut on = Vec::with_capacity(node.on.len());
    for (a, b) in &node.on {
        let (a, b) = if swap { (b, a) } else { (a, b) };
        check_types(a, left, b, right)?;
        on.push((
            builder.timeless_expr(a, &schemas[0])?,
            builder.timeless_expr(b, &schemas[1])?,
        ));
    }
    let joined = schemas[0].join(&schemas[1])?;
    let filter = node.filter.as_ref().filter(|f| !is_true(f));
    let filter = filter
        .map(|f| builder.timeless_expr(f, &joined))
        .transpose()?;
    let within = match lookup {
        false => builder.within([inputs[0], inputs[1]], filter.as_ref()),
        true => None,
    };
    let join = Join {
        kind,
        on,
        null_equal: node.null_equality == NullEquality::NullEqualsNull,
        filter,
        within,
        lookup,
        as_of: None,
    };
    if !kind.only_left() {
        let id = builder.add(Op::Join(join), inputs, &joined);
        return Ok(without_made_up(builder, id, [left, right], &joined));
    }
    let lone = left.schema().fields().is_empty();
    let output = match (kind, lone) {
        (JoinKind::Mark, true) => schemas[0].join(&node.schema)?,
        (_, true) => schemas[0].as_ref().clone(),
        _ => node.schema.as_ref().clone(),
    };
    let id = builder.add(Op::Join(join), inputs, &output);
    if lone && kind == JoinKind::Mark {
        return Ok(builder.pick(id, &[1], &node.schema));
    }
    Ok(id)
}

/// Whether a side is what `FOR SYSTEM_TIME AS OF now()` looks up.
fn is_looked_up(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::SubqueryAlias(alias) if alias.alias.table() == LOOKUP => true,
        LogicalPlan::SubqueryAlias(alias) => is_looked_up(&alias.input),
        LogicalPlan::Projection(projection) => is_looked_up(&projection.input),
        LogicalPlan::Filter(filter) => is_looked_up(&filter.input),
        _ => false,
    }
}

fn check_lookup(builder: &Builder<'_>, kind: JoinKind, left: NodeId) -> Result<(), Refused> {
    let hint = "join without FOR SYSTEM_TIME: later changes then correct the result";
    if !matches!(kind, JoinKind::Inner | JoinKind::Left) {
        return Err(super::build::no_lookup());
    }
    if builder.changelog(left) == Changelog::Retracting {
        return Err(Refused::new(
            "FOR SYSTEM_TIME AS OF now() is for rows that are only added, but those on the left of it may be corrected",
            hint,
        ));
    }
    Ok(())
}

/// The columns that a side's rows are made of: a side of which only the number of rows matters has one, made up.
fn held(plan: &LogicalPlan, name: &str) -> Result<DFSchemaRef, Refused> {
    if !plan.schema().fields().is_empty() {
        return Ok(Arc::clone(plan.schema()));
    }
    let made_up = Schema::new(vec![Field::new(ROW, DataType::Boolean, true)]);
    Ok(Arc::new(DFSchema::try_from_qualified_schema(
        name, &made_up,
    )?))
}

/// The joined columns less those that were made up.
fn without_made_up(
    builder: &mut Builder<'_>,
    joined: NodeId,
    sides: [&LogicalPlan; 2],
    schema: &DFSchema,
) -> NodeId {
    let [left, right] = sides.map(width);
    if left > 0 && right > 0 {
        return joined;
    }
    let kept: Vec<usize> = (usize::from(left == 0)..schema.fields().len())
        .filter(|i| right > 0 || *i < left)
        .collect();
    let fields = kept.iter().map(|i| {
        let (relation, field) = schema.qualified_field(*i);
        (relation.cloned(), Arc::clone(field))
    });
    match DFSchema::new_with_metadata(fields.collect(), Default::default()) {
        Ok(output) => builder.pick(joined, &kept, &output),
        Err(_) => joined,
    }
}

pub(super) fn is_true(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::Boolean(Some(true)), _))
}

pub(super) fn check_types(
    a: &Expr,
    left: &LogicalPlan,
    b: &Expr,
    right: &LogicalPlan,
) -> Result<(), Refused> {
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
