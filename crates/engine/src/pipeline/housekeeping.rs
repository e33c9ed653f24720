//! What a running pipeline does besides its steps: its memory, its topics, its state for others, how long it may sleep.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use headwater_base::PartitionId;
use headwater_base::limits::COMMIT_BYTES_MAX;
use headwater_connect::Visibility;

use super::core::StepFailure;
use super::figures;
use super::input::Partition;
use super::plan::{OutputKind, OutputPlan};
use super::run::{RETRY_PAUSE, Runner};
use crate::config::{SPILLED_STEP, StepBounds};
use crate::status::PipelineState;

/// Room for the table of a commit's batches.
const COMMIT_OVERHEAD: usize = 1024 * 1024;

/// How often a pipeline without input looks after itself.
const HOUSEKEEPING: Duration = Duration::from_millis(500);
/// Steps that only time asks for are at least this far apart.
const TIMER_STEPS_APART_MS: i64 = 20;

impl Runner {
    pub(super) fn look_after_itself(&mut self) -> Result<(), StepFailure> {
        if self.book.looked_after.elapsed() < HOUSEKEEPING {
            return Ok(());
        }
        self.look_at_topics()?;
        figures::refresh(&self.core, &self.shared, &mut self.book);
        let mut paused = false;
        while let Some(reason) = self.account()? {
            if self.shared.stopping() {
                return Ok(());
            }
            paused = true;
            self.shared.set_state(PipelineState::Paused(reason));
            std::thread::sleep(RETRY_PAUSE);
        }
        if paused {
            self.book.rests = false;
            self.show_state();
        }
        Ok(())
    }

    /// Spills what is more than it may hold; answers why it has to wait if that is not enough.
    pub(super) fn account(&mut self) -> Result<Option<String>, StepFailure> {
        let views = self.shared.cell_bytes();
        let state = self.core.state_bytes();
        self.shared.account(state + views);
        self.core
            .allow(self.shared.allowance().saturating_sub(views))?;
        Ok(self.shared.account(self.core.state_bytes() + views))
    }

    /// Steps are larger while state is on disk, if no output has to fit into one commit.
    pub(super) fn step_bounds(&self) -> StepBounds {
        let records = |output: &OutputPlan| !matches!(output.kind, OutputKind::Alert { .. });
        if self.core.spilled_bytes() > 0 && !self.core.plan.outputs.iter().any(records) {
            SPILLED_STEP
        } else {
            let divisor = self.shared.step_divisor.load(Ordering::Acquire);
            StepBounds {
                rows_max: (self.config.steps.rows_max / divisor).max(1),
                bytes_max: (self.config.steps.bytes_max / divisor).max(1),
                ..self.config.steps
            }
        }
    }

    /// Refuses a step whose results are more than one commit takes. Nothing of it has been written.
    pub(super) fn check_size(&self, appends: &[(PartitionId, Bytes)]) -> Result<(), StepFailure> {
        let bytes: usize = appends.iter().map(|(_, batch)| batch.len()).sum();
        if bytes <= COMMIT_BYTES_MAX - COMMIT_OVERHEAD {
            return Ok(());
        }
        self.shared.oversized.store(true, Ordering::Release);
        Err(StepFailure(format!(
            "the results of step {} take {} MiB, more than the {} MiB of one commit, and its input cannot be cut smaller",
            self.core.step,
            bytes >> 20,
            COMMIT_BYTES_MAX >> 20
        )))
    }

    /// Topics may grow, or be deleted and made anew.
    fn look_at_topics(&mut self) -> Result<(), StepFailure> {
        let plan = Arc::clone(&self.core.plan);
        let mut grown = false;
        for (input, plan) in self.core.inputs.iter_mut().zip(&plan.inputs) {
            let Some(topic) = self.log.topic(&plan.topic.name) else {
                return Err(StepFailure(format!(
                    "its topic {} has been deleted",
                    plan.topic.name
                )));
            };
            if topic.id != plan.topic.id {
                return Err(StepFailure(format!(
                    "its topic {} has been made anew",
                    plan.topic.name
                )));
            }
            for index in i32::try_from(input.partitions.len()).unwrap_or(i32::MAX)..topic.partitions
            {
                input.partitions.push(Partition::new(&topic, index, 0));
                grown = true;
            }
        }
        if grown {
            self.watch_inputs();
        }
        Ok(())
    }

    pub(super) fn watch_inputs(&mut self) {
        let partitions: Vec<PartitionId> = self
            .core
            .inputs
            .iter()
            .flat_map(|input| input.partitions.iter().map(|p| p.id))
            .collect();
        let wake = Arc::clone(&self.shared.wake);
        self.book.guards = vec![self.log.register(&partitions, Visibility::InFlight, wake)];
    }

    pub(super) fn show_state(&self) {
        let caught_up = self.catch_up.is_empty();
        self.shared.set_state(if caught_up {
            PipelineState::Running
        } else {
            PipelineState::CatchingUp
        });
    }

    /// How long until a step is to be made for the clock's sake; rows that turn close together share a step.
    pub(super) fn timer_left_ms(&self, now_ms: i64) -> Option<i64> {
        let earliest = self.book.stepped_ms.saturating_add(TIMER_STEPS_APART_MS);
        self.core
            .due_ms()
            .map(|due| due.max(earliest).saturating_sub(now_ms).max(0))
    }

    pub(super) fn pause(&self, now_ms: i64) -> Duration {
        let mut pause = HOUSEKEEPING;
        if let Some(left) = self.timer_left_ms(now_ms) {
            pause = pause.min(Duration::from_millis(left.max(1).unsigned_abs()));
        }
        for (input, plan) in self
            .core
            .inputs
            .iter()
            .zip(&self.core.plan.inputs)
            .filter(|(_, p)| p.has_watermark)
        {
            for partition in input.partitions.iter().filter(|partition| !partition.idle) {
                let Some(since) = partition.quiet_since_ms else {
                    continue;
                };
                let left = (since + plan.idle_ms - now_ms).max(1).unsigned_abs();
                pause = pause.min(Duration::from_millis(left));
            }
        }
        pause
    }
}
