//! Sums and averages of integers and decimals, exact whatever the order of rows: 128 bits, and a count of how often they wrapped.

use std::io::{self, Read, Write};
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array, UInt64Array,
};
use datafusion::arrow::datatypes::{DataType, Decimal128Type, UInt64Type, i256};

use super::accumulator::{Accumulator, Rows, Values};
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
            (false, _, _) => Some(sum),
            (true, DataType::Decimal128(_, from), DataType::Decimal128(_, to)) => {
                let power =
                    10i128.checked_pow(u32::try_from(i32::from(*to) - i32::from(*from)).ok()?)?;
                let scaled = i256::from_i128(sum).checked_mul(i256::from_i128(power))?;
                scaled
                    .checked_div(i256::from_i128(i128::from(self.counts[group])))?
                    .to_i128()
            }
            (true, _, _) => sum.checked_div(i128::from(self.counts[group])),
        }
    }

    fn average_as_float(&self, group: usize) -> Option<f64> {
        let sum = self.sum(group)?;
        let by = if self.average {
            self.counts[group] as f64
        } else {
            1.0
        };
        Some(sum as f64 / by)
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

    fn values(&self, groups: &[u32]) -> Result<Values, String> {
        let groups: Vec<usize> = groups.iter().map(|g| *g as usize).collect();
        let there = |g: &usize| self.counts[*g] > 0;
        if self.returns == DataType::Float64 {
            let values = groups
                .iter()
                .map(|g| there(g).then(|| self.average_as_float(*g)).flatten());
            let array: Float64Array = values.collect();
            return Ok(Values {
                array: Arc::new(array),
                failed: failures(&groups, |g| there(g) && self.sum(*g).is_none()),
            });
        }
        let fits = |value: &i128| match self.returns {
            DataType::Int64 => i64::try_from(*value).is_ok(),
            DataType::UInt64 => u64::try_from(*value).is_ok(),
            DataType::Decimal128(precision, _) => {
                value.unsigned_abs() < 10u128.pow(u32::from(precision))
            }
            _ => false,
        };
        let value = |g: &usize| there(g).then(|| self.result(*g).filter(fits)).flatten();
        let array: ArrayRef = match &self.returns {
            DataType::Int64 => Arc::new(
                groups
                    .iter()
                    .map(|g| value(g).map(|v| v as i64))
                    .collect::<Int64Array>(),
            ),
            DataType::UInt64 => Arc::new(
                groups
                    .iter()
                    .map(|g| value(g).map(|v| v as u64))
                    .collect::<UInt64Array>(),
            ),
            other => {
                let array: Decimal128Array = groups.iter().map(value).collect();
                Arc::new(array.with_data_type(other.clone()))
            }
        };
        Ok(Values {
            array,
            failed: failures(&groups, |g| there(g) && value(g).is_none()),
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

fn failures(groups: &[usize], failed: impl Fn(&usize) -> bool) -> Option<Vec<bool>> {
    let failed: Vec<bool> = groups.iter().map(failed).collect();
    failed.contains(&true).then_some(failed)
}
