//! While a step runs, what the next one takes in is read and decoded on another core; whoever of both is done first helps the other.
//!
//! Only where there is known to be more: at the end of the input a step takes what has come until it begins.

use std::collections::VecDeque;
use std::sync::Arc;

use headwater_base::{Offset, PartitionId};
use headwater_connect::StepLog;
use parking_lot::Mutex;

use super::core::{Core, StepFailure};
use super::decoders::Decoders;
use super::flows;
use super::input::{self, Slot, Taken};
use super::record::Range;
use super::recover::failure;
use super::run::Runner;
use crate::config::StepBounds;

/// From so many bytes on decoding is worth a second thread.
const PARALLEL_BYTES_MIN: usize = 128 * 1024;

/// A partition that has more, and where.
struct Rest {
    input: u32,
    partition: i32,
    id: PartitionId,
    next: Offset,
    decoders: Option<Arc<Decoders>>,
}

/// What was read, and the end of the partition.
type Read = std::io::Result<(Taken, Offset)>;

/// Reading for the step after the one that runs.
pub struct Ahead {
    log: Arc<dyn StepLog>,
    left: Mutex<VecDeque<(usize, Rest)>>,
    read: Mutex<Vec<(usize, Read)>>,
    share_bytes: usize,
    share_rows: usize,
}

impl Ahead {
    /// `None` when nothing is known to be left after `taken`.
    pub fn after(
        taken: &[Taken],
        core: &Core,
        log: &Arc<dyn StepLog>,
        bounds: &StepBounds,
    ) -> Option<Self> {
        let rest = |one: &Taken| {
            let input = core.inputs.get(one.range.input as usize)?;
            let mut partitions = input.partitions.iter();
            let partition = partitions.find(|p| p.index == one.range.partition)?;
            (one.range.next < partition.end).then(|| Rest {
                input: one.range.input,
                partition: partition.index,
                id: partition.id,
                next: one.range.next,
                decoders: input.decoder.decoders(),
            })
        };
        let left: VecDeque<(usize, Rest)> = taken.iter().filter_map(rest).enumerate().collect();
        let count = left.len();
        (count > 0).then(|| Self {
            log: Arc::clone(log),
            left: Mutex::new(left),
            read: Mutex::default(),
            share_bytes: (bounds.bytes_max / count).max(1),
            share_rows: (bounds.rows_max / count).max(1),
        })
    }

    /// Reads and decodes until nothing is left to begin with.
    pub fn work(&self) {
        loop {
            let Some((place, rest)) = self.left.lock().pop_front() else {
                return;
            };
            let read = self.one(&rest);
            self.read.lock().push((place, read));
        }
    }

    fn one(&self, rest: &Rest) -> Read {
        let range = Range {
            input: rest.input,
            partition: rest.partition,
            from: rest.next,
            next: rest.next,
        };
        let (bytes, rows) = (self.share_bytes, self.share_rows);
        if let Some(decoders) = &rest.decoders {
            return decoders.read(self.log.as_ref(), (range, rest.id), bytes, rows);
        }
        let mut taken = Taken::new(range);
        let end = input::extend(self.log.as_ref(), rest.id, &mut taken, bytes, rows)?;
        Ok((taken, end))
    }

    /// What was read, in the order of the partitions, and noted in the core how far each goes.
    pub fn finish(self, core: &mut Core) -> std::io::Result<Vec<Taken>> {
        let mut read = self.read.into_inner();
        read.sort_by_key(|(place, _)| *place);
        let mut all = Vec::with_capacity(read.len());
        for (_, one) in read {
            let (taken, end) = one?;
            let input = core.inputs.get_mut(taken.range.input as usize);
            let partition = input.and_then(|input| {
                let mut partitions = input.partitions.iter_mut();
                partitions.find(|p| p.index == taken.range.partition)
            });
            if let Some(partition) = partition {
                partition.end = end;
            }
            if taken.range.next > taken.range.from {
                all.push(taken);
            }
        }
        Ok(all)
    }
}

impl Runner {
    /// Runs a step while the next one's input is read and decoded, if there is known to be more.
    pub(super) fn step_and_read_ahead(
        &mut self,
        now_ms: i64,
        idle: Vec<(u32, i32)>,
        ended: bool,
        taken: Vec<Taken>,
    ) -> Result<(), StepFailure> {
        let several = flows::cores() > 1;
        let bounds = self.step_bounds();
        let ahead = several
            .then(|| Ahead::after(&taken, &self.core, &self.log, &bounds))
            .flatten();
        let Some(ahead) = ahead else {
            return self.step(now_ms, idle, ended, taken);
        };
        std::thread::scope(|scope| {
            let name = format!("ahead-{}", self.core.plan.name);
            let thread = std::thread::Builder::new().name(name);
            // Without a thread this one reads after the step.
            let _ = thread.spawn_scoped(scope, || ahead.work());
            self.step(now_ms, idle, ended, taken)?;
            ahead.work();
            Ok(())
        })?;
        self.ahead = Some(ahead.finish(&mut self.core).map_err(failure)?);
        Ok(())
    }

    pub(super) fn take(&mut self) -> Result<Vec<Taken>, StepFailure> {
        let bounds = self.step_bounds();
        // Partitions that were not read ahead have their turn, too.
        let mut taken = self.ahead.take().unwrap_or_default();
        let known: Vec<(u32, i32)> = taken
            .iter()
            .map(|one| (one.range.input, one.range.partition))
            .collect();
        let core = &mut self.core;
        let decoders: Vec<_> = core.inputs.iter().map(|i| i.decoder.decoders()).collect();
        let count: usize = core.inputs.iter().map(|i| i.partitions.len()).sum();
        let slots = core
            .inputs
            .iter_mut()
            .enumerate()
            .flat_map(|(index, input)| {
                let input_index = u32::try_from(index).unwrap_or(u32::MAX);
                input.partitions.iter_mut().map(move |partition| Slot {
                    input: input_index,
                    partition,
                })
            });
        let slots = slots.filter(|slot| !known.contains(&(slot.input, slot.partition.index)));
        let more = input::gather(self.log.as_ref(), slots, count, &bounds, &decoders);
        let mut more = more.map_err(failure)?;
        decode(&self.core, &mut more, flows::cores()).map_err(StepFailure)?;
        taken.extend(more);
        taken.sort_by_key(|one| (one.range.input, one.range.partition));
        Ok(taken)
    }
}

/// Decodes what was taken, on several threads if it is much.
fn decode(core: &Core, taken: &mut [Taken], threads: usize) -> Result<(), String> {
    let bytes: usize = taken.iter().map(Taken::bytes).sum();
    let jobs: Vec<(&mut Taken, Arc<Decoders>)> = taken
        .iter_mut()
        .filter(|one| one.decoded.is_none())
        .filter_map(|one| {
            let decoders = core
                .inputs
                .get(one.range.input as usize)?
                .decoder
                .decoders()?;
            Some((one, decoders))
        })
        .collect();
    let workers = match bytes >= PARALLEL_BYTES_MIN {
        true => threads.min(jobs.len()),
        false => 1,
    };
    let (queue, failed) = (Mutex::new(jobs.into_iter()), Mutex::new(None));
    let work = || {
        loop {
            let Some((one, decoders)) = queue.lock().next() else {
                return;
            };
            match decoders.decode(one) {
                Ok(decoded) => one.decoded = Some(decoded),
                Err(error) => *failed.lock() = Some(error),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..workers {
            // Without a thread the others do its work.
            let _ = std::thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
    failed.into_inner().map_or(Ok(()), Err)
}
