//! How a pipeline comes to its state: the newest snapshot that fits, then the recorded steps since, run again without writing
//! anything. Without a snapshot the state is rebuilt from the retained input up to where the records begin.

use std::collections::BTreeMap;

use headwater_base::PartitionId;
use headwater_connect::{CommitError, Step, StepLog, Visibility};

use super::core::{Core, StepFailure};
use super::input::{self, Taken};
use super::plan::PipelinePlan;
use super::record::{Genesis, Position, STEP_RECORD_VERSION, StepRecord};
use super::seed;
use super::shared::Shared;
use crate::config::SPILLED_STEP;

/// Pause before a commit that the log refused is tried again.
const RETRY_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);
/// Bytes of one read while recovering.
const READ_BYTES: usize = 8 * 1024 * 1024;

/// The step records of the pipeline's current generation.
pub struct History {
    pub generation: u64,
    pub genesis: Genesis,
    /// Step records after the genesis that are still held, with their offsets. Consecutive.
    pub steps: Vec<(i64, StepRecord)>,
    /// Whether the genesis itself is still held, so that `steps` begins with step 1.
    pub whole: bool,
}

impl History {
    /// Of a generation whose genesis has just been written.
    pub fn begun(generation: u64, genesis: Genesis) -> Self {
        Self {
            generation,
            genesis,
            steps: Vec::new(),
            whole: true,
        }
    }
}

/// All that the step topic holds.
pub fn read_records(
    log: &dyn StepLog,
    steps: PartitionId,
) -> Result<Vec<(i64, StepRecord)>, StepFailure> {
    let mut records = Vec::new();
    let mut next = 0;
    loop {
        let read = log
            .read_committed(steps, next, READ_BYTES, Visibility::InFlight)
            .map_err(failure)?;
        for batch in &read.batches {
            for record in headwater_record::records(batch).map_err(failure)? {
                let record = record.map_err(failure)?;
                let step = record.value.as_deref().and_then(StepRecord::decode);
                if let Some(step) = step.filter(|_| record.offset >= read.start) {
                    records.push((record.offset, step));
                }
            }
        }
        if read.next <= next || read.next >= read.end {
            return Ok(records);
        }
        next = read.next;
    }
}

/// The current generation, if there is one. Its genesis is repeated in every record that carries positions, because older
/// records are trimmed.
pub fn history(records: Vec<(i64, StepRecord)>) -> Option<History> {
    let generation = records.last()?.1.generation;
    let own: Vec<(i64, StepRecord)> = records
        .into_iter()
        .filter(|(_, r)| r.generation == generation)
        .collect();
    let genesis = own.iter().find_map(|(_, record)| record.genesis.clone())?;
    let whole = own.first()?.1.step == 0;
    let first = own
        .iter()
        .position(|(_, record)| record.step == 0 || record.positions.is_some())?;
    let steps: Vec<(i64, StepRecord)> = own
        .into_iter()
        .skip(first)
        .filter(|(_, record)| record.step > 0)
        .collect();
    let gapless = steps
        .windows(2)
        .all(|pair| pair[1].1.step == pair[0].1.step + 1);
    gapless.then_some(History {
        generation,
        genesis,
        steps,
        whole,
    })
}

impl History {
    /// Where the input stood after the last recorded step.
    pub fn end(&self) -> Vec<Position> {
        let mut positions = index(&self.genesis.until);
        for (_, step) in &self.steps {
            if let Some(all) = &step.positions {
                positions = index(all);
            }
            positions.extend(
                step.ranges
                    .iter()
                    .map(|range| ((range.input, range.partition), range.next)),
            );
        }
        positions
            .into_iter()
            .map(|((input, partition), next)| Position {
                input,
                partition,
                next,
            })
            .collect()
    }

    /// The generation and step whose snapshot holds the state after the last recorded step.
    fn state(&self) -> Option<(u64, u64)> {
        match self.steps.last() {
            Some((_, step)) => Some((self.generation, step.step)),
            None => self.genesis.inherits,
        }
    }
}

fn index(positions: &[Position]) -> BTreeMap<(u32, i32), i64> {
    positions
        .iter()
        .map(|p| ((p.input, p.partition), p.next))
        .collect()
}

/// The genesis of the next generation: `None` if the pipeline goes on as it is.
pub fn next_generation(
    plan: &PipelinePlan,
    before: Option<&History>,
    start: Vec<Position>,
) -> Option<Genesis> {
    let outputs: Vec<(String, String)> = plan
        .outputs
        .iter()
        .map(|output| (output.name.clone(), output.fingerprint.clone()))
        .collect();
    let inputs = plan.inputs.iter().map(input_identity).collect();
    let fresh = Genesis {
        flow_fingerprint: plan.flow_fingerprint.clone(),
        outputs: outputs.clone(),
        inputs,
        until: start.clone(),
        base: start,
        inherits: None,
        seeds: Vec::new(),
        seeded_rows: 0,
    };
    let Some(before) = before else {
        return Some(fresh);
    };
    let old = &before.genesis;
    let same_flows = old.flow_fingerprint == plan.flow_fingerprint;
    if same_flows && old.outputs == outputs {
        return None;
    }
    let (seeds, seeded_rows) = seeds_of(&outputs, before, same_flows);
    let (base, until) = carried(&fresh, before, same_flows);
    let inherits = same_flows.then(|| before.state());
    Some(Genesis {
        base,
        until,
        inherits: inherits.flatten(),
        seeds,
        seeded_rows,
        ..fresh
    })
}

/// Outputs that are new, and those that the generation before did not come to the end of.
fn seeds_of(
    outputs: &[(String, String)],
    before: &History,
    same_flows: bool,
) -> (Vec<String>, u64) {
    let left = seed::unfinished(&before.genesis, before.steps.last().map(|(_, step)| step));
    let is_new = |output: &&(String, String)| !before.genesis.outputs.contains(output);
    let goes_on = |name: &String| {
        let output = outputs.iter().find(|(known, _)| known == name);
        output.is_some_and(|output| !is_new(&output))
    };
    let mut seeds: Vec<String> = left
        .outputs
        .iter()
        .filter(|n| goes_on(n))
        .cloned()
        .collect();
    let rows = if same_flows && seeds.first() == left.outputs.first() {
        left.rows
    } else {
        0
    };
    let new = outputs.iter().filter(is_new).map(|(name, _)| name.clone());
    seeds.extend(new);
    (seeds, rows)
}

pub fn input_identity(input: &super::plan::InputPlan) -> String {
    format!("{} {}", input.name, input.topic.id)
}

/// Where inputs that were there before begin and have got to.
fn carried(fresh: &Genesis, before: &History, same_flows: bool) -> (Vec<Position>, Vec<Position>) {
    let old = &before.genesis;
    let (old_base, old_end) = (index(&old.base), index(&before.end()));
    let translate = |from: &BTreeMap<(u32, i32), i64>, position: &Position| {
        let identity = fresh.inputs.get(position.input as usize)?;
        let input = old.inputs.iter().position(|known| known == identity)?;
        let there = from.get(&(u32::try_from(input).ok()?, position.partition));
        // A partition that an input got later begins at its start, whatever its source says of the others.
        Some(there.copied().unwrap_or(0))
    };
    let mut known: Vec<Position> = fresh.base.clone();
    if same_flows {
        let more = old_end.keys().map(|(input, partition)| Position {
            input: *input,
            partition: *partition,
            next: 0,
        });
        let missing: Vec<Position> = more
            .filter(|p| {
                !known
                    .iter()
                    .any(|k| (k.input, k.partition) == (p.input, p.partition))
            })
            .collect();
        known.extend(missing);
    }
    let base = known.iter().map(|p| Position {
        next: translate(&old_base, p).unwrap_or(p.next),
        ..*p
    });
    let until = known.iter().map(|p| Position {
        next: translate(&old_end, p).unwrap_or(p.next),
        ..*p
    });
    (base.collect(), until.collect())
}

/// Writes the genesis down for good; waits while the log takes no writes.
pub fn begin(
    log: &dyn StepLog,
    steps: PartitionId,
    (generation, genesis): (u64, &Genesis),
    clock_ms: i64,
    shared: &Shared,
) -> Result<i64, StepFailure> {
    let record = StepRecord {
        v: STEP_RECORD_VERSION,
        generation,
        step: 0,
        clock_ms,
        catching_up: true,
        ended: false,
        idle: Vec::new(),
        ranges: Vec::new(),
        positions: Some(genesis.until.clone()),
        genesis: Some(genesis.clone()),
        seeding: None,
    };
    let mut appends = super::appends::Appends::new(clock_ms);
    appends.push(steps, None, Some(&record.encode()));
    let step = Step {
        appends: appends.finish(),
        trims: Vec::new(),
    };
    commit(log, &step, shared)
}

/// Commits for good, outside a step; waits while the log takes no writes. The offset of the first record.
pub fn commit(log: &dyn StepLog, step: &Step, shared: &Shared) -> Result<i64, StepFailure> {
    loop {
        match log.commit(step.clone()) {
            Ok((offsets, durable)) => {
                futures::executor::block_on(durable).map_err(failure)?;
                return Ok(offsets.first().copied().unwrap_or(0));
            }
            Err(CommitError::Retry(_)) if !shared.stopping() => std::thread::sleep(RETRY_PAUSE),
            Err(error) => return Err(failure(error)),
        }
    }
}

/// The next piece of the input on the way to `target`, as a step that is not recorded; `None` when it is reached.
pub fn next_silent(
    core: &mut Core,
    log: &dyn StepLog,
    target: &[Position],
    clock_ms: i64,
) -> Result<Option<(StepRecord, Vec<Taken>)>, StepFailure> {
    let taken = next_chunk(core, log, &index(target))?;
    if taken.is_empty() {
        return Ok(None);
    }
    let ranges = taken.iter().map(|taken| taken.range).collect();
    Ok(Some((
        StepRecord {
            ranges,
            ..silent(core, clock_ms)
        },
        taken,
    )))
}

/// A step that is run but not recorded.
pub fn silent(core: &Core, clock_ms: i64) -> StepRecord {
    StepRecord {
        v: STEP_RECORD_VERSION,
        generation: core.generation,
        step: core.step + 1,
        clock_ms,
        catching_up: true,
        ended: false,
        idle: Vec::new(),
        ranges: Vec::new(),
        positions: None,
        genesis: None,
        seeding: None,
    }
}

fn next_chunk(
    core: &mut Core,
    log: &dyn StepLog,
    target: &BTreeMap<(u32, i32), i64>,
) -> Result<Vec<Taken>, StepFailure> {
    let count: usize = core.inputs.iter().map(|input| input.partitions.len()).sum();
    let bytes = if core.spilled_bytes() > 0 {
        SPILLED_STEP.bytes_max
    } else {
        READ_BYTES
    };
    let share = (bytes / count.max(1)).max(64 * 1024);
    let mut taken = Vec::new();
    for (index, input) in core.inputs.iter_mut().enumerate() {
        let number = u32::try_from(index).unwrap_or(u32::MAX);
        for partition in &mut input.partitions {
            let Some(end) = target.get(&(number, partition.index)).copied() else {
                continue;
            };
            if partition.next >= end {
                continue;
            }
            let read = log
                .read_committed(partition.id, partition.next, share, Visibility::InFlight)
                .map_err(failure)?;
            // Where nothing is left to read, the rest up to the target is no longer retained.
            let next = if read.next > partition.next {
                read.next.min(end)
            } else {
                end
            };
            let range = super::record::Range {
                input: number,
                partition: partition.index,
                from: partition.next,
                next,
            };
            taken.push(Taken {
                batches: read.batches,
                ..Taken::new(range)
            });
        }
    }
    Ok(taken)
}

/// What a recorded step took in, read again.
pub fn retake(
    core: &Core,
    log: &dyn StepLog,
    record: &StepRecord,
) -> Result<Vec<Taken>, StepFailure> {
    let each = |range: &super::record::Range| {
        let topic = core
            .plan
            .inputs
            .get(range.input as usize)
            .map(|input| &input.topic);
        let topic = topic.ok_or_else(|| StepFailure("a step of other inputs".to_owned()))?;
        input::reread(log, topic.partition(range.partition), *range, READ_BYTES).map_err(failure)
    };
    record.ranges.iter().map(each).collect()
}

pub fn failure(error: impl std::fmt::Display) -> StepFailure {
    StepFailure(error.to_string())
}
