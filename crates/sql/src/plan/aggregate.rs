//! GROUP BY and its aggregate functions.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{
    AggregateFunction as Call, AggregateFunctionParams, NullTreatment,
};
use datafusion::logical_expr::{Aggregate as Logical, Expr, ExprSchemable, is_null, not};

use super::Refused;
use super::build::Builder;
use super::grouping;
use super::whole;
use crate::graph::{Aggregate, AggregateCall, AggregateFunction, NodeId, Op};

pub(super) fn aggregate(builder: &mut Builder<'_>, node: &Logical) -> Result<NodeId, Refused> {
    if let [Expr::GroupingSet(sets)] = node.group_expr.as_slice() {
        return grouping::sets(builder, node, sets);
    }
    let input = builder.plan(&node.input)?;
    let schema = node.input.schema();
    let mut group = Vec::with_capacity(node.group_expr.len());
    for expr in &node.group_expr {
        group.push(builder.expr(expr, schema, input)?);
    }
    let mut calls = Vec::with_capacity(node.aggr_expr.len());
    for (index, expr) in node.aggr_expr.iter().enumerate() {
        let return_type = node.schema.field(group.len() + index).data_type().clone();
        calls.push(aggregate_call(builder, expr, schema, input, return_type)?);
    }
    let aggregate = Aggregate {
        group,
        calls,
        close: None,
        session: None,
    };
    Ok(builder.add(Op::Aggregate(aggregate), vec![input], &node.schema))
}

/// One call over the rows of a node.
pub(super) fn aggregate_call(
    builder: &Builder<'_>,
    expr: &Expr,
    schema: &datafusion::common::DFSchema,
    input: NodeId,
    return_type: datafusion::arrow::datatypes::DataType,
) -> Result<AggregateCall, Refused> {
    let Call { func, params } = call(expr)?;
    let function = match function(func.name(), params) {
        // What has no order of its own in the state is compared anew.
        AggregateFunction::Min | AggregateFunction::Max if is_nested(params, schema) => {
            AggregateFunction::Whole
        }
        function => function,
    };
    let filter = filter_of(func.name(), params);
    let filter = filter
        .map(|f| builder.expr(&f, schema, input))
        .transpose()?;
    if function == AggregateFunction::Whole {
        let (arg, whole) = whole::call(builder, expr, func, params, schema, input)?;
        return Ok(AggregateCall {
            function,
            arg: Some(arg),
            distinct: params.distinct,
            filter,
            return_type,
            whole: Some(whole),
        });
    }
    let arg = match params.args.as_slice() {
        [one] if is_count_all(function, one) => None,
        [one] => Some(builder.expr(one, schema, input)?),
        _ => None,
    };
    // The least of distinct values is the least of all.
    let distinct =
        params.distinct && !matches!(function, AggregateFunction::Min | AggregateFunction::Max);
    Ok(AggregateCall {
        function,
        arg,
        distinct,
        filter,
        return_type,
        whole: None,
    })
}

/// `IGNORE NULLS` of what picks one row is a filter.
fn filter_of(name: &str, params: &AggregateFunctionParams) -> Option<Expr> {
    let filter = params.filter.as_deref().cloned();
    let ignore = params.null_treatment == Some(NullTreatment::IgnoreNulls);
    match params.args.first() {
        Some(arg) if ignore && matches!(name, "first_value" | "last_value") => {
            let there = not(is_null(arg.clone()));
            Some(match filter {
                Some(filter) => filter.and(there),
                None => there,
            })
        }
        _ => filter,
    }
}

fn call(expr: &Expr) -> Result<&Call, Refused> {
    match expr {
        Expr::AggregateFunction(call) => Ok(call),
        Expr::Alias(alias) => call(&alias.expr),
        other => Err(Refused::new(
            format!("{other} is not an aggregate"),
            "use an aggregate function, for example count or sum",
        )),
    }
}

/// Functions with an operator of their own; the others are computed from all rows of a group.
fn function(name: &str, params: &AggregateFunctionParams) -> AggregateFunction {
    match (name, params.args.len()) {
        ("count", 1) => AggregateFunction::Count,
        ("sum", 1) => AggregateFunction::Sum,
        ("avg", 1) => AggregateFunction::Avg,
        ("min" | "bool_and", 1) => AggregateFunction::Min,
        ("max" | "bool_or", 1) => AggregateFunction::Max,
        _ => AggregateFunction::Whole,
    }
}

fn is_nested(params: &AggregateFunctionParams, schema: &datafusion::common::DFSchema) -> bool {
    let nested = |arg: &Expr| arg.get_type(schema).is_ok_and(|t| t.is_nested());
    params.args.iter().any(nested)
}

/// `count(*)` is `count(1)` by now.
fn is_count_all(function: AggregateFunction, arg: &Expr) -> bool {
    let arg = if let Expr::Alias(alias) = arg {
        alias.expr.as_ref()
    } else {
        arg
    };
    function == AggregateFunction::Count
        && matches!(arg, Expr::Literal(value, _) if !ScalarValue::is_null(value))
}
