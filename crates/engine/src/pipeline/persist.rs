//! The operators' side of a snapshot: a header in JSON, then each table's and each flow's own encoding, framed.

use std::io::{self, Read};

use serde::{Deserialize, Serialize};

use super::core::{Core, Counters, Withheld};
use crate::alerts::state::AlertState;
use crate::codec::{corrupt, get_bytes, put_bytes};

#[derive(Serialize, Deserialize)]
struct Header {
    step: u64,
    ended: bool,
    counters: Counters,
    inputs: Vec<InputHeader>,
    flows: Vec<FlowHeader>,
    /// By the name of the output.
    alerts: Vec<(String, AlertState)>,
    withheld: Vec<Withheld>,
}

#[derive(Serialize, Deserialize)]
struct InputHeader {
    name: String,
    watermark: i64,
    rows: u64,
    dead: u64,
    partitions: Vec<PartitionHeader>,
}

#[derive(Serialize, Deserialize)]
struct PartitionHeader {
    index: i32,
    next: i64,
    watermark: i64,
    idle: bool,
}

#[derive(Serialize, Deserialize)]
struct FlowHeader {
    name: String,
    watermark: i64,
    retained_at: i64,
    rows_out: u64,
    late: u64,
}

pub fn snapshot(core: &Core) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    put_bytes(&mut out, &serde_json::to_vec(&header(core))?)?;
    for table in core.inputs.iter().filter_map(|input| input.table.as_ref()) {
        let mut bytes = Vec::new();
        table.snapshot(&mut bytes)?;
        put_bytes(&mut out, &bytes)?;
    }
    for flow in &core.flows {
        let mut bytes = Vec::new();
        flow.dataflow.snapshot(&mut bytes)?;
        put_bytes(&mut out, &bytes)?;
    }
    Ok(out)
}

fn header(core: &Core) -> Header {
    let inputs = core
        .inputs
        .iter()
        .zip(&core.plan.inputs)
        .map(|(input, plan)| InputHeader {
            name: plan.name.clone(),
            watermark: input.watermark,
            rows: input.rows,
            dead: input.dead,
            partitions: input
                .partitions
                .iter()
                .map(|p| PartitionHeader {
                    index: p.index,
                    next: p.next,
                    watermark: p.watermark,
                    idle: p.idle,
                })
                .collect(),
        });
    let flows = core
        .flows
        .iter()
        .zip(&core.plan.flows)
        .map(|(flow, plan)| FlowHeader {
            name: plan.name.clone(),
            watermark: flow.watermark,
            retained_at: flow.retained_at,
            rows_out: flow.rows_out,
            late: flow.late,
        });
    let alerts = core
        .plan
        .outputs
        .iter()
        .zip(&core.alerts)
        .map(|(output, state)| (output.name.clone(), state.clone()));
    Header {
        step: core.step,
        ended: core.ended,
        counters: core.counters,
        inputs: inputs.collect(),
        flows: flows.collect(),
        alerts: alerts.collect(),
        withheld: core.withheld.values().cloned().collect(),
    }
}

/// Puts a snapshot of the same flows into a fresh core. After an error the core is of no use.
pub fn restore(core: &mut Core, mut from: &[u8]) -> io::Result<()> {
    let header: Header = serde_json::from_slice(&get_bytes(&mut from)?)?;
    if header.inputs.len() != core.inputs.len() || header.flows.len() != core.flows.len() {
        return Err(corrupt("it is of another pipeline"));
    }
    core.step = header.step;
    core.ended = header.ended;
    core.counters = header.counters;
    let plan = core.plan.clone();
    for (index, written) in header.inputs.into_iter().enumerate() {
        restore_input(core, index, written)?;
    }
    for input in core
        .inputs
        .iter_mut()
        .filter_map(|input| input.table.as_mut())
    {
        let bytes = get_bytes(&mut from)?;
        input.restore(&mut bytes.as_slice())?;
    }
    for (flow, written) in core.flows.iter_mut().zip(header.flows) {
        let bytes = get_bytes(&mut from)?;
        flow.dataflow.restore(&mut bytes.as_slice())?;
        (flow.watermark, flow.retained_at) = (written.watermark, written.retained_at);
        (flow.rows_out, flow.late) = (written.rows_out, written.late);
    }
    for (name, state) in header.alerts {
        if let Some(index) = plan.outputs.iter().position(|output| output.name == name) {
            core.alerts[index] = state;
        }
    }
    core.withheld = header
        .withheld
        .into_iter()
        .map(|w| ((w.view.clone(), w.operator.clone(), w.key.clone()), w))
        .collect();
    if from.read(&mut [0])? == 0 {
        Ok(())
    } else {
        Err(corrupt("bytes after its end"))
    }
}

fn restore_input(core: &mut Core, index: usize, written: InputHeader) -> io::Result<()> {
    if written.name != core.plan.inputs[index].name {
        return Err(corrupt("its inputs are others"));
    }
    let topic = core.plan.inputs[index].topic.clone();
    let input = &mut core.inputs[index];
    (input.watermark, input.rows, input.dead) = (written.watermark, written.rows, written.dead);
    for one in written.partitions {
        if !input
            .partitions
            .iter()
            .any(|partition| partition.index == one.index)
        {
            input
                .partitions
                .push(super::input::Partition::new(&topic, one.index, one.next));
        }
        if let Some(partition) = input
            .partitions
            .iter_mut()
            .find(|partition| partition.index == one.index)
        {
            (partition.next, partition.watermark, partition.idle) =
                (one.next, one.watermark, one.idle);
        }
    }
    Ok(())
}
