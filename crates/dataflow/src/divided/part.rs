//! One part of a divided state: an operator that holds the keys of a range of hashes, in memory or in the spill store.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::delta::Delta;
use crate::eval::broken;
use crate::operator::{Due, LateRow, Operator, OperatorError, RowError, StepContext};
use crate::spill::{PartId, SpillStore};

/// Halvings after which a part is never divided again: its keys are few and large.
pub(super) const DEPTH_MAX: u8 = 12;

pub(super) type Make = Arc<dyn Fn() -> Result<Box<dyn Operator>, OperatorError> + Send + Sync>;

/// The clock and the watermark of a step, microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub now_us: i64,
    pub watermark_us: i64,
}

impl Moment {
    pub(super) const START: Self = Self {
        now_us: i64::MIN,
        watermark_us: i64::MIN,
    };

    pub(super) fn context(self) -> StepContext {
        StepContext {
            now_us: self.now_us,
            watermark_us: self.watermark_us,
            errors: Vec::new(),
            late: Vec::new(),
        }
    }
}

/// What all parts of a step share.
pub(super) struct Around<'a> {
    pub key: &'a str,
    pub make: &'a Make,
    pub store: Option<&'a Arc<dyn SpillStore>>,
    pub part_bytes_max: usize,
    /// Bytes that all parts together may hold in memory.
    pub allowed: usize,
    /// Bytes that they hold now.
    pub resident: AtomicUsize,
    /// Steps before this one.
    pub step: u64,
    pub before: Moment,
    pub now: Moment,
}

impl Around<'_> {
    fn broken(&self, reason: impl std::fmt::Display) -> OperatorError {
        broken(self.key, reason)
    }

    fn grew(&self, from: usize, to: usize) {
        self.resident.fetch_add(to, Ordering::AcqRel);
        self.resident.fetch_sub(from, Ordering::AcqRel);
    }
}

/// See the module's description. It holds the keys whose hash begins with `prefix`, `depth` bits of it.
pub(super) struct Part {
    pub prefix: u32,
    pub depth: u8,
    /// `None`: spilled.
    pub live: Option<Box<dyn Operator>>,
    /// Where the store holds exactly this state.
    pub saved: Option<PartId>,
    /// Bytes of memory it takes, or took.
    pub bytes: usize,
    /// Bytes that it takes in the store.
    pub saved_bytes: usize,
    pub rows: usize,
    pub due: Due,
    /// The step that last ran it.
    pub ran: u64,
    /// Rows of this step.
    pub waiting: Vec<(usize, Delta)>,
    /// It was tried in vain to divide it at this size.
    pub indivisible: usize,
    /// Times it came back from the store.
    pub loads: u64,
}

/// What a part gave in a step.
pub(super) struct Done {
    pub prefix: u32,
    pub deltas: Vec<Delta>,
    pub errors: Vec<RowError>,
    pub late: Vec<LateRow>,
    /// Parts that were divided off.
    pub more: Vec<Part>,
}

impl Part {
    pub(super) fn new(operator: Box<dyn Operator>) -> Self {
        Self {
            prefix: 0,
            depth: 0,
            live: Some(operator),
            saved: None,
            bytes: 0,
            saved_bytes: 0,
            rows: 0,
            due: Due::default(),
            ran: 0,
            waiting: Vec::new(),
            indivisible: 0,
            loads: 0,
        }
    }

    /// First hash that is in it.
    pub(super) fn first(&self) -> u32 {
        match self.depth {
            0 => 0,
            depth => self.prefix << (32 - depth),
        }
    }

    pub(super) fn is_due(&self, now: Moment) -> bool {
        let reached = |due: Option<i64>, at: i64| due.is_some_and(|due| due <= at);
        reached(self.due.watermark_us, now.watermark_us) || reached(self.due.clock_us, now.now_us)
    }

    pub(super) fn resident_bytes(&self) -> usize {
        if self.live.is_some() { self.bytes } else { 0 }
    }

    /// The state, from the store if need be.
    pub(super) fn load(
        &mut self,
        around: &Around<'_>,
    ) -> Result<&mut Box<dyn Operator>, OperatorError> {
        if self.live.is_none() {
            let (Some(store), Some(id)) = (around.store, self.saved) else {
                return Err(around.broken("a part of its state is nowhere"));
            };
            let bytes = store.get(id).map_err(|e| around.broken(e))?;
            let mut operator = (around.make)()?;
            operator
                .restore(&mut bytes.as_slice())
                .map_err(|e| around.broken(e))?;
            self.loads += 1;
            self.bytes = operator.state_bytes();
            around.grew(0, self.bytes);
            self.live = Some(operator);
        }
        self.live
            .as_mut()
            .ok_or_else(|| around.broken("a part of its state is nowhere"))
    }

    /// Takes in the step's rows and ends the step; divided or spilled afterwards if that has to be.
    pub(super) fn run(&mut self, around: &Around<'_>) -> Result<Done, OperatorError> {
        let lagging = self.ran + 1 < around.step && around.before != Moment::START;
        let waiting = std::mem::take(&mut self.waiting);
        let operator = self.load(around)?;
        let mut ctx = around.now.context();
        let mut deltas = Vec::new();
        if lagging {
            // It slept: what it would have noticed of time it has to know before it judges rows.
            let mut earlier = around.before.context();
            deltas.extend(operator.finish(&mut earlier)?);
            ctx.errors.append(&mut earlier.errors);
            ctx.late.append(&mut earlier.late);
        }
        for (input, delta) in waiting {
            deltas.extend(operator.push(input, delta, &mut ctx)?);
        }
        deltas.extend(operator.finish(&mut ctx)?);
        self.ran = around.step;
        self.changed(around);
        let more = self.divide(around)?;
        let mut done = Done {
            prefix: self.first(),
            deltas,
            errors: ctx.errors,
            late: ctx.late,
            more,
        };
        for part in std::iter::once(self).chain(&mut done.more) {
            if around.resident.load(Ordering::Acquire) > around.allowed {
                part.spill(around)?;
            }
        }
        Ok(done)
    }

    /// The state is another one than the store's.
    pub(super) fn changed(&mut self, around: &Around<'_>) {
        if let (Some(id), Some(store)) = (self.saved.take(), around.store) {
            store.remove(id);
            self.saved_bytes = 0;
        }
        let before = self.bytes;
        self.measure();
        around.grew(before, self.bytes);
    }

    pub(super) fn measure(&mut self) {
        if let Some(operator) = &self.live {
            self.bytes = operator.state_bytes();
            self.rows = operator.state_rows();
            self.due = operator.due();
        }
    }

    /// Halves itself until every piece is small; the pieces that are not itself.
    pub(super) fn divide(&mut self, around: &Around<'_>) -> Result<Vec<Self>, OperatorError> {
        let mut more = Vec::new();
        let mut at = 0;
        while at <= more.len() {
            let part = if at == 0 {
                &mut *self
            } else {
                &mut more[at - 1]
            };
            match part.halve(around)? {
                Some(other) => more.push(other),
                None => at += 1,
            }
        }
        Ok(more)
    }

    /// Keeps the lower half of its keys and answers the upper one, if it is large enough for that.
    fn halve(&mut self, around: &Around<'_>) -> Result<Option<Self>, OperatorError> {
        let bound = around
            .part_bytes_max
            .max(self.indivisible.saturating_mul(2));
        if self.bytes <= bound || self.rows < 2 || self.depth >= DEPTH_MAX {
            return Ok(None);
        }
        let Some(operator) = self.live.take() else {
            return Ok(None);
        };
        let mut bytes = Vec::with_capacity(self.bytes / 2);
        operator
            .snapshot(&mut bytes)
            .map_err(|e| around.broken(e))?;
        drop(operator);
        let (whole, rows) = (self.bytes, self.rows);
        let depth = self.depth + 1;
        let half = |prefix: u32| -> Result<Self, OperatorError> {
            let mut operator = (around.make)()?;
            operator
                .restore(&mut bytes.as_slice())
                .map_err(|e| around.broken(e))?;
            operator.keep(&|hash| hash >> (32 - depth) == prefix)?;
            let mut part = Self::new(operator);
            (part.prefix, part.depth, part.ran) = (prefix, depth, around.step);
            part.measure();
            Ok(part)
        };
        let (mut lower, mut upper) = (half(self.prefix << 1)?, half(self.prefix << 1 | 1)?);
        for part in [&mut lower, &mut upper] {
            // All is in one half: few keys with very many rows each. Each further try waits until it has doubled.
            part.indivisible = if part.rows == rows { whole } else { 0 };
        }
        around.grew(whole, lower.bytes + upper.bytes);
        lower.loads = self.loads;
        *self = lower;
        Ok(Some(upper))
    }

    /// Writes the state to the store, unless it is there.
    pub(super) fn save(&mut self, around: &Around<'_>) -> Result<(), OperatorError> {
        let (Some(store), Some(operator), None) = (around.store, &self.live, self.saved) else {
            return Ok(());
        };
        let mut bytes = Vec::with_capacity(self.bytes / 2);
        operator
            .snapshot(&mut bytes)
            .map_err(|e| around.broken(e))?;
        self.saved = Some(store.put(&bytes).map_err(|e| around.broken(e))?);
        self.saved_bytes = bytes.len();
        Ok(())
    }

    /// Out of memory.
    pub(super) fn spill(&mut self, around: &Around<'_>) -> Result<(), OperatorError> {
        if around.store.is_some() && self.live.is_some() {
            self.save(around)?;
            self.live = None;
            around.grew(self.bytes, 0);
        }
        Ok(())
    }
}
