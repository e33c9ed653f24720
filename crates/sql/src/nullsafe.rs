//! Joins on `IS NOT DISTINCT FROM`, kept apart from joins on `=`: a join has one way only in which its keys meet NULL, and DataFusion's rules
//! would put keys of both kinds into one. And without the rules that take fields out of structs early: they cannot follow an unnested list.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{NullEquality, Result};
use datafusion::logical_expr::{Join, LogicalPlan};
use datafusion::optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion::optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion::optimizer::optimizer::Optimizer;
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// DataFusion's rules, with ours in place of some.
pub(crate) fn rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let ours = |rule: Arc<dyn OptimizerRule + Send + Sync>| match rule.name() {
        "extract_equijoin_predicate" => extract(),
        "eliminate_cross_join" => flatten(),
        _ => rule,
    };
    let early = ["extract_leaf_expressions", "push_down_leaf_projections"];
    let rules = Optimizer::new().rules.into_iter();
    let rules = rules.filter(|rule| !early.contains(&rule.name()));
    rules.map(ours).collect()
}

/// Equalities of a condition become keys of a join.
pub(crate) fn extract() -> Arc<dyn OptimizerRule + Send + Sync> {
    Arc::new(Guarded {
        rule: ExtractEquijoinPredicate::new(),
        foreign: |plan| match plan {
            LogicalPlan::Join(join) => is_null_safe(join),
            _ => false,
        },
    })
}

/// Conditions of a WHERE over inner joins become keys of these.
pub(crate) fn flatten() -> Arc<dyn OptimizerRule + Send + Sync> {
    Arc::new(Guarded {
        rule: EliminateCrossJoin::new(),
        foreign: |plan| {
            let mut found = false;
            let _ = plan.apply_with_subqueries(|node| {
                found |= matches!(node, LogicalPlan::Join(join) if is_null_safe(join));
                Ok(match found {
                    true => TreeNodeRecursion::Stop,
                    false => TreeNodeRecursion::Continue,
                })
            });
            found
        },
    })
}

fn is_null_safe(join: &Join) -> bool {
    join.null_equality == NullEquality::NullEqualsNull && !join.on.is_empty()
}

/// A rule that leaves some plans as they are.
#[derive(Debug)]
struct Guarded<R> {
    rule: R,
    foreign: fn(&LogicalPlan) -> bool,
}

impl<R: OptimizerRule> OptimizerRule for Guarded<R> {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.rule.apply_order()
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        match (self.foreign)(&plan) {
            true => Ok(Transformed::no(plan)),
            false => self.rule.rewrite(plan, config),
        }
    }
}
