//! Aggregates that DataFusion lacks, and others under names that people know: `mode`, `percentile_disc`, `max_by`, `min_by`, `first`, `last`,
//! `every`, `variance`, and exact percentiles in place of approximate ones, which would depend on the order of rows.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ListArray, new_empty_array};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::{SortOptions, concat, sort_to_indices, take};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err, plan_err};
use datafusion::functions_aggregate::array_agg::array_agg_udaf;
use datafusion::functions_aggregate::bool_and_or::bool_and_udaf;
use datafusion::functions_aggregate::first_last::{first_value_udaf, last_value_udaf};
use datafusion::functions_aggregate::median::median_udaf;
use datafusion::functions_aggregate::percentile_cont::percentile_cont_udaf;
use datafusion::functions_aggregate::stddev::stddev_udaf;
use datafusion::functions_aggregate::string_agg::string_agg_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr::expressions::Literal;

pub(crate) const MAX_BY: &str = "max_by";
pub(crate) const MIN_BY: &str = "min_by";

pub(crate) fn all() -> Vec<Arc<AggregateUDF>> {
    let named = |udaf: Arc<AggregateUDF>, name: &'static str| {
        Arc::new(udaf.as_ref().clone().with_aliases([name]))
    };
    vec![
        named(first_value_udaf(), "first"),
        named(last_value_udaf(), "last"),
        named(bool_and_udaf(), "every"),
        named(stddev_udaf(), "stddev_samp"),
        renamed(
            percentile_cont_udaf(),
            "approx_percentile_cont",
            &["approx_quantile"],
        ),
        renamed(median_udaf(), "approx_median", &[]),
        // Theirs are computed backwards when that spares a sort, and then a DISTINCT one comes out backwards.
        renamed(array_agg_udaf(), "array_agg", &[]),
        renamed(string_agg_udaf(), "string_agg", &["listagg"]),
        Arc::new(By::new(MAX_BY, "arg_max").into()),
        Arc::new(By::new(MIN_BY, "arg_min").into()),
        Arc::new(Ranked::new(Kind::Mode).into()),
        Arc::new(Ranked::new(Kind::Percentile).into()),
    ]
}

/// Another function under a name of ours, with its accumulators for one group at a time.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Renamed {
    inner: Arc<AggregateUDF>,
    name: &'static str,
    aliases: Vec<String>,
}

fn renamed(inner: Arc<AggregateUDF>, name: &'static str, aliases: &[&str]) -> Arc<AggregateUDF> {
    let aliases = aliases.iter().map(|a| (*a).to_owned()).collect();
    let renamed = Renamed {
        inner,
        name,
        aliases,
    };
    Arc::new(renamed.into())
}

impl AggregateUDFImpl for Renamed {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(arg_types)
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.inner.accumulator(args)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn supports_within_group_clause(&self) -> bool {
        self.inner.supports_within_group_clause()
    }

    fn supports_null_handling_clause(&self) -> bool {
        self.inner.supports_null_handling_clause()
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn with_beneficial_ordering(
        self: Arc<Self>,
        ordered: bool,
    ) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        let inner = self
            .inner
            .as_ref()
            .clone()
            .with_beneficial_ordering(ordered)?;
        let ours = |inner| -> Arc<dyn AggregateUDFImpl> {
            Arc::new(Self {
                inner: Arc::new(inner),
                name: self.name,
                aliases: self.aliases.clone(),
            })
        };
        Ok(inner.map(ours))
    }
}

/// `max_by(x, y)`, `min_by(x, y)`: `first_value(x ORDER BY y ..., x)`, in whose place they are put before they are planned.
#[derive(Debug, PartialEq, Eq, Hash)]
struct By {
    name: &'static str,
    aliases: Vec<String>,
    signature: Signature,
}

impl By {
    fn new(name: &'static str, alias: &str) -> Self {
        Self {
            name,
            aliases: vec![alias.to_owned()],
            signature: Signature::any(2, Volatility::Immutable),
        }
    }
}

impl AggregateUDFImpl for By {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types.first() {
            Some(data_type) => Ok(data_type.clone()),
            None => plan_err!("{} takes two arguments", self.name),
        }
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        exec_err!(
            "{} is not known with OVER; write first_value(...) OVER (... ORDER BY ...)",
            self.name
        )
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Mode,
    Percentile,
}

/// `mode() WITHIN GROUP (ORDER BY x)`, `mode(x)`: the value that is there most often, the least of them. `percentile_disc(p) WITHIN GROUP
/// (ORDER BY x)`: the first value of which at least the part `p` is not above it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Ranked {
    kind: Kind,
    signature: Signature,
}

impl Ranked {
    fn new(kind: Kind) -> Self {
        let args = if kind == Kind::Mode { 1 } else { 2 };
        Self {
            kind,
            signature: Signature::any(args, Volatility::Immutable),
        }
    }
}

impl AggregateUDFImpl for Ranked {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Mode => "mode",
            Kind::Percentile => "percentile_disc",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types.first() {
            Some(data_type) => Ok(data_type.clone()),
            None => plan_err!("{} takes an argument", self.name()),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let descending = args.order_bys.first().is_some_and(|o| o.options.descending);
        let part = match self.kind {
            Kind::Mode => 0.0,
            Kind::Percentile => part_of(&args)?,
        };
        Ok(Box::new(Values {
            kind: self.kind,
            part,
            descending,
            data_type: args.expr_fields[0].data_type().clone(),
            values: Vec::new(),
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let item = Field::new_list_field(args.input_fields[0].data_type().clone(), true);
        let list = DataType::List(Arc::new(item));
        Ok(vec![Arc::new(Field::new(
            format!("{}[values]", args.name),
            list,
            true,
        ))])
    }

    fn supports_within_group_clause(&self) -> bool {
        true
    }
}

fn part_of(args: &AccumulatorArgs<'_>) -> Result<f64> {
    let literal = args.exprs.get(1).and_then(|e| e.downcast_ref::<Literal>());
    let value = literal
        .map(|l| l.value().cast_to(&DataType::Float64))
        .transpose()?;
    match value {
        Some(ScalarValue::Float64(Some(part))) if (0.0..=1.0).contains(&part) => Ok(part),
        _ => plan_err!("percentile_disc takes a constant between 0 and 1"),
    }
}

#[derive(Debug)]
struct Values {
    kind: Kind,
    part: f64,
    descending: bool,
    data_type: DataType,
    values: Vec<ArrayRef>,
}

impl Values {
    /// All values that are not NULL, in order.
    fn sorted(&self) -> Result<ArrayRef> {
        let parts: Vec<&dyn Array> = self.values.iter().map(AsRef::as_ref).collect();
        if parts.is_empty() {
            return Ok(new_empty_array(&self.data_type));
        }
        let all = concat(&parts)?;
        let options = SortOptions {
            descending: self.descending,
            nulls_first: false,
        };
        let indices = sort_to_indices(&all, Some(options), None)?;
        let sorted = take(&all, &indices, None)?;
        Ok(sorted.slice(0, all.len() - all.logical_null_count()))
    }
}

impl Accumulator for Values {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.values.extend(values.first().cloned());
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Some(lists) = states.first() else {
            return internal_err!("no state to merge");
        };
        for list in lists.as_list::<i32>().iter().flatten() {
            self.values.push(list);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = self.sorted()?;
        let offsets = OffsetBuffer::from_lengths([values.len()]);
        let field = Arc::new(Field::new_list_field(self.data_type.clone(), true));
        let list = ListArray::try_new(field, offsets, values, None)?;
        Ok(vec![ScalarValue::List(Arc::new(list))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sorted = self.sorted()?;
        if sorted.is_empty() {
            return ScalarValue::try_from(&self.data_type);
        }
        let at = match self.kind {
            Kind::Percentile => {
                let last = sorted.len() - 1;
                ((self.part * sorted.len() as f64).ceil() as usize)
                    .saturating_sub(1)
                    .min(last)
            }
            Kind::Mode => most_often(&sorted)?,
        };
        ScalarValue::try_from_array(&sorted, at)
    }

    fn size(&self) -> usize {
        size_of_val(self)
            + self
                .values
                .iter()
                .map(|v| v.get_array_memory_size())
                .sum::<usize>()
    }
}

/// Where the longest run of equal values begins, the first of them.
fn most_often(sorted: &ArrayRef) -> Result<usize> {
    let runs = datafusion::arrow::compute::partition(std::slice::from_ref(sorted))?.ranges();
    let longest = runs.into_iter().rev().max_by_key(|run| run.len());
    Ok(longest.map_or(0, |run| run.start))
}
