//! A query's tree to a logical plan: bound to the catalog, then for streaming analyzed and rewritten by the rules that keep a plan
//! incremental.

use std::sync::{Arc, LazyLock};

use datafusion::common::DataFusionError;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast};
use datafusion::optimizer::optimizer::Optimizer;
use datafusion::optimizer::{
    OptimizerRule, decorrelate_lateral_join::DecorrelateLateralJoin,
    decorrelate_predicate_subquery::DecorrelatePredicateSubquery,
    eliminate_outer_join::EliminateOuterJoin, optimize_projections::OptimizeProjections,
    push_down_filter::PushDownFilter, replace_distinct_aggregate::ReplaceDistinctWithAggregate,
    scalar_subquery_to_join::ScalarSubqueryToJoin, simplify_expressions::SimplifyExpressions,
};
use datafusion::sql::planner::{ParserOptions, SqlToRel};
use datafusion::sql::sqlparser::ast::Statement;

use crate::ast::Query;
use crate::error::{Result, SqlError};
use crate::names;
use crate::nullsafe;
use crate::plan::temporal::TemporalBounds;
use crate::precedence;
use crate::provider::{Provider, RelationSource};
use crate::pushdown::PushDownFilters;
use crate::rewrite;
use crate::session::Session;
use crate::spelling;
use crate::subquery;
use crate::translate::in_query;
use crate::types;
use crate::versions;

/// The query bound to the catalog; inline views are expanded.
pub(crate) fn bind(provider: &Provider<'_>, query: &Query) -> Result<LogicalPlan> {
    let mut ast = query.ast.clone();
    precedence::mend(&mut ast);
    names::name_columns(&mut ast);
    spelling::mend(query, &mut ast)?;
    versions::resolve(provider, query, &mut ast)?;
    subquery::scalar::guard(&mut ast, &provider.aggregate_names());
    rewrite::query(&mut ast);
    let planner = SqlToRel::new_with_options(provider, parser_options());
    let plan = planner.sql_statement_to_plan(Statement::Query(ast));
    plan.map_err(|e| in_query(query, &e, &provider.function_names()))
}

pub(crate) fn parser_options() -> ParserOptions {
    ParserOptions::new()
        .with_map_string_types_to_utf8view(false)
        .with_enable_ident_normalization(true)
        .with_support_varchar_with_length(true)
        .with_collect_spans(true)
        .with_parse_float_as_decimal(true)
}

/// Types coerced and functions resolved, and every column of the result of one of our types.
pub(crate) fn analyze(
    session: &Session,
    plan: LogicalPlan,
) -> Result<LogicalPlan, DataFusionError> {
    let state = session.state();
    let analyze = |plan| {
        state
            .analyzer()
            .execute_and_check(plan, state.config_options(), |_, _| {})
    };
    let plan = subquery::exact(subquery::unnest(analyze(plan)?)?)?;
    let plan = crate::order::definite(plan)?;
    match with_canonical_types(&plan)? {
        Some(cast) => analyze(cast),
        None => Ok(plan),
    }
}

/// The plan under casts, if a column of its result is of a type that is not ours.
fn with_canonical_types(plan: &LogicalPlan) -> Result<Option<LogicalPlan>, DataFusionError> {
    let mut changed = false;
    let mut exprs = Vec::with_capacity(plan.schema().fields().len());
    for (column, field) in plan
        .schema()
        .columns()
        .into_iter()
        .zip(plan.schema().fields())
    {
        // `equals_datatype` overlooks nullability and the names of list elements.
        let wanted = types::canonical(field.data_type())
            .filter(|wanted| !wanted.equals_datatype(field.data_type()));
        let expr = Expr::Column(column.clone());
        match wanted {
            Some(wanted) => {
                changed = true;
                exprs.push(cast(expr, wanted).alias_qualified(column.relation, column.name));
            }
            None => exprs.push(expr),
        }
    }
    if !changed {
        return Ok(None);
    }
    LogicalPlanBuilder::from(plan.clone())
        .project(exprs)?
        .build()
        .map(Some)
}

/// Rewrites that make a plan one of joins, aggregates and row-wise steps. What they must not do: introduce sorts, limits, or the
/// two-level form of DISTINCT aggregates.
pub(crate) fn optimize(
    session: &Session,
    plan: LogicalPlan,
) -> Result<LogicalPlan, DataFusionError> {
    static RULES: LazyLock<Vec<Arc<dyn OptimizerRule + Send + Sync>>> = LazyLock::new(|| {
        vec![
            Arc::new(SimplifyExpressions::new()),
            Arc::new(TemporalBounds),
            Arc::new(ReplaceDistinctWithAggregate::new()),
            Arc::new(DecorrelatePredicateSubquery::new()),
            Arc::new(ScalarSubqueryToJoin::new()),
            Arc::new(DecorrelateLateralJoin::new()),
            nullsafe::extract(),
            nullsafe::flatten(),
            Arc::new(EliminateOuterJoin::new()),
            Arc::new(PushDownFilters(PushDownFilter::new())),
            Arc::new(OptimizeProjections::new()),
        ]
    });
    // Names that rules make up are numbered from 1 for each plan, so that equal queries have equal plans.
    let mut config = session.state().clone();
    config.execution_props_mut().alias_generator = Arc::default();
    let plan = subquery::setop::for_views(plan)?;
    let plan = subquery::lower::lower(plan, &config)?;
    Optimizer::with_rules(RULES.clone()).optimize(plan, &config, |_, _| {})
}

/// The same for DataFusion's executor, whose own rules do the rest.
pub(crate) fn for_batch(
    session: &Session,
    plan: LogicalPlan,
) -> Result<LogicalPlan, DataFusionError> {
    let plan = subquery::setop::for_batch(plan)?;
    subquery::lower::lower(plan, session.state())
}

/// Names of the relations that a plan reads, once each, in alphabetical order.
pub(crate) fn relations(plan: &LogicalPlan) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let visited = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && scan.source.downcast_ref::<RelationSource>().is_some()
        {
            names.push(scan.table_name.table().to_owned());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    visited.map_err(|e| SqlError::new(e.strip_backtrace()))?;
    names.sort_unstable();
    names.dedup();
    Ok(names)
}
