//! `FOR SYSTEM_TIME AS OF time`: each left row with the version of its key that was valid at its time, inner or left.
//!
//! Both sides are kept by key and in the order of time. A version is valid until the next one of its key begins, so a new one touches the left rows
//! of its own interval and no others. Where both sides have watermarks, left rows and versions that have been followed by others are let go once
//! no row in time can ask for them; the newest version of a key at or below the watermark stays.

mod output;
mod state;

use std::io::{self, Read, Write};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::row::RowConverter;
use datafusion::physical_expr::PhysicalExpr;
use headwater_sql::graph::{self as plan, JoinKind};
use headwater_sql::over::sorter;

use super::pair_schema;
use crate::codec::{RowWriter, hash, types};
use crate::delta::Delta;
use crate::eval::{Evaluator, broken, leniently};
use crate::operator::{Due, Operator, OperatorError, StepContext};
use crate::times::times_us;
use output::Pairs;
use state::{Change, State};

pub(crate) struct AsOf {
    key: String,
    schema: SchemaRef,
    /// A left row without a version is in the result, with NULLs.
    outer: bool,
    on: [Vec<Arc<dyn PhysicalExpr>>; 2],
    key_types: Vec<DataType>,
    key_writer: RowWriter,
    filter: Option<Arc<dyn PhysicalExpr>>,
    pair_schema: SchemaRef,
    plan: plan::AsOf,
    sides: [Form; 2],
    /// What puts versions in the order in which they follow each other.
    sorter: RowConverter,
    state: State,
    /// The watermark up to which rows were let go.
    gone_us: i64,
}

/// How rows of a side are written.
struct Form {
    types: Vec<DataType>,
    writer: RowWriter,
}

impl AsOf {
    pub(crate) fn new(
        node: &plan::Node,
        join: &plan::Join,
        plan: &plan::AsOf,
        inputs: [&plan::Node; 2],
    ) -> Result<Self, OperatorError> {
        let fail = |e: &dyn std::fmt::Display| broken(&node.key, e);
        let form = |input: &plan::Node| {
            let types = types(&input.schema);
            let writer = RowWriter::new(&types).map_err(|e| fail(&e))?;
            Ok(Form { types, writer })
        };
        let key_types = join.on.iter().map(|(l, _)| l.data_type(&inputs[0].schema));
        let key_types = key_types.collect::<Result<Vec<_>, _>>();
        let key_types = key_types.map_err(|e| fail(&e))?;
        let mut state = State::default();
        if plan.slack_us.is_none() {
            state.keep_for_ever();
        }
        Ok(Self {
            key: node.key.clone(),
            schema: node.schema.clone(),
            outer: join.kind == JoinKind::Left,
            on: [
                join.on.iter().map(|o| o.0.clone()).collect(),
                join.on.iter().map(|o| o.1.clone()).collect(),
            ],
            key_writer: RowWriter::new(&key_types).map_err(|e| fail(&e))?,
            key_types,
            filter: join.filter.clone(),
            pair_schema: pair_schema(inputs.map(|input| &input.schema)),
            sorter: sorter(&inputs[1].schema, &plan.order).map_err(|e| fail(&e))?,
            plan: plan.clone(),
            sides: [form(inputs[0])?, form(inputs[1])?],
            state,
            gone_us: i64::MIN,
        })
    }

    fn broken(&self, reason: impl std::fmt::Display) -> OperatorError {
        broken(&self.key, reason)
    }

    /// The bytes of each row's key; `None` for one that matches nothing.
    fn keys(&self, columns: &[ArrayRef], rows: usize) -> Result<Vec<Option<Vec<u8>>>, String> {
        let cast = |(c, t): (&ArrayRef, &DataType)| cast(c, t).map_err(|e| e.to_string());
        let columns = columns.iter().zip(&self.key_types).map(cast);
        let columns = columns.collect::<Result<Vec<ArrayRef>, _>>()?;
        let there = columns.iter().fold(None, |nulls: Option<NullBuffer>, c| {
            NullBuffer::union(nulls.as_ref(), c.logical_nulls().as_ref())
        });
        let encoded = self.key_writer.encode(&columns, rows);
        let key = |row: usize| {
            let there = there.as_ref().is_none_or(|there| there.is_valid(row));
            there.then(|| encoded.get(row).to_vec())
        };
        Ok((0..rows).map(key).collect())
    }

    /// The delta less its late rows, which are told; with the time of each row.
    fn in_time(
        &self,
        side: usize,
        delta: Delta,
        times: Vec<i64>,
        ctx: &mut StepContext,
    ) -> Result<(Delta, Vec<i64>), OperatorError> {
        let Some(slack) = self.plan.slack_us else {
            return Ok((delta, times));
        };
        let own = delta.origin.as_ref().map(|o| Arc::clone(&o.watermark));
        let in_time = |row: usize| {
            let watermark = own.as_ref().map_or(i64::MIN, |w| w[row]).max(self.gone_us);
            times[row] >= watermark.saturating_sub(slack[side])
        };
        let mask: Vec<bool> = (0..times.len()).map(in_time).collect();
        let kept = times.iter().zip(&mask).filter(|(_, in_time)| **in_time);
        let kept = kept.map(|(time, _)| *time).collect();
        let delta = ctx.in_time(&self.key, delta, &BooleanArray::from(mask));
        Ok((delta.map_err(|e| self.broken(e))?, kept))
    }

    /// The rows that came on a side, each with its key and time.
    fn arrived(
        &self,
        side: usize,
        mut delta: Delta,
        ctx: &mut StepContext,
    ) -> Result<(Delta, Vec<Change>), OperatorError> {
        let mut exprs = self.on[side].clone();
        if side == 0 {
            exprs.push(Arc::clone(&self.plan.time));
        }
        let mut eval = Evaluator {
            operator: &self.key,
            ctx,
        };
        let mut columns = eval.all(&exprs, &mut delta)?;
        let times = match side {
            0 => columns.pop(),
            _ => Some(Arc::clone(delta.rows.column(self.plan.from))),
        };
        let times = times.ok_or_else(|| self.broken("no time"))?;
        let times = times_us(&times).map_err(|e| self.broken(e))?;
        let count = delta.len();
        let (delta, times) = self.in_time(side, delta, times, ctx)?;
        if delta.len() < count {
            columns = leniently(&self.on[side], &delta.rows).map_err(|e| self.broken(e))?;
        }
        let keys = self.keys(&columns, delta.len());
        let keys = keys.map_err(|e| self.broken(e))?;
        let rows = self.sides[side]
            .writer
            .encode(delta.rows.columns(), delta.len());
        let change = |(row, (key, time)): (usize, (Option<Vec<u8>>, i64))| Change {
            // Without a time a row matches nothing.
            key: key.filter(|_| time != i64::MAX),
            time,
            row: rows.get(row).into(),
            weight: delta.kind(row).weight(),
        };
        let changes = keys.into_iter().zip(times).enumerate().map(change);
        let changes = changes.collect();
        Ok((delta, changes))
    }

    fn lefts(&mut self, changes: Vec<Change>, pairs: &mut Pairs) {
        for change in changes {
            let Some(key) = change.key else {
                if self.outer {
                    pairs.add(&change.row, None, change.weight);
                }
                continue;
            };
            let of_key = self.state.of(&key);
            let version = of_key.valid_at(change.time);
            if version.is_some() || self.outer {
                pairs.add(&change.row, version, change.weight);
            }
            self.state
                .left(&key, change.time, change.row, change.weight);
        }
    }

    fn versions(&mut self, changes: Vec<Change>, orders: &[Box<[u8]>], pairs: &mut Pairs) {
        for (change, order) in changes.into_iter().zip(orders) {
            let Some(key) = change.key else { continue };
            let place = (change.time, order.clone());
            self.state.version(
                &key,
                place,
                change.row,
                change.weight,
                |left, count, was, is| {
                    for (version, weight) in [(was, -count), (is, count)] {
                        if version.is_some() || self.outer {
                            pairs.add(left, version, weight);
                        }
                    }
                },
            );
        }
    }

    /// The bytes of versions that are in their order.
    fn orders(&self, rows: &[ArrayRef]) -> Result<Vec<Box<[u8]>>, OperatorError> {
        let columns: Vec<ArrayRef> = self
            .plan
            .order
            .iter()
            .map(|(column, _)| Arc::clone(&rows[*column]))
            .collect();
        let rows = self.sorter.convert_columns(&columns);
        let rows = rows.map_err(|e| self.broken(e))?;
        Ok(rows.iter().map(|row| row.as_ref().into()).collect())
    }
}

impl Operator for AsOf {
    fn push(
        &mut self,
        input: usize,
        delta: Delta,
        ctx: &mut StepContext,
    ) -> Result<Vec<Delta>, OperatorError> {
        let (delta, changes) = self.arrived(input, delta, ctx)?;
        let mut pairs = Pairs::default();
        match input {
            0 => self.lefts(changes, &mut pairs),
            _ => {
                let orders = self.orders(delta.rows.columns())?;
                self.versions(changes, &orders, &mut pairs);
            }
        }
        self.output(pairs, ctx)
    }

    fn finish(&mut self, ctx: &mut StepContext) -> Result<Vec<Delta>, OperatorError> {
        if let Some(slack) = self.plan.slack_us
            && ctx.watermark_us > self.gone_us
        {
            self.gone_us = ctx.watermark_us;
            self.state.let_go(ctx.watermark_us, slack);
        }
        Ok(Vec::new())
    }

    fn route(&self, input: usize, delta: &Delta) -> Result<Option<Vec<u32>>, OperatorError> {
        let columns = leniently(&self.on[input], &delta.rows).map_err(|e| self.broken(e))?;
        let keys = self.keys(&columns, delta.len());
        let keys = keys.map_err(|e| self.broken(e))?;
        // A row that matches nothing has no state: it may go anywhere.
        let hash = |key: &Option<Vec<u8>>| key.as_deref().map_or(0, hash::of_bytes);
        Ok(Some(keys.iter().map(hash).collect()))
    }

    fn keep(&mut self, wanted: &dyn Fn(u32) -> bool) -> Result<(), OperatorError> {
        self.state.keep(wanted);
        Ok(())
    }

    fn due(&self) -> Due {
        let slack = self.plan.slack_us.map(|[left, right]| left.max(right));
        Due {
            watermark_us: slack.and_then(|slack| Some(self.state.due_us()?.saturating_add(slack))),
            ..Due::default()
        }
    }

    fn state_bytes(&self) -> usize {
        self.state.bytes()
    }

    fn state_rows(&self) -> usize {
        self.state.rows()
    }

    fn snapshot(&self, out: &mut dyn Write) -> io::Result<()> {
        self.state.save(self.gone_us, out)
    }

    fn restore(&mut self, from: &mut dyn Read) -> io::Result<()> {
        let (gone_us, state) = State::load(from, &mut |rows| {
            let columns = self.read(1, rows.iter().map(|row| Some(row.as_ref())));
            columns
                .and_then(|columns| self.orders(&columns))
                .map_err(|e| crate::codec::persist::invalid(e.to_string()))
        })?;
        (self.gone_us, self.state) = (gone_us, state);
        if self.plan.slack_us.is_none() {
            self.state.keep_for_ever();
        }
        Ok(())
    }
}
