//! GROUP BY and its aggregate functions.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::AggregateFunction as Call;
use datafusion::logical_expr::{Aggregate as Logical, Expr};

use super::Refused;
use super::build::Builder;
use crate::graph::{Aggregate, AggregateCall, AggregateFunction, NodeId, Op};

pub(super) fn aggregate(builder: &mut Builder<'_>, node: &Logical) -> Result<NodeId, Refused> {
    let input = builder.plan(&node.input)?;
    let schema = node.input.schema();
    let mut group = Vec::with_capacity(node.group_expr.len());
    for expr in &node.group_expr {
        if let Expr::GroupingSet(_) = expr {
            return Err(Refused::new(
                "GROUPING SETS, ROLLUP and CUBE are not known in a view",
                "write one view for each set of columns",
            ));
        }
        group.push(builder.expr(expr, schema, input)?);
    }
    let mut calls = Vec::with_capacity(node.aggr_expr.len());
    for (index, expr) in node.aggr_expr.iter().enumerate() {
        let return_type = node.schema.field(group.len() + index).data_type().clone();
        let Call { func, params } = call(expr)?;
        let function = function(func.name())?;
        let arg = match params.args.as_slice() {
            [one] if is_count_all(function, one) => None,
            [one] => Some(builder.expr(one, schema, input)?),
            _ => {
                return Err(Refused::new(
                    format!("{} takes one argument in a view", func.name()),
                    "combine the columns into one expression",
                ));
            }
        };
        let filter = params
            .filter
            .as_ref()
            .map(|f| builder.expr(f, schema, input))
            .transpose()?;
        // The least of distinct values is the least of all.
        let distinct =
            params.distinct && !matches!(function, AggregateFunction::Min | AggregateFunction::Max);
        calls.push(AggregateCall {
            function,
            arg,
            distinct,
            filter,
            return_type,
        });
    }
    Ok(builder.add(
        Op::Aggregate(Aggregate {
            group,
            calls,
            close: None,
        }),
        vec![input],
        &node.schema,
    ))
}

fn call(expr: &Expr) -> Result<&Call, Refused> {
    match expr {
        Expr::AggregateFunction(call) => Ok(call),
        Expr::Alias(alias) => call(&alias.expr),
        other => Err(Refused::new(
            format!("{other} is not an aggregate"),
            "use count, sum, avg, min or max",
        )),
    }
}

fn function(name: &str) -> Result<AggregateFunction, Refused> {
    match name {
        "count" => Ok(AggregateFunction::Count),
        "sum" => Ok(AggregateFunction::Sum),
        "avg" => Ok(AggregateFunction::Avg),
        "min" => Ok(AggregateFunction::Min),
        "max" => Ok(AggregateFunction::Max),
        _ => Err(Refused::new(
            format!("the aggregate {name} is not known in a view"),
            hint(name),
        )),
    }
}

fn hint(name: &str) -> &'static str {
    match name {
        "approx_distinct" => "write count(DISTINCT x)",
        "bool_and" => "write min(CASE WHEN x THEN 1 ELSE 0 END) = 1",
        "bool_or" => "write max(CASE WHEN x THEN 1 ELSE 0 END) = 1",
        _ => {
            "a view knows count, sum, avg, min, max; the others work in an ad-hoc SELECT over the view"
        }
    }
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
