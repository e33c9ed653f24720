//! EXISTS where DataFusion's rules do not look for it (the SELECT list, GROUP BY, aggregates, ON): moved to where they do.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, JoinType, Result};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Aggregate, Expr, Filter, Join, LogicalPlan, LogicalPlanBuilder, Projection, lit,
};
use datafusion::optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// Columns that hold subqueries' values for an aggregate or a join.
const COLUMN: &str = "__subquery";

pub(crate) fn lower(plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<LogicalPlan> {
    let lowered = plan.transform_up_with_subqueries(|plan| match plan {
        LogicalPlan::Projection(p) if p.expr.iter().any(has_exists) => projection(p, config),
        LogicalPlan::Aggregate(a) if a.group_expr.iter().chain(&a.aggr_expr).any(has_subquery) => {
            aggregate(a, config)
        }
        LogicalPlan::Join(j) if j.filter.as_ref().is_some_and(has_subquery) => join(j),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(lowered.data)
}

fn is_exists(expr: &Expr) -> bool {
    matches!(expr, Expr::Exists(_) | Expr::InSubquery(_))
}

fn has_exists(expr: &Expr) -> bool {
    expr.exists(|e| Ok(is_exists(e))).unwrap_or(false)
}

fn has_subquery(expr: &Expr) -> bool {
    let found = expr.exists(|e| Ok(is_exists(e) || matches!(e, Expr::ScalarSubquery(_))));
    found.unwrap_or(false)
}

/// The expressions of a kind in these, once each.
fn collect<'a>(exprs: impl Iterator<Item = &'a Expr>, wanted: fn(&Expr) -> bool) -> Vec<Expr> {
    let mut found: Vec<Expr> = Vec::new();
    for expr in exprs {
        let _ = expr.apply(|e| {
            if wanted(e) && !found.contains(e) {
                found.push(e.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        });
    }
    found
}

fn replace(expr: Expr, by: &HashMap<Expr, Expr>) -> Result<Expr> {
    let replaced = expr.transform_up(|e| match by.get(&e) {
        Some(other) => Ok(Transformed::yes(other.clone())),
        None => Ok(Transformed::no(e)),
    })?;
    Ok(replaced.data)
}

/// The rule for WHERE marks each input row; the marks then stand in the SELECT list.
fn projection(node: Projection, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
    let asked = collect(node.expr.iter(), is_exists);
    // A condition that needs all marks; it does not stay.
    let all = Expr::InList(InList::new(Box::new(lit(true)), asked.clone(), false));
    let filter = LogicalPlan::Filter(Filter::try_new(all, Arc::clone(&node.input))?);
    let marked = DecorrelatePredicateSubquery::new()
        .rewrite(filter, config)?
        .data;
    let Some((marks, input)) = marks(marked) else {
        return Ok(Transformed::no(LogicalPlan::Projection(node)));
    };
    let by: HashMap<Expr, Expr> = asked.into_iter().zip(marks).collect();
    let names = NamePreserver::new_for_projection();
    let exprs = node.expr.into_iter().map(|expr| {
        let saved = names.save(&expr);
        Ok(saved.restore(replace(expr, &by)?))
    });
    let exprs = exprs.collect::<Result<Vec<_>>>()?;
    let plan = Projection::try_new(exprs, input)?;
    Ok(Transformed::yes(LogicalPlan::Projection(plan)))
}

fn marks(plan: LogicalPlan) -> Option<(Vec<Expr>, Arc<LogicalPlan>)> {
    match plan {
        LogicalPlan::Projection(p) => marks(p.input.as_ref().clone()),
        LogicalPlan::Filter(f) => match f.predicate {
            Expr::InList(list) if !list.list.iter().any(is_exists) => Some((list.list, f.input)),
            _ => None,
        },
        _ => None,
    }
}

/// Input columns and the subqueries' values as columns.
fn with_values(
    input: &Arc<LogicalPlan>,
    asked: &[Expr],
    config: &dyn OptimizerConfig,
) -> Result<(LogicalPlan, HashMap<Expr, Expr>)> {
    let columns = input.schema().columns().into_iter().map(Expr::Column);
    let mut exprs: Vec<Expr> = columns.collect();
    let mut by = HashMap::new();
    for one in asked {
        let name = config.alias_generator().next(COLUMN);
        by.insert(one.clone(), datafusion::logical_expr::col(&name));
        exprs.push(one.clone().alias(name));
    }
    let node = Projection::try_new(exprs, Arc::clone(input))?;
    let plan = if node.expr.iter().any(has_exists) {
        projection(node, config)?.data
    } else {
        LogicalPlan::Projection(node)
    };
    Ok((plan, by))
}

fn aggregate(node: Aggregate, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
    let wanted = |e: &Expr| is_exists(e) || matches!(e, Expr::ScalarSubquery(_));
    let asked = collect(node.group_expr.iter().chain(&node.aggr_expr), wanted);
    let (input, by) = with_values(&node.input, &asked, config)?;
    let named = |expr: Expr| -> Result<Expr> {
        let name = expr.schema_name().to_string();
        let new = replace(expr, &by)?;
        Ok(if new.schema_name().to_string() == name {
            new
        } else {
            new.alias(name)
        })
    };
    let group = node.group_expr.into_iter().map(named);
    let group = group.collect::<Result<Vec<_>>>()?;
    let calls = node.aggr_expr.into_iter().map(named);
    let calls = calls.collect::<Result<Vec<_>>>()?;
    let plan = Aggregate::try_new(Arc::new(input), group, calls)?;
    Ok(Transformed::yes(LogicalPlan::Aggregate(plan)))
}

/// Conditions of ON with subqueries: of an inner join above it, of an outer join under its nullable side if they speak of that side alone.
fn join(node: Join) -> Result<Transformed<LogicalPlan>> {
    let Some(filter) = node.filter.clone() else {
        return Ok(Transformed::no(LogicalPlan::Join(node)));
    };
    let (asked, rest): (Vec<Expr>, Vec<Expr>) = split_conjunction_owned(filter)
        .into_iter()
        .partition(has_subquery);
    let mut node = node;
    let below = match node.join_type {
        JoinType::Inner => {
            node.filter = conjunction(rest);
            let plan = LogicalPlanBuilder::from(LogicalPlan::Join(node));
            let plan = asked
                .into_iter()
                .try_fold(plan, LogicalPlanBuilder::filter)?;
            return plan.build().map(Transformed::yes);
        }
        JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti => &mut node.right,
        JoinType::Right | JoinType::RightSemi | JoinType::RightAnti => &mut node.left,
        _ => return Ok(Transformed::no(LogicalPlan::Join(node))),
    };
    let schema = Arc::clone(below.schema());
    if !asked.iter().all(|e| speaks_only_of(e, &schema)) {
        return Ok(Transformed::no(LogicalPlan::Join(node)));
    }
    let plan = LogicalPlanBuilder::from(below.as_ref().clone());
    let plan = asked
        .into_iter()
        .try_fold(plan, LogicalPlanBuilder::filter)?;
    *below = Arc::new(plan.build()?);
    node.filter = conjunction(rest);
    Ok(Transformed::yes(LogicalPlan::Join(node)))
}

fn speaks_only_of(expr: &Expr, schema: &DFSchema) -> bool {
    let columns = expr.column_refs();
    let mut outer = Vec::new();
    let _ = expr.apply(|e| {
        let subquery = match e {
            Expr::Exists(e) => Some(&e.subquery),
            Expr::InSubquery(e) => Some(&e.subquery),
            Expr::ScalarSubquery(s) => Some(s),
            _ => None,
        };
        outer.extend(
            subquery
                .into_iter()
                .flat_map(|s| s.outer_ref_columns.clone()),
        );
        Ok(TreeNodeRecursion::Continue)
    });
    let known = |e: &Expr| matches!(e, Expr::OuterReferenceColumn(_, c) if schema.has_column(c));
    columns.iter().all(|c| schema.has_column(c)) && outer.iter().all(known)
}
