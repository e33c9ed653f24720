//! Sums and averages of integers and decimals, exact whatever the order of rows: 128 bits, and a count of how often they wrapped.

use std::io::{self, Read, Write};
use std::sync::Arc;

use datafusion::arrow::array::builder::NullBufferBuilder;
use datafusion::arrow::array::{
    ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array, UInt64Array,
};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{DataType, Decimal128Type, UInt64Type, i256};

use super::accumulator::{Accumulator, Rows, Values, picked};
use crate::codec::persist::{get_all, put_all};
use crate::codec::words::to_words;

pub(crate) struct ExactSum {
    arg: DataType,
    returns: DataType,
    average: bool,
    sums: Vec<i128>,
    /// Values that are not NULL.
    counts: Vec<i64>,
    /// How often `sums` went round, up positive; empty while none did.
    wraps: Vec<i32>,
}

impl ExactSum {
    pub(crate) fn new(arg: &DataType, returns: &DataType, average: bool) -> Result<Self, String> {
        let known = matches!(
            (arg, returns),
            (DataType::Decimal128(_, _), DataType::Decimal128(_, _))
                | (
                    DataType::Int8
                        | DataType::Int16
                        | DataType::Int32
                        | DataType::Int64
                        | DataType::UInt8
                        | DataType::UInt16
                        | DataType::UInt32
                        | DataType::UInt64,
                    DataType::Int64
                        | DataType::UInt64
                        | DataType::Float64
                        | DataType::Decimal128(_, _)
                )
        );
        if !known {
            let what = if average { "avg" } else { "sum" };
            return Err(format!("{what} of {arg} as {returns} does not exist"));
        }
        Ok(Self {
            arg: arg.clone(),
            returns: returns.clone(),
            average,
            sums: Vec::new(),
            counts: Vec::new(),
            wraps: Vec::new(),
        })
    }

    #[inline]
    fn add(&mut self, group: usize, value: i128, weight: i64) {
        let (scaled, far) = match weight {
            1 => (value, false),
            -1 => value.overflowing_neg(),
            _ => value.overflowing_mul(i128::from(weight)),
        };
        if far {
            // One by one: too large to be scaled in 128 bits. Values of 38 digits only.
            let one = if weight < 0 { -1 } else { 1 };
            (0..weight.unsigned_abs())
                .for_each(|_| self.add_scaled(group, value.wrapping_mul(one)));
        } else {
            self.add_scaled(group, scaled);
        }
        self.counts[group] += weight;
    }

    #[inline]
    fn add_scaled(&mut self, group: usize, value: i128) {
        let (sum, wrapped) = self.sums[group].overflowing_add(value);
        self.sums[group] = sum;
        if wrapped {
            self.wraps.resize(self.sums.len(), 0);
            self.wraps[group] += if value < 0 { -1 } else { 1 };
        }
    }

    /// `None`: does not fit.
    fn sum(&self, group: usize) -> Option<i128> {
        (self.wraps.get(group).copied().unwrap_or(0) == 0).then_some(self.sums[group])
    }

    fn result(&self, group: usize) -> Option<i128> {
        let sum = self.sum(group)?;
        match (self.average, &self.arg, &self.returns) {
            // Averages as floats are divided last, from the exact sum.
            (false, _, _) | (_, _, DataType::Float64) => Some(sum),
            (true, DataType::Decimal128(_, from), DataType::Decimal128(_, to)) => {
                let power =
                    10i128.checked_pow(u32::try_from(i32::from(*to) - i32::from(*from)).ok()?)?;
                // One digit more, which is rounded away: halves away from zero.
                let power = power.checked_mul(10)?;
                let scaled = i256::from_i128(sum).checked_mul(i256::from_i128(power))?;
                let longer = scaled
                    .checked_div(i256::from_i128(i128::from(self.counts[group])))?
                    .to_i128()?;
                Some(longer.checked_add(5 * longer.signum())? / 10)
            }
            (true, _, _) => sum.checked_div(i128::from(self.counts[group])),
        }
    }

    /// Results as the column that they return in.
    fn array(&self, values: Vec<i128>, groups: &[u32], nulls: Option<NullBuffer>) -> ArrayRef {
        match &self.returns {
            DataType::Int64 => Arc::new(Int64Array::new(
                values.into_iter().map(|v| v as i64).collect(),
                nulls,
            )),
            DataType::UInt64 => Arc::new(UInt64Array::new(
                values.into_iter().map(|v| v as u64).collect(),
                nulls,
            )),
            DataType::Float64 => {
                let by = |group: u32| {
                    if self.average {
                        self.counts[group as usize].max(1) as f64
                    } else {
                        1.0
                    }
                };
                let floats = values
                    .iter()
                    .zip(groups)
                    .map(|(sum, group)| *sum as f64 / by(*group));
                Arc::new(Float64Array::new(floats.collect(), nulls))
            }
            other => {
                Arc::new(Decimal128Array::new(values.into(), nulls).with_data_type(other.clone()))
            }
        }
    }
}

impl Accumulator for ExactSum {
    fn grow(&mut self, groups: usize) {
        self.sums.resize(groups, 0);
        self.counts.resize(groups, 0);
        if !self.wraps.is_empty() {
            self.wraps.resize(groups, 0);
        }
    }

    fn update(&mut self, rows: &Rows<'_>, arg: Option<&ArrayRef>) -> Result<(), String> {
        let Some(arg) = arg else {
            return Err("sum without an argument".into());
        };
        match arg.data_type() {
            DataType::Decimal128(_, _) => {
                let values = arg.as_primitive::<Decimal128Type>().values();
                rows.each(|row, group, weight| self.add(group, values[row], weight));
            }
            DataType::UInt64 => {
                let values = arg.as_primitive::<UInt64Type>().values();
                rows.each(|row, group, weight| self.add(group, i128::from(values[row]), weight));
            }
            other => {
                let values = to_words(arg).ok_or_else(|| format!("sum of {other}"))?;
                rows.each(|row, group, weight| self.add(group, i128::from(values[row]), weight));
            }
        }
        Ok(())
    }

    fn clear(&mut self, groups: &[u32]) {
        for group in groups.iter().map(|g| *g as usize) {
            self.sums[group] = 0;
            self.counts[group] = 0;
            if let Some(wraps) = self.wraps.get_mut(group) {
                *wraps = 0;
            }
        }
    }

    fn renumber(&mut self, kept: &[u32]) {
        self.sums = picked(&self.sums, kept);
        self.counts = picked(&self.counts, kept);
        if !self.wraps.is_empty() {
            let wraps = kept
                .iter()
                .map(|g| self.wraps.get(*g as usize).copied().unwrap_or(0));
            self.wraps = wraps.collect();
        }
    }

    fn values(&self, groups: &[u32]) -> Result<Values, String> {
        let limit = match self.returns {
            DataType::Decimal128(precision, _) => 10i128.pow(u32::from(precision)) - 1,
            DataType::Int64 => i128::from(i64::MAX),
            DataType::UInt64 => i128::from(u64::MAX),
            _ => i128::MAX,
        };
        let least = if self.returns == DataType::UInt64 {
            0
        } else {
            -limit
        };
        let mut values = Vec::with_capacity(groups.len());
        let mut nulls = NullBufferBuilder::new(groups.len());
        let mut failed = Vec::new();
        for (at, group) in groups.iter().map(|g| *g as usize).enumerate() {
            let there = self.counts[group] > 0;
            let value = if there {
                self.result(group).filter(|v| (least..=limit).contains(v))
            } else {
                None
            };
            nulls.append(value.is_some());
            values.push(value.unwrap_or_default());
            if there && value.is_none() {
                failed.resize(groups.len(), false);
                failed[at] = true;
            }
        }
        let array = self.array(values, groups, nulls.finish());
        Ok(Values {
            array,
            failed: (!failed.is_empty()).then_some(failed),
        })
    }

    fn bytes(&self) -> usize {
        self.sums.capacity() * 16 + self.counts.capacity() * 8 + self.wraps.capacity() * 4
    }

    fn save(&self, out: &mut dyn Write) -> io::Result<()> {
        put_all(out, &self.sums)?;
        put_all(out, &self.counts)?;
        put_all(out, &self.wraps)
    }

    fn load(&mut self, from: &mut dyn Read) -> io::Result<()> {
        self.sums = get_all(from)?;
        self.counts = get_all(from)?;
        self.wraps = get_all(from)?;
        Ok(())
    }
}
