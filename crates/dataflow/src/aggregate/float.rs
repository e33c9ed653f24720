//! Sums and averages of floats that rows can leave again.
//!
//! A sum is a pair of doubles (value and error, after Knuth's two-sum; Dekker 1971), some 106 bits, so that adding and taking back a large
//! value leaves the small ones. NaN and infinities are counted apart, because nothing can be subtracted from them. Values near
//! the largest double are summed apart, scaled down, so that no intermediate sum overflows.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, Float32Array, Float64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};

use super::accumulator::{Accumulator, Rows, Values, picked, renumbered};
use crate::codec::persist::{get_all, put_all};

/// 2^900: up to 2^123 values below it do not overflow.
const LARGE: f64 = f64::from_bits((1023 + 900) << 52);
/// 2^-512, exact for every value from `LARGE` on.
const DOWN: f64 = f64::from_bits((1023 - 512) << 52);
const UP: f64 = f64::from_bits((1023 + 512) << 52);

#[derive(Clone, Copy, Default)]
struct Pair {
    high: f64,
    low: f64,
}

impl Pair {
    #[inline]
    fn add(&mut self, value: f64) {
        let sum = self.high + value;
        let back = sum - self.high;
        self.low += (self.high - (sum - back)) + (value - back);
        self.high = sum;
    }

    fn value(self) -> f64 {
        self.high + self.low
    }
}

/// What does not fit into the plain sum, of the few groups that have it.
#[derive(Clone, Copy, Default)]
struct Special {
    nan: i64,
    plus: i64,
    minus: i64,
    large: Pair,
    larges: i64,
}

pub(crate) struct FloatSum {
    returns: DataType,
    average: bool,
    sums: Vec<Pair>,
    counts: Vec<i64>,
    special: BTreeMap<u32, Special>,
}

impl FloatSum {
    pub(crate) fn new(returns: &DataType, average: bool) -> Self {
        Self {
            returns: returns.clone(),
            average,
            sums: Vec::new(),
            counts: Vec::new(),
            special: BTreeMap::new(),
        }
    }

    #[inline]
    fn add(&mut self, group: usize, value: f64, weight: i64) {
        self.counts[group] += weight;
        if value.abs() < LARGE {
            let value = if weight < 0 { -value } else { value };
            (0..weight.unsigned_abs()).for_each(|_| self.sums[group].add(value));
        } else {
            self.add_special(group, value, weight);
        }
        if self.counts[group] == 0 {
            // Nothing is left, so no rounding may be.
            self.sums[group] = Pair::default();
        }
    }

    fn add_special(&mut self, group: usize, value: f64, weight: i64) {
        let entry = self.special.entry(group as u32).or_default();
        if value.is_nan() {
            entry.nan += weight;
        } else if value.is_infinite() {
            *(if value > 0.0 {
                &mut entry.plus
            } else {
                &mut entry.minus
            }) += weight;
        } else {
            let scaled = if weight < 0 {
                -value * DOWN
            } else {
                value * DOWN
            };
            (0..weight.unsigned_abs()).for_each(|_| entry.large.add(scaled));
            entry.larges += weight;
        }
        if (entry.nan, entry.plus, entry.minus, entry.larges) == (0, 0, 0, 0) {
            self.special.remove(&(group as u32));
        }
    }

    fn value(&self, group: u32) -> Option<f64> {
        let count = self.counts[group as usize];
        if count <= 0 {
            return None;
        }
        let by = if self.average { count as f64 } else { 1.0 };
        let plain = self.sums[group as usize].value();
        let Some(special) = self.special.get(&group) else {
            return Some(plain / by);
        };
        Some(
            if special.nan > 0 || (special.plus > 0 && special.minus > 0) {
                f64::NAN
            } else if special.plus > 0 {
                f64::INFINITY
            } else if special.minus > 0 {
                f64::NEG_INFINITY
            } else {
                // As a batch sum would: past the largest double it is infinite, also as an average.
                let mut all = special.large;
                all.add(plain * DOWN);
                all.value() * UP / by
            },
        )
    }
}

impl Accumulator for FloatSum {
    fn grow(&mut self, groups: usize) {
        self.sums.resize(groups, Pair::default());
        self.counts.resize(groups, 0);
    }

    fn update(&mut self, rows: &Rows<'_>, arg: Option<&ArrayRef>) -> Result<(), String> {
        let Some(arg) = arg else {
            return Err("sum without an argument".into());
        };
        let wide;
        let arg = match arg.data_type() {
            DataType::Float64 => arg,
            _ => {
                wide = cast(arg, &DataType::Float64).map_err(|e| e.to_string())?;
                &wide
            }
        };
        let values = arg.as_primitive::<Float64Type>().values();
        rows.each(|row, group, weight| self.add(group, values[row], weight));
        Ok(())
    }

    fn clear(&mut self, groups: &[u32]) {
        for group in groups {
            self.sums[*group as usize] = Pair::default();
            self.counts[*group as usize] = 0;
            self.special.remove(group);
        }
    }

    fn renumber(&mut self, kept: &[u32]) {
        self.sums = picked(&self.sums, kept);
        self.counts = picked(&self.counts, kept);
        let numbers = renumbered(kept);
        let special = std::mem::take(&mut self.special);
        self.special = special
            .into_iter()
            .filter_map(|(group, s)| Some((*numbers.get(&group)?, s)))
            .collect();
    }

    fn values(&self, groups: &[u32]) -> Result<Values, String> {
        let values = groups.iter().map(|g| self.value(*g));
        let array: ArrayRef = match self.returns {
            DataType::Float32 => Arc::new(
                values
                    .map(|v| v.map(|v| v as f32))
                    .collect::<Float32Array>(),
            ),
            _ => Arc::new(values.collect::<Float64Array>()),
        };
        Ok(Values::fine(array))
    }

    fn bytes(&self) -> usize {
        self.sums.capacity() * 16 + self.counts.capacity() * 8 + self.special.len() * 64
    }

    fn save(&self, out: &mut dyn Write) -> io::Result<()> {
        put_all(out, &self.sums.iter().map(|p| p.high).collect::<Vec<_>>())?;
        put_all(out, &self.sums.iter().map(|p| p.low).collect::<Vec<_>>())?;
        put_all(out, &self.counts)?;
        put_all(out, &self.special.keys().copied().collect::<Vec<_>>())?;
        let all = || self.special.values();
        put_all(
            out,
            &all()
                .flat_map(|s| [s.nan, s.plus, s.minus, s.larges])
                .collect::<Vec<_>>(),
        )?;
        put_all(
            out,
            &all()
                .flat_map(|s| [s.large.high, s.large.low])
                .collect::<Vec<_>>(),
        )
    }

    fn load(&mut self, from: &mut dyn Read) -> io::Result<()> {
        let (high, low) = (get_all(from)?, get_all(from)?);
        self.sums = high
            .into_iter()
            .zip(low)
            .map(|(high, low)| Pair { high, low })
            .collect();
        self.counts = get_all(from)?;
        let (groups, counts, large) = (
            get_all::<u32>(from)?,
            get_all::<i64>(from)?,
            get_all::<f64>(from)?,
        );
        let specials = counts
            .chunks_exact(4)
            .zip(large.chunks_exact(2))
            .map(|(c, l)| Special {
                nan: c[0],
                plus: c[1],
                minus: c[2],
                larges: c[3],
                large: Pair {
                    high: l[0],
                    low: l[1],
                },
            });
        self.special = groups.into_iter().zip(specials).collect();
        Ok(())
    }
}
