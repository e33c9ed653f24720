//! A keyed operator whose state is divided by the hash of the key: small states are one part, a part that has become large is halved
//! (extendible hashing). Parts are what is worked on at once, what is spilled, and what a snapshot need not write again.
//!
//! While there is one part, rows go straight through. From the second on they wait for the end of the step, so that every part is
//! loaded at most once a step however large the state is. Results come in the order of the parts. Which parts there are and where they
//! are decides nothing but that order. Knows no files: see [`crate::spill`].

mod part;
mod persist;
#[cfg(test)]
mod tests;

use std::sync::atomic::AtomicUsize;

use parking_lot::Mutex;

use crate::delta::Delta;
use crate::eval::broken;
use crate::operator::{Due, Operator, OperatorError, StepContext};
use crate::spill::{Division, PartId};
use part::{Around, DEPTH_MAX, Done, Make, Moment, Part};

/// What the parts share, as `self` is now. A macro, because the parts are borrowed beside it.
macro_rules! around {
    ($self:ident, $now:expr, $part_bytes_max:expr) => {
        Around {
            key: &$self.key,
            make: &$self.make,
            store: $self.division.store.as_ref(),
            part_bytes_max: $part_bytes_max,
            allowed: $self.allowed,
            resident: AtomicUsize::new($self.parts.iter().map(Part::resident_bytes).sum()),
            step: $self.step,
            before: $self.before,
            now: $now,
        }
    };
}

pub(crate) struct Divided {
    key: String,
    make: Make,
    /// Without state: tells where rows belong.
    router: Box<dyn Operator>,
    /// Ascending by hash, without gaps.
    parts: Vec<Part>,
    /// The part of each beginning of a hash, [`DEPTH_MAX`] bits of it; empty while there is one.
    directory: Vec<u16>,
    division: Division,
    /// Bytes of memory that it may hold.
    allowed: usize,
    step: u64,
    before: Moment,
    /// Whether its state has keys, once the first rows told.
    keyed: Option<bool>,
}

/// What of a state is not in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spilled {
    /// Bytes that only the store holds.
    pub bytes: usize,
    /// Times that a part came back since the start.
    pub loads: u64,
    pub parts: usize,
}

impl Divided {
    pub(crate) fn new(key: &str, make: Make, division: &Division) -> Result<Self, OperatorError> {
        Ok(Self {
            key: key.to_owned(),
            router: make()?,
            parts: vec![Part::new(make()?)],
            make,
            directory: Vec::new(),
            division: division.clone(),
            allowed: usize::MAX,
            step: 1,
            before: Moment::START,
            keyed: None,
        })
    }

    /// Takes rows; what follows from them comes now or from [`Divided::finish`].
    pub(crate) fn push(
        &mut self,
        input: usize,
        delta: Delta,
        ctx: &mut StepContext,
    ) -> Result<Vec<Delta>, OperatorError> {
        if delta.is_empty() {
            return Ok(Vec::new());
        }
        if self.keyed.is_none() {
            self.keyed = Some(self.router.route(input, &delta)?.is_some());
        }
        if let [
            Part {
                live: Some(operator),
                ..
            },
        ] = &mut self.parts[..]
        {
            return operator.push(input, delta, ctx);
        }
        if self.parts.len() == 1 {
            self.parts[0].waiting.push((input, delta));
            return Ok(Vec::new());
        }
        self.hand_out(input, &delta)?;
        Ok(Vec::new())
    }

    /// Gives each part its rows, in their order.
    fn hand_out(&mut self, input: usize, delta: &Delta) -> Result<(), OperatorError> {
        let hashes = self.router.route(input, delta)?;
        let hashes = hashes.ok_or_else(|| broken(&self.key, "a divided state has no keys"))?;
        let mut rows: Vec<Vec<u32>> = vec![Vec::new(); self.parts.len()];
        for (row, hash) in (0u32..).zip(hashes) {
            let part = self.directory[(hash >> (32 - DEPTH_MAX)) as usize];
            rows[usize::from(part)].push(row);
        }
        for (part, rows) in self.parts.iter_mut().zip(rows) {
            if !rows.is_empty() {
                let own = match rows.len() == delta.len() {
                    true => delta.clone(),
                    false => delta.take(&rows).map_err(|e| broken(&self.key, e))?,
                };
                part.waiting.push((input, own));
            }
        }
        Ok(())
    }

    /// Ends the step.
    pub(crate) fn finish(&mut self, ctx: &mut StepContext) -> Result<Vec<Delta>, OperatorError> {
        let now = Moment {
            now_us: ctx.now_us,
            watermark_us: ctx.watermark_us,
        };
        self.step += 1;
        let deltas = match &mut self.parts[..] {
            [
                Part {
                    live: Some(operator),
                    ..
                },
            ] => {
                let deltas = operator.finish(ctx)?;
                self.finish_one(now)?;
                deltas
            }
            _ => self.finish_parts(now, ctx)?,
        };
        self.before = now;
        Ok(deltas)
    }

    /// The only part, in memory, has ended its step.
    fn finish_one(&mut self, now: Moment) -> Result<(), OperatorError> {
        let keyed = self.keyed == Some(true);
        let around = around!(
            self,
            now,
            if keyed {
                self.division.part_bytes_max
            } else {
                usize::MAX
            }
        );
        let part = &mut self.parts[0];
        part.ran = self.step;
        part.changed(&around);
        let more = part.divide(&around)?;
        self.parts.extend(more);
        if self.parts.len() > 1 {
            self.order();
        }
        if self.keyed == Some(true) {
            self.shrink()?;
        }
        Ok(())
    }

    fn finish_parts(
        &mut self,
        now: Moment,
        ctx: &mut StepContext,
    ) -> Result<Vec<Delta>, OperatorError> {
        let rows: usize = self
            .parts
            .iter()
            .flat_map(|p| &p.waiting)
            .map(|w| w.1.len())
            .sum();
        self.make_room(now)?;
        let around = around!(self, now, self.division.part_bytes_max);
        let works = |part: &&mut Part| !part.waiting.is_empty() || part.is_due(now);
        let mut jobs: Vec<&mut Part> = self.parts.iter_mut().filter(works).collect();
        // What is in memory first, so that what is loaded need not push it out.
        jobs.sort_by_key(|part| part.live.is_none());
        let threads = match rows >= self.division.parallel_rows_min {
            true => self.division.threads_max.min(jobs.len()),
            false => 1,
        };
        let mut done = run(jobs, &around, threads)?;
        done.sort_by_key(|done| done.prefix);
        let (mut deltas, mut divided) = (Vec::new(), false);
        for one in done {
            deltas.extend(one.deltas);
            ctx.errors.extend(one.errors);
            ctx.late.extend(one.late);
            divided |= !one.more.is_empty();
            self.parts.extend(one.more);
        }
        if divided {
            self.order();
        }
        Ok(deltas)
    }

    /// Spills parts that have nothing to do in this step for those that have, the longest unused first.
    fn make_room(&mut self, now: Moment) -> Result<(), OperatorError> {
        let works = |part: &Part| !part.waiting.is_empty() || part.is_due(now);
        let wanted: usize = self
            .parts
            .iter()
            .filter(|p| works(p))
            .map(|p| p.bytes)
            .sum();
        let idle: usize = self
            .parts
            .iter()
            .filter(|p| !works(p))
            .map(Part::resident_bytes)
            .sum();
        let room = self.allowed.saturating_sub(idle);
        self.spill_least_used(wanted.saturating_sub(room).min(idle), &|part| !works(part))
    }

    /// Spills until it holds no more than it may.
    fn shrink(&mut self) -> Result<(), OperatorError> {
        let over = self.state_bytes().saturating_sub(self.allowed);
        self.spill_least_used(over, &|_| true)
    }

    fn spill_least_used(
        &mut self,
        mut bytes: usize,
        may: &dyn Fn(&Part) -> bool,
    ) -> Result<(), OperatorError> {
        if bytes == 0 || self.division.store.is_none() {
            return Ok(());
        }
        let around = around!(self, self.before, usize::MAX);
        let mut order: Vec<&mut Part> = self
            .parts
            .iter_mut()
            .filter(|p| p.live.is_some() && p.bytes > 0 && may(p))
            .collect();
        order.sort_by_key(|part| part.ran);
        for part in order {
            if bytes == 0 {
                break;
            }
            bytes = bytes.saturating_sub(part.bytes);
            part.spill(&around)?;
        }
        Ok(())
    }

    /// After a division.
    fn order(&mut self) {
        self.parts.sort_by_key(Part::first);
        self.directory.clear();
        for (at, part) in self.parts.iter().enumerate() {
            let width = 1usize << (DEPTH_MAX - part.depth);
            // At most 4,096 parts.
            self.directory.extend(std::iter::repeat_n(at as u16, width));
        }
    }

    /// Lets go of old state, see [`Operator::retain`].
    /// Of parts in memory; what is spilled stays as it is.
    pub(crate) fn closed(&mut self, watermark_us: i64) -> Result<(), OperatorError> {
        let around = around!(self, self.before, usize::MAX);
        for part in &mut self.parts {
            if let Some(operator) = &mut part.live {
                operator.closed(watermark_us)?;
                part.changed(&around);
            }
        }
        Ok(())
    }

    pub(crate) fn retain(&mut self, older_than_us: i64) -> Result<(), OperatorError> {
        let around = around!(self, self.before, usize::MAX);
        for part in &mut self.parts {
            let spilled = part.live.is_none();
            part.load(&around)?.retain(older_than_us)?;
            part.changed(&around);
            if spilled {
                part.spill(&around)?;
            }
        }
        Ok(())
    }

    /// How many bytes of memory it may hold from now on; what is more is spilled. A state without keys stays whole.
    pub(crate) fn allow(&mut self, bytes: usize) -> Result<(), OperatorError> {
        self.allowed = bytes;
        match self.keyed {
            Some(true) => self.shrink(),
            _ => Ok(()),
        }
    }

    /// Writes the parts that the store does not hold as they are.
    pub(crate) fn save_parts(&mut self) -> Result<(), OperatorError> {
        if self.parts.len() > 1 || self.parts[0].live.is_none() {
            let around = around!(self, self.before, usize::MAX);
            self.parts
                .iter_mut()
                .try_for_each(|part| part.save(&around))?;
        }
        Ok(())
    }

    /// The parts that the store holds for it.
    pub(crate) fn saved(&self) -> impl Iterator<Item = PartId> {
        self.parts.iter().filter_map(|part| part.saved)
    }

    /// When a part has something to do although no row has come.
    pub(crate) fn due(&self) -> Due {
        let of = |part: &Part| {
            part.live
                .as_ref()
                .map_or(part.due, |operator| operator.due())
        };
        self.parts.iter().map(of).fold(Due::default(), Due::or)
    }

    /// Bytes of memory that it holds.
    pub(crate) fn state_bytes(&self) -> usize {
        self.parts.iter().map(Part::resident_bytes).sum()
    }

    /// Bytes of memory that it would hold if it might.
    pub(crate) fn wanted_bytes(&self) -> usize {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    pub(crate) fn state_rows(&self) -> usize {
        self.parts.iter().map(|part| part.rows).sum()
    }

    pub(crate) fn spilled(&self) -> Spilled {
        let away = self.parts.iter().filter(|part| part.live.is_none());
        Spilled {
            bytes: away.map(|part| part.saved_bytes).sum(),
            loads: self.parts.iter().map(|part| part.loads).sum(),
            parts: self.parts.len(),
        }
    }
}

/// All jobs, by as many threads. A failure of one is the answer.
fn run(
    jobs: Vec<&mut Part>,
    around: &Around<'_>,
    threads: usize,
) -> Result<Vec<Done>, OperatorError> {
    if threads < 2 {
        return jobs.into_iter().map(|part| part.run(around)).collect();
    }
    let queue = Mutex::new(jobs.into_iter());
    let done = Mutex::new(Vec::new());
    let work = || {
        loop {
            let Some(part) = queue.lock().next() else {
                return;
            };
            let one = part.run(around);
            let failed = one.is_err();
            done.lock().push(one);
            if failed {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    done.into_inner().into_iter().collect()
}
