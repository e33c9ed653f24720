//! `OVER`: window functions over one PARTITION BY become one operator, whatever the number of their orders.

use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{Field, SchemaRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, TableReference};
use datafusion::logical_expr::expr::{Sort, WindowFunction};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan, Window};
use datafusion::physical_expr::window::WindowExpr;
use datafusion::physical_planner::create_window_expr_with_name;

use super::Refused;
use super::build::{Builder, nullable};
use super::lineage;
use crate::graph::{NodeId, Op, Over, Stage};

/// Columns that are computed for window functions: what they partition, sort by and read.
const COMPUTED: &str = "__over";

/// The rows that window functions read: a plan's columns, then what is computed for them.
pub(super) struct Base {
    pub input: NodeId,
    /// Of the columns so far, with the relations that they are called by.
    fields: Vec<(Option<TableReference>, Arc<Field>)>,
    /// Columns of the plan itself.
    pub width: usize,
    computed: Vec<Expr>,
}

impl Base {
    pub fn of(builder: &mut Builder<'_>, plan: &LogicalPlan) -> Result<Self, Refused> {
        let input = builder.plan(plan)?;
        let fields = plan.schema().iter();
        let fields: Vec<_> = fields.map(|(t, f)| (t.cloned(), Arc::clone(f))).collect();
        Ok(Self {
            input,
            width: fields.len(),
            fields,
            computed: Vec::new(),
        })
    }

    fn schema(&self) -> Result<DFSchema, Refused> {
        Ok(DFSchema::new_with_metadata(
            self.fields.clone(),
            std::collections::HashMap::new(),
        )?)
    }

    /// The expression as a column; one that is not yet is computed below. Constants stay as they are.
    fn column(&mut self, expr: &Expr) -> Result<Expr, Refused> {
        let expr = expr.clone().unalias_nested().data;
        if matches!(expr, Expr::Column(_)) || is_constant(&expr)? {
            return Ok(expr);
        }
        let at = match self.computed.iter().position(|known| *known == expr) {
            Some(at) => at,
            None => {
                self.computed.push(expr);
                self.computed.len() - 1
            }
        };
        Ok(Expr::Column(Column::new_unqualified(format!(
            "{COMPUTED}_{at}"
        ))))
    }

    /// The place of an expression among the columns; constants get one, too.
    pub fn place(&mut self, expr: &Expr) -> Result<Place, Refused> {
        let expr = expr.clone().unalias_nested().data;
        if let Expr::Column(column) = &expr {
            let at = self.schema()?.index_of_column(column)?;
            return Ok(Place::Plan(at));
        }
        let at = self.computed.iter().position(|known| *known == expr);
        Ok(Place::Computed(at.unwrap_or_else(|| {
            self.computed.push(expr);
            self.computed.len() - 1
        })))
    }

    pub fn index(&self, place: Place) -> usize {
        match place {
            Place::Plan(at) => at,
            Place::Computed(at) => self.width + at,
        }
    }

    pub fn order(&mut self, sorts: &[Sort]) -> Result<Vec<(Place, SortOptions)>, Refused> {
        let one = |sort: &Sort| {
            let options = SortOptions {
                descending: !sort.asc,
                nulls_first: sort.nulls_first,
            };
            Ok((self.place(&sort.expr)?, options))
        };
        sorts.iter().map(one).collect()
    }

    /// The node with all columns, the computed ones last.
    pub fn finish(&mut self, builder: &mut Builder<'_>) -> Result<NodeId, Refused> {
        if self.computed.is_empty() {
            return Ok(self.input);
        }
        let schema = self.schema()?;
        let columns = &builder.schema_of(self.input);
        let mut exprs: Vec<_> = (0..self.width)
            .map(|at| lineage::column(columns, at))
            .collect();
        let mut fields: Vec<Arc<Field>> = columns.fields().iter().cloned().collect();
        for (at, expr) in self.computed.iter().enumerate() {
            let physical = builder.expr(expr, &schema, self.input)?;
            let field = Field::new(
                format!("{COMPUTED}_{at}"),
                physical.data_type(columns)?,
                true,
            );
            self.fields.push((None, Arc::new(field.clone())));
            fields.push(Arc::new(field));
            exprs.push(physical);
        }
        let schema: SchemaRef = Arc::new(datafusion::arrow::datatypes::Schema::new(fields));
        Ok(builder.add_with(Op::Project { exprs }, vec![self.input], schema, None))
    }
}

/// Where an expression of a window function stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Plan(usize),
    Computed(usize),
}

fn is_constant(expr: &Expr) -> Result<bool, Refused> {
    let mut constant = true;
    expr.apply(|e| {
        constant &= !matches!(e, Expr::Column(_));
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(constant)
}

/// The window function in an expression of a `Window` node, and its name.
pub(super) fn function(expr: &Expr) -> Result<(&WindowFunction, String), Refused> {
    let mut inner = expr;
    while let Expr::Alias(alias) = inner {
        inner = &alias.expr;
    }
    match inner {
        Expr::WindowFunction(call) => Ok((call, expr.schema_name().to_string())),
        other => Err(Refused::new(
            format!("{other} is not a window function"),
            "write function(...) OVER (...)",
        )),
    }
}

pub(super) fn over(builder: &mut Builder<'_>, window: &Window) -> Result<NodeId, Refused> {
    let (chain, bottom) = chain(window)?;
    let mut base = Base::of(builder, bottom)?;
    let (first, _) = function(&chain[0].window_expr[0])?;
    let partition: Vec<Place> = first
        .params
        .partition_by
        .iter()
        .map(|e| base.place(e))
        .collect::<Result<_, _>>()?;
    let mut prepared = Vec::new();
    for window in &chain {
        let (first, _) = function(&window.window_expr[0])?;
        let order = base.order(&first.params.order_by)?;
        let calls = window
            .window_expr
            .iter()
            .map(|e| prepare(&mut base, e))
            .collect::<Result<Vec<_>, _>>()?;
        prepared.push((order, calls));
    }
    let input = base.finish(builder)?;
    let mut stages = Vec::with_capacity(prepared.len());
    for (order, calls) in prepared {
        let schema = base.schema()?;
        let exprs = calls
            .iter()
            .map(|(name, call)| physical(builder, call, name, &schema))
            .collect::<Result<Vec<_>, _>>()?;
        for expr in &exprs {
            let field = expr.field()?.as_ref().clone().with_nullable(true);
            base.fields.push((None, Arc::new(field)));
        }
        let order = order.into_iter().map(|(p, o)| (base.index(p), o)).collect();
        stages.push(Stage { order, exprs });
    }
    let over = Over {
        partition: partition.into_iter().map(|p| base.index(p)).collect(),
        stages,
        labels: None,
    };
    let fields: Vec<Arc<Field>> = base.fields.iter().map(|(_, f)| Arc::clone(f)).collect();
    let schema = nullable(&datafusion::arrow::datatypes::Schema::new(fields));
    let node = builder.add_with(Op::Over(over), vec![input], Arc::clone(&schema), None);
    if base.computed.is_empty() {
        return Ok(node);
    }
    let computed = base.width..base.width + base.computed.len();
    let kept: Vec<usize> = (0..schema.fields().len())
        .filter(|at| !computed.contains(at))
        .collect();
    Ok(builder.pick(node, &kept, &window.schema))
}

/// Windows over each other with the same PARTITION BY, the lowest first, and what they read. One that computes with the result of
/// another begins a chain of its own.
fn chain(window: &Window) -> Result<(Vec<&Window>, &LogicalPlan), Refused> {
    let mut chain = vec![window];
    let partition = partition_of(window)?;
    let mut bottom = window.input.as_ref();
    while let LogicalPlan::Window(below) = bottom {
        let same = partition_of(below)? == partition;
        let known = below.input.schema();
        let apart = chain.iter().flat_map(|w| &w.window_expr).all(|e| {
            let reads = e.column_refs();
            reads.into_iter().all(|c| known.has_column(c))
        });
        if !same || !apart {
            break;
        }
        chain.push(below);
        bottom = below.input.as_ref();
    }
    chain.reverse();
    Ok((chain, bottom))
}

fn partition_of(window: &Window) -> Result<Vec<String>, Refused> {
    let (call, _) = function(&window.window_expr[0])?;
    let mut names: Vec<String> = call
        .params
        .partition_by
        .iter()
        .map(Expr::to_string)
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// The call over columns and constants only.
fn prepare(base: &mut Base, expr: &Expr) -> Result<(String, Expr), Refused> {
    let (call, name) = function(expr)?;
    let mut call = call.clone();
    if matches!(call.fun.name(), "max_by" | "min_by" | "any_value") {
        return Err(Refused::new(
            format!("{} is not known with OVER", call.fun.name()),
            "write first_value(x) OVER (PARTITION BY ... ORDER BY y)",
        ));
    }
    let params = &mut call.params;
    params.args = columns(base, &params.args)?;
    params.partition_by = columns(base, &params.partition_by)?;
    for sort in &mut params.order_by {
        sort.expr = base.column(&sort.expr)?;
    }
    if let Some(filter) = &mut params.filter {
        **filter = base.column(filter)?;
    }
    Ok((name, Expr::WindowFunction(Box::new(call))))
}

fn columns(base: &mut Base, exprs: &[Expr]) -> Result<Vec<Expr>, Refused> {
    exprs.iter().map(|e| base.column(e)).collect()
}

fn physical(
    builder: &Builder<'_>,
    call: &Expr,
    name: &str,
    schema: &DFSchema,
) -> Result<Arc<dyn WindowExpr>, Refused> {
    let props = builder.session().state().execution_props();
    Ok(create_window_expr_with_name(
        call,
        name,
        schema,
        props,
        &PhysicalPlanningContext::default(),
    )?)
}
