//! Figures for people: operators, rates, watermarks. Gathered now and then by the pipeline's own thread.

use std::sync::LazyLock;
use std::time::Instant;

use super::core::Core;
use super::run::Bookkeeping;
use super::shared::Shared;
use super::tables::Table;
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
    let rate = |id: &str, rows_out: u64| {
        let then = before
            .iter()
            .find(|operator| operator.id == id)
            .map_or(0, |operator| operator.rows_out);
        rows_out.saturating_sub(then) as f64 / elapsed
    };
    let mut all = Vec::new();
    for (input, plan) in core.inputs.iter().zip(&core.plan.inputs) {
        let spilled = input
            .table
            .as_ref()
            .map_or_else(Default::default, Table::spilled);
        all.push(OperatorStatus {
            id: plan.name.clone(),
            view: None,
            kind: if plan.is_table() { "table" } else { "source" }.to_owned(),
            label: plan.name.clone(),
            detail: format!("topic {}", plan.topic.name),
            late_rows: 0,
            inputs: Vec::new(),
            rows_in: input.rows,
            rows_out: input.rows,
            rows_per_s: rate(&plan.name, input.rows),
            state_bytes: input
                .table
                .as_ref()
                .map_or(0, |table| table.state_bytes() as u64),
            state_rows: input.table.as_ref().map_or(0, |table| table.rows() as u64),
            busy_us: 0,
            spilled_bytes: spilled.bytes as u64,
            state_loads: spilled.loads,
            watermark_us: shown(input.watermark),
        });
    }
    for (flow, plan) in core.flows.iter().zip(&core.plan.flows) {
        for (node, status) in plan.graph.nodes.iter().zip(flow.dataflow.status()) {
            if node.op.relation().is_some() {
                continue;
            }
            let id = operator_id(&core.plan, plan, node);
            let inputs = node.inputs.iter().map(|input| {
                let node = plan.graph.nodes.iter().find(|node| node.id == *input);
                node.map_or_else(String::new, |node| operator_id(&core.plan, plan, node))
            });
            all.push(OperatorStatus {
                rows_per_s: rate(&id, status.rows_out),
                id,
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
                state_bytes: status.state_bytes as u64,
                state_rows: status.state_rows as u64,
                busy_us: status.busy_ns / 1_000,
                spilled_bytes: status.spilled.bytes as u64,
                state_loads: status.spilled.loads,
                watermark_us: shown(flow.watermark),
            });
        }
        all.push(OperatorStatus {
            id: plan.name.clone(),
            view: Some(plan.name.clone()),
            kind: if plan.is_alert { "alert" } else { "view" }.to_owned(),
            label: plan.name.clone(),
            detail: String::new(),
            late_rows: flow.late,
            inputs: plan
                .graph
                .root()
                .map(|root| operator_id(&core.plan, plan, root))
                .into_iter()
                .collect(),
            rows_in: flow.rows_out,
            rows_out: flow.rows_out,
            rows_per_s: rate(&plan.name, flow.rows_out),
            state_bytes: 0,
            state_rows: 0,
            busy_us: 0,
            spilled_bytes: 0,
            state_loads: 0,
            watermark_us: shown(flow.watermark),
        });
    }
    for output in core
        .plan
        .outputs
        .iter()
        .filter(|output| !matches!(output.kind, super::plan::OutputKind::Alert { .. }))
    {
        all.push(OperatorStatus {
            id: output.name.clone(),
            view: None,
            kind: "sink".to_owned(),
            label: output.name.clone(),
            detail: String::new(),
            late_rows: 0,
            inputs: vec![core.plan.relation_name(output.relation).to_owned()],
            rows_in: 0,
            rows_out: 0,
            rows_per_s: 0.0,
            state_bytes: 0,
            state_rows: 0,
            busy_us: 0,
            spilled_bytes: 0,
            state_loads: 0,
            watermark_us: None,
        });
    }
    all
}

/// A leaf is drawn as the relation that it reads.
pub(crate) fn operator_id(
    pipeline: &super::plan::PipelinePlan,
    plan: &super::plan::FlowPlan,
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
