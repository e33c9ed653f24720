//! The state of a pipeline and the one function that moves it: a step's input in, its results out.
//!
//! Deterministic: the same steps give the same state and results. Knows no clock, log or thread of its own choosing; reading,
//! writing and waiting are the runner's.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use headwater_base::PartId;
use headwater_dataflow::Dataflow;
use headwater_dataflow::delta::Delta;
use headwater_dataflow::operator::{ErrorAt, LateRow, StepContext};

use headwater_sql::{StepClock, VERSIONS};

use super::dead::{DeadRecord, Raw, fill_in};
use super::decode::InputDecoder;
use super::input::{Partition, Taken};
use super::plan::{OutputKind, PipelinePlan, RelationId};
use super::record::{Position, StepRecord};
use super::tables::Table;
use super::{conditions, flows, watermark};
use crate::alerts::state::{AlertEvent, AlertState, Announce};

/// One input with its partitions.
pub struct InputState {
    pub partitions: Vec<Partition>,
    pub decoder: InputDecoder,
    pub table: Option<Table>,
    pub watermark: i64,
    pub rows: u64,
    pub dead: u64,
}

/// One flow: the operators of a view.
pub struct FlowState {
    pub dataflow: Dataflow,
    pub watermark: i64,
    /// Watermark at which old rows were last let go.
    pub retained_at: i64,
    pub rows_out: u64,
    pub late: u64,
}

/// A result row that is withheld because it cannot be computed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Withheld {
    pub view: String,
    pub operator: String,
    pub key: String,
    pub message: String,
    pub times: i64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counters {
    pub rows: u64,
    pub dead_letters: u64,
    pub late_rows: u64,
    pub alerts_fired: u64,
}

/// See the module's description.
pub struct Core {
    pub plan: Arc<PipelinePlan>,
    pub inputs: Vec<InputState>,
    pub flows: Vec<FlowState>,
    /// One an output; empty for outputs that are no alerts.
    pub alerts: Vec<AlertState>,
    pub withheld: BTreeMap<(String, String, String), Withheld>,
    pub counters: Counters,
    pub generation: u64,
    pub step: u64,
    pub ended: bool,
    /// From this many rows on flows may share the cores.
    pub parallel_rows_min: usize,
    /// What `now()` reads.
    pub clock: StepClock,
}

/// What a step gives.
#[derive(Default)]
pub struct StepOutput {
    /// By relation.
    pub relations: Vec<Vec<Delta>>,
    pub dead: Vec<(usize, DeadRecord)>,
    pub late: Vec<(usize, LateRow)>,
    /// Events by output.
    pub alerts: Vec<(usize, Vec<AlertEvent>)>,
    /// For relations with a retention: rows older than this (microseconds) are let go.
    pub forget: Vec<(RelationId, i64)>,
    /// Records that the step took in.
    pub records: u64,
}

/// The pipeline cannot go on.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct StepFailure(pub String);

impl Core {
    /// Runs one step. `record` must follow the last one.
    pub fn run(&mut self, record: &StepRecord, taken: &[Taken]) -> Result<StepOutput, StepFailure> {
        if record.generation != self.generation || record.step != self.step + 1 {
            let (generation, step) = (self.generation, self.step);
            return Err(StepFailure(format!(
                "step {}.{} does not follow step {generation}.{step}",
                record.generation, record.step
            )));
        }
        let now_us = record.clock_ms.saturating_mul(1_000);
        self.clock.set_us(now_us);
        let mut out = StepOutput {
            relations: vec![Vec::new(); self.plan.relations()],
            ..StepOutput::default()
        };
        self.take_in(taken, now_us, &mut out)?;
        self.advance_time(record);
        self.run_flows(now_us, &mut out)?;
        self.run_alerts(record, &mut out)?;
        self.retain(&mut out)?;
        self.step = record.step;
        // A record is in one step only, so once a step is once for good: several windows or views may fail on it.
        let mut told = HashSet::new();
        out.dead
            .retain(|(input, dead)| told.insert((*input, dead.partition, dead.offset)));
        fill_in(taken, &mut out.dead);
        for (input, _) in &out.dead {
            self.inputs[*input].dead += 1;
            self.counters.dead_letters += 1;
        }
        for (flow, late) in &out.late {
            self.flows[*flow].late += late.rows.num_rows() as u64;
            self.counters.late_rows += late.rows.num_rows() as u64;
        }
        Ok(out)
    }

    fn take_in(
        &mut self,
        taken: &[Taken],
        now_us: i64,
        out: &mut StepOutput,
    ) -> Result<(), StepFailure> {
        let mut tables: BTreeMap<usize, Vec<&Taken>> = BTreeMap::new();
        for one in taken {
            let index = one.range.input as usize;
            let input = self
                .inputs
                .get_mut(index)
                .ok_or_else(|| StepFailure("a step of other inputs".to_owned()))?;
            out.records += one.range.next.abs_diff(one.range.from);
            if input.table.is_some() {
                tables.entry(index).or_default().push(one);
                continue;
            }
            let mut dead = Vec::new();
            let partition = partition_of(input, one)?;
            let start = input.partitions[partition].watermark;
            let rows = input
                .decoder
                .source_rows(one, start, now_us, &mut dead)
                .map_err(StepFailure)?;
            let state = &mut input.partitions[partition];
            state.watermark = rows.watermark;
            state.next = one.range.next;
            input.rows += rows.delta.len() as u64;
            self.counters.rows += rows.delta.len() as u64;
            if !told_by_table(&self.plan, index) {
                out.dead.extend(dead.into_iter().map(|dead| (index, dead)));
            }
            if !rows.delta.is_empty() {
                out.relations[index].push(rows.delta);
            }
        }
        tables
            .into_iter()
            .try_for_each(|(index, taken)| self.take_in_table(index, &taken, now_us, out))
    }

    fn take_in_table(
        &mut self,
        index: usize,
        taken: &[&Taken],
        now_us: i64,
        out: &mut StepOutput,
    ) -> Result<(), StepFailure> {
        for one in taken {
            let mut dead = Vec::new();
            let input = &mut self.inputs[index];
            let partition = partition_of(input, one)?;
            let (rows, records, watermark) = input
                .decoder
                .table_rows(one, now_us, &mut dead)
                .map_err(StepFailure)?;
            let state = &mut input.partitions[partition];
            state.watermark = state.watermark.max(watermark);
            state.next = one.range.next;
            input.rows += records.len() as u64;
            self.counters.rows += records.len() as u64;
            out.dead.extend(dead.into_iter().map(|dead| (index, dead)));
            let Some(table) = &mut input.table else {
                continue;
            };
            let delta = table.apply(&rows, records).map_err(failed)?;
            out.relations[index].extend(delta);
        }
        Ok(())
    }

    fn advance_time(&mut self, record: &StepRecord) {
        self.ended |= record.ended;
        for (index, input) in self.inputs.iter_mut().enumerate() {
            for partition in &mut input.partitions {
                let id = (u32::try_from(index).unwrap_or(u32::MAX), partition.index);
                partition.idle = record.idle.contains(&id);
            }
            let partitions = input
                .partitions
                .iter()
                .map(|partition| (partition.watermark, partition.idle));
            input.watermark = watermark::of_source(partitions, input.watermark);
            if let Some(ahead) = self.plan.inputs[index].clock_watermark {
                let now_us = record.clock_ms.saturating_mul(1_000);
                input.watermark = input.watermark.max(now_us.saturating_add(ahead));
            }
            if self.ended {
                input.watermark = watermark::END;
            }
        }
        for (flow, plan) in self.flows.iter_mut().zip(&self.plan.flows) {
            let smallest = plan
                .timed_inputs
                .iter()
                .map(|input| self.inputs[*input].watermark)
                .min();
            let smallest = if self.ended {
                watermark::END
            } else {
                smallest.unwrap_or(watermark::NONE)
            };
            flow.watermark = flow.watermark.max(smallest);
        }
    }

    fn run_flows(&mut self, now_us: i64, out: &mut StepOutput) -> Result<(), StepFailure> {
        let inputs = self.plan.inputs.len();
        let rows: usize = out.relations.iter().flatten().map(Delta::len).sum();
        let threads = if rows >= self.parallel_rows_min {
            flows::cores()
        } else {
            1
        };
        let contexts = flows::run(
            &self.plan,
            &mut self.flows,
            &mut out.relations,
            now_us,
            threads,
        )?;
        for (flow, context) in contexts.into_iter().enumerate() {
            self.flows[flow].rows_out += out.relations[inputs + flow]
                .iter()
                .map(|d| d.len() as u64)
                .sum::<u64>();
            self.note_errors(flow, context, out);
        }
        Ok(())
    }

    fn note_errors(&mut self, flow: usize, context: StepContext, out: &mut StepOutput) {
        let view = &self.plan.flows[flow].name;
        for error in context.errors {
            match error.at {
                ErrorAt::Row {
                    source,
                    partition,
                    offset,
                } => {
                    let operator = format!("{view}/{}", error.operator);
                    let dead = DeadRecord {
                        partition,
                        offset,
                        operator,
                        error: error.message,
                        record: Raw::InBatch,
                    };
                    out.dead.push((source as usize, dead));
                }
                ErrorAt::Withheld { key, holds } => {
                    let id = (view.clone(), error.operator.clone(), key.clone());
                    let (view, operator, message) = (view.clone(), error.operator, error.message);
                    let entry = self.withheld.entry(id.clone()).or_insert(Withheld {
                        view,
                        operator,
                        key,
                        message,
                        times: 0,
                    });
                    entry.times += if holds { 1 } else { -1 };
                    if entry.times <= 0 {
                        self.withheld.remove(&id);
                    }
                }
            }
        }
        out.late
            .extend(context.late.into_iter().map(|late| (flow, late)));
    }

    fn run_alerts(&mut self, record: &StepRecord, out: &mut StepOutput) -> Result<(), StepFailure> {
        let plan = Arc::clone(&self.plan);
        for (index, output) in plan.outputs.iter().enumerate() {
            let OutputKind::Alert {
                topic,
                def,
                key,
                window_end,
            } = &output.kind
            else {
                continue;
            };
            let changes = conditions::changes(&out.relations[output.relation], key, *window_end)
                .map_err(StepFailure)?;
            let flow = output.relation.checked_sub(plan.inputs.len());
            let state = &mut self.alerts[index];
            state.apply(changes);
            let events = state.announce(&Announce {
                alert: &output.name,
                topic: &topic.id.to_string(),
                step: record.step,
                severity: &def.severity,
                generation: self.generation,
                at_ms: record.clock_ms,
                watermark_us: flow.map_or(watermark::NONE, |flow| self.flows[flow].watermark),
                catching_up: record.catching_up,
            });
            self.counters.alerts_fired += conditions::fired(&events);
            if !events.is_empty() {
                out.alerts.push((index, events));
            }
        }
        Ok(())
    }

    /// Lets go of what is older than a view's retention, now and then, by event time alone.
    fn retain(&mut self, out: &mut StepOutput) -> Result<(), StepFailure> {
        for (index, (flow, plan)) in self.flows.iter_mut().zip(&self.plan.flows).enumerate() {
            let Some(retention_us) = plan.retention_ms.map(|ms| ms.saturating_mul(1_000)) else {
                continue;
            };
            if flow.watermark == watermark::NONE || flow.watermark == watermark::END {
                continue;
            }
            let stride = (retention_us / 16).max(1_000);
            if flow.retained_at != watermark::NONE && flow.watermark - flow.retained_at < stride {
                continue;
            }
            flow.retained_at = flow.watermark;
            let older_than_us = flow.watermark.saturating_sub(retention_us);
            flow.dataflow
                .retain(older_than_us)
                .map_err(|error| StepFailure(error.to_string()))?;
            out.forget
                .push((self.plan.inputs.len() + index, older_than_us));
        }
        Ok(())
    }

    /// The clock at which a flow's watermark reaches a time, if nothing but the clock moves it.
    fn clock_at(&self, flow: &super::plan::FlowPlan, watermark_us: i64) -> Option<i64> {
        let inputs = flow
            .timed_inputs
            .iter()
            .map(|input| self.plan.inputs[*input].clock_watermark);
        let all: Option<Vec<i64>> = inputs.collect();
        let ahead = all?.into_iter().min()?;
        Some(watermark_us.saturating_sub(ahead))
    }

    /// When something happens by the clock alone, milliseconds since the epoch.
    pub fn due_ms(&self) -> Option<i64> {
        let flows = self.flows.iter().zip(&self.plan.flows);
        let due = flows.filter_map(|(flow, plan)| {
            let due = flow.dataflow.due();
            let by_watermark = due.watermark_us.and_then(|us| self.clock_at(plan, us));
            due.clock_us.into_iter().chain(by_watermark).min()
        });
        // Not before the clock, in whole milliseconds, has reached it.
        due.min()
            .map(|us| us.div_euclid(1_000) + i64::from(us.rem_euclid(1_000) > 0))
    }

    pub fn positions(&self) -> Vec<Position> {
        let each = |(input, state): (usize, &InputState)| {
            let input = u32::try_from(input).unwrap_or(u32::MAX);
            super::input::positions(input, &state.partitions).collect::<Vec<_>>()
        };
        self.inputs.iter().enumerate().flat_map(each).collect()
    }

    pub fn state_bytes(&self) -> usize {
        let tables: usize = self
            .inputs
            .iter()
            .filter_map(|i| i.table.as_ref())
            .map(Table::state_bytes)
            .sum();
        let flows: usize = self
            .flows
            .iter()
            .map(|flow| flow.dataflow.state_bytes())
            .sum();
        let alerts: usize = self.alerts.iter().map(AlertState::state_bytes).sum();
        tables + flows + alerts
    }

    /// How many bytes of memory its state may take from now on; what is more is spilled. What has no keys stays.
    pub fn allow(&mut self, bytes: usize) -> Result<(), StepFailure> {
        let alerts: usize = self.alerts.iter().map(AlertState::state_bytes).sum();
        let bytes = bytes.saturating_sub(alerts);
        let tables = || self.inputs.iter().filter_map(|input| input.table.as_ref());
        let flows: usize = self.flows.iter().map(|f| f.dataflow.wanted_bytes()).sum();
        let wanted: usize = flows + tables().map(Table::wanted_bytes).sum::<usize>();
        let share = |own: usize| {
            if wanted > bytes {
                (bytes as u128 * own as u128 / wanted as u128) as usize
            } else {
                own + (bytes - wanted)
            }
        };
        for flow in &mut self.flows {
            let share = share(flow.dataflow.wanted_bytes());
            flow.dataflow.allow(share).map_err(failed)?;
        }
        for table in self.inputs.iter_mut().filter_map(|i| i.table.as_mut()) {
            table.allow(share(table.wanted_bytes())).map_err(failed)?;
        }
        Ok(())
    }

    /// Bytes of state that are on disk only.
    pub fn spilled_bytes(&self) -> usize {
        let tables = self.inputs.iter().filter_map(|input| input.table.as_ref());
        let flows = self.flows.iter().map(|f| f.dataflow.spilled().bytes);
        flows.chain(tables.map(|table| table.spilled().bytes)).sum()
    }

    /// Writes the parts of the state that are to be named in a snapshot; their names.
    pub fn save_parts(&mut self) -> Result<Vec<PartId>, StepFailure> {
        for flow in &mut self.flows {
            flow.dataflow.save_parts().map_err(failed)?;
        }
        for table in self.inputs.iter_mut().filter_map(|i| i.table.as_mut()) {
            table.save_parts().map_err(failed)?;
        }
        Ok(self.saved_parts())
    }

    /// The parts that hold some of its state.
    pub fn saved_parts(&self) -> Vec<PartId> {
        let flows = self
            .flows
            .iter()
            .flat_map(|flow| flow.dataflow.saved_parts());
        let tables = self.inputs.iter().filter_map(|input| input.table.as_ref());
        flows.chain(tables.flat_map(Table::saved_parts)).collect()
    }

    /// The smallest watermark of its sources that have one.
    pub fn watermark(&self) -> Option<i64> {
        let timed = self
            .inputs
            .iter()
            .zip(&self.plan.inputs)
            .filter(|(_, plan)| plan.has_watermark && !plan.is_table());
        timed
            .map(|(input, _)| input.watermark)
            .min()
            .filter(|watermark| *watermark != watermark::NONE)
    }
}

fn failed(error: impl std::fmt::Display) -> StepFailure {
    StepFailure(error.to_string())
}

/// Whether an input are the versions of a table that is an input, too, and tells what is wrong with the same records.
fn told_by_table(plan: &PipelinePlan, input: usize) -> bool {
    let table = plan.inputs[input].name.strip_suffix(VERSIONS);
    table.is_some_and(|table| plan.inputs.iter().any(|input| input.name == table))
}

fn partition_of(input: &InputState, taken: &Taken) -> Result<usize, StepFailure> {
    let found = input
        .partitions
        .iter()
        .position(|partition| partition.index == taken.range.partition);
    let found = found.ok_or_else(|| {
        StepFailure(format!(
            "partition {} is not there any more",
            taken.range.partition
        ))
    })?;
    let next = input.partitions[found].next;
    if next == taken.range.from {
        Ok(found)
    } else {
        Err(StepFailure(format!(
            "a step from offset {} where {next} comes next",
            taken.range.from
        )))
    }
}
