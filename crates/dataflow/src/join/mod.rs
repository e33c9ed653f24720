//! Joins of changelogs, by key or (without one) of everything with everything. Both sides are kept by key; a row that comes or goes on one
//! side meets what the other side holds at that moment, so a step's deltas may come in any order.
//!
//! A side is *preserved* if its rows are in the result whether they match or not: the left one of left, semi, anti and mark joins,
//! both of a full join. When the first match of a preserved row comes or its last one goes, what stands for it in the result changes: a row
//! padded with NULLs, the row itself, or its mark.

pub(crate) mod as_of;
mod divide;
mod drive;
pub(crate) mod lookup;
mod output;
mod side;
mod state;
#[cfg(test)]
mod tests;
mod within;

use std::io::{self, Read, Write};
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use headwater_sql::graph::{self as plan, JoinKind};

use crate::codec::EncodedRows;
use crate::delta::Delta;
use crate::eval::{Evaluator, broken};
use crate::keys::KeyTable;
use crate::operator::{Due, Operator, OperatorError, StepContext};
use side::{Lookup, Side};
use within::Expiry;

pub(crate) struct Join {
    key: String,
    schema: SchemaRef,
    kind: JoinKind,
    /// Key expressions, left and right.
    on: [Vec<Arc<dyn PhysicalExpr>>; 2],
    key_types: Vec<DataType>,
    /// Whether NULL keys are equal; else they match nothing.
    null_equal: bool,
    filter: Option<Arc<dyn PhysicalExpr>>,
    /// Left columns, then right columns: what the filter is evaluated over.
    pair_schema: SchemaRef,
    /// Keys of both sides.
    keys: KeyTable,
    sides: [Side; 2],
    /// Whether a side's rows are only ever added: what it drives keeps its origin.
    append_only: [bool; 2],
    /// Of an interval join: when rows can be let go.
    expiry: Option<Expiry>,
}

/// A batch of one side, ready to meet the other.
struct Arrived {
    delta: Delta,
    /// Key of each row, [`crate::keys::NONE`] for one that matches nothing.
    keys: Vec<u32>,
    rows: EncodedRows,
    /// Rows that take part and how often, those that leave first.
    changes: Vec<(u32, i64)>,
    /// Of an interval join, each row's time.
    times: Vec<i64>,
}

impl Join {
    pub(crate) fn new(
        node: &plan::Node,
        plan: &plan::Join,
        inputs: [&plan::Node; 2],
    ) -> Result<Self, OperatorError> {
        let fail = |e: &dyn std::fmt::Display| broken(&node.key, e);
        let schemas = inputs.map(|input| &input.schema);
        let types = plan
            .on
            .iter()
            .map(|(left, _)| left.data_type(schemas[0]))
            .collect::<Result<Vec<_>, _>>();
        let key_types = types.map_err(|e| fail(&e))?;
        let on = [
            plan.on.iter().map(|o| o.0.clone()).collect::<Vec<_>>(),
            plan.on.iter().map(|o| o.1.clone()).collect::<Vec<_>>(),
        ];
        let side = |number: usize| {
            let counted = number == 1 && plan.filter.is_none() && plan.kind.only_left();
            let lookup = if counted {
                Lookup::Counted
            } else {
                lookup(inputs[number], &on[number])
            };
            Side::new(schemas[number], lookup).map_err(|e| fail(&e))
        };
        Ok(Self {
            key: node.key.clone(),
            schema: node.schema.clone(),
            kind: plan.kind,
            null_equal: plan.null_equal,
            keys: KeyTable::new(key_types.clone()).map_err(|e| fail(&e))?,
            key_types,
            filter: plan.filter.clone(),
            pair_schema: pair_schema(schemas),
            sides: [side(0)?, side(1)?],
            append_only: inputs.map(|i| i.props.changelog == plan::Changelog::AppendOnly),
            expiry: plan.within.map(Expiry::new),
            on,
        })
    }

    /// Whether all of a side's rows show in the result.
    fn preserves(&self, side: usize) -> bool {
        match self.kind {
            JoinKind::Inner => false,
            JoinKind::Full => true,
            _ => side == 0,
        }
    }

    fn arrive(
        &mut self,
        side: usize,
        delta: Delta,
        ctx: &mut StepContext,
    ) -> Result<Arrived, OperatorError> {
        let mut delta = self.in_time(side, delta, ctx)?;
        let mut eval = Evaluator {
            operator: &self.key,
            ctx,
        };
        let columns = eval.all(&self.on[side], &mut delta)?;
        let columns = self.as_keys(&columns)?;
        let times = self.times(side, &delta)?;
        let mut there = self.there(&columns);
        if times.contains(&i64::MAX) {
            // Without a time a row matches nothing.
            let timed: NullBuffer = times
                .iter()
                .map(|t| *t != i64::MAX)
                .collect::<Vec<_>>()
                .into();
            there = NullBuffer::union(there.as_ref(), Some(&timed));
        }
        let keys = self
            .keys
            .intern(&columns, delta.len(), there.as_ref(), &mut Vec::new());
        self.sides
            .iter_mut()
            .for_each(|s| s.grow(self.keys.id_bound()));
        let rows = self.sides[side].encode(&delta.rows);
        let changes = net(&delta, &rows, self.sides[side].merges());
        Ok(Arrived {
            delta,
            keys,
            rows,
            changes,
            times,
        })
    }

    /// The key columns in the types that both sides share.
    fn as_keys(&self, columns: &[ArrayRef]) -> Result<Vec<ArrayRef>, OperatorError> {
        let cast = |(c, t): (&ArrayRef, &DataType)| {
            if c.data_type() == t {
                Ok(c.clone())
            } else {
                cast(c, t)
            }
        };
        let columns: Result<Vec<ArrayRef>, _> =
            columns.iter().zip(&self.key_types).map(cast).collect();
        columns.map_err(|e| broken(&self.key, e))
    }

    /// Which rows' keys can match; `None`: all.
    fn there(&self, columns: &[ArrayRef]) -> Option<NullBuffer> {
        if self.null_equal {
            return None;
        }
        columns.iter().fold(None, |nulls, c| {
            NullBuffer::union(nulls.as_ref(), c.logical_nulls().as_ref())
        })
    }
}

/// How rows of a side are found again.
fn lookup(input: &plan::Node, on: &[Arc<dyn PhysicalExpr>]) -> Lookup {
    if input.props.changelog == plan::Changelog::AppendOnly {
        return Lookup::Never;
    }
    let column = |e: &Arc<dyn PhysicalExpr>| e.downcast_ref::<Column>().map(Column::index);
    let on: Vec<usize> = on.iter().filter_map(column).collect();
    let few = |key: &Vec<usize>| key.iter().all(|k| on.contains(k));
    if input.props.key.as_ref().is_some_and(few) {
        Lookup::Walk
    } else {
        Lookup::Indexed
    }
}

fn pair_schema(sides: [&SchemaRef; 2]) -> SchemaRef {
    let fields = sides.iter().flat_map(|s| s.fields().iter());
    let open = fields.map(|f| Arc::new(f.as_ref().clone().with_nullable(true)));
    Arc::new(datafusion::arrow::datatypes::Schema::new(
        open.collect::<Vec<_>>(),
    ))
}

/// The net count of each row of a batch. Rows that only come stay as they are; else equal rows are added up (`merges`, or each is its own),
/// and those that leave come first, so that nothing is taken back before it is there.
fn net(delta: &Delta, rows: &EncodedRows, merges: bool) -> Vec<(u32, i64)> {
    let Some(weights) = delta.weights() else {
        return (0..delta.len() as u32).map(|row| (row, 1)).collect();
    };
    let mut first = hashbrown::HashMap::with_capacity_and_hasher(
        weights.len(),
        crate::codec::hash::Fixed::with_seed(0),
    );
    let mut net: Vec<(u32, i64)> = Vec::with_capacity(weights.len());
    for (row, weight) in (0u32..).zip(weights) {
        let at = *first.entry(rows.get(row as usize)).or_insert(net.len());
        match net.get_mut(at) {
            Some(entry) => entry.1 += weight,
            None => net.push((row, weight)),
        }
    }
    if !merges {
        let singly = |(row, weight): &(u32, i64)| {
            std::iter::repeat_n((*row, weight.signum()), weight.unsigned_abs() as usize)
        };
        net = net.iter().flat_map(singly).collect();
    }
    let (leave, come): (Vec<_>, Vec<_>) =
        net.into_iter().filter(|n| n.1 != 0).partition(|n| n.1 < 0);
    leave.into_iter().chain(come).collect()
}

impl Operator for Join {
    fn push(
        &mut self,
        input: usize,
        delta: Delta,
        ctx: &mut StepContext,
    ) -> Result<Vec<Delta>, OperatorError> {
        if delta.is_empty() {
            return Ok(Vec::new());
        }
        let arrived = self.arrive(input, delta, ctx)?;
        self.drive(input, &arrived, ctx)
    }

    fn finish(&mut self, ctx: &mut StepContext) -> Result<Vec<Delta>, OperatorError> {
        self.expire(ctx.watermark_us);
        self.keys.tidy();
        self.sides.iter_mut().for_each(Side::tidy);
        Ok(Vec::new())
    }

    fn route(&self, input: usize, delta: &Delta) -> Result<Option<Vec<u32>>, OperatorError> {
        self.hashes(input, delta)
    }

    fn keep(&mut self, wanted: &dyn Fn(u32) -> bool) -> Result<(), OperatorError> {
        self.keep_keys(wanted)
    }

    fn due(&self) -> Due {
        Due {
            watermark_us: self.expiry.as_ref().and_then(Expiry::due_us),
            ..Due::default()
        }
    }

    fn state_bytes(&self) -> usize {
        self.expiry.as_ref().map_or(0, Expiry::bytes)
            + self.keys.bytes()
            + self.sides.iter().map(Side::bytes).sum::<usize>()
    }

    fn state_rows(&self) -> usize {
        self.sides.iter().map(Side::len).sum()
    }

    fn snapshot(&self, out: &mut dyn Write) -> io::Result<()> {
        self.save(out)
    }

    fn restore(&mut self, from: &mut dyn Read) -> io::Result<()> {
        self.load(from)
    }
}
