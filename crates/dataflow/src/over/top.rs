//! The first rows of each key in an order: top-N, deduplication, `ORDER BY ... LIMIT`.
//!
//! A row is kept as arrow-row's bytes of all its columns, those of the ORDER BY first: bytes compare as rows do, and rows are read from them
//! again. That encoding never leaves memory; snapshots hold our own.

use std::io::{self, Read, Write};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, UInt64Array};
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::row::RowConverter;
use headwater_sql::graph as plan;
use headwater_sql::over::{sorter, total_order};

use super::gone::Gone;
use super::list::{Before, Lists, Ranking};
use crate::codec::persist::{
    expect_version, get_all, get_bytes, invalid, put_all, put_bytes, put_u32,
};
use crate::codec::{RowReader, RowWriter, Span, types};
use crate::delta::{Delta, RowKind};
use crate::eval::{batch, broken};
use crate::keys::KeyTable;
use crate::operator::{Operator, OperatorError, StepContext};

const VERSION: u32 = 1;
/// Rows of a snapshot that are encoded at once.
const SAVED_AT_ONCE: usize = 8 * 1024;

pub(crate) struct Top {
    key: String,
    schema: SchemaRef,
    input: SchemaRef,
    plan: plan::TopN,
    ranking: Ranking,
    keys: KeyTable,
    lists: Lists,
    /// The order of all columns, and what makes bytes of it.
    order: Vec<(usize, SortOptions)>,
    sorter: RowConverter,
    peers: RowConverter,
    gone: Gone,
    /// Keys that the step has touched, with their first rows before it.
    touched: Vec<(u32, Before)>,
    /// The last step that touched each key.
    touched_in: Vec<u32>,
    step: u32,
    /// Rows that went in this step.
    dead: Vec<Span>,
}

/// A row of the result.
struct Out<'a> {
    kind: RowKind,
    row: &'a [u8],
    number: u64,
}

impl Top {
    /// `retracts`: whether rows of the input may be taken back.
    pub(crate) fn new(
        node: &plan::Node,
        plan: &plan::TopN,
        input: &SchemaRef,
        retracts: bool,
    ) -> Result<Self, OperatorError> {
        let fail = |e: &dyn std::fmt::Display| broken(&node.key, e);
        let all = types(input);
        let key = plan.partition.iter().map(|c| all[*c].clone()).collect();
        let order = total_order(&plan.order, all.len());
        Ok(Self {
            key: node.key.clone(),
            schema: node.schema.clone(),
            input: input.clone(),
            ranking: Ranking {
                rank: plan.rank,
                to: usize::try_from(plan.to).unwrap_or(usize::MAX),
            },
            keys: KeyTable::new(key).map_err(|e| fail(&e))?,
            lists: Lists::new(retracts),
            sorter: sorter(input, &order).map_err(|e| fail(&e))?,
            peers: sorter(input, &plan.order).map_err(|e| fail(&e))?,
            gone: Gone::of(node, &plan.partition),
            order,
            plan: plan.clone(),
            touched: Vec::new(),
            touched_in: Vec::new(),
            step: 1,
            dead: Vec::new(),
        })
    }

    fn key_of(&self, rows: &RecordBatch) -> Vec<ArrayRef> {
        let columns = self.plan.partition.iter();
        columns.map(|c| rows.column(*c).clone()).collect()
    }

    /// The bytes of each row.
    fn encode(&self, columns: &[ArrayRef]) -> Result<Encoded, String> {
        let in_order = |order: &[(usize, SortOptions)]| -> Vec<ArrayRef> {
            order.iter().map(|(c, _)| columns[*c].clone()).collect()
        };
        let rows = self.sorter.convert_columns(&in_order(&self.order));
        let rows = rows.map_err(|e| e.to_string())?;
        let peers = match self.ranking.has_prefix() && !self.plan.order.is_empty() {
            true => Some(
                self.peers
                    .convert_columns(&in_order(&self.plan.order))
                    .map_err(|e| e.to_string())?,
            ),
            false => None,
        };
        Ok(Encoded {
            rows,
            peers,
            prefixed: self.ranking.has_prefix(),
        })
    }

    fn absorb(&mut self, delta: &Delta) -> Result<(), String> {
        let columns = self.key_of(&delta.rows);
        let keys = self
            .keys
            .intern(&columns, delta.len(), None, &mut Vec::new());
        self.lists.grow(self.keys.id_bound());
        self.touched_in.resize(self.keys.id_bound(), 0);
        let rows = self.encode(delta.rows.columns())?;
        let mut row = Vec::new();
        for (at, key) in keys.into_iter().enumerate() {
            rows.get(at, &mut row);
            let adds = delta.kind(at).adds();
            if adds && !self.lists.matters(key, &row, &self.ranking) {
                continue;
            }
            self.touch(key);
            match adds {
                true => self.lists.add(key, &row, &self.ranking, &mut self.dead),
                false => self.lists.remove(key, &row),
            }
        }
        Ok(())
    }

    fn touch(&mut self, key: u32) {
        let last = &mut self.touched_in[key as usize];
        if *last != self.step {
            *last = self.step;
            self.touched
                .push((key, self.lists.before(key, &self.ranking)));
        }
    }

    fn changes(&self, touched: &[(u32, Before)]) -> Result<Option<Delta>, String> {
        let mut out: Vec<Out<'_>> = Vec::with_capacity(touched.len());
        for (key, before) in touched {
            let old = self.lists.of_before(before);
            let old_numbers = self.ranking.numbers(old.iter().copied());
            let new_numbers = self.ranking.numbers(self.lists.rows(*key));
            let new = self.lists.rows(*key).take(new_numbers.len());
            let new: Vec<(&[u8], u64)> = self.visible(new.zip(new_numbers));
            let old: Vec<(&[u8], u64)> = self.visible(old.into_iter().zip(old_numbers));
            difference(&old, &new, &mut out);
        }
        if out.is_empty() {
            return Ok(None);
        }
        self.emit(&out).map(Some)
    }

    fn visible<'a>(&self, rows: impl Iterator<Item = (&'a [u8], u64)>) -> Vec<(&'a [u8], u64)> {
        let shown = rows.filter(|(_, number)| *number >= self.plan.from);
        let number = |number: u64| if self.plan.numbered { number } else { 0 };
        shown.map(|(row, n)| (row, number(n))).collect()
    }

    fn emit(&self, out: &[Out<'_>]) -> Result<Delta, String> {
        let mut columns = self.decode(out.iter().map(|o| o.row))?;
        columns.push(Arc::new(UInt64Array::from_iter_values(
            out.iter().map(|o| o.number),
        )));
        let kinds: Vec<RowKind> = out.iter().map(|o| o.kind).collect();
        let inserts = kinds.iter().all(|k| *k == RowKind::Insert);
        Ok(Delta {
            rows: batch(&self.schema, columns, out.len())?,
            kinds: (!inserts).then(|| kinds.into()),
            origin: None,
        })
    }

    /// Rows as the input's columns.
    fn decode<'a>(&self, rows: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>, String> {
        let parser = self.sorter.parser();
        let prefix = if self.ranking.has_prefix() { 4 } else { 0 };
        let rows = rows.map(|row| parser.parse(&row[..row.len() - prefix]));
        let sorted = self.sorter.convert_rows(rows).map_err(|e| e.to_string())?;
        let mut columns: Vec<Option<ArrayRef>> = vec![None; sorted.len()];
        for ((column, _), array) in self.order.iter().zip(sorted) {
            columns[*column] = Some(array);
        }
        columns
            .into_iter()
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| "a column is missing".into())
    }

    fn forget(&mut self, keys: &[u32]) {
        for key in keys {
            self.lists.clear(*key);
            self.keys.remove(*key);
            self.touched_in[*key as usize] = 0;
        }
        self.keys.tidy();
    }
}

/// What leads from some rows to others, both in their order.
fn difference<'a>(old: &[(&'a [u8], u64)], new: &[(&'a [u8], u64)], out: &mut Vec<Out<'a>>) {
    let at = |(row, number): &(&'a [u8], u64), kind: RowKind| Out {
        kind,
        row,
        number: *number,
    };
    if let ([before], [after]) = (old, new) {
        if before != after {
            out.push(at(before, RowKind::UpdateBefore));
            out.push(at(after, RowKind::UpdateAfter));
        }
        return;
    }
    let (mut o, mut n) = (0, 0);
    let mut comes = Vec::new();
    while o < old.len() || n < new.len() {
        match (old.get(o), new.get(n)) {
            (Some(a), Some(b)) if a == b => (o, n) = (o + 1, n + 1),
            (Some(a), Some(b)) if a > b => {
                comes.push(at(b, RowKind::Insert));
                n += 1;
            }
            (Some(a), _) => {
                out.push(at(a, RowKind::Delete));
                o += 1;
            }
            (None, Some(b)) => {
                comes.push(at(b, RowKind::Insert));
                n += 1;
            }
            (None, None) => break,
        }
    }
    out.extend(comes);
}

struct Encoded {
    rows: datafusion::arrow::row::Rows,
    peers: Option<datafusion::arrow::row::Rows>,
    prefixed: bool,
}

impl Encoded {
    fn get(&self, at: usize, row: &mut Vec<u8>) {
        row.clear();
        row.extend_from_slice(self.rows.row(at).as_ref());
        if self.prefixed {
            let peers = self.peers.as_ref().map_or(0, |p| p.row(at).as_ref().len());
            row.extend_from_slice(&(peers as u32).to_le_bytes());
        }
    }
}

impl Operator for Top {
    fn push(
        &mut self,
        _input: usize,
        delta: Delta,
        ctx: &mut StepContext,
    ) -> Result<Vec<Delta>, OperatorError> {
        let fail = |e: String| broken(&self.key, e);
        let delta = self.gone.judge(&self.key, delta, ctx).map_err(fail)?;
        if !delta.is_empty() {
            self.absorb(&delta).map_err(|e| broken(&self.key, e))?;
        }
        Ok(Vec::new())
    }

    fn finish(&mut self, _ctx: &mut StepContext) -> Result<Vec<Delta>, OperatorError> {
        let touched = std::mem::take(&mut self.touched);
        if touched.is_empty() {
            return Ok(Vec::new());
        }
        let change = self.changes(&touched).map_err(|e| broken(&self.key, e))?;
        let empty = touched.iter().map(|(key, _)| *key);
        let empty: Vec<u32> = empty.filter(|key| self.lists.is_empty(*key)).collect();
        self.forget(&empty);
        self.lists.tidy(&mut self.dead);
        self.step = self.step.wrapping_add(1).max(1);
        if self.step == 1 {
            self.touched_in.fill(0);
        }
        Ok(change.into_iter().collect())
    }

    fn retain(&mut self, older_than_us: i64) -> Result<(), OperatorError> {
        let keys = self.keys.ids();
        if self.plan.partition.is_empty() {
            return Ok(());
        }
        let columns = self.keys.columns(&keys).map_err(|e| broken(&self.key, e))?;
        let old = self.gone.let_go(older_than_us, &keys, &columns);
        self.forget(&old.map_err(|e| broken(&self.key, e))?);
        self.lists.tidy(&mut self.dead);
        Ok(())
    }

    fn closed(&mut self, watermark_us: i64) -> Result<(), OperatorError> {
        self.retain(watermark_us.saturating_add(1))
    }

    fn route(&self, _input: usize, delta: &Delta) -> Result<Option<Vec<u32>>, OperatorError> {
        let keyed = !self.plan.partition.is_empty();
        Ok(keyed.then(|| self.keys.hashes(&self.key_of(&delta.rows), delta.len())))
    }

    fn keep(&mut self, wanted: &dyn Fn(u32) -> bool) -> Result<(), OperatorError> {
        if self.plan.partition.is_empty() {
            return Ok(());
        }
        let mut kept = self.keys.ids();
        kept.retain(|id| wanted(self.keys.hash(*id)));
        self.keys.keep(&kept);
        self.lists.keep(&kept);
        self.touched_in = vec![0; kept.len()];
        Ok(())
    }

    fn state_bytes(&self) -> usize {
        self.keys.bytes() + self.lists.bytes() + self.touched_in.capacity() * 4
    }

    fn state_rows(&self) -> usize {
        self.lists.len()
    }

    fn snapshot(&self, out: &mut dyn Write) -> io::Result<()> {
        put_u32(out, VERSION)?;
        self.gone.save(out)?;
        self.keys.save(out)?;
        let counts: Vec<u32> = (0..self.lists.keys() as u32)
            .map(|key| self.lists.rows(key).count() as u32)
            .collect();
        put_all(out, &counts)?;
        let writer = RowWriter::new(&types(&self.input)).map_err(|e| invalid(e.to_string()))?;
        let mut rows = (0..counts.len() as u32).flat_map(|key| self.lists.rows(key));
        loop {
            let some: Vec<&[u8]> = rows.by_ref().take(SAVED_AT_ONCE).collect();
            if some.is_empty() {
                return Ok(());
            }
            let count = some.len();
            let columns = self.decode(some.into_iter()).map_err(invalid)?;
            let encoded = writer.encode(&columns, count);
            (0..count).try_for_each(|row| put_bytes(out, encoded.get(row)))?;
        }
    }

    fn restore(&mut self, from: &mut dyn Read) -> io::Result<()> {
        expect_version(from, VERSION)?;
        self.gone.load(from)?;
        self.keys.load(from)?;
        let counts: Vec<u32> = get_all(from)?;
        if counts.len() > self.keys.id_bound() {
            return Err(invalid("there are rows without a key"));
        }
        self.lists.grow(self.keys.id_bound());
        self.touched_in = vec![0; self.keys.id_bound()];
        let owners = (0..).zip(&counts);
        let mut owners = owners.flat_map(|(key, n)| std::iter::repeat_n(key, *n as usize));
        let all = types(&self.input);
        loop {
            let some: Vec<u32> = owners.by_ref().take(SAVED_AT_ONCE).collect();
            if some.is_empty() {
                return Ok(());
            }
            let mut reader = RowReader::new(&all).map_err(|e| invalid(e.to_string()))?;
            for _ in &some {
                reader
                    .push(&get_bytes(from)?)
                    .map_err(|e| invalid(e.to_string()))?;
            }
            let columns = reader.finish().map_err(|e| invalid(e.to_string()))?;
            let rows = self.encode(&columns).map_err(invalid)?;
            let mut row = Vec::new();
            for (at, key) in some.iter().enumerate() {
                rows.get(at, &mut row);
                self.lists.add(*key, &row, &self.ranking, &mut self.dead);
            }
        }
    }
}
