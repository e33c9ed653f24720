//! What an interval join lets go of: rows that no row in time can match any more, by the watermark. A row that comes later than its
//! own partition's watermark would find a part of its partners only; it is late, told and left out.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Write};

use datafusion::arrow::array::BooleanArray;
use headwater_sql::graph::Within;

use super::Join;
use crate::codec::persist::{get_all, get_u64, put_all, put_u64};
use crate::delta::Delta;
use crate::operator::{OperatorError, StepContext};
use crate::times::times_us;

/// Rows are let go in pieces of time: this part of how long they are kept.
const PIECES: i64 = 64;

pub(super) struct Expiry {
    plan: Within,
    /// Length of a piece of time, microseconds, by side.
    piece_us: [i64; 2],
    /// Keys and places by the piece in which they are let go.
    waiting: [BTreeMap<i64, Vec<u32>>; 2],
    /// What the watermark was when rows were let go last.
    gone_us: i64,
}

impl Expiry {
    pub(super) fn new(plan: Within) -> Self {
        let span = plan.keep_us[0].saturating_add(plan.keep_us[1]);
        let piece = (span / PIECES).max(1);
        Self {
            plan,
            piece_us: [piece, piece],
            waiting: [BTreeMap::new(), BTreeMap::new()],
            gone_us: i64::MIN,
        }
    }

    fn wait(&mut self, side: usize, time_us: i64, key: u32, place: u32) {
        let until = time_us.saturating_add(self.plan.keep_us[side]);
        let piece = until.div_euclid(self.piece_us[side]);
        let rows = self.waiting[side].entry(piece).or_default();
        rows.extend([key, place]);
    }

    /// Keys and places of the rows that the watermark has passed for good.
    fn pass(&mut self, side: usize, watermark_us: i64) -> Vec<(u32, u32)> {
        let piece = self.piece_us[side];
        let mut gone = Vec::new();
        while let Some(first) = self.waiting[side].first_entry() {
            // A piece is done with when its last microsecond is.
            let last = first.key().saturating_add(1).saturating_mul(piece) - 1;
            if last >= watermark_us && watermark_us != i64::MAX {
                break;
            }
            gone.extend(first.remove().chunks_exact(2).map(|p| (p[0], p[1])));
        }
        gone.sort_unstable();
        gone
    }

    /// The watermark at which something can be let go.
    pub(super) fn due_us(&self) -> Option<i64> {
        let first = |side: usize| {
            let piece = *self.waiting[side].first_key_value()?.0;
            Some(piece.saturating_add(1).saturating_mul(self.piece_us[side]))
        };
        first(0).into_iter().chain(first(1)).min()
    }

    /// After rows were moved: old place to new key and place.
    pub(super) fn moved(&mut self, side: usize, places: &HashMap<u32, (u32, u32)>) {
        for rows in self.waiting[side].values_mut() {
            let pairs = rows.chunks_exact(2).filter_map(|p| places.get(&p[1]));
            *rows = pairs.flat_map(|(key, place)| [*key, *place]).collect();
        }
        self.waiting[side].retain(|_, rows| !rows.is_empty());
    }

    pub(super) fn bytes(&self) -> usize {
        let pieces = self.waiting.iter().flat_map(|w| w.values());
        pieces.map(|rows| 48 + rows.capacity() * 4).sum()
    }

    pub(super) fn save(&self, out: &mut dyn Write) -> io::Result<()> {
        put_u64(out, self.gone_us as u64)?;
        for waiting in &self.waiting {
            put_u64(out, waiting.len() as u64)?;
            for (piece, rows) in waiting {
                put_u64(out, *piece as u64)?;
                put_all(out, rows)?;
            }
        }
        Ok(())
    }

    pub(super) fn load(&mut self, from: &mut dyn Read) -> io::Result<()> {
        self.gone_us = get_u64(from)? as i64;
        for waiting in &mut self.waiting {
            waiting.clear();
            for _ in 0..get_u64(from)? {
                let piece = get_u64(from)? as i64;
                waiting.insert(piece, get_all(from)?);
            }
        }
        Ok(())
    }
}

impl Join {
    /// Each row's time, of a join that lets go of rows; `i64::MAX` for none.
    pub(super) fn times(&self, side: usize, delta: &Delta) -> Result<Vec<i64>, OperatorError> {
        let Some(expiry) = &self.expiry else {
            return Ok(Vec::new());
        };
        let column = delta.rows.column(expiry.plan.columns[side]);
        let shift = expiry.plan.shift_us[side];
        let mut times = times_us(column).map_err(|e| self.broken(e))?;
        for time in times.iter_mut().filter(|time| **time != i64::MAX) {
            *time = time.saturating_sub(shift);
        }
        Ok(times)
    }

    /// The delta less its late rows, which are told.
    pub(super) fn in_time(
        &self,
        side: usize,
        delta: Delta,
        ctx: &mut StepContext,
    ) -> Result<Delta, OperatorError> {
        let Some(expiry) = &self.expiry else {
            return Ok(delta);
        };
        let times = self.times(side, &delta)?;
        let own = delta.origin.as_ref().map(|o| &o.watermark);
        let slack = expiry.plan.slack_us[side];
        let in_time = |row: usize| {
            let watermark = own.map_or(i64::MIN, |w| w[row]).max(expiry.gone_us);
            times[row] >= watermark.saturating_sub(slack)
        };
        let mask: BooleanArray = (0..times.len()).map(|row| Some(in_time(row))).collect();
        let kept = ctx.in_time(&self.key, delta, &mask);
        kept.map_err(|e| self.broken(e))
    }

    pub(super) fn wait(&mut self, side: usize, time_us: i64, key: u32, place: u32) {
        if let Some(expiry) = &mut self.expiry {
            expiry.wait(side, time_us, key, place);
        }
    }

    /// Lets go of what the watermark has passed. Says nothing: no row in time asks for it.
    pub(super) fn expire(&mut self, watermark_us: i64) {
        let Some(expiry) = &mut self.expiry else {
            return;
        };
        if watermark_us <= expiry.gone_us {
            return;
        }
        expiry.gone_us = watermark_us;
        let gone = [expiry.pass(0, watermark_us), expiry.pass(1, watermark_us)];
        for (side, rows) in gone.iter().enumerate() {
            for of_key in rows.chunk_by(|a, b| a.0 == b.0) {
                let places: Vec<u32> = of_key.iter().map(|(_, place)| *place).collect();
                self.sides[side].forget(of_key[0].0, &places);
            }
        }
        let mut keys: Vec<u32> = gone.iter().flatten().map(|(key, _)| *key).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.retain(|key| self.sides.iter().all(|s| s.is_empty(*key)));
        keys.into_iter().for_each(|key| self.keys.remove(key));
    }
}
