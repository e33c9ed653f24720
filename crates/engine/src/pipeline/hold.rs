//! What of its input a pipeline may have to read again: everything since the older one of the snapshots it keeps.
//!
//! The log's cleaning (retention, compaction) leaves that alone, so that a replay gives the same rows as the first time. A
//! pipeline that holds up cleaning takes a snapshot early.

use std::sync::atomic::Ordering;

use headwater_base::{Offset, PartitionId};

use super::plan::PipelinePlan;
use super::record::{Genesis, Position, StepRecord};
use super::run::Runner;

/// A step record with positions, from which a replay can begin.
pub struct Anchor {
    pub step: u64,
    /// Of the record in the step topic.
    pub offset: Offset,
    pub positions: Vec<Position>,
}

impl Anchor {
    /// Of those records that have positions.
    pub fn of(steps: &[(Offset, StepRecord)]) -> impl Iterator<Item = Self> {
        let anchor = |(offset, record): &(Offset, StepRecord)| {
            let positions = record.positions.clone()?;
            Some(Self {
                step: record.step,
                offset: *offset,
                positions,
            })
        };
        steps.iter().filter_map(anchor)
    }
}

/// Where a replay begins that finds no snapshot newer than the records which are still there.
pub fn first_needed(
    genesis: &Genesis,
    steps: &[(Offset, StepRecord)],
    whole: bool,
) -> Vec<Position> {
    let oldest = steps
        .first()
        .filter(|_| !whole)
        .and_then(|(_, record)| record.positions.clone());
    oldest.unwrap_or_else(|| genesis.base.clone())
}

/// Positions as places in the log.
pub fn places(plan: &PipelinePlan, positions: &[Position]) -> Vec<(PartitionId, Offset)> {
    let place = |position: &Position| {
        let input = plan.inputs.get(position.input as usize)?;
        Some((input.topic.partition(position.partition), position.next))
    };
    positions.iter().filter_map(place).collect()
}

impl Runner {
    /// Lets go of the input that newer snapshots have made superfluous.
    pub(super) fn let_go_of_input(&mut self) {
        let step = self.shared.trim_step.load(Ordering::Acquire);
        let anchors = &mut self.book.anchors;
        let known = anchors.front().map(|anchor| anchor.step);
        while anchors.len() > 1 && anchors[1].step <= step {
            anchors.pop_front();
        }
        let Some(anchor) = anchors.front().filter(|anchor| anchor.step <= step) else {
            return;
        };
        if known != Some(anchor.step) || !self.book.input_released {
            self.book.input_released = true;
            let places = places(&self.core.plan, &anchor.positions);
            self.log.retain(&self.core.plan.name, places);
        }
    }

    /// Whether cleaning waits for a snapshot of this pipeline that has something new to hold.
    pub(super) fn snapshot_wanted(&mut self) -> bool {
        self.book.snapshot_asked |= self.log.release_wanted(&self.core.plan.name);
        self.book.snapshot_asked && self.book.steps_since_snapshot > 0
    }
}
