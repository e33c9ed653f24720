//! `min` and `max` of DOUBLE and REAL with PostgreSQL's order: NaN is greater than all numbers and equals itself, -0.0 equals 0.0.
//!
//! DataFusion's, but its accumulator of many groups compares floats so that a NaN hides what came before it, and begins at the largest
//! finite numbers. Floats go through it as integers of the same order.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray};
use datafusion::arrow::datatypes::{
    DataType, Field, FieldRef, Float32Type, Float64Type, Int32Type, Int64Type,
};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF,
    SetMonotonicity, Signature, StatisticsArgs,
};

pub(crate) fn both() -> [Arc<AggregateUDF>; 2] {
    [min_udaf(), max_udaf()].map(|inner| Arc::new(Extreme { inner }.into()))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Extreme {
    inner: Arc<AggregateUDF>,
}

impl AggregateUDFImpl for Extreme {
    fn name(&self) -> &str {
        self.inner.name()
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

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        let floats = args.return_field.data_type().clone();
        let words = match floats {
            DataType::Float32 => DataType::Int32,
            DataType::Float64 => DataType::Int64,
            _ => return self.inner.create_groups_accumulator(args),
        };
        let return_field = Arc::new(Field::new(args.name, words, true));
        let inner = self.inner.create_groups_accumulator(AccumulatorArgs {
            return_field,
            ..args
        })?;
        Ok(Box::new(AsWords { inner, floats }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.inner.create_sliding_accumulator(args)
    }

    fn is_descending(&self) -> Option<bool> {
        self.inner.is_descending()
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn value_from_stats(&self, statistics: &StatisticsArgs) -> Option<ScalarValue> {
        self.inner.value_from_stats(statistics)
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.inner.inner().set_monotonicity(data_type)
    }
}

/// An accumulator of integers that is given floats.
struct AsWords {
    inner: Box<dyn GroupsAccumulator>,
    floats: DataType,
}

/// Negative floats order backwards by their bits: flip all but the sign. Its own inverse.
fn flip64(bits: i64) -> i64 {
    bits ^ ((bits >> 63) & i64::MAX)
}

fn flip32(bits: i32) -> i32 {
    bits ^ ((bits >> 31) & i32::MAX)
}

fn mapped<F: ArrowPrimitiveType, T: ArrowPrimitiveType>(
    array: &ArrayRef,
    map: impl Fn(F::Native) -> T::Native,
) -> ArrayRef {
    Arc::new(array.as_primitive::<F>().unary::<_, T>(map))
}

impl AsWords {
    fn words(&self, values: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        let [values] = values else {
            return internal_err!("min and max have one argument");
        };
        Ok(vec![match self.floats {
            DataType::Float32 => mapped::<Float32Type, Int32Type>(values, |v| {
                flip32(super::floats::one_f32(v).to_bits() as i32)
            }),
            _ => mapped::<Float64Type, Int64Type>(values, |v| {
                flip64(super::floats::one_f64(v).to_bits() as i64)
            }),
        }])
    }

    fn back(&self, words: &ArrayRef) -> ArrayRef {
        match self.floats {
            DataType::Float32 => {
                mapped::<Int32Type, Float32Type>(words, |v| f32::from_bits(flip32(v) as u32))
            }
            _ => mapped::<Int64Type, Float64Type>(words, |v| f64::from_bits(flip64(v) as u64)),
        }
    }
}

impl GroupsAccumulator for AsWords {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        groups: usize,
    ) -> Result<()> {
        let words = self.words(values)?;
        self.inner
            .update_batch(&words, group_indices, filter, groups)
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        groups: usize,
    ) -> Result<()> {
        let words = self.words(values)?;
        self.inner.merge_batch(&words, group_indices, groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let words = self.inner.evaluate(emit_to)?;
        Ok(self.back(&words))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let state = self.inner.state(emit_to)?;
        Ok(state.iter().map(|words| self.back(words)).collect())
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let state = self.inner.convert_to_state(&self.words(values)?, filter)?;
        Ok(state.iter().map(|words| self.back(words)).collect())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.inner.size()
    }
}
