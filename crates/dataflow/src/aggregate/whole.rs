//! Functions of all rows of a group, by DataFusion's own accumulators: each group's rows as a multiset in one order, from which the function
//! is computed when the group is touched. Of a function of the first or last row over rows that only come, that row alone is kept.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::ops::Bound;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, new_empty_array, new_null_array};
use datafusion::arrow::compute::{SortOptions, cast, concat};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::row::RowConverter;
use datafusion::physical_expr::PhysicalExpr;
use headwater_sql::graph::{AggregateCall, Pick, Whole as Plan};
use headwater_sql::over::{sorter, total_order};

use super::accumulator::{Accumulator, Rows, Values, renumbered};
use crate::codec::persist::{get_all, get_bytes, invalid, put_all, put_bytes};
use crate::codec::{RowReader, RowWriter, types};

/// Rows that are decoded at once, and encoded at once for a snapshot.
const ROWS_AT_ONCE: usize = 16 * 1024;

pub(crate) struct Whole {
    plan: Plan,
    returns: DataType,
    distinct: bool,
    retracts: bool,
    schema: SchemaRef,
    /// The order of all fields, and what makes bytes of it.
    order: Vec<(usize, SortOptions)>,
    sorter: RowConverter,
    args: Vec<Arc<dyn PhysicalExpr>>,
    /// Counts are never 0. One below 0 awaits its row within the step.
    rows: BTreeMap<(u32, Box<[u8]>), i64>,
    heap_bytes: usize,
}

impl Whole {
    pub(crate) fn new(
        call: &AggregateCall,
        plan: &Plan,
        arg: &DataType,
        retracts: bool,
    ) -> Result<Self, String> {
        let DataType::Struct(fields) = arg else {
            return Err(format!("rows of {arg} are not structs"));
        };
        let fields: Vec<Arc<Field>> = fields.iter().cloned().collect();
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let order = total_order(&plan.order, schema.fields().len());
        Ok(Self {
            sorter: sorter(&schema, &order).map_err(|e| e.strip_backtrace())?,
            args: plan.function.expressions(),
            returns: call.return_type.clone(),
            distinct: call.distinct,
            plan: plan.clone(),
            retracts,
            order,
            schema,
            rows: BTreeMap::new(),
            heap_bytes: 0,
        })
    }

    fn encode(&self, columns: &[ArrayRef]) -> Result<datafusion::arrow::row::Rows, String> {
        let columns: Vec<ArrayRef> = self
            .order
            .iter()
            .map(|(c, _)| columns[*c].clone())
            .collect();
        self.sorter
            .convert_columns(&columns)
            .map_err(|e| e.to_string())
    }

    fn decode(&self, rows: &[&[u8]]) -> Result<RecordBatch, String> {
        let parser = self.sorter.parser();
        let sorted = self
            .sorter
            .convert_rows(rows.iter().map(|row| parser.parse(row)));
        let sorted = sorted.map_err(|e| e.to_string())?;
        let mut columns: Vec<Option<ArrayRef>> = vec![None; sorted.len()];
        for ((column, _), array) in self.order.iter().zip(sorted) {
            columns[*column] = Some(array);
        }
        let columns: Option<Vec<ArrayRef>> = columns.into_iter().collect();
        let columns = columns.ok_or("a field is missing")?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|e| e.to_string())
    }

    fn add(&mut self, group: u32, row: &[u8], weight: i64) {
        if !self.retracts
            && let Some(pick) = self.plan.pick
        {
            return self.pick(group, row, pick);
        }
        // Looking up needs an owned key; a row that is there already is the rarer case.
        match self.rows.entry((group, row.into())) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(weight);
                self.heap_bytes += row.len();
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                *entry.get_mut() += weight;
                if *entry.get() == 0 {
                    entry.remove();
                    self.heap_bytes -= row.len();
                }
            }
        }
    }

    /// Keeps the better of the row that is there and this one.
    fn pick(&mut self, group: u32, row: &[u8], pick: Pick) {
        let held = self.group(group).next().map(|((_, held), _)| held.clone());
        if let Some(held) = held {
            let better = match pick {
                Pick::First => row < held.as_ref(),
                Pick::Last => row > held.as_ref(),
            };
            if !better {
                return;
            }
            self.heap_bytes -= held.len();
            self.rows.remove(&(group, held));
        }
        self.heap_bytes += row.len();
        self.rows.insert((group, row.into()), 1);
    }

    fn group(&self, group: u32) -> impl DoubleEndedIterator<Item = (&(u32, Box<[u8]>), &i64)> {
        let end = match group.checked_add(1) {
            Some(next) => Bound::Excluded((next, Box::default())),
            None => Bound::Unbounded,
        };
        self.rows
            .range((Bound::Included((group, Box::default())), end))
    }

    /// The rows that the function of a group is over, in order.
    fn of_group(&self, group: u32) -> Vec<&[u8]> {
        let mut there = self.group(group).filter(|(_, count)| **count > 0);
        match self.plan.pick {
            Some(Pick::First) => there
                .next()
                .map(|((_, row), _)| row.as_ref())
                .into_iter()
                .collect(),
            Some(Pick::Last) => there
                .next_back()
                .map(|((_, row), _)| row.as_ref())
                .into_iter()
                .collect(),
            None => there
                .flat_map(|((_, row), count)| {
                    let times = if self.distinct { 1 } else { *count as usize };
                    std::iter::repeat_n(row.as_ref(), times)
                })
                .collect(),
        }
    }

    /// The values of some groups, from the rows of all of them back to back.
    fn compute(
        &self,
        rows: &[&[u8]],
        lengths: &[usize],
    ) -> Result<(Vec<ArrayRef>, Vec<bool>), String> {
        let batch = self.decode(rows)?;
        let value = |e: &Arc<dyn PhysicalExpr>| e.evaluate(&batch)?.into_array(rows.len());
        let args = self.args.iter().map(value).collect::<Result<Vec<_>, _>>();
        let args: Vec<ArrayRef> = args.map_err(|e| e.strip_backtrace())?;
        let (mut values, mut failed, mut from) = (Vec::new(), Vec::new(), 0);
        for length in lengths {
            let part: Vec<ArrayRef> = args.iter().map(|a| a.slice(from, *length)).collect();
            from += length;
            let value = self.value(&part, *length);
            failed.push(value.is_err());
            values.push(match value {
                Ok(value) => value,
                Err(_) => new_null_array(&self.returns, 1),
            });
        }
        Ok((values, failed))
    }

    fn value(&self, args: &[ArrayRef], rows: usize) -> Result<ArrayRef, String> {
        let compute = || {
            let mut accumulator = self.plan.function.create_accumulator()?;
            if rows > 0 {
                accumulator.update_batch(args)?;
            }
            accumulator.evaluate()?.to_array_of_size(1)
        };
        let value = compute().map_err(|e| e.strip_backtrace())?;
        match value.data_type() == &self.returns {
            true => Ok(value),
            false => cast(&value, &self.returns).map_err(|e| e.to_string()),
        }
    }
}

impl Accumulator for Whole {
    fn grow(&mut self, _groups: usize) {}

    fn update(&mut self, rows: &Rows<'_>, arg: Option<&ArrayRef>) -> Result<(), String> {
        let arg = arg.ok_or("a function of rows without rows")?;
        let encoded = self.encode(arg.as_struct().columns())?;
        rows.each(|row, group, weight| {
            if weight != 0 {
                self.add(group as u32, encoded.row(row).as_ref(), weight);
            }
        });
        Ok(())
    }

    fn clear(&mut self, groups: &[u32]) {
        for group in groups {
            let gone: Vec<(u32, Box<[u8]>)> =
                self.group(*group).map(|(key, _)| key.clone()).collect();
            for key in gone {
                self.heap_bytes -= key.1.len();
                self.rows.remove(&key);
            }
        }
    }

    fn renumber(&mut self, kept: &[u32]) {
        let numbers = renumbered(kept);
        self.heap_bytes = 0;
        for ((group, row), count) in std::mem::take(&mut self.rows) {
            if let Some(group) = numbers.get(&group) {
                self.heap_bytes += row.len();
                self.rows.insert((*group, row), count);
            }
        }
    }

    fn values(&self, groups: &[u32]) -> Result<Values, String> {
        let (mut values, mut failed) = (Vec::with_capacity(groups.len()), Vec::new());
        let (mut rows, mut lengths) = (Vec::new(), Vec::new());
        for (at, group) in groups.iter().enumerate() {
            let of_group = self.of_group(*group);
            lengths.push(of_group.len());
            rows.extend(of_group);
            if rows.len() >= ROWS_AT_ONCE || at + 1 == groups.len() {
                let (more, which) = self.compute(&rows, &lengths)?;
                values.extend(more);
                failed.extend(which);
                (rows, lengths) = (Vec::new(), Vec::new());
            }
        }
        let values: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
        let array = match values.is_empty() {
            true => new_empty_array(&self.returns),
            false => concat(&values).map_err(|e| e.to_string())?,
        };
        let failed = failed.contains(&true).then_some(failed);
        Ok(Values { array, failed })
    }

    fn bytes(&self) -> usize {
        // B-tree nodes are about three quarters full; a row is an allocation of its own.
        let entry = size_of::<((u32, Box<[u8]>), i64)>() * 4 / 3 + 16;
        self.rows.len() * entry + self.heap_bytes
    }

    fn save(&self, out: &mut dyn Write) -> io::Result<()> {
        let groups: Vec<u32> = self.rows.keys().map(|(group, _)| *group).collect();
        put_all(out, &groups)?;
        put_all(out, &self.rows.values().copied().collect::<Vec<_>>())?;
        let types = types(&self.schema);
        let writer = RowWriter::new(&types).map_err(|e| invalid(e.to_string()))?;
        let rows: Vec<&[u8]> = self.rows.keys().map(|(_, row)| row.as_ref()).collect();
        for part in rows.chunks(ROWS_AT_ONCE) {
            let batch = self.decode(part).map_err(invalid)?;
            let encoded = writer.encode(batch.columns(), part.len());
            (0..part.len()).try_for_each(|row| put_bytes(out, encoded.get(row)))?;
        }
        Ok(())
    }

    fn load(&mut self, from: &mut dyn Read) -> io::Result<()> {
        let (groups, counts) = (get_all::<u32>(from)?, get_all::<i64>(from)?);
        if groups.len() != counts.len() {
            return Err(invalid("rows and their counts differ in number"));
        }
        (self.rows, self.heap_bytes) = (BTreeMap::new(), 0);
        let types = types(&self.schema);
        for (groups, counts) in groups.chunks(ROWS_AT_ONCE).zip(counts.chunks(ROWS_AT_ONCE)) {
            let mut reader = RowReader::new(&types).map_err(|e| invalid(e.to_string()))?;
            for _ in groups {
                reader
                    .push(&get_bytes(from)?)
                    .map_err(|e| invalid(e.to_string()))?;
            }
            let columns = reader.finish().map_err(|e| invalid(e.to_string()))?;
            let encoded = self.encode(&columns).map_err(invalid)?;
            for (row, (group, count)) in groups.iter().zip(counts).enumerate() {
                let row: Box<[u8]> = encoded.row(row).as_ref().into();
                self.heap_bytes += row.len();
                self.rows.insert((*group, row), *count);
            }
        }
        Ok(())
    }
}
