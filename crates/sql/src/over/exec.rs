//! The same for ad-hoc queries: an operator in place of DataFusion's window operators, whose answer would depend on the order in which rows
//! that are equal by the ORDER BY happen to come.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::window::WindowExpr;
use datafusion::physical_expr::{Distribution, EquivalenceProperties, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::{
    ChildrenPropertiesMode, EmissionType, PlanProperties, ReplaceChildrenOptions,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, apply_expression_roots,
    common,
};

use super::{Stage, evaluate};

/// Puts [`OverExec`] in place of DataFusion's window operators. To run before the rules that place sorts and exchanges.
#[derive(Debug)]
pub(crate) struct StableWindows;

impl PhysicalOptimizerRule for StableWindows {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let replaced = plan.transform_up(|node| {
            let (exprs, input) = if let Some(w) = node.downcast_ref::<WindowAggExec>() {
                (w.window_expr().to_vec(), Arc::clone(w.input()))
            } else if let Some(w) = node.downcast_ref::<BoundedWindowAggExec>() {
                (w.window_expr().to_vec(), Arc::clone(w.input()))
            } else {
                return Ok(Transformed::no(node));
            };
            let stable = OverExec::try_new(exprs, input, node.schema())?;
            Ok(Transformed::yes(Arc::new(stable) as Arc<dyn ExecutionPlan>))
        })?;
        Ok(replaced.data)
    }

    fn name(&self) -> &str {
        "stable_windows"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Collects its input, a partition of it at a time, and computes.
#[derive(Clone, Debug)]
pub(crate) struct OverExec {
    exprs: Vec<Arc<dyn WindowExpr>>,
    input: Arc<dyn ExecutionPlan>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl OverExec {
    fn try_new(
        exprs: Vec<Arc<dyn WindowExpr>>,
        input: Arc<dyn ExecutionPlan>,
        schema: SchemaRef,
    ) -> Result<Self> {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            input.output_partitioning().clone(),
            EmissionType::Final,
            input.boundedness(),
        );
        Ok(Self {
            exprs,
            input,
            schema,
            properties: Arc::new(properties),
        })
    }

    fn partition_by(&self) -> Vec<Arc<dyn PhysicalExpr>> {
        self.exprs
            .first()
            .map(|e| e.partition_by().to_vec())
            .unwrap_or_default()
    }
}

impl DisplayAs for OverExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.exprs.iter().map(|e| e.name()).collect();
        write!(f, "OverExec: {}", names.join(", "))
    }
}

impl ExecutionPlan for OverExec {
    fn name(&self) -> &'static str {
        "OverExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        let keys = self.partition_by();
        vec![match keys.is_empty() {
            true => Distribution::SinglePartition,
            false => Distribution::KeyPartitioned(keys),
        }]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let of = |e: &Arc<dyn WindowExpr>| {
            let all = e.all_expressions();
            [all.args, all.partition_by_exprs, all.order_by_exprs].concat()
        };
        apply_expression_roots(self.exprs.iter().flat_map(of), f)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(input) = children.pop() else {
            return internal_err!("OVER has one input");
        };
        let schema = Arc::clone(&self.schema);
        Ok(Arc::new(Self::try_new(self.exprs.clone(), input, schema)?))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        self.replace_children(children, options)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let (exprs, schema) = (self.exprs.clone(), Arc::clone(&self.schema));
        let of_input = self.input.schema();
        let answer = async move {
            let batches = common::collect(input).await?;
            let rows = concat_batches(&of_input, &batches)?;
            over(&exprs, &rows, schema)
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            futures::stream::once(answer),
        )))
    }
}

fn over(
    exprs: &[Arc<dyn WindowExpr>],
    rows: &RecordBatch,
    schema: SchemaRef,
) -> Result<RecordBatch> {
    let Some(first) = exprs.first() else {
        return internal_err!("OVER has no function");
    };
    let count = rows.num_rows();
    let value = |e: &Arc<dyn PhysicalExpr>| e.evaluate(rows)?.into_array(count);
    let keys = first
        .partition_by()
        .iter()
        .map(value)
        .collect::<Result<Vec<_>>>()?;
    let parts = numbered(&keys, count)?;
    // ORDER BY expressions stand as columns behind the rows' own, as in a view, so that one way of sorting serves both.
    let mut columns = rows.columns().to_vec();
    let mut fields = rows.schema().fields().to_vec();
    let mut order = Vec::new();
    for (at, by) in first.order_by().iter().enumerate() {
        let column = value(&by.expr)?;
        let name = format!("__order_{at}");
        fields.push(Arc::new(Field::new(name, column.data_type().clone(), true)));
        order.push((columns.len(), by.options));
        columns.push(column);
    }
    let extra = order.len();
    let widened = Schema::new(fields);
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    let widened = RecordBatch::try_new_with_options(Arc::new(widened), columns, &options)?;
    let stage = Stage {
        order,
        exprs: exprs.to_vec(),
    };
    let (answer, _) = evaluate(std::slice::from_ref(&stage), &widened, &parts)?;
    let base = rows.num_columns();
    let columns = answer
        .columns()
        .iter()
        .enumerate()
        .filter(|(at, _)| *at < base || *at >= base + extra)
        .map(|(_, c)| Arc::clone(c))
        .collect();
    Ok(RecordBatch::try_new_with_options(
        schema, columns, &options,
    )?)
}

/// The number of each row's key.
fn numbered(keys: &[ArrayRef], rows: usize) -> Result<Vec<u32>> {
    if keys.is_empty() {
        return Ok(vec![0; rows]);
    }
    let fields = keys.iter().map(|k| SortField::new(k.data_type().clone()));
    let converter = RowConverter::new(fields.collect())?;
    let keys = converter.convert_columns(keys)?;
    let mut numbers = std::collections::HashMap::new();
    Ok(keys
        .iter()
        .map(|key| {
            let next = numbers.len() as u32;
            *numbers.entry(key.owned()).or_insert(next)
        })
        .collect())
}
