//! `EMIT ON WINDOW CLOSE`: groups wait for the watermark to reach their window's end, are emitted once and forgotten. Rows of windows
//! that have closed, for their own partition or here, are late.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use datafusion::arrow::array::{ArrayRef, BooleanArray};

use super::Aggregate;
use super::accumulator::renumbered;
use super::input::Input;
use crate::codec::persist::{get_all, get_u64, put_all, put_u64};
use crate::delta::Delta;
use crate::eval::broken;
use crate::operator::{OperatorError, StepContext};
use crate::times::times_us;

pub(super) struct Closing {
    /// Group column with the window's end.
    column: usize,
    /// Windows that end at or before this have been emitted.
    closed_us: i64,
    waiting: BTreeMap<i64, Vec<u32>>,
    groups: usize,
}

impl Closing {
    pub(super) fn new(column: usize) -> Self {
        Self {
            column,
            closed_us: i64::MIN,
            waiting: BTreeMap::new(),
            groups: 0,
        }
    }

    /// Rows of windows that have closed, for their own partition or here.
    fn late(&self, group: &[ArrayRef], delta: &Delta) -> Result<Vec<u32>, String> {
        let ends = times_us(&group[self.column])?;
        let own = delta.origin.as_ref().map(|o| &o.watermark);
        let watermark = |row: usize| own.map_or(i64::MIN, |w| w[row]).max(self.closed_us);
        Ok(positions(&ends, |row, end| end <= watermark(row)))
    }

    /// Remembers when new groups will close.
    pub(super) fn register(&mut self, fresh: &[(u32, u32)], input: &Input) -> Result<(), String> {
        if fresh.is_empty() {
            return Ok(());
        }
        let ends = times_us(&input.group[self.column])?;
        for (group, row) in fresh {
            self.waiting
                .entry(ends[*row as usize])
                .or_default()
                .push(*group);
        }
        self.groups += fresh.len();
        Ok(())
    }

    /// Closes all windows up to the watermark: their groups, window by window.
    fn close(&mut self, watermark_us: i64) -> Vec<Vec<u32>> {
        if watermark_us <= self.closed_us {
            return Vec::new();
        }
        self.closed_us = watermark_us;
        let open = match watermark_us.checked_add(1) {
            Some(next) => self.waiting.split_off(&next),
            None => BTreeMap::new(),
        };
        let closed: Vec<Vec<u32>> = std::mem::replace(&mut self.waiting, open)
            .into_values()
            .collect();
        self.groups -= closed.iter().map(Vec::len).sum::<usize>();
        closed
    }

    /// When the next window closes, microseconds.
    pub(super) fn next_us(&self) -> Option<i64> {
        self.waiting.first_key_value().map(|(end, _)| *end)
    }

    /// Forgets all groups but these, which are numbered anew.
    pub(super) fn renumber(&mut self, kept: &[u32]) {
        let numbers = renumbered(kept);
        for groups in self.waiting.values_mut() {
            *groups = groups
                .iter()
                .filter_map(|group| numbers.get(group).copied())
                .collect();
        }
        self.waiting.retain(|_, groups| !groups.is_empty());
        self.groups = self.waiting.values().map(Vec::len).sum();
    }

    pub(super) fn bytes(&self) -> usize {
        self.groups * 4 + self.waiting.len() * 48
    }

    pub(super) fn save(&self, out: &mut dyn Write) -> io::Result<()> {
        put_u64(out, self.closed_us as u64)?;
        put_u64(out, self.waiting.len() as u64)?;
        for (end, groups) in &self.waiting {
            put_u64(out, *end as u64)?;
            put_all(out, groups)?;
        }
        Ok(())
    }

    pub(super) fn load(&mut self, from: &mut dyn Read) -> io::Result<()> {
        self.closed_us = get_u64(from)? as i64;
        (self.waiting, self.groups) = (BTreeMap::new(), 0);
        for _ in 0..get_u64(from)? {
            let (end, groups) = (get_u64(from)? as i64, get_all(from)?);
            self.groups += groups.len();
            self.waiting.insert(end, groups);
        }
        Ok(())
    }
}

/// The rows whose window end is so.
fn positions(ends: &[i64], so: impl Fn(usize, i64) -> bool) -> Vec<u32> {
    (0..)
        .zip(ends)
        .filter(|(row, end)| so(*row as usize, **end))
        .map(|(row, _)| row)
        .collect()
}

impl Aggregate {
    /// Reports late rows; which rows are not, or `None` if none is late. Late is also what belongs to a group that has been let go:
    /// it would come back with a part of its rows only.
    pub(super) fn judge(
        &self,
        group: &[ArrayRef],
        delta: &Delta,
        ctx: &mut StepContext,
    ) -> Result<Option<BooleanArray>, String> {
        let late = match (&self.closing, self.window_end) {
            (Some(closing), _) => closing.late(group, delta)?,
            (None, Some(column)) if self.gone_us > i64::MIN => {
                positions(&times_us(&group[column])?, |_, end| end < self.gone_us)
            }
            _ => return Ok(None),
        };
        if late.is_empty() {
            return Ok(None);
        }
        ctx.tell_late(&self.key, delta, late.iter().copied())
            .map_err(|e| e.to_string())?;
        let mut good = vec![true; delta.len()];
        late.iter().for_each(|row| good[*row as usize] = false);
        Ok(Some(good.into()))
    }

    pub(super) fn emit_closed(
        &mut self,
        ctx: &mut StepContext,
    ) -> Result<Vec<Delta>, OperatorError> {
        let Some(closing) = &mut self.closing else {
            return Ok(Vec::new());
        };
        let mut due = Vec::new();
        for mut window in closing.close(ctx.watermark_us) {
            self.groups.sort(&mut window);
            due.extend(window);
        }
        let (full, empty): (Vec<u32>, Vec<u32>) =
            due.into_iter().partition(|g| self.groups.rows(*g) > 0);
        let delta = match full.is_empty() {
            true => None,
            false => self
                .emit_groups(full.clone(), ctx)
                .map_err(|e| broken(&self.key, e))?,
        };
        self.forget(&full);
        self.forget(&empty);
        Ok(delta.into_iter().collect())
    }

    /// Forgets groups whose window ended before `older_than_us` (as views do with their rows), without a word downstream. Those that wait for their
    /// window to close keep waiting.
    pub(super) fn let_go(&mut self, older_than_us: i64) -> Result<(), OperatorError> {
        let (Some(column), None) = (self.window_end, &self.closing) else {
            return Ok(());
        };
        let live = self.groups.live();
        let columns = self
            .groups
            .columns(&live)
            .map_err(|e| broken(&self.key, e))?;
        let ends = times_us(&columns[column]).map_err(|e| broken(&self.key, e))?;
        let old: Vec<u32> = live
            .iter()
            .zip(ends)
            .filter(|(_, end)| *end < older_than_us)
            .map(|(g, _)| *g)
            .collect();
        self.forget(&old);
        self.gone_us = self.gone_us.max(older_than_us);
        Ok(())
    }
}
