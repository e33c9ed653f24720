//! Starting a pipeline: its threads, its fresh state, its recovery.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;

use headwater_base::{Offset, PartitionId, SpillStore};
use headwater_connect::{StepLog, Visibility};
use headwater_dataflow::Dataflow;
use headwater_dataflow::spill::{Division, PART_BYTES_MAX};
use headwater_sql::StepClock;
use headwater_views::ViewStore;

use super::core::{Core, Counters, FlowState, InputState, StepFailure};
use super::decode::InputDecoder;
use super::decoders::Decoders;
use super::hold::{self, Anchor};
use super::input::Partition;
use super::layout;
use super::output::SharedTopics;
use super::plan::{FlowPlan, InputDef, InputPlan, OutputKind, PipelinePlan};
use super::publish::Publish;
use super::record::{Position, StepRecord};
use super::recover::{self, History, failure};
use super::run::{Bookkeeping, Runner, ends};
use super::seed::Seeds;
use super::shared::{NodeMemory, Shared};
use super::sharing::Sharings;
use super::snapshot::{SnapshotDir, SnapshotId};
use super::tables::Table;
use super::{figures, persist, publish, rebuilt, watermark};
use crate::alerts::state::{AlertEvent, AlertState};
use crate::cell::{ViewCell, ViewInfo};
use crate::codec;
use crate::config::EngineConfig;
use crate::status::PipelineState;

/// How much smaller steps become when the results of one do not fit into a commit, and how small at most.
const STEP_DIVISOR_GROWTH: usize = 8;
const STEP_DIVISOR_MAX: usize = 65_536;

/// A state has at least this many parts before it is spilled.
const PARTS_IN_MEMORY_MIN: usize = 16;

/// A pipeline's threads. Dropping it does not stop them.
pub struct Running {
    pub shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What a pipeline needs of the engine. Its topics exist.
#[derive(Clone)]
pub struct Surroundings {
    pub log: Arc<dyn StepLog>,
    pub config: EngineConfig,
    pub memory: Arc<NodeMemory>,
    pub topics: SharedTopics,
    pub sharings: Arc<Sharings>,
    /// Partition of the pipeline's step records.
    pub steps: PartitionId,
    /// The clock that the planned expressions read.
    pub clock: StepClock,
    /// It is to recover, and then to wait until it is resumed.
    pub paused: bool,
}

impl Running {
    pub fn stop(&mut self) {
        self.shared.ask_to_stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.shared.account(0);
    }

    pub fn ask_to_stop(&self) {
        self.shared.ask_to_stop();
    }
}

/// Starts the threads; recovery happens on them.
pub fn start(plan: Arc<PipelinePlan>, around: Surroundings) -> std::io::Result<Running> {
    let cells = (0..plan.relations())
        .map(|relation| cell(&plan, relation))
        .collect();
    let shared = Shared::new(Arc::clone(&plan), cells, Arc::clone(&around.memory));
    shared.set_paused(around.paused);
    let own = Arc::clone(&shared);
    let thread = std::thread::Builder::new()
        .name(format!("pipeline-{}", plan.name))
        .spawn(move || {
            let snapshots = SnapshotDir::new(&around.config.state_dir, &own.plan.name);
            let go = || catch_unwind(AssertUnwindSafe(|| live(&own, around.clone(), &snapshots)));
            let mut result = go();
            while matches!(result, Ok(Err(_))) && !own.stopping() && can_go_on(&own, &snapshots) {
                own.set_state(PipelineState::Starting);
                result = go();
            }
            match result {
                Ok(Ok(())) => {}
                Ok(Err(error)) => own.fail(error.to_string()),
                Err(panic) => own.fail(super::panic_text(&*panic)),
            }
            // The state is gone, others may have its memory; the views can still be read.
            own.account(own.cell_bytes());
        })?;
    Ok(Running {
        shared,
        thread: Some(thread),
    })
}

/// Whether a failure is of a kind that the pipeline gets over by itself, from its last snapshot: a part of its state that cannot be read, and
/// a step whose results are more than one commit takes, of which nothing was written.
fn can_go_on(shared: &Shared, snapshots: &SnapshotDir) -> bool {
    let pipeline = &shared.plan.name;
    if snapshots.spill().is_damaged() {
        tracing::warn!(
            pipeline,
            "a part of the state is damaged: it begins again from the input"
        );
        snapshots.discard();
        return true;
    }
    let divisor = shared.step_divisor.load(Ordering::Acquire);
    if shared.oversized.swap(false, Ordering::AcqRel) && divisor < STEP_DIVISOR_MAX {
        tracing::warn!(
            pipeline,
            "a step's results are more than one commit takes: it takes smaller ones"
        );
        shared
            .step_divisor
            .store(divisor * STEP_DIVISOR_GROWTH, Ordering::Release);
        return true;
    }
    false
}

fn live(
    shared: &Arc<Shared>,
    around: Surroundings,
    snapshots: &SnapshotDir,
) -> Result<(), StepFailure> {
    snapshots.tidy();
    let told = Arc::downgrade(shared);
    snapshots.spill().when_full(Box::new(move |reason| {
        let Some(shared) = told.upgrade().filter(|shared| !shared.stopping()) else {
            return false;
        };
        shared.set_state(reason.map_or(PipelineState::Running, |reason| {
            PipelineState::Paused(reason.to_owned())
        }));
        true
    }));
    let depth = around.config.steps.in_flight_max;
    let (publish, publisher) =
        publish::spawn(Arc::clone(shared), snapshots.clone(), depth).map_err(failure)?;
    let mut runner = recovered(shared, around, snapshots.clone(), publish)?;
    let result = runner.run();
    drop(runner);
    let _ = publisher.join();
    result
}

fn cell(plan: &PipelinePlan, relation: usize) -> Option<Arc<ViewCell>> {
    if !plan.kept(relation) {
        return None;
    }
    let flow = relation
        .checked_sub(plan.inputs.len())
        .map(|flow| &plan.flows[flow]);
    let kind = flow.map_or("table", |flow| if flow.is_alert { "alert" } else { "view" });
    let info = ViewInfo {
        name: plan.relation_name(relation).to_owned(),
        pipeline: plan.name.clone(),
        kind,
        schema: Arc::clone(plan.schema(relation)),
        key: plan.key(relation).map(<[usize]>::to_vec),
        append_only: plan.append_only(relation),
        time: flow.and_then(|flow| flow.window_end.or(flow.event_time)),
    };
    Some(ViewCell::new(info))
}

/// A runner whose state is that after the last recorded step.
fn recovered(
    shared: &Arc<Shared>,
    around: Surroundings,
    snapshots: SnapshotDir,
    publish: SyncSender<Publish>,
) -> Result<Runner, StepFailure> {
    let plan = Arc::clone(&shared.plan);
    let log = Arc::clone(&around.log);
    let records = recover::read_records(log.as_ref(), around.steps)?;
    let unreadable = records.is_empty() && log.extent(around.steps).1 > log.extent(around.steps).0;
    let before = recover::history(records);
    if unreadable || (before.is_none() && log.extent(around.steps).1 > 0) {
        return Err(StepFailure(
            "its step records cannot be read by this version".to_owned(),
        ));
    }
    let mut core = fresh_core(&plan, &around, &snapshots)?;
    core.allow(shared.allowance())?;
    let start = core.positions();
    let now_ms = around.config.clock.now_ms();
    let next = recover::next_generation(&plan, before.as_ref(), start);
    let (history, begun) = match (next, before) {
        (None, Some(history)) => (history, None),
        (next, before) => {
            let genesis = next.unwrap_or_default();
            let generation = before.map_or(1, |history| history.generation + 1);
            let begins = (generation, &genesis);
            let offset = recover::begin(log.as_ref(), around.steps, begins, now_ms, shared)?;
            (History::begun(generation, genesis), Some(offset))
        }
    };
    let History {
        generation,
        genesis,
        steps,
        whole,
    } = history;
    let mut anchors: Vec<Anchor> = begun
        .into_iter()
        .map(|offset| Anchor {
            step: 0,
            offset,
            positions: genesis.base.clone(),
        })
        .collect();
    core.generation = generation;
    place(&mut core, &genesis.base);
    anchors.extend(Anchor::of(&steps));
    let needed = hold::first_needed(&genesis, &steps, whole);
    log.retain(&plan.name, hold::places(&plan, &needed));
    let mut runner = Runner {
        core,
        log,
        config: around.config.clone(),
        shared: Arc::clone(shared),
        topics: around.topics.clone(),
        steps: around.steps,
        publish,
        spill: Arc::clone(snapshots.spill()),
        catch_up: Vec::new(),
        seeds: Seeds::after(&genesis, steps.last().map(|(_, step)| step)),
        genesis,
        ahead: None,
        book: Bookkeeping {
            anchors: anchors.into(),
            ..Bookkeeping::default()
        },
    };
    replay(&mut runner, &around, &snapshots, &steps, whole)?;
    Ok(runner)
}

fn replay(
    runner: &mut Runner,
    around: &Surroundings,
    snapshots: &SnapshotDir,
    steps: &[(Offset, StepRecord)],
    whole: bool,
) -> Result<(), StepFailure> {
    let rebuilt = !from_snapshot(runner, around, snapshots, steps, whole)?;
    if rebuilt {
        rebuild(runner, steps, whole)?;
    }
    for (_, record) in steps {
        if record.step <= runner.core.step {
            continue;
        }
        if runner.shared.stopping() {
            // The state is that of a step in the middle: nothing of it may be written behind the last one.
            runner.book.abandoned = true;
            return Ok(());
        }
        let taken = recover::retake(&runner.core, runner.log.as_ref(), record)?;
        let out = runner.core.run(record, &taken)?;
        runner.book.steps_since_snapshot += 1;
        runner.publish(record, out, &[], None)?;
        runner.account()?;
    }
    if rebuilt {
        adopt_alerts(runner)?;
    }
    runner.barrier();
    runner.shared.set_positions(&runner.core.positions());
    show_changelog_ends(runner)?;
    runner.catch_up = ends(&runner.core, runner.log.as_ref(), Visibility::InFlight);
    Ok(())
}

/// Whether a snapshot gave the state.
fn from_snapshot(
    runner: &mut Runner,
    around: &Surroundings,
    snapshots: &SnapshotDir,
    steps: &[(Offset, StepRecord)],
    whole: bool,
) -> Result<bool, StepFailure> {
    let generation = runner.core.generation;
    let first = if whole {
        0
    } else {
        steps.first().map_or(0, |(_, record)| record.step)
    };
    let last = steps.last().map_or(0, |(_, record)| record.step);
    let inherits = runner.genesis.inherits.filter(|_| whole);
    let fingerprint = runner.snapshot_fingerprint();
    let mut tried: Vec<SnapshotId> = Vec::new();
    loop {
        let fits = |id: &SnapshotId| {
            let own = id.generation == generation && (first..=last).contains(&id.step);
            let inherited = inherits == Some((id.generation, id.step));
            id.fingerprint == fingerprint && (own || inherited) && !tried.contains(id)
        };
        let Some((id, body)) = snapshots.newest(fits) else {
            return Ok(false);
        };
        match restore(runner, &body) {
            Ok(()) => {
                runner.core.generation = generation;
                if id.generation != generation {
                    runner.core.step = 0;
                }
                return Ok(true);
            }
            Err(error) => {
                tracing::warn!(pipeline = runner.core.plan.name, %error, "passing over a snapshot");
                let plan = Arc::clone(&runner.core.plan);
                runner.core = fresh_core(&plan, around, snapshots)?;
                runner.core.generation = generation;
                place(&mut runner.core, &runner.genesis.base.clone());
                tried.push(id);
            }
        }
    }
}

fn restore(runner: &mut Runner, body: &[u8]) -> std::io::Result<()> {
    let mut from = body;
    let core = codec::get_bytes(&mut from)?;
    persist::restore(&mut runner.core, &core)?;
    let mut stores = Vec::new();
    for _ in 0..codec::get_u64(&mut from)? {
        let name = codec::get_bytes(&mut from)?;
        stores.push((name, codec::get_bytes(&mut from)?));
    }
    let mut restored = Vec::new();
    for cell in runner.shared.cells.iter().flatten() {
        let found = stores
            .iter()
            .find(|(name, _)| name == cell.info.name.as_bytes());
        let (_, rows) = found.ok_or_else(|| codec::corrupt("a view is missing"))?;
        let (schema, layout) =
            cell.with_store(|store| (Arc::clone(store.schema()), store.layout().clone()));
        let spill = Arc::clone(&runner.spill) as Arc<dyn SpillStore>;
        let store = ViewStore::read_from(&mut rows.as_slice(), schema, layout, Some(&spill))
            .map_err(std::io::Error::other)?;
        restored.push((cell, store));
    }
    for (cell, store) in restored {
        cell.reset(store, runner.core.step);
    }
    Ok(())
}

/// Without a snapshot: the input again, up to where the records begin.
fn rebuild(
    runner: &mut Runner,
    steps: &[(Offset, StepRecord)],
    whole: bool,
) -> Result<(), StepFailure> {
    for cell in runner.shared.cells.iter().flatten() {
        let (schema, layout) =
            cell.with_store(|store| (Arc::clone(store.schema()), store.layout().clone()));
        cell.reset(ViewStore::new(schema, layout), 0);
    }
    let anchor = steps
        .first()
        .filter(|_| !whole)
        .map(|(_, record)| record.clone());
    let target = match &anchor {
        Some(record) => record.positions.clone().unwrap_or_default(),
        None => runner.genesis.until.clone(),
    };
    let clock_ms = anchor
        .as_ref()
        .map_or_else(|| runner.config.clock.now_ms(), |record| record.clock_ms);
    let (log, shared) = (Arc::clone(&runner.log), Arc::clone(&runner.shared));
    // Nothing of this generation is written yet: letters of one before speak of other definitions.
    let anew = steps.is_empty() && runner.genesis.inherits.is_none();
    if anew {
        rebuilt::begins(runner, clock_ms)?;
    }
    loop {
        let Some((record, taken)) =
            recover::next_silent(&mut runner.core, log.as_ref(), &target, clock_ms)?
        else {
            break;
        };
        let out = runner.core.run(&record, &taken)?;
        if anew {
            rebuilt::letters(runner, &out, clock_ms)?;
        }
        runner.publish(&record, out, &[], None)?;
        runner.account()?;
        if shared.stopping() {
            return Err(StepFailure("stopped while it was being rebuilt".to_owned()));
        }
    }
    if let Some(anchor) = anchor {
        let record = StepRecord {
            idle: anchor.idle.clone(),
            ended: steps.first().is_some_and(|(_, record)| record.ended),
            ..recover::silent(&runner.core, clock_ms)
        };
        let out = runner.core.run(&record, &[])?;
        runner.publish(&record, out, &[], None)?;
        runner.core.step = anchor.step;
    } else {
        runner.core.step = 0;
    }
    Ok(())
}

fn adopt_alerts(runner: &mut Runner) -> Result<(), StepFailure> {
    let plan = Arc::clone(&runner.core.plan);
    for (index, output) in plan.outputs.iter().enumerate() {
        if let OutputKind::Alert { topic, .. } = &output.kind {
            let events = crate::alerts::log::read_all(runner.log.as_ref(), topic.partition(0))
                .map_err(failure)?;
            let events = events
                .into_iter()
                .map(|(_, event): (Offset, AlertEvent)| event);
            runner.core.alerts[index].adopt(events);
        }
    }
    Ok(())
}

fn show_changelog_ends(runner: &Runner) -> Result<(), StepFailure> {
    for output in &runner.core.plan.outputs {
        let (OutputKind::Changelog { topic, .. }, Some(cell)) =
            (&output.kind, &runner.shared.cells[output.relation])
        else {
            continue;
        };
        let partition = topic.partition(0);
        let read = runner
            .log
            .read_committed(partition, 0, 1, Visibility::InFlight)
            .map_err(failure)?;
        cell.set_changelog_end(partition, read.end);
    }
    Ok(())
}

/// How its states are divided: parts are small against what may be in memory.
fn division(around: &Surroundings, snapshots: &SnapshotDir) -> Division {
    let pipeline_max = around.memory.pipeline_max.load(Ordering::Acquire);
    Division {
        part_bytes_max: PART_BYTES_MAX.min(pipeline_max / PARTS_IN_MEMORY_MIN),
        threads_max: super::flows::cores(),
        parallel_rows_min: around.config.steps.parallel_rows_min,
        store: Some(Arc::clone(snapshots.spill()) as Arc<dyn SpillStore>),
    }
}

fn fresh_core(
    plan: &Arc<PipelinePlan>,
    around: &Surroundings,
    snapshots: &SnapshotDir,
) -> Result<Core, StepFailure> {
    let division = division(around, snapshots);
    let inputs = plan.inputs.iter().enumerate().map(|(index, input)| {
        let table = input.is_table().then(|| {
            let store = Arc::clone(snapshots.spill()) as Arc<dyn SpillStore>;
            Table::new(Arc::clone(&input.schema), division.part_bytes_max, store)
        });
        fresh_input(index, input, table, around)
    });
    let flows = plan.flows.iter().map(|flow| fresh_flow(flow, &division));
    Ok(Core {
        plan: Arc::clone(plan),
        inputs: inputs.collect::<Result<_, _>>()?,
        flows: flows.collect::<Result<_, _>>()?,
        alerts: plan.outputs.iter().map(|_| AlertState::default()).collect(),
        withheld: BTreeMap::new(),
        counters: Counters::default(),
        generation: 0,
        step: 0,
        ended: false,
        parallel_rows_min: around.config.steps.parallel_rows_min,
        clock: around.clock.clone(),
    })
}

fn fresh_input(
    index: usize,
    plan: &InputPlan,
    table: Option<Table>,
    around: &Surroundings,
) -> Result<InputState, StepFailure> {
    let number = u32::try_from(index).map_err(failure)?;
    let computed = Dataflow::new(&plan.computed).map_err(failure)?;
    let schema = Arc::clone(&plan.schema);
    let decoder = match &plan.def {
        InputDef::Source(def) => {
            let decoders = Decoders::new(def.clone(), Arc::clone(&plan.read));
            decoders.check().map_err(StepFailure)?;
            // All that decides how a record is decoded is in its source's definition.
            let sharing = around.sharings.of(format!("{} {def:?}", plan.topic.id));
            let decoders = decoders.sharing(&sharing);
            InputDecoder::source(
                number,
                Arc::new(decoders),
                computed,
                schema,
                plan.has_watermark,
            )
        }
        InputDef::Table(def) => {
            let (decoder, key) = layout::table_decoder(def).map_err(failure)?;
            InputDecoder::table(number, decoder, computed, schema, plan.has_watermark, key)
        }
    };
    let partitions = (0..plan.topic.partitions).map(|index| {
        let (start, end) = around.log.extent(plan.topic.partition(index));
        Partition::new(
            &plan.topic,
            index,
            if plan.from_latest { end } else { start },
        )
    });
    Ok(InputState {
        partitions: partitions.collect(),
        decoder,
        table,
        watermark: watermark::NONE,
        rows: 0,
        dead: 0,
    })
}

fn fresh_flow(plan: &FlowPlan, division: &Division) -> Result<FlowState, StepFailure> {
    let dataflow = Dataflow::with(&plan.graph, division).map_err(failure)?;
    let dataflow = dataflow.timed(figures::ticks);
    Ok(FlowState {
        dataflow,
        watermark: watermark::NONE,
        retained_at: watermark::NONE,
        rows_out: 0,
        late: 0,
    })
}

/// Puts the partitions where a generation begins.
fn place(core: &mut Core, base: &[Position]) {
    let plan = Arc::clone(&core.plan);
    for (index, (input, plan)) in core.inputs.iter_mut().zip(&plan.inputs).enumerate() {
        let known = |partition: &Partition| {
            base.iter()
                .any(|p| p.input as usize == index && p.partition == partition.index)
        };
        // Partitions that the topic got later begin at their start, also for those who began at the end of the others.
        let grown = input.partitions.iter_mut().filter(|p| !known(p));
        grown
            .filter(|_| plan.from_latest)
            .for_each(|partition| partition.next = 0);
    }
    for position in base {
        let Some(input) = core.inputs.get_mut(position.input as usize) else {
            continue;
        };
        if let Some(partition) = input
            .partitions
            .iter_mut()
            .find(|p| p.index == position.partition)
        {
            partition.next = position.next;
        }
    }
}
