//! DataFusion's filter push-down, kept above aggregates that give a row over no input: a condition without columns is none about
//! their input. (`SELECT count(*) ... HAVING false` has no row; below the aggregate the condition would leave one.)

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

#[derive(Debug)]
pub(crate) struct PushDownFilters(pub PushDownFilter);

impl OptimizerRule for PushDownFilters {
    fn name(&self) -> &str {
        "push_down_filters"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        match &plan {
            LogicalPlan::Filter(filter) if gives_a_row_over_nothing(&filter.input) => {
                Ok(Transformed::no(plan))
            }
            _ => self.0.rewrite(plan, config),
        }
    }
}

fn gives_a_row_over_nothing(plan: &LogicalPlan) -> bool {
    let LogicalPlan::Aggregate(Aggregate { group_expr, .. }) = plan else {
        return false;
    };
    group_expr.is_empty() || group_expr.iter().any(|e| matches!(e, Expr::GroupingSet(_)))
}
