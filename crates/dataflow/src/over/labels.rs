//! Rows with a label of their session ([`plan::Labels`]): at the end of a step only rows whose label changed are taken back and given again.
//!
//! A key's rows are kept by time; a change is looked at from the first session on that it can touch. A row's own time is told of a session's first
//! and last rows only, for who wants the bounds.

use std::io::{self, Read, Write};
use std::ops::Range;

use datafusion::arrow::array::{ArrayRef, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use headwater_sql::graph as plan;

use super::changes::Changes;
use super::sessions::{Session, cut, label};
use crate::codec::persist::{
    expect_version, get_all, get_bytes, get_u64, invalid, put_all, put_bytes, put_u32, put_u64,
};
use crate::codec::{Arena, Damaged, RowReader, RowWriter, Span, types};
use crate::delta::{Delta, RowKind};
use crate::eval::{batch, broken};
use crate::keys::KeyTable;
use crate::operator::{Operator, OperatorError, StepContext};
use crate::times::times_us;

/// Not that of the window functions whose place this takes.
const VERSION: u32 = 2;
/// Changes that go out as one delta; those of a key are not parted.
const ROWS_AT_ONCE: usize = 16 * 1024;

/// `OVER` of a session's bounds, under an aggregate by session.
pub(crate) struct Sessions {
    key: String,
    schema: SchemaRef,
    types: Vec<DataType>,
    /// Input columns of the key.
    partition: Vec<usize>,
    plan: plan::Labels,
    keys: KeyTable,
    arena: Arena,
    /// By key.
    lists: Vec<List>,
    /// Distinct rows, and sessions, of all keys.
    len: usize,
    sessions: usize,
    /// By time.
    changes: Changes<i64>,
    /// Sessions that ended at or before this are forgotten.
    closed_us: i64,
}

#[derive(Default)]
struct List {
    /// By time, then by their bytes.
    rows: Vec<Entry>,
    sessions: Vec<Session>,
    /// Labels in ascending order that are after the end of their session, also of sessions that are forgotten.
    far: Vec<i64>,
}

#[derive(Clone, Copy)]
struct Entry {
    time: i64,
    span: Span,
    count: u32,
}

/// A row, and how often it was there before the step.
struct Moved {
    entry: Entry,
    was: u32,
}

/// Rows that go out.
struct Out {
    rows: RowReader,
    times: Vec<Option<i64>>,
    labels: Vec<i64>,
    kinds: Vec<RowKind>,
}

impl Sessions {
    pub(crate) fn new(
        node: &plan::Node,
        partition: &[usize],
        labels: plan::Labels,
        input: &SchemaRef,
    ) -> Result<Self, OperatorError> {
        let fail = |e: crate::codec::Unkept| broken(&node.key, e);
        let types = types(input);
        let key = partition.iter().map(|c| types[*c].clone()).collect();
        Ok(Self {
            key: node.key.clone(),
            schema: node.schema.clone(),
            partition: partition.to_vec(),
            plan: labels,
            changes: Changes::new(RowWriter::new(&types).map_err(fail)?),
            keys: KeyTable::new(key).map_err(fail)?,
            types,
            arena: Arena::default(),
            lists: Vec::new(),
            len: 0,
            sessions: 0,
            closed_us: i64::MIN,
        })
    }

    fn key_of(&self, delta: &Delta) -> Vec<ArrayRef> {
        let columns = self.partition.iter();
        columns.map(|c| delta.rows.column(*c).clone()).collect()
    }

    /// Remembers the rows until the end of the step.
    fn take(&mut self, delta: &Delta) -> Result<(), String> {
        let times = times_us(delta.rows.column(self.plan.time))?;
        let columns = self.key_of(delta);
        let keys = self
            .keys
            .intern(&columns, delta.len(), None, &mut Vec::new());
        self.lists.resize_with(self.keys.id_bound(), List::default);
        self.changes.take(delta, keys, times);
        Ok(())
    }

    /// Applies the changes of one key.
    fn change(&mut self, changes: Range<usize>, out: &mut Out) -> Result<(), Damaged> {
        let first = self.changes.get(changes.start);
        let gap_us = self.plan.gap_us;
        let mut list = std::mem::take(&mut self.lists[first.key as usize]);
        let untouched = list.sessions.partition_point(|s| s.end(gap_us) <= first.at);
        let old = list.sessions.split_off(untouched);
        let from = old.first().map_or(first.at, |s| s.first.min(first.at));
        let rows = list
            .rows
            .split_off(list.rows.partition_point(|e| e.time < from));
        self.len -= rows.len();
        self.sessions -= old.len();
        let moved = self.merged(rows, changes);
        let there = moved.iter().filter(|m| m.entry.count > 0);
        let mut new = cut(there.map(|m| m.entry.time), gap_us);
        let mut free: Vec<i64> = old.iter().map(|s| s.label).collect();
        free.sort_unstable();
        list.far.retain(|label| free.binary_search(label).is_err());
        label(&old, &mut new, (gap_us, self.closed_us), |label| {
            let ends = |s: &Session| s.end(gap_us).cmp(&label);
            list.far.binary_search(&label).is_ok() || list.sessions.binary_search_by(ends).is_ok()
        });
        self.tell(&moved, &old, &new, out)?;
        for m in moved {
            match m.entry.count {
                0 => self.arena.free(m.entry.span),
                _ => {
                    list.rows.push(m.entry);
                    self.len += 1;
                }
            }
        }
        self.sessions += new.len();
        let far = new.iter().filter(|s| s.label != s.end(gap_us));
        list.far.extend(far.map(|s| s.label));
        list.far.sort_unstable();
        list.sessions.extend(new);
        self.lists[first.key as usize] = list;
        Ok(())
    }

    /// A key's rows with the changes to them, all in order. A row that has gone has a count of 0.
    fn merged(&mut self, old: Vec<Entry>, mut changes: Range<usize>) -> Vec<Moved> {
        let mut merged = Vec::with_capacity(old.len() + changes.len());
        let kept = |entry: Entry| Moved {
            was: entry.count,
            entry,
        };
        let mut old = old.into_iter().peekable();
        while !changes.is_empty() {
            let time = self.changes.get(changes.start).at;
            let (row, weight, rest) = self.changes.next(changes);
            changes = rest;
            let arena = &self.arena;
            let place = |e: &Entry| (e.time, arena.get(e.span)).cmp(&(time, row));
            while let Some(entry) = old.next_if(|e| place(e).is_lt()) {
                merged.push(kept(entry));
            }
            let there = old.next_if(|e| place(e).is_eq());
            // More may leave than was there; a row is never owed.
            let was = there.map_or(0, |e| e.count);
            let count = (i64::from(was) + weight).clamp(0, i64::from(u32::MAX)) as u32;
            let entry = match there {
                Some(entry) => Entry { count, ..entry },
                None if count == 0 => continue,
                None => Entry {
                    time,
                    span: self.arena.put(row),
                    count,
                },
            };
            merged.push(Moved { entry, was });
        }
        merged.extend(old.map(kept));
        merged
    }

    /// Takes back and gives again what is told otherwise than before.
    fn tell(
        &self,
        moved: &[Moved],
        old: &[Session],
        new: &[Session],
        out: &mut Out,
    ) -> Result<(), Damaged> {
        let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
        for Moved { entry, was } in moved {
            let time = entry.time;
            while old.next_if(|s| s.last < time).is_some() {}
            while new.next_if(|s| s.last < time).is_some() {}
            let before = old.peek().filter(|_| *was > 0).map(|s| s.told(time));
            let after = new.peek().filter(|_| entry.count > 0).map(|s| s.told(time));
            let (mut leave, mut come) = (*was, entry.count);
            if before == after {
                let same = leave.min(come);
                (leave, come) = (leave - same, come - same);
            }
            let row = self.arena.get(entry.span);
            for (told, count, kind) in [
                (before, leave, RowKind::Delete),
                (after, come, RowKind::Insert),
            ] {
                if let Some((label, bound)) = told {
                    (0..count).try_for_each(|_| {
                        out.rows.push(row)?;
                        out.times.push(bound.then_some(time));
                        out.labels.push(label);
                        out.kinds.push(kind);
                        Ok(())
                    })?;
                }
            }
        }
        Ok(())
    }

    fn out(&self) -> Result<Out, String> {
        Ok(Out {
            rows: RowReader::new(&self.types).map_err(|e| e.to_string())?,
            times: Vec::new(),
            labels: Vec::new(),
            kinds: Vec::new(),
        })
    }

    fn delta(&self, out: Out) -> Result<Delta, String> {
        let rows = out.kinds.len();
        let mut columns = out.rows.finish().map_err(|e| e.to_string())?;
        let micros = |times: Int64Array, column: usize| {
            let data_type = self.schema.field(column).data_type();
            let zone = match data_type {
                DataType::Timestamp(_, zone) => zone.clone(),
                _ => None,
            };
            let us = DataType::Timestamp(TimeUnit::Microsecond, zone);
            cast(&times, &us).and_then(|times| cast(&times, data_type))
        };
        let (start, end) = (self.plan.start, self.plan.end);
        let mut bounds = [
            (start, micros(out.times.into(), start)),
            (end, micros(out.labels.into(), end)),
        ];
        bounds.sort_by_key(|(column, _)| *column);
        for (_, column) in bounds {
            columns.push(column.map_err(|e| e.to_string())?);
        }
        Ok(Delta {
            rows: batch(&self.schema, columns, rows)?,
            kinds: out
                .kinds
                .iter()
                .any(|k| !k.adds())
                .then(|| out.kinds.into()),
            origin: None,
        })
    }

    fn settle(&mut self) -> Result<Vec<Delta>, String> {
        self.changes.sort();
        let runs: Vec<_> = self.changes.runs().collect();
        let mut touched: Vec<u32> = Vec::with_capacity(runs.len());
        let (mut deltas, mut out) = (Vec::new(), self.out()?);
        for (key, run) in runs {
            touched.push(key);
            self.change(run, &mut out).map_err(|e| e.to_string())?;
            if out.kinds.len() >= ROWS_AT_ONCE {
                let full = std::mem::replace(&mut out, self.out()?);
                deltas.push(self.delta(full)?);
            }
        }
        if !out.kinds.is_empty() {
            deltas.push(self.delta(out)?);
        }
        self.changes.clear();
        self.tidy(&touched);
        Ok(deltas)
    }

    /// Forgets those of the keys of which nothing is left.
    fn tidy(&mut self, keys: &[u32]) {
        for key in keys {
            let list = &mut self.lists[*key as usize];
            if list.rows.is_empty() && list.far.is_empty() {
                *list = List::default();
                self.keys.remove(*key);
            }
        }
        self.keys.tidy();
        if self.arena.wasteful() {
            let rows = self.lists.iter_mut().flat_map(|l| &mut l.rows);
            self.arena.compact(rows.map(|e| &mut e.span));
        }
    }

    /// Forgets sessions that have ended: no row can join them any more. Their labels stay taken while a group may have them.
    fn end(&mut self, watermark_us: i64) {
        self.closed_us = self.closed_us.max(watermark_us);
        let keys = self.keys.ids();
        for key in &keys {
            let list = &mut self.lists[*key as usize];
            let ended = list
                .sessions
                .partition_point(|s| s.end(self.plan.gap_us) <= watermark_us);
            if let Some(last) = list.sessions[..ended].last().map(|s| s.last) {
                let gone = list.rows.partition_point(|e| e.time <= last);
                list.rows
                    .drain(..gone)
                    .for_each(|e| self.arena.free(e.span));
                self.len -= gone;
                list.sessions.drain(..ended);
                self.sessions -= ended;
            }
            list.far.retain(|label| *label > watermark_us);
        }
        self.tidy(&keys);
    }
}

impl Operator for Sessions {
    fn push(
        &mut self,
        _input: usize,
        delta: Delta,
        _ctx: &mut StepContext,
    ) -> Result<Vec<Delta>, OperatorError> {
        if !delta.is_empty() {
            self.take(&delta).map_err(|e| broken(&self.key, e))?;
        }
        Ok(Vec::new())
    }

    fn finish(&mut self, _ctx: &mut StepContext) -> Result<Vec<Delta>, OperatorError> {
        if self.changes.is_empty() {
            return Ok(Vec::new());
        }
        self.settle().map_err(|e| broken(&self.key, e))
    }

    fn closed(&mut self, watermark_us: i64) -> Result<(), OperatorError> {
        self.end(watermark_us);
        Ok(())
    }

    fn route(&self, _input: usize, delta: &Delta) -> Result<Option<Vec<u32>>, OperatorError> {
        let keyed = !self.partition.is_empty();
        Ok(keyed.then(|| self.keys.hashes(&self.key_of(delta), delta.len())))
    }

    fn keep(&mut self, wanted: &dyn Fn(u32) -> bool) -> Result<(), OperatorError> {
        if self.partition.is_empty() {
            return Ok(());
        }
        let mut ids = self.keys.ids();
        ids.retain(|id| wanted(self.keys.hash(*id)));
        self.keys.keep(&ids);
        let lists = ids.iter();
        self.lists = lists
            .map(|id| std::mem::take(&mut self.lists[*id as usize]))
            .collect();
        self.count();
        let rows = self.lists.iter_mut().flat_map(|l| &mut l.rows);
        self.arena.compact(rows.map(|e| &mut e.span));
        Ok(())
    }

    fn state_bytes(&self) -> usize {
        // A session may have a label of its own to remember.
        self.keys.bytes()
            + self.arena.bytes()
            + self.lists.capacity() * size_of::<List>()
            + self.len * size_of::<Entry>()
            + self.sessions * (size_of::<Session>() + size_of::<i64>())
    }

    fn state_rows(&self) -> usize {
        self.len
    }

    fn snapshot(&self, out: &mut dyn Write) -> io::Result<()> {
        put_u32(out, VERSION)?;
        put_u64(out, self.closed_us as u64)?;
        self.keys.save(out)?;
        for list in &self.lists {
            put_all(out, &list.rows.iter().map(|e| e.time).collect::<Vec<_>>())?;
            put_all(out, &list.rows.iter().map(|e| e.count).collect::<Vec<_>>())?;
            for entry in &list.rows {
                put_bytes(out, self.arena.get(entry.span))?;
            }
            let sessions = list.sessions.iter();
            let bounds = sessions.flat_map(|s| [s.first, s.last, i64::from(s.rows), s.label]);
            put_all(out, &bounds.collect::<Vec<_>>())?;
            put_all(out, &list.far)?;
        }
        Ok(())
    }

    fn restore(&mut self, from: &mut dyn Read) -> io::Result<()> {
        expect_version(from, VERSION)?;
        self.closed_us = get_u64(from)? as i64;
        self.keys.load(from)?;
        (self.arena, self.lists) = (Arena::default(), Vec::new());
        for _ in 0..self.keys.id_bound() {
            let list = self.load_list(from)?;
            self.lists.push(list);
        }
        self.count();
        Ok(())
    }
}

impl Sessions {
    fn count(&mut self) {
        self.len = self.lists.iter().map(|l| l.rows.len()).sum();
        self.sessions = self.lists.iter().map(|l| l.sessions.len()).sum();
    }

    fn load_list(&mut self, from: &mut dyn Read) -> io::Result<List> {
        let (times, counts) = (get_all::<i64>(from)?, get_all::<u32>(from)?);
        if times.len() != counts.len() {
            return Err(invalid("rows and their counts differ in number"));
        }
        let mut rows = Vec::with_capacity(times.len());
        for (time, count) in times.into_iter().zip(counts) {
            let span = self.arena.put(&get_bytes(from)?);
            rows.push(Entry { time, span, count });
        }
        let bounds = get_all::<i64>(from)?;
        let sessions = bounds.as_chunks::<4>();
        if !sessions.1.is_empty() {
            return Err(invalid("a session has four numbers"));
        }
        let session = |&[first, last, rows, label]: &[i64; 4]| Session {
            first,
            last,
            rows: u32::try_from(rows).unwrap_or(u32::MAX),
            label,
        };
        Ok(List {
            rows,
            sessions: sessions.0.iter().map(session).collect(),
            far: get_all(from)?,
        })
    }
}
