//! What every accumulator offers: one value per group, in columns by group id, that rows can enter and leave.

use std::io::{self, Read, Write};

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::datatypes::DataType;
use headwater_sql::graph::{AggregateCall, AggregateFunction};

use hashbrown::HashMap;

use super::count::Count;
use super::distinct::Distinct;
use super::exact::ExactSum;
use super::extreme::extreme;
use super::float::FloatSum;
use super::whole::Whole;
use crate::codec::hash::Fixed;

/// Rows of one batch as the accumulators see them.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    /// Group of each row.
    pub groups: &'a [u32],
    /// How often each row enters (negative: leaves); `None`: each once.
    pub weights: Option<&'a [i64]>,
    /// Rows that count: the call's FILTER holds and its argument is not NULL. `None`: all.
    pub keep: Option<&'a BooleanBuffer>,
}

impl Rows<'_> {
    /// Calls `f(row, group, weight)` for every row that counts.
    #[inline]
    pub(crate) fn each(&self, mut f: impl FnMut(usize, usize, i64)) {
        match (self.weights, self.keep) {
            (None, None) => self
                .groups
                .iter()
                .enumerate()
                .for_each(|(row, group)| f(row, *group as usize, 1)),
            (weights, Some(keep)) => {
                let weight = |row: usize| weights.map_or(1, |w| w[row]);
                keep.set_indices()
                    .for_each(|row| f(row, self.groups[row] as usize, weight(row)));
            }
            (Some(weights), None) => {
                let rows = self.groups.iter().zip(weights).enumerate();
                rows.for_each(|(row, (group, weight))| f(row, *group as usize, *weight));
            }
        }
    }
}

/// The entries of these groups, in their order.
pub(crate) fn picked<T: Clone>(values: &[T], kept: &[u32]) -> Vec<T> {
    kept.iter()
        .map(|group| values[*group as usize].clone())
        .collect()
}

/// The new number of each group that is kept.
pub(crate) fn renumbered(kept: &[u32]) -> HashMap<u32, u32, Fixed> {
    kept.iter().copied().zip(0..).collect()
}

/// The values of some groups, and which of them could not be computed.
pub(crate) struct Values {
    pub array: ArrayRef,
    pub failed: Option<Vec<bool>>,
}

impl Values {
    pub(crate) fn fine(array: ArrayRef) -> Self {
        Self {
            array,
            failed: None,
        }
    }
}

pub(crate) trait Accumulator: Send {
    /// Makes room for group ids below `groups`.
    fn grow(&mut self, groups: usize);

    fn update(&mut self, rows: &Rows<'_>, arg: Option<&ArrayRef>) -> Result<(), String>;

    /// The groups' ids will be given to others: back to the state before any row.
    fn clear(&mut self, groups: &[u32]);

    /// Forgets all groups but these, which become 0, 1, ... in this order.
    fn renumber(&mut self, kept: &[u32]);

    fn values(&self, groups: &[u32]) -> Result<Values, String>;

    fn bytes(&self) -> usize;

    fn save(&self, out: &mut dyn Write) -> io::Result<()>;

    fn load(&mut self, from: &mut dyn Read) -> io::Result<()>;
}

/// The accumulator of a call whose argument has type `arg`. `retracts`: rows may leave.
pub(crate) fn build(
    call: &AggregateCall,
    arg: Option<&DataType>,
    retracts: bool,
) -> Result<Box<dyn Accumulator>, String> {
    if let (Some(plan), Some(arg)) = (&call.whole, arg) {
        return Ok(Box::new(Whole::new(call, plan, arg, retracts)?));
    }
    let Some(arg) = arg else {
        return Ok(Box::new(Count::default()));
    };
    let of_values = matches!(
        call.function,
        AggregateFunction::Min | AggregateFunction::Max
    );
    if call.distinct && !of_values {
        let inner = plain(call, arg, true)?;
        return Ok(Box::new(
            Distinct::new(arg, inner).map_err(|e| e.to_string())?,
        ));
    }
    plain(call, arg, retracts)
}

fn plain(
    call: &AggregateCall,
    arg: &DataType,
    retracts: bool,
) -> Result<Box<dyn Accumulator>, String> {
    let returns = &call.return_type;
    Ok(match (call.function, arg) {
        (AggregateFunction::Count, _) => Box::new(Count::default()),
        (AggregateFunction::Min | AggregateFunction::Max, _) => extreme(
            arg,
            returns,
            call.function == AggregateFunction::Max,
            retracts,
        )?,
        (function, DataType::Float32 | DataType::Float64) => {
            Box::new(FloatSum::new(returns, function == AggregateFunction::Avg))
        }
        (function, _) => Box::new(ExactSum::new(
            arg,
            returns,
            function == AggregateFunction::Avg,
        )?),
    })
}
