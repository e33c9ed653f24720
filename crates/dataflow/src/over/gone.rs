//! Keys with a window that retention has let go of: they stay gone, and rows that come for them are late.

use std::io::{self, Read, Write};

use datafusion::arrow::array::{ArrayRef, BooleanArray};
use headwater_sql::graph::Node;

use crate::codec::persist::{get_u64, put_u64};
use crate::delta::Delta;
use crate::operator::StepContext;
use crate::times::times_us;

pub(crate) struct Gone {
    /// Key column with the window's end: its place in the key, and in the input.
    column: Option<(usize, usize)>,
    /// Windows that ended before this have been let go.
    us: i64,
}

impl Gone {
    /// Of a node whose output begins with its input's columns, and which has the key columns `key`.
    pub(crate) fn of(node: &Node, key: &[usize]) -> Self {
        let end = node.props.window_end;
        let column = end.and_then(|end| Some((key.iter().position(|k| *k == end)?, end)));
        Self {
            column,
            us: i64::MIN,
        }
    }

    /// The rows that are not of a window that is gone; the others are reported.
    pub(crate) fn judge(
        &self,
        operator: &str,
        delta: Delta,
        ctx: &mut StepContext,
    ) -> Result<Delta, String> {
        let Some((_, column)) = self.column.filter(|_| self.us > i64::MIN) else {
            return Ok(delta);
        };
        let ends = times_us(delta.rows.column(column))?;
        let in_time: BooleanArray = ends.iter().map(|end| Some(*end >= self.us)).collect();
        let kept = ctx.in_time(operator, delta, &in_time);
        kept.map_err(|e| e.to_string())
    }

    /// The keys whose window ended before `older_than_us`: to be forgotten, for good.
    pub(crate) fn let_go(
        &mut self,
        older_than_us: i64,
        keys: &[u32],
        columns: &[ArrayRef],
    ) -> Result<Vec<u32>, String> {
        let Some((place, _)) = self.column else {
            return Ok(Vec::new());
        };
        self.us = self.us.max(older_than_us);
        let ends = times_us(&columns[place])?;
        let old = keys.iter().zip(ends).filter(|(_, end)| *end < self.us);
        Ok(old.map(|(key, _)| *key).collect())
    }

    pub(crate) fn save(&self, out: &mut dyn Write) -> io::Result<()> {
        put_u64(out, self.us as u64)
    }

    pub(crate) fn load(&mut self, from: &mut dyn Read) -> io::Result<()> {
        self.us = get_u64(from)? as i64;
        Ok(())
    }
}
