//! A join's state by key: where a row's state is, and a state cut down to some of its keys.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::physical_expr::PhysicalExpr;

use super::Join;
use crate::delta::Delta;
use crate::keys::KeyTable;
use crate::operator::OperatorError;

/// Of rows that match nothing, or whose key cannot be computed: they have no state.
const NOWHERE: u32 = 0;
/// Keys that are copied at once.
const KEYS_AT_ONCE: usize = 8_192;

impl Join {
    /// The hash of each row's key, the same for both sides; `None` for a join without keys.
    pub(super) fn hashes(
        &self,
        side: usize,
        delta: &Delta,
    ) -> Result<Option<Vec<u32>>, OperatorError> {
        if self.key_types.is_empty() {
            return Ok(None);
        }
        if let Some(columns) = evaluated(&self.on[side], &delta.rows) {
            return self.hashes_of(&columns, delta.len()).map(Some);
        }
        let one = |row: usize| match evaluated(&self.on[side], &delta.rows.slice(row, 1)) {
            Some(columns) => self.hashes_of(&columns, 1).map(|h| h[0]),
            None => Ok(NOWHERE),
        };
        (0..delta.len())
            .map(one)
            .collect::<Result<_, _>>()
            .map(Some)
    }

    fn hashes_of(&self, columns: &[ArrayRef], rows: usize) -> Result<Vec<u32>, OperatorError> {
        let columns = self.as_keys(columns)?;
        let mut hashes = self.keys.hashes(&columns, rows);
        if let Some(there) = self.there(&columns) {
            let lost = (0..rows).filter(|row| there.is_null(*row));
            lost.for_each(|row| hashes[row] = NOWHERE);
        }
        Ok(hashes)
    }

    /// Cuts the state down to the keys whose hash is wanted, into tables that are no larger than needed.
    pub(super) fn keep_keys(&mut self, wanted: &dyn Fn(u32) -> bool) -> Result<(), OperatorError> {
        let ids: Vec<u32> = self
            .keys
            .ids()
            .into_iter()
            .filter(|id| wanted(self.keys.hash(*id)))
            .collect();
        let mut keys = KeyTable::new(self.key_types.clone()).map_err(|e| self.broken(e))?;
        for part in ids.chunks(KEYS_AT_ONCE) {
            let columns = self.keys.columns(part).map_err(|e| self.broken(e))?;
            keys.intern(&columns, part.len(), None, &mut Vec::new());
        }
        let mut moved = [HashMap::new(), HashMap::new()];
        let left = self.sides[0].only(&ids, &mut moved[0]);
        let right = self.sides[1].only(&ids, &mut moved[1]);
        let sides = left.and_then(|left| Ok([left, right?]));
        self.sides = sides.map_err(|e| self.broken(e))?;
        self.keys = keys;
        if let Some(expiry) = &mut self.expiry {
            expiry.moved(0, &moved[0]);
            expiry.moved(1, &moved[1]);
        }
        Ok(())
    }
}

/// `None` if one of them fails on a row.
fn evaluated(exprs: &[Arc<dyn PhysicalExpr>], rows: &RecordBatch) -> Option<Vec<ArrayRef>> {
    let one = |e: &Arc<dyn PhysicalExpr>| e.evaluate(rows).ok()?.into_array(rows.num_rows()).ok();
    exprs.iter().map(one).collect()
}
