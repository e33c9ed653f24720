//! Figures for people: operators, rates, watermarks. Gathered now and then by the pipeline's own thread.

use std::sync::LazyLock;
use std::time::Instant;

use super::core::{Core, FlowState, InputState};
use super::plan::{FlowPlan, InputPlan, OutputKind, OutputPlan, PipelinePlan};
use super::run::Bookkeeping;
use super::shared::Shared;
use super::watermark;
use crate::status::OperatorStatus;

/// Nanoseconds since the first call.
pub fn ticks() -> u64 {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(BEGAN.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

pub fn refresh(core: &Core, shared: &Shared, book: &mut Bookkeeping) {
    let elapsed = book.looked_after.elapsed().as_secs_f64().max(0.001);
    let rows = core.counters.rows;
    let rate = rows.saturating_sub(book.rows_then) as f64 / elapsed;
    book.looked_after = Instant::now();
    book.rows_then = rows;
    let operators = operators(core, shared, elapsed);
    let input_watermarks = core
        .inputs
        .iter()
        .map(|input| (shown(input.watermark), input.rows))
        .collect();
    let mut visible = shared.visible.lock();
    visible.dead_by_input = core.inputs.iter().map(|input| input.dead).collect();
    visible.rows_per_s = rate;
    visible.input_watermarks = input_watermarks;
    visible.operators = operators;
    visible.withheld = core.withheld.values().cloned().collect();
}

fn shown(watermark: i64) -> Option<i64> {
    (watermark != watermark::NONE).then_some(watermark)
}

fn operators(core: &Core, shared: &Shared, elapsed: f64) -> Vec<OperatorStatus> {
    let before = std::mem::take(&mut shared.visible.lock().operators);
    let mut all: Vec<OperatorStatus> = core
        .inputs
        .iter()
        .zip(&core.plan.inputs)
        .map(|(input, plan)| of_input(input, plan))
        .collect();
    for (flow, plan) in core.flows.iter().zip(&core.plan.flows) {
        all.extend(of_flow(&core.plan, flow, plan));
        all.push(of_view(&core.plan, flow, plan));
    }
    let written = |output: &&OutputPlan| !matches!(output.kind, OutputKind::Alert { .. });
    let outputs = core.plan.outputs.iter().filter(written);
    all.extend(outputs.map(|output| {
        named(&output.name, "sink", |sink| {
            sink.inputs = vec![core.plan.relation_name(output.relation).to_owned()];
        })
    }));
    for operator in &mut all {
        let then = before.iter().find(|then| then.id == operator.id);
        let then = then.map_or(0, |then| then.rows_out);
        operator.rows_per_s = operator.rows_out.saturating_sub(then) as f64 / elapsed;
    }
    all
}

/// An end of the graph under its own name: all that it does not say of itself is zero.
fn named(name: &str, kind: &str, say: impl FnOnce(&mut OperatorStatus)) -> OperatorStatus {
    let mut status = OperatorStatus {
        id: name.to_owned(),
        kind: kind.to_owned(),
        label: name.to_owned(),
        ..OperatorStatus::default()
    };
    say(&mut status);
    status
}

fn of_input(input: &InputState, plan: &InputPlan) -> OperatorStatus {
    let kind = if plan.is_table() { "table" } else { "source" };
    named(&plan.name, kind, |status| {
        status.detail = format!("topic {}", plan.topic.name);
        status.rows_in = input.rows;
        status.rows_out = input.rows;
        status.watermark_us = shown(input.watermark);
        if let Some(table) = &input.table {
            let spilled = table.spilled();
            status.state_bytes = table.state_bytes() as u64;
            status.state_rows = table.rows() as u64;
            status.spilled_bytes = spilled.bytes as u64;
            status.state_loads = spilled.loads;
        }
    })
}

fn of_view(pipeline: &PipelinePlan, flow: &FlowState, plan: &FlowPlan) -> OperatorStatus {
    let kind = if plan.is_alert { "alert" } else { "view" };
    let root = plan.graph.root();
    named(&plan.name, kind, |status| {
        status.view = Some(plan.name.clone());
        status.late_rows = flow.late;
        status.inputs = root
            .map(|root| operator_id(pipeline, plan, root))
            .into_iter()
            .collect();
        status.rows_in = flow.rows_out;
        status.rows_out = flow.rows_out;
        status.watermark_us = shown(flow.watermark);
    })
}

/// Every operator of a view but its leaves, which are drawn as the relations that they read.
fn of_flow(pipeline: &PipelinePlan, flow: &FlowState, plan: &FlowPlan) -> Vec<OperatorStatus> {
    let nodes = plan.graph.nodes.iter().zip(flow.dataflow.status());
    let own = nodes.filter(|(node, _)| node.op.relation().is_none());
    own.map(|(node, status)| {
        let inputs = node.inputs.iter().map(|input| {
            let node = plan.graph.nodes.iter().find(|node| node.id == *input);
            node.map_or_else(String::new, |node| operator_id(pipeline, plan, node))
        });
        OperatorStatus {
            id: operator_id(pipeline, plan, node),
            view: Some(plan.name.clone()),
            kind: status.kind.to_owned(),
            label: status.key.clone(),
            detail: headwater_sql::explain::operation(node, &plan.graph),
            late_rows: if status.kind == "aggregate" {
                flow.late
            } else {
                0
            },
            inputs: inputs.collect(),
            rows_in: status.rows_in,
            rows_out: status.rows_out,
            rows_per_s: 0.0,
            state_bytes: status.state_bytes as u64,
            state_rows: status.state_rows as u64,
            busy_us: status.busy_ns / 1_000,
            spilled_bytes: status.spilled.bytes as u64,
            state_loads: status.spilled.loads,
            watermark_us: shown(flow.watermark),
        }
    })
    .collect()
}

/// A leaf is drawn as the relation that it reads.
pub(crate) fn operator_id(
    pipeline: &PipelinePlan,
    plan: &FlowPlan,
    node: &headwater_sql::graph::Node,
) -> String {
    match node.op.relation() {
        Some(name) => {
            let read = plan.reads.iter().find(|(read, _)| read == name);
            read.map_or_else(
                || name.to_owned(),
                |(_, relation)| pipeline.relation_name(*relation).to_owned(),
            )
        }
        None => format!("{}/{}", plan.name, node.key),
    }
}
