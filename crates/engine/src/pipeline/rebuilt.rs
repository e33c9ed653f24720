//! Dead letters over a change of definitions: a pipeline that is built anew reads its topics again from where they begin, so what it could not
//! take in before may be good now, and the other way round. Its older letters are void, and what is bad now gets a letter.
//!
//! A record of the topic `__headwater_rebuilds` says so, JSON: the `pipeline`; `letters`, an offset of the topic of dead letters in front of
//! which its letters are older; `read`, the partitions that it reads again, `[topic, partition, from]`. After a crash in between all of it
//! is done again, and voids what was written.

use headwater_connect::Step;
use serde_json::json;

use super::appends::Appends;
use super::core::{StepFailure, StepOutput};
use super::dead;
use super::output::StepStamp;
use super::recover;
use super::run::Runner;

/// Rebuilds that are remembered.
const REBUILDS_KEPT: i64 = 10_000;

/// Makes the letters of what the pipeline was before void.
pub fn begins(runner: &Runner, clock_ms: i64) -> Result<(), StepFailure> {
    let (_, letters) = runner.log.extent(runner.topics.dead_letters.partition(0));
    if letters == 0 {
        return Ok(());
    }
    let inputs = &runner.core.plan.inputs;
    let read = runner.genesis.base.iter().filter_map(|position| {
        let input = inputs.get(position.input as usize)?;
        let (start, _) = runner.log.extent(input.topic.partition(position.partition));
        // What is no longer retained cannot be read again.
        let from = position.next.max(start);
        Some(json!([input.topic.name, position.partition, from]))
    });
    let rebuild = json!({
        "time": clock_ms,
        "pipeline": runner.core.plan.name,
        "letters": letters,
        "read": read.collect::<Vec<_>>(),
    });
    let partition = runner.topics.rebuilds.partition(0);
    let mut appends = Appends::new(clock_ms);
    appends.push(partition, None, Some(rebuild.to_string().as_bytes()));
    let (start, end) = runner.log.extent(partition);
    let full = end - start >= 2 * REBUILDS_KEPT;
    write(
        runner,
        appends,
        full.then_some((partition, end - REBUILDS_KEPT)),
    )
}

/// The letters of a step that writes nothing else.
pub fn letters(runner: &Runner, out: &StepOutput, clock_ms: i64) -> Result<(), StepFailure> {
    if out.dead.is_empty() {
        return Ok(());
    }
    let stamp = StepStamp { clock_ms, step: 0 };
    let mut appends = Appends::new(clock_ms);
    for letter in dead::letters(&runner.core.plan, &out.dead, stamp) {
        appends.push(runner.topics.dead_letters.partition(0), None, Some(&letter));
    }
    write(runner, appends, None)
}

fn write(
    runner: &Runner,
    appends: Appends,
    trim: Option<(headwater_base::PartitionId, headwater_base::Offset)>,
) -> Result<(), StepFailure> {
    let step = Step {
        appends: appends.finish(),
        trims: trim.into_iter().collect(),
    };
    recover::commit(runner.log.as_ref(), &step, &runner.shared)?;
    Ok(())
}
