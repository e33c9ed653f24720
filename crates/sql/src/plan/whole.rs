//! Aggregates that are computed from all rows of a group: DataFusion's function over them, in an order.
//!
//! What the function reads and is ordered by comes as one struct a row.

use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{Column as Name, DFSchema};
use datafusion::logical_expr::expr::{AggregateFunctionParams, NullTreatment, Sort};
use datafusion::logical_expr::{AggregateUDF, Expr, ExprSchemable, lit};
use datafusion::physical_expr::PhysicalSortExpr;
use datafusion::physical_expr::aggregate::AggregateExprBuilder;
use datafusion::physical_expr::expressions::Column;

use super::Refused;
use super::build::Builder;
use crate::graph::{NodeId, PhysExpr, Pick, Whole};

/// The struct expression of a call, and the call over the struct's fields.
pub(super) fn call(
    builder: &Builder<'_>,
    expr: &Expr,
    function: &Arc<AggregateUDF>,
    params: &AggregateFunctionParams,
    schema: &DFSchema,
    input: NodeId,
) -> Result<(PhysExpr, Whole), Refused> {
    let mut row = Row::default();
    let mut args = Vec::new();
    let constant = params.args.iter().all(|a| a.column_refs().is_empty());
    for arg in &params.args {
        let arg = arg.clone().unalias_nested().data;
        args.push(
            match arg.column_refs().is_empty() && !(constant && args.is_empty()) {
                true => arg,
                false => row.field(arg),
            },
        );
    }
    let args_width = row.exprs.len();
    let mut order = Vec::with_capacity(params.order_by.len());
    for sort in &params.order_by {
        let field = row.field(sort.expr.clone().unalias_nested().data);
        order.push(Sort::new(field, sort.asc, sort.nulls_first));
    }
    if params.distinct && row.exprs.len() > args_width {
        return Err(Refused::new(
            format!(
                "{} with DISTINCT is ordered by something else than its argument",
                function.name()
            ),
            "leave out DISTINCT, or ORDER BY the argument",
        ));
    }
    let fields = row.schema(schema)?;
    let of_fields = DFSchema::try_from(fields.as_ref().clone())?;
    let physical = |e: &Expr| builder.timeless_expr(e, &of_fields);
    let args = args.iter().map(physical).collect::<Result<Vec<_>, _>>()?;
    let sorts = order
        .iter()
        .map(|s| Ok::<_, Refused>(PhysicalSortExpr::new(physical(&s.expr)?, options(s))));
    let sorts = sorts.collect::<Result<Vec<_>, _>>()?;
    let place = |s: &PhysicalSortExpr| Some((s.expr.downcast_ref::<Column>()?.index(), s.options));
    let order = sorts.iter().filter_map(place).collect();
    let ignore_nulls = params.null_treatment == Some(NullTreatment::IgnoreNulls);
    let mut build = AggregateExprBuilder::new(Arc::clone(function), args)
        .schema(Arc::clone(&fields))
        .alias(expr.schema_name().to_string())
        .with_ignore_nulls(ignore_nulls);
    if function.supports_within_group_clause() {
        build = build.order_by(sorts);
    }
    let pick = match function.name() {
        "first_value" => Some(Pick::First),
        "last_value" => Some(Pick::Last),
        _ => None,
    };
    let whole = Whole {
        function: Arc::new(build.build()?),
        order,
        pick,
    };
    Ok((builder.expr(&row.expr(), schema, input)?, whole))
}

fn options(sort: &Sort) -> SortOptions {
    SortOptions {
        descending: !sort.asc,
        nulls_first: sort.nulls_first,
    }
}

/// The fields of the struct.
#[derive(Default)]
struct Row {
    exprs: Vec<Expr>,
}

fn name(at: usize) -> String {
    format!("c{at}")
}

impl Row {
    /// The field that holds an expression's value.
    fn field(&mut self, expr: Expr) -> Expr {
        let at = match self.exprs.iter().position(|known| *known == expr) {
            Some(at) => at,
            None => {
                self.exprs.push(expr);
                self.exprs.len() - 1
            }
        };
        Expr::Column(Name::new_unqualified(name(at)))
    }

    fn schema(&self, of: &DFSchema) -> Result<SchemaRef, Refused> {
        let mut fields = Vec::with_capacity(self.exprs.len());
        for (at, expr) in self.exprs.iter().enumerate() {
            let data_type: DataType = expr.get_type(of)?;
            fields.push(Field::new(name(at), data_type, true));
        }
        Ok(Arc::new(Schema::new(fields)))
    }

    fn expr(&self) -> Expr {
        let fields = self.exprs.iter().enumerate();
        let args = fields.flat_map(|(at, e)| [lit(name(at)), e.clone()]);
        datafusion::functions::core::named_struct().call(args.collect())
    }
}
