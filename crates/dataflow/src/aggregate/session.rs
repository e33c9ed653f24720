//! An aggregate by session over labelled rows ([`plan::Labels`]): by key and label, with the bounds as the least and the greatest time.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray};
use datafusion::arrow::datatypes::{
    DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use datafusion::arrow::record_batch::RecordBatch;
use headwater_sql::graph as plan;

use super::Aggregate;
use crate::delta::Delta;
use crate::eval::{batch, broken};
use crate::operator::{Operator, OperatorError, StepContext, state_of};

/// An [`Aggregate`] without the start among its groups and with two more calls, whose rows are made what was asked for.
pub(crate) struct BySession {
    key: String,
    schema: SchemaRef,
    bounds: plan::SessionBounds,
    inner: Aggregate,
}

impl BySession {
    pub(crate) fn new(
        node: &plan::Node,
        plan: &plan::Aggregate,
        bounds: plan::SessionBounds,
        input: &SchemaRef,
    ) -> Result<Self, OperatorError> {
        let fail = |e: &dyn std::fmt::Display| broken(&node.key, e);
        let mut lowered = plan.clone();
        let time = lowered.group.remove(bounds.start);
        let data_type = time.data_type(input).map_err(|e| fail(&e))?;
        if !matches!(data_type, DataType::Timestamp(TimeUnit::Microsecond, _)) {
            return Err(fail(&format!("a session's time is {data_type}")));
        }
        let bound = |function| plan::AggregateCall {
            function,
            arg: Some(Arc::clone(&time)),
            distinct: false,
            filter: None,
            return_type: data_type.clone(),
            whole: None,
        };
        lowered.session = None;
        let functions = [plan::AggregateFunction::Min, plan::AggregateFunction::Max];
        lowered.calls.extend(functions.map(bound));
        let mut fields: Vec<Arc<Field>> = node.schema.fields().iter().cloned().collect();
        fields.remove(bounds.start);
        let names = ["first", "last"];
        fields.extend(names.map(|name| Arc::new(Field::new(name, data_type.clone(), true))));
        let mut inner = node.clone();
        inner.schema = Arc::new(Schema::new(fields));
        inner.props.window_end = inner.props.window_end.and(Some(label_of(bounds)));
        Ok(Self {
            key: node.key.clone(),
            schema: node.schema.clone(),
            bounds,
            inner: Aggregate::new(&inner, &lowered, input, true)?,
        })
    }

    fn asked_for(&self, delta: Delta) -> Result<Delta, OperatorError> {
        let fail = |e: String| broken(&self.key, e);
        Ok(Delta {
            rows: self.bounded(&delta.rows).map_err(fail)?,
            ..delta
        })
    }

    /// Rows with the bounds of their session in the place of its label.
    fn bounded(&self, rows: &RecordBatch) -> Result<RecordBatch, String> {
        let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
        let (Some(last), Some(first)) = (columns.pop(), columns.pop()) else {
            return Err("an aggregate by session has bounds".to_owned());
        };
        let last = last
            .as_primitive_opt::<TimestampMicrosecondType>()
            .ok_or("a session's last time is no time")?;
        let zone = last.timezone().map(str::to_owned);
        let end = last
            .unary::<_, TimestampMicrosecondType>(|t| t.saturating_add(self.bounds.gap_us))
            .with_timezone_opt(zone);
        columns[label_of(self.bounds)] = Arc::new(end);
        columns.insert(self.bounds.start, first);
        batch(&self.schema, columns, rows.num_rows())
    }
}

/// The place of the label among the groups less the start.
fn label_of(bounds: plan::SessionBounds) -> usize {
    bounds.end - usize::from(bounds.start < bounds.end)
}

impl Operator for BySession {
    fn push(
        &mut self,
        input: usize,
        delta: Delta,
        ctx: &mut StepContext,
    ) -> Result<Vec<Delta>, OperatorError> {
        self.inner.push(input, delta, ctx)
    }

    fn finish(&mut self, ctx: &mut StepContext) -> Result<Vec<Delta>, OperatorError> {
        let deltas = self.inner.finish(ctx)?;
        deltas.into_iter().map(|d| self.asked_for(d)).collect()
    }

    state_of!(inner);
}
