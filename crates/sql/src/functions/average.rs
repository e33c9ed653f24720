//! `avg`: DataFusion's, but of NUMERICs with 16 digits behind the point where there is room, as a quotient of them has, and rounded.
//!
//! DataFusion's own accumulators give one digit more, cut off; the last one is rounded away here.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, BooleanArray};
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::average::avg_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature,
};

/// Digits of a NUMERIC.
const DIGITS_MAX: u8 = 38;
/// Digits behind the point if there is room, one more while it is computed.
const SCALE: i8 = 16;
/// Digits more than the argument has, whatever the room.
const MORE: i8 = 4;

pub(super) fn avg() -> Arc<AggregateUDF> {
    Arc::new(PreciseAvg { inner: avg_udaf() }.into())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PreciseAvg {
    inner: Arc<AggregateUDF>,
}

/// Digits behind the point of the average of NUMERICs.
fn scale_of(precision: u8, scale: i8) -> i8 {
    let whole = i16::from(precision) - i16::from(scale);
    let room = i16::from(DIGITS_MAX) - 1 - whole;
    let room = i8::try_from(room).unwrap_or(0).min(SCALE);
    room.max((scale + MORE).min(DIGITS_MAX as i8 - 1))
}

/// The scale of a result that is rounded.
fn rounded(result: &DataType) -> Option<i8> {
    match result {
        DataType::Decimal128(_, scale) => Some(*scale),
        _ => None,
    }
}

/// The arguments of an accumulator that gives a digit more.
fn longer<'a>(args: AccumulatorArgs<'a>) -> AccumulatorArgs<'a> {
    match rounded(args.return_field.data_type()) {
        Some(scale) => AccumulatorArgs {
            return_field: Arc::new(Field::new(
                args.name,
                DataType::Decimal128(DIGITS_MAX, scale + 1),
                true,
            )),
            ..args
        },
        None => args,
    }
}

impl AggregateUDFImpl for PreciseAvg {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types {
            [DataType::Decimal128(precision, scale)] => Ok(DataType::Decimal128(
                DIGITS_MAX,
                scale_of(*precision, *scale),
            )),
            _ => self.inner.return_type(arg_types),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let scale = rounded(args.return_field.data_type());
        let inner = self.inner.accumulator(longer(args))?;
        Ok(round_values(inner, scale))
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
        let scale = rounded(args.return_field.data_type());
        let inner = self.inner.create_groups_accumulator(longer(args))?;
        Ok(match scale {
            Some(scale) => Box::new(Rounded { inner, scale }),
            None => inner,
        })
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let scale = rounded(args.return_field.data_type());
        let inner = self.inner.create_sliding_accumulator(longer(args))?;
        Ok(round_values(inner, scale))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

fn round_values(inner: Box<dyn Accumulator>, scale: Option<i8>) -> Box<dyn Accumulator> {
    match scale {
        Some(scale) => Box::new(Rounded { inner, scale }),
        None => inner,
    }
}

/// An accumulator whose results lose their last digit.
#[derive(Debug)]
struct Rounded<A> {
    inner: A,
    scale: i8,
}

/// Halves go away from zero.
fn round(value: i128) -> i128 {
    (value + 5 * value.signum()) / 10
}

impl Accumulator for Rounded<Box<dyn Accumulator>> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.update_batch(values)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.retract_batch(values)
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(match self.inner.evaluate()? {
            ScalarValue::Decimal128(value, _, _) => {
                ScalarValue::Decimal128(value.map(round), DIGITS_MAX, self.scale)
            }
            other => other,
        })
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.inner.size()
    }
}

impl GroupsAccumulator for Rounded<Box<dyn GroupsAccumulator>> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        groups: usize,
    ) -> Result<()> {
        self.inner
            .update_batch(values, group_indices, filter, groups)
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        groups: usize,
    ) -> Result<()> {
        self.inner.merge_batch(values, group_indices, groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let values = self.inner.evaluate(emit_to)?;
        let values = values.as_primitive::<Decimal128Type>();
        let values = values.unary::<_, Decimal128Type>(round);
        Ok(Arc::new(
            values.with_precision_and_scale(DIGITS_MAX, self.scale)?,
        ))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.inner.state(emit_to)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        self.inner.convert_to_state(values, filter)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.inner.size()
    }
}
