//! Which columns of each source a pipeline reads, so that the others are not decoded.

use headwater_sql::needs::{Need, add_all, all, needs, pruned};
use headwater_sql::{INPUT, physical_schema_of};

use crate::pipeline::plan::{InputDef, PipelinePlan};

/// Leaves in each source's `read` what the views, sinks and the watermark need.
pub fn narrow(plan: &mut PipelinePlan) {
    for input in 0..plan.inputs.len() {
        let InputDef::Source(source) = &plan.inputs[input].def else {
            continue;
        };
        let physical = physical_schema_of(&source.columns);
        let mut root = of_relation(plan, input);
        if plan.inputs[input].has_watermark {
            root.push(Need::All);
        }
        let found = needs(&plan.inputs[input].computed, root, INPUT);
        plan.inputs[input].read = pruned(&physical, &found);
    }
}

/// What is read of the columns of an input by everything in the pipeline.
fn of_relation(plan: &PipelinePlan, input: usize) -> Vec<Need> {
    let columns = plan.inputs[input].schema.fields().len();
    let mut known = vec![Need::Nothing; columns];
    let whole = plan.kept(input) || plan.outputs.iter().any(|output| output.relation == input);
    if whole {
        return all(columns);
    }
    for flow in &plan.flows {
        let reads = flow.reads.iter().filter(|(_, relation)| *relation == input);
        for (name, _) in reads {
            let root = all(flow.schema.fields().len());
            add_all(&mut known, &needs(&flow.graph, root, name));
        }
    }
    known
}
