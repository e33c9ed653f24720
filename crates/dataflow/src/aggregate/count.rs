//! `count(*)` and `count(x)`.

use std::io::{self, Read, Write};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array};

use super::accumulator::{Accumulator, Rows, Values, picked};
use crate::codec::persist::{get_all, put_all};

#[derive(Default)]
pub(crate) struct Count {
    counts: Vec<i64>,
}

impl Accumulator for Count {
    fn grow(&mut self, groups: usize) {
        self.counts.resize(groups, 0);
    }

    fn update(&mut self, rows: &Rows<'_>, _arg: Option<&ArrayRef>) -> Result<(), String> {
        rows.each(|_, group, weight| self.counts[group] += weight);
        Ok(())
    }

    fn clear(&mut self, groups: &[u32]) {
        groups.iter().for_each(|g| self.counts[*g as usize] = 0);
    }

    fn renumber(&mut self, kept: &[u32]) {
        self.counts = picked(&self.counts, kept);
    }

    fn values(&self, groups: &[u32]) -> Result<Values, String> {
        let counts = groups.iter().map(|g| self.counts[*g as usize]);
        Ok(Values::fine(Arc::new(Int64Array::from_iter_values(counts))))
    }

    fn bytes(&self) -> usize {
        self.counts.capacity() * size_of::<i64>()
    }

    fn save(&self, out: &mut dyn Write) -> io::Result<()> {
        put_all(out, &self.counts)
    }

    fn load(&mut self, from: &mut dyn Read) -> io::Result<()> {
        self.counts = get_all(from)?;
        Ok(())
    }
}
