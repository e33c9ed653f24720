//! GROUPING SETS, ROLLUP and CUBE: each row once for every set, with NULL for the columns that are not in it, into one aggregate.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::utils::{enumerate_grouping_sets, grouping_set_to_exprlist};
use datafusion::logical_expr::{Aggregate as Logical, Expr, GroupingSet};
use datafusion::physical_expr::expressions::{Column, lit};

use super::aggregate::aggregate_call;
use super::build::{Builder, nullable};
use super::{Refused, lineage};
use crate::graph::{Aggregate, AggregateCall, NodeId, Op, PhysExpr};

pub(super) fn sets(
    builder: &mut Builder<'_>,
    node: &Logical,
    _sets: &GroupingSet,
) -> Result<NodeId, Refused> {
    let expanded = enumerate_grouping_sets(node.group_expr.clone())?;
    let [Expr::GroupingSet(all)] = expanded.as_slice() else {
        return Err(refused());
    };
    let exprs: Vec<Expr> = grouping_set_to_exprlist(&expanded)?
        .into_iter()
        .cloned()
        .collect();
    let (total, lists): (Vec<_>, Vec<_>) = lists(all, &exprs)?
        .into_iter()
        .partition(|(inside, _)| inside.iter().all(|inside| !inside));
    let input = builder.plan(&node.input)?;
    let mut parts = Vec::with_capacity(2);
    if !lists.is_empty() {
        parts.push(keyed(builder, node, input, &exprs, &lists)?);
    }
    for (_, ordinal) in total {
        parts.push(of_all(builder, node, input, exprs.len(), ordinal)?);
    }
    match parts.as_slice() {
        [one] => Ok(*one),
        _ => {
            let schema = nullable(node.schema.as_arrow());
            Ok(builder.add_with(Op::Union, parts, schema, None))
        }
    }
}

/// The sets with columns.
fn keyed(
    builder: &mut Builder<'_>,
    node: &Logical,
    input: NodeId,
    exprs: &[Expr],
    lists: &[(Vec<bool>, u64)],
) -> Result<NodeId, Refused> {
    let schema = node.input.schema();
    let values = exprs
        .iter()
        .map(|e| builder.expr(e, schema, input))
        .collect::<Result<Vec<PhysExpr>, _>>()?;
    let output = node.schema.as_arrow();
    let id_type = output.field(exprs.len()).data_type().clone();
    let expanded = expand(builder, input, &values, lists, &id_type)?;
    let keys = builder.schema_of(expanded);
    let group: Vec<PhysExpr> = (0..=exprs.len())
        .map(|at| lineage::column(&keys, at))
        .collect();
    // The rows' own columns stand after those of the groups.
    let keys = (0..=exprs.len()).map(|at| (None, Arc::new(keys.field(at).clone())));
    let own = schema.iter().map(|(t, f)| (t.cloned(), Arc::clone(f)));
    let widened = DFSchema::new_with_metadata(keys.chain(own).collect(), Default::default())?;
    let calls = calls(builder, node, exprs.len(), &widened, expanded)?;
    let aggregate = Aggregate {
        group,
        calls,
        close: None,
        session: None,
    };
    Ok(builder.add_with(
        Op::Aggregate(aggregate),
        vec![expanded],
        nullable(output),
        None,
    ))
}

/// The set without columns: there is always one row, also over no input.
fn of_all(
    builder: &mut Builder<'_>,
    node: &Logical,
    input: NodeId,
    columns: usize,
    ordinal: u64,
) -> Result<NodeId, Refused> {
    let calls = calls(builder, node, columns, node.input.schema(), input)?;
    let output = nullable(node.schema.as_arrow());
    let fields: Vec<Field> = output
        .fields()
        .iter()
        .skip(columns + 1)
        .map(|f| f.as_ref().clone())
        .collect();
    let aggregate = Aggregate {
        group: Vec::new(),
        calls,
        close: None,
        session: None,
    };
    let schema = Arc::new(Schema::new(fields));
    let all = builder.add_with(
        Op::Aggregate(aggregate),
        vec![input],
        Arc::clone(&schema),
        None,
    );
    let mut exprs: Vec<PhysExpr> = Vec::with_capacity(output.fields().len());
    for at in 0..columns {
        exprs.push(lit(ScalarValue::try_from(output.field(at).data_type())?));
    }
    let id = ((1_u64 << columns) - 1) | (ordinal << columns);
    exprs.push(lit(
        ScalarValue::UInt64(Some(id)).cast_to(output.field(columns).data_type())?
    ));
    exprs.extend((0..schema.fields().len()).map(|at| lineage::column(&schema, at)));
    Ok(builder.add_with(Op::Project { exprs }, vec![all], output, None))
}

fn calls(
    builder: &Builder<'_>,
    node: &Logical,
    columns: usize,
    schema: &DFSchema,
    input: NodeId,
) -> Result<Vec<AggregateCall>, Refused> {
    let mut calls = Vec::with_capacity(node.aggr_expr.len());
    for (index, expr) in node.aggr_expr.iter().enumerate() {
        let return_type = node.schema.field(columns + 1 + index).data_type().clone();
        calls.push(aggregate_call(builder, expr, schema, input, return_type)?);
    }
    Ok(calls)
}

fn refused() -> Refused {
    Refused::new(
        "these GROUPING SETS are not known in a view",
        "write one view for each set of columns, or ROLLUP, CUBE or GROUPING SETS of columns",
    )
}

/// For each set, which of the expressions are in it, and its number among equal ones.
fn lists(sets: &GroupingSet, exprs: &[Expr]) -> Result<Vec<(Vec<bool>, u64)>, Refused> {
    let sets: Vec<Vec<Expr>> = match sets {
        GroupingSet::GroupingSets(sets) => sets.clone(),
        GroupingSet::Rollup(all) => (0..=all.len()).rev().map(|n| all[..n].to_vec()).collect(),
        GroupingSet::Cube(all) => (0..1_u64 << all.len())
            .map(|bits| {
                let inside = all
                    .iter()
                    .enumerate()
                    .filter(|(at, _)| bits & (1 << at) != 0);
                inside.map(|(_, e)| e.clone()).collect()
            })
            .collect(),
    };
    let mut lists: Vec<(Vec<bool>, u64)> = Vec::with_capacity(sets.len());
    for set in sets {
        let inside: Vec<bool> = exprs.iter().map(|e| set.contains(e)).collect();
        let same = lists.iter().filter(|(known, _)| *known == inside).count();
        lists.push((inside, same as u64));
    }
    Ok(lists)
}

/// A row for each set: its group columns, the set's number, its own columns.
fn expand(
    builder: &mut Builder<'_>,
    input: NodeId,
    values: &[PhysExpr],
    lists: &[(Vec<bool>, u64)],
    id_type: &DataType,
) -> Result<NodeId, Refused> {
    let own = builder.schema_of(input);
    let mut fields = Vec::new();
    for (at, value) in values.iter().enumerate() {
        fields.push(Field::new(
            format!("__group_{at}"),
            value.data_type(&own)?,
            true,
        ));
    }
    fields.push(Field::new("__grouping_id", id_type.clone(), true));
    fields.extend(own.fields().iter().map(|f| f.as_ref().clone()));
    let schema = Arc::new(Schema::new(fields));
    let mut nodes = Vec::with_capacity(lists.len());
    for (inside, ordinal) in lists {
        let mut exprs: Vec<PhysExpr> = Vec::with_capacity(schema.fields().len());
        for (at, value) in values.iter().enumerate() {
            exprs.push(match inside[at] {
                true => Arc::clone(value),
                false => lit(ScalarValue::try_from(schema.field(at).data_type())?),
            });
        }
        let mask = inside
            .iter()
            .fold(0_u64, |id, inside| (id << 1) | u64::from(!inside));
        let id = mask | (ordinal << inside.len());
        exprs.push(lit(ScalarValue::UInt64(Some(id)).cast_to(id_type)?));
        let columns = own.fields().iter().enumerate();
        exprs.extend(columns.map(|(at, f)| Arc::new(Column::new(f.name(), at)) as PhysExpr));
        nodes.push(builder.add_with(
            Op::Project { exprs },
            vec![input],
            Arc::clone(&schema),
            None,
        ));
    }
    match nodes.as_slice() {
        [one] => Ok(*one),
        _ => Ok(builder.add_with(Op::Union, nodes, schema, None)),
    }
}
