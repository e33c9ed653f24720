//! Rows of each window until it closes: what came and was not taken back is given out then, once, in the order of its encoding.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use headwater_sql::graph as plan;

use crate::codec::persist::{expect_version, get_bytes, get_u64, put_bytes, put_u32, put_u64};
use crate::codec::{RowReader, RowWriter, hash, types};
use crate::delta::Delta;
use crate::eval::{batch, broken};
use crate::operator::{Due, Operator, OperatorError, StepContext};
use crate::times::times_us;

const VERSION: u32 = 1;

pub(crate) struct Hold {
    key: String,
    schema: SchemaRef,
    types: Vec<DataType>,
    /// Column with the window's end.
    column: usize,
    writer: RowWriter,
    /// Windows that end at or before this have been given out.
    closed_us: i64,
    /// Counts by window end and row. Never 0; one below 0 awaits its row within the step.
    rows: BTreeMap<(i64, Box<[u8]>), i64>,
    heap_bytes: usize,
}

impl Hold {
    pub(crate) fn new(node: &plan::Node, column: usize) -> Result<Self, OperatorError> {
        let types = types(&node.schema);
        Ok(Self {
            key: node.key.clone(),
            schema: node.schema.clone(),
            writer: RowWriter::new(&types).map_err(|e| broken(&node.key, e))?,
            types,
            column,
            closed_us: i64::MIN,
            rows: BTreeMap::new(),
            heap_bytes: 0,
        })
    }

    fn add(&mut self, end: i64, row: &[u8], weight: i64) {
        let place = (end, Box::from(row));
        match self.rows.entry(place) {
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

    fn absorb(&mut self, delta: &Delta) -> Result<(), String> {
        let ends = times_us(delta.rows.column(self.column))?;
        let rows = self.writer.encode(delta.rows.columns(), delta.len());
        for (row, end) in ends.into_iter().enumerate() {
            // What is taken back of a window that was given out stays as it was given.
            if end > self.closed_us {
                self.add(end, rows.get(row), delta.kind(row).weight());
            }
        }
        Ok(())
    }

    fn give(
        &self,
        closed: &BTreeMap<(i64, Box<[u8]>), i64>,
    ) -> Result<Option<RecordBatch>, String> {
        let mut reader = RowReader::new(&self.types).map_err(|e| e.to_string())?;
        let mut count = 0;
        for ((_, row), times) in closed {
            for _ in 0..(*times).max(0) {
                reader.push(row).map_err(|e| e.to_string())?;
                count += 1;
            }
        }
        if count == 0 {
            return Ok(None);
        }
        let columns = reader.finish().map_err(|e| e.to_string())?;
        batch(&self.schema, columns, count).map(Some)
    }
}

impl Operator for Hold {
    fn push(
        &mut self,
        _input: usize,
        delta: Delta,
        _ctx: &mut StepContext,
    ) -> Result<Vec<Delta>, OperatorError> {
        self.absorb(&delta).map_err(|e| broken(&self.key, e))?;
        Ok(Vec::new())
    }

    fn finish(&mut self, ctx: &mut StepContext) -> Result<Vec<Delta>, OperatorError> {
        if ctx.watermark_us <= self.closed_us {
            return Ok(Vec::new());
        }
        self.closed_us = ctx.watermark_us;
        let open = match self.closed_us.checked_add(1) {
            Some(next) => self.rows.split_off(&(next, Box::default())),
            None => BTreeMap::new(),
        };
        let closed = std::mem::replace(&mut self.rows, open);
        self.heap_bytes -= closed.keys().map(|(_, row)| row.len()).sum::<usize>();
        let rows = self.give(&closed).map_err(|e| broken(&self.key, e))?;
        Ok(rows.map(Delta::inserts).into_iter().collect())
    }

    fn route(&self, _input: usize, delta: &Delta) -> Result<Option<Vec<u32>>, OperatorError> {
        let rows = self.writer.encode(delta.rows.columns(), delta.len());
        let hashes = (0..delta.len()).map(|row| hash::of_bytes(rows.get(row)));
        Ok(Some(hashes.collect()))
    }

    fn keep(&mut self, wanted: &dyn Fn(u32) -> bool) -> Result<(), OperatorError> {
        self.rows.retain(|(_, row), _| wanted(hash::of_bytes(row)));
        self.heap_bytes = self.rows.keys().map(|(_, row)| row.len()).sum();
        Ok(())
    }

    fn due(&self) -> Due {
        Due {
            watermark_us: self.rows.first_key_value().map(|((end, _), _)| *end),
            clock_us: None,
        }
    }

    fn state_bytes(&self) -> usize {
        // B-tree nodes are about three quarters full; a row is an allocation of its own.
        self.rows.len() * (size_of::<((i64, Box<[u8]>), i64)>() * 4 / 3 + 16) + self.heap_bytes
    }

    fn state_rows(&self) -> usize {
        self.rows.len()
    }

    fn snapshot(&self, out: &mut dyn Write) -> io::Result<()> {
        put_u32(out, VERSION)?;
        put_u64(out, self.closed_us as u64)?;
        put_u64(out, self.rows.len() as u64)?;
        for ((end, row), count) in &self.rows {
            put_u64(out, *end as u64)?;
            put_u64(out, *count as u64)?;
            put_bytes(out, row)?;
        }
        Ok(())
    }

    fn restore(&mut self, from: &mut dyn Read) -> io::Result<()> {
        expect_version(from, VERSION)?;
        self.closed_us = get_u64(from)? as i64;
        (self.rows, self.heap_bytes) = (BTreeMap::new(), 0);
        for _ in 0..get_u64(from)? {
            let (end, count) = (get_u64(from)? as i64, get_u64(from)? as i64);
            let row = get_bytes(from)?;
            self.heap_bytes += row.len();
            self.rows.insert((end, row.into()), count);
        }
        Ok(())
    }
}
