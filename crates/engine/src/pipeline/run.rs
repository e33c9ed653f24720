//! The first thread of a pipeline: takes what has arrived, runs the step, commits it, and goes on while it becomes durable.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use headwater_base::{Offset, PartitionId};
use headwater_connect::step_log::DurableStep;
use headwater_connect::{CommitError, Step, StepLog, Visibility};
use headwater_dataflow::Delta;

use super::appends::Appends;
use super::core::{Core, StepFailure, StepOutput};
use super::hold::Anchor;
use super::input::{self, Partition, Taken};
use super::output::{self, SharedTopics, StepStamp};
use super::persist;
use super::publish::{Publish, Published};
use super::record::{Genesis, STEP_RECORD_VERSION, StepRecord};
use super::seed::Seeds;
use super::shared::Shared;
use super::snapshot::SnapshotId;
use super::spill::SpillDir;
use crate::config::EngineConfig;
use crate::status::PipelineState;

/// Pause before a commit that the log refused is tried again, and between looks at the memory.
pub(super) const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// How often a paused pipeline looks whether its topics are still there.
const PAUSED_LOOK: Duration = Duration::from_millis(500);
const BY_HAND: &str = "by PAUSE; RESUME lets it go on";
/// Changed rows of a step that take so much memory that few such steps may wait.
const LARGE_STEP_ROWS: usize = 256 * 1024;
/// Late rows that are kept for queries.
const LATE_ROWS_KEPT: Offset = 100_000;

/// A pipeline that has recovered, on its own thread.
pub struct Runner {
    pub core: Core,
    pub log: Arc<dyn StepLog>,
    pub config: EngineConfig,
    pub shared: Arc<Shared>,
    pub topics: SharedTopics,
    pub steps: PartitionId,
    pub publish: SyncSender<Publish>,
    /// Where parts of its state are that snapshots refer to.
    pub spill: Arc<SpillDir>,
    /// Ends of the partitions when the pipeline started: up to there it catches up.
    pub catch_up: Vec<(u32, i32, Offset)>,
    /// Outputs that still get what is in their views already.
    pub seeds: Seeds,
    pub genesis: Genesis,
    /// What the next step takes in, if it was read already.
    pub ahead: Option<Vec<Taken>>,
    pub book: Bookkeeping,
}

/// What the runner remembers for its own purposes; nothing of it decides results.
pub struct Bookkeeping {
    /// Where a replay can begin, oldest first; the snapshots that are kept need none before the first.
    pub anchors: VecDeque<Anchor>,
    /// What is held of the input is what an anchor needs, no longer what the start found.
    pub input_released: bool,
    /// The log's cleaning waits for a snapshot.
    pub snapshot_asked: bool,
    pub trimmed_to: Offset,
    pub bytes_since_snapshot: u64,
    pub steps_since_snapshot: u64,
    /// Clock of the last step.
    pub stepped_ms: i64,
    /// Where the input ends, once that was asked.
    pub end_at: Option<Vec<(u32, i32, Offset)>>,
    pub looked_after: Instant,
    pub rows_then: u64,
    pub guards: Vec<Box<dyn Send + Sync>>,
    /// A step was computed but never committed: the state in memory is ahead of the log and must not be kept.
    pub abandoned: bool,
    /// It shows that it has been paused by hand.
    pub rests: bool,
}

impl Default for Bookkeeping {
    fn default() -> Self {
        Self {
            anchors: VecDeque::new(),
            input_released: false,
            snapshot_asked: false,
            trimmed_to: 0,
            bytes_since_snapshot: 0,
            steps_since_snapshot: 0,
            stepped_ms: i64::MIN,
            end_at: None,
            looked_after: Instant::now(),
            rows_then: 0,
            guards: Vec::new(),
            abandoned: false,
            rests: false,
        }
    }
}

impl Runner {
    /// Until told to stop.
    pub fn run(&mut self) -> Result<(), StepFailure> {
        let clock = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(failure)?;
        self.watch_inputs();
        let at_once =
            self.core.step == 0 && self.timer_left_ms(self.config.clock.now_ms()) == Some(0);
        let paused = self.shared.paused.load(Ordering::Acquire);
        self.shared
            .first_step_due
            .store(at_once && !paused, Ordering::Release);
        self.show_state();
        while !self.shared.stopping() {
            self.look_after_itself()?;
            if self.rests() {
                let wake = Arc::clone(&self.shared.wake);
                let _ = clock
                    .block_on(async { tokio::time::timeout(PAUSED_LOOK, wake.notified()).await });
                continue;
            }
            let now_ms = self.config.clock.now_ms();
            if !self.seeds.is_done() {
                // On their own, so that nothing newer than what the view holds goes ahead of it.
                let idle = self.flagged_idle();
                self.step(now_ms, idle, false, Vec::new())?;
                continue;
            }
            let taken = self.take()?;
            let idle = self.idle(now_ms);
            let ended = self.end_reached();
            let caught_up = self.caught_up_now();
            self.let_go_of_input();
            let wanted = self.snapshot_wanted();
            let turns = self.timer_left_ms(now_ms) == Some(0);
            if !taken.is_empty()
                || ended
                || caught_up
                || wanted
                || turns
                || self.idle_matters(&idle)
            {
                self.step_and_read_ahead(now_ms, idle, ended, taken)?;
            } else {
                let pause = self.pause(now_ms);
                let wake = Arc::clone(&self.shared.wake);
                let _ =
                    clock.block_on(async { tokio::time::timeout(pause, wake.notified()).await });
            }
        }
        self.finish();
        Ok(())
    }

    /// Whether it has been paused by hand, and shows so.
    fn rests(&mut self) -> bool {
        let paused = self.shared.paused.load(Ordering::Acquire);
        if paused != self.book.rests {
            self.book.rests = paused;
            match paused {
                true => self
                    .shared
                    .set_state(PipelineState::Paused(BY_HAND.to_owned())),
                false => self.show_state(),
            }
        }
        paused
    }

    /// Partitions that have been read to their end for so long that they no longer hold the watermark back.
    fn idle(&mut self, now_ms: i64) -> Vec<(u32, i32)> {
        let mut idle = Vec::new();
        for (index, (input, plan)) in self
            .core
            .inputs
            .iter_mut()
            .zip(&self.core.plan.inputs)
            .enumerate()
        {
            if !plan.has_watermark {
                continue;
            }
            for partition in &mut input.partitions {
                if is_idle(partition, plan.idle_ms, now_ms) {
                    idle.push((u32::try_from(index).unwrap_or(u32::MAX), partition.index));
                }
            }
        }
        idle
    }

    fn idle_matters(&self, idle: &[(u32, i32)]) -> bool {
        let flagged = |(input, partition): &(u32, i32)| {
            let state = self.core.inputs.get(*input as usize);
            state.is_some_and(|i| i.partitions.iter().any(|p| p.index == *partition && p.idle))
        };
        !self.core.ended && idle.iter().any(|id| !flagged(id))
    }

    /// The last of what was there at the start has been taken in, but no step has said so yet.
    fn caught_up_now(&mut self) -> bool {
        if self.catch_up.is_empty() {
            return false;
        }
        let reached = reached(&self.core, &self.catch_up);
        if reached {
            self.catch_up.clear();
            self.show_state();
        }
        reached
    }

    fn end_reached(&mut self) -> bool {
        if self.core.ended || !self.shared.end_asked.load(Ordering::Acquire) {
            return false;
        }
        let (core, log) = (&self.core, &self.log);
        let end_at = self
            .book
            .end_at
            .get_or_insert_with(|| ends(core, log.as_ref(), Visibility::InFlight));
        reached(core, end_at)
    }

    pub(super) fn step(
        &mut self,
        now_ms: i64,
        idle: Vec<(u32, i32)>,
        ended: bool,
        taken: Vec<Taken>,
    ) -> Result<(), StepFailure> {
        let began = Instant::now();
        let moved: Vec<(u32, i32)> = taken
            .iter()
            .map(|t| (t.range.input, t.range.partition))
            .collect();
        let mut record = StepRecord {
            v: STEP_RECORD_VERSION,
            generation: self.core.generation,
            step: self.core.step + 1,
            clock_ms: now_ms,
            catching_up: !self.catch_up.is_empty(),
            ended: ended && taken.is_empty(),
            idle: idle.into_iter().filter(|id| !moved.contains(id)).collect(),
            ranges: taken.iter().map(|taken| taken.range).collect(),
            positions: None,
            genesis: None,
            seeding: None,
        };
        self.book.stepped_ms = now_ms;
        let out = self.core.run(&record, &taken)?;
        let snapshot = self.snapshot_due(&taken);
        if snapshot {
            record.positions = Some(self.core.positions());
            record.genesis = Some(self.genesis.clone());
        }
        let stamp = StepStamp {
            clock_ms: now_ms,
            step: record.step,
        };
        let mut appends = Appends::new(now_ms);
        self.seed(stamp, &mut appends)?;
        record.seeding = self.seeds.rest();
        output::write(&self.core.plan, &self.topics, &out, stamp, &mut appends)
            .map_err(StepFailure)?;
        appends.push(self.steps, None, Some(&record.encode()));
        let appends = appends.finish();
        self.check_size(&appends)?;
        let partitions: Vec<PartitionId> =
            appends.iter().map(|(partition, _)| *partition).collect();
        let counts: Vec<Offset> = appends
            .iter()
            .map(|(_, batch)| input::last_offset(batch) + 1)
            .collect();
        let trims = self.trims();
        let Some((offsets, durable)) = self.commit(Step { appends, trims })? else {
            self.book.abandoned = true;
            return Ok(());
        };
        let ends: Vec<(PartitionId, Offset)> = partitions
            .into_iter()
            .zip(offsets.iter().zip(counts).map(|(base, count)| base + count))
            .collect();
        self.note_commit(&record, &ends);
        self.shared.visible.lock().step_last_us =
            u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.publish(&record, out, &ends, Some(durable))?;
        if snapshot {
            self.snapshot()?;
        }
        Ok(())
    }

    /// Until the log takes it, or the pipeline is told to stop (then the step never happened).
    fn commit(&self, step: Step) -> Result<Option<(Vec<Offset>, DurableStep)>, StepFailure> {
        let mut refused = false;
        loop {
            match self.log.commit(step.clone()) {
                Ok(done) => {
                    if refused {
                        self.show_state();
                    }
                    return Ok(Some(done));
                }
                Err(CommitError::Failed(reason)) => return Err(StepFailure(reason)),
                Err(CommitError::Retry(reason)) => {
                    refused = true;
                    self.shared.set_state(PipelineState::Paused(reason));
                    if self.shared.stopping() {
                        return Ok(None);
                    }
                    std::thread::sleep(RETRY_PAUSE);
                }
            }
        }
    }

    fn note_commit(&mut self, record: &StepRecord, ends: &[(PartitionId, Offset)]) {
        let own = ends.iter().find(|(partition, _)| *partition == self.steps);
        if let (Some(positions), Some((_, end))) = (&record.positions, own) {
            self.book.anchors.push_back(Anchor {
                step: record.step,
                offset: end - 1,
                positions: positions.clone(),
            });
        }
    }

    /// Hands the results over; waits when too many steps are not durable yet.
    pub fn publish(
        &mut self,
        record: &StepRecord,
        mut out: StepOutput,
        ends: &[(PartitionId, Offset)],
        durable: Option<DurableStep>,
    ) -> Result<(), StepFailure> {
        let plan = &self.core.plan;
        let kept = (0..plan.relations()).filter(|relation| self.shared.cells[*relation].is_some());
        let changes: Vec<_> = kept
            .map(|relation| (relation, std::mem::take(&mut out.relations[relation])))
            .filter(|(relation, deltas)| {
                !deltas.is_empty() || out.forget.iter().any(|(of, _)| of == relation)
            })
            .collect();
        let published = Published {
            durable,
            step: record.step,
            clock_ms: record.clock_ms,
            ended: record.ended,
            ranges: record.ranges.clone(),
            changes,
            forget: out.forget,
            changelogs: changelog_ends(plan, ends),
            counters: self.core.counters,
            watermark: self.core.watermark(),
        };
        let rows: usize = published
            .changes
            .iter()
            .flat_map(|(_, deltas)| deltas)
            .map(Delta::len)
            .sum();
        if rows >= LARGE_STEP_ROWS {
            // One large result waits at most, not as many as the queue has room for.
            self.barrier();
        }
        let sent = self.publish.send(Publish::Step(Box::new(published)));
        sent.map_err(|_| StepFailure("the publishing thread has ended".to_owned()))
    }

    fn snapshot_due(&mut self, taken: &[Taken]) -> bool {
        let bytes: usize = taken
            .iter()
            .flat_map(|taken| &taken.batches)
            .map(bytes::Bytes::len)
            .sum();
        self.book.bytes_since_snapshot += bytes as u64;
        self.book.steps_since_snapshot += 1;
        let policy = &self.config.snapshots;
        let last = self.shared.snapshot_bytes.load(Ordering::Acquire);
        let least = policy
            .input_bytes_min
            .max((last as f64 * policy.growth) as u64);
        self.book.snapshot_asked
            || self.book.bytes_since_snapshot >= least
            || self.book.steps_since_snapshot >= policy.steps_max
    }

    /// The step topic is another one whenever the pipeline is created: files of one before do not fit.
    pub(super) fn snapshot_fingerprint(&self) -> String {
        format!("{}-{}", self.core.plan.flow_fingerprint, self.steps.topic)
    }

    fn snapshot(&mut self) -> Result<(), StepFailure> {
        self.book.bytes_since_snapshot = 0;
        self.book.steps_since_snapshot = 0;
        self.book.snapshot_asked = false;
        let id = SnapshotId {
            generation: self.core.generation,
            step: self.core.step,
            fingerprint: self.snapshot_fingerprint(),
        };
        let parts = self.core.save_parts()?;
        self.spill.pin((id.generation, id.step), &parts);
        let core = persist::snapshot(&self.core).map_err(failure)?;
        let sent = self.publish.send(Publish::Snapshot { id, core });
        sent.map_err(|_| StepFailure("the publishing thread has ended".to_owned()))
    }

    /// Step records that snapshots have made superfluous, and late rows past what is kept.
    fn trims(&mut self) -> Vec<(PartitionId, Offset)> {
        let mut trims = Vec::new();
        let step = self.shared.trim_step.load(Ordering::Acquire);
        if let Some(anchor) = self.book.anchors.front()
            && anchor.step <= step
            && anchor.offset > self.book.trimmed_to
        {
            self.book.trimmed_to = anchor.offset;
            trims.push((self.steps, anchor.offset));
        }
        let late = self.topics.late_rows.partition(0);
        let (start, end) = self.log.extent(late);
        if end - start > 2 * LATE_ROWS_KEPT {
            trims.push((late, end - LATE_ROWS_KEPT));
        }
        trims
    }

    /// Returns when everything handed over so far is visible.
    pub fn barrier(&self) {
        let (reached, wait) = std::sync::mpsc::sync_channel(1);
        if self.publish.send(Publish::Barrier(reached)).is_ok() {
            let _ = wait.recv();
        }
    }

    /// A last snapshot, so that the next start has little to run again.
    fn finish(&mut self) {
        if self.shared.failed() {
            return;
        }
        if self.book.steps_since_snapshot > 0 && !self.book.abandoned {
            let now_ms = self.config.clock.now_ms();
            let record = StepRecord {
                v: STEP_RECORD_VERSION,
                generation: self.core.generation,
                step: self.core.step + 1,
                clock_ms: now_ms,
                catching_up: !self.catch_up.is_empty(),
                ended: false,
                idle: self.flagged_idle(),
                ranges: Vec::new(),
                positions: Some(self.core.positions()),
                genesis: Some(self.genesis.clone()),
                seeding: self.seeds.rest(),
            };
            if let Err(error) = self.last_step(&record) {
                tracing::warn!(pipeline = self.core.plan.name, %error, "no snapshot at the end");
            }
        }
        self.barrier();
        self.shared.set_state(PipelineState::Stopped);
    }

    fn last_step(&mut self, record: &StepRecord) -> Result<(), StepFailure> {
        let out = self.core.run(record, &[])?;
        let stamp = StepStamp {
            clock_ms: record.clock_ms,
            step: record.step,
        };
        let mut appends = Appends::new(record.clock_ms);
        output::write(&self.core.plan, &self.topics, &out, stamp, &mut appends)
            .map_err(StepFailure)?;
        appends.push(self.steps, None, Some(&record.encode()));
        let step = Step {
            appends: appends.finish(),
            trims: Vec::new(),
        };
        let (_, durable) = self.log.commit(step).map_err(failure)?;
        self.publish(record, out, &[], Some(durable))?;
        self.snapshot()
    }

    fn flagged_idle(&self) -> Vec<(u32, i32)> {
        let each = |(index, input): (usize, &super::core::InputState)| {
            let flagged = input.partitions.iter().filter(|p| p.idle);
            flagged
                .map(|p| (u32::try_from(index).unwrap_or(u32::MAX), p.index))
                .collect::<Vec<_>>()
        };
        self.core.inputs.iter().enumerate().flat_map(each).collect()
    }
}

fn changelog_ends(
    plan: &super::plan::PipelinePlan,
    ends: &[(PartitionId, Offset)],
) -> Vec<(usize, PartitionId, Offset)> {
    let changelogs = plan.outputs.iter().filter_map(|output| match &output.kind {
        super::plan::OutputKind::Changelog { topic, .. } => {
            Some((output.relation, topic.partition(0)))
        }
        _ => None,
    });
    let end = |partition: PartitionId| {
        ends.iter()
            .filter(|(p, _)| *p == partition)
            .map(|(_, end)| *end)
            .max()
    };
    changelogs
        .filter_map(|(relation, partition)| Some((relation, partition, end(partition)?)))
        .collect()
}

/// Ends of all input partitions.
pub fn ends(core: &Core, log: &dyn StepLog, visibility: Visibility) -> Vec<(u32, i32, Offset)> {
    let mut ends = Vec::new();
    for (index, input) in core.inputs.iter().enumerate() {
        for partition in &input.partitions {
            let end = match visibility {
                Visibility::Durable => log.extent(partition.id).1,
                Visibility::InFlight => {
                    let read = log.read_committed(partition.id, partition.next, 1, visibility);
                    read.map_or(partition.next, |read| read.end)
                }
            };
            ends.push((
                u32::try_from(index).unwrap_or(u32::MAX),
                partition.index,
                end,
            ));
        }
    }
    ends
}

/// Whether everything up to these ends has been taken in.
pub fn reached(core: &Core, ends: &[(u32, i32, Offset)]) -> bool {
    ends.iter().all(|(input, partition, end)| {
        let state = core.inputs.get(*input as usize);
        let found = state.and_then(|state| state.partitions.iter().find(|p| p.index == *partition));
        found.is_none_or(|partition| partition.next >= *end)
    })
}

fn failure(error: impl std::fmt::Display) -> StepFailure {
    StepFailure(error.to_string())
}

fn is_idle(partition: &mut Partition, idle_ms: i64, now_ms: i64) -> bool {
    if partition.next < partition.end {
        partition.quiet_since_ms = None;
        return false;
    }
    let since = *partition.quiet_since_ms.get_or_insert(now_ms);
    partition.idle || now_ms - since >= idle_ms
}
