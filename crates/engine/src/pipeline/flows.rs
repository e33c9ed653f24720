//! Running the flows of a step: level by level, those of one level on several threads when there is enough to do.

use headwater_dataflow::delta::Delta;
use headwater_dataflow::operator::StepContext;
use parking_lot::Mutex;

use super::core::{FlowState, StepFailure};
use super::plan::{FlowPlan, PipelinePlan};

/// Most threads that one step uses.
const THREADS_MAX: usize = 8;

pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(THREADS_MAX))
}

struct Job<'a> {
    index: usize,
    plan: &'a FlowPlan,
    state: &'a mut FlowState,
}

type Done = (usize, Result<(Vec<Delta>, StepContext), StepFailure>);

/// Runs all flows; `relations` holds the inputs' rows and is filled with the flows' results. One context a flow.
pub fn run(
    plan: &PipelinePlan,
    flows: &mut [FlowState],
    relations: &mut [Vec<Delta>],
    now_us: i64,
    threads: usize,
) -> Result<Vec<StepContext>, StepFailure> {
    let inputs = plan.inputs.len();
    let levels = plan
        .flows
        .iter()
        .map(|flow| flow.level)
        .max()
        .map_or(0, |level| level + 1);
    let mut contexts: Vec<Option<StepContext>> = flows.iter().map(|_| None).collect();
    for level in 0..levels {
        let jobs: Vec<Job<'_>> = flows
            .iter_mut()
            .zip(&plan.flows)
            .enumerate()
            .filter(|(_, (_, plan))| plan.level == level)
            .map(|(index, (state, plan))| Job { index, plan, state })
            .collect();
        for (index, result) in run_level(jobs, relations, now_us, threads) {
            let (deltas, context) = result?;
            relations[inputs + index] = deltas;
            contexts[index] = Some(context);
        }
    }
    Ok(contexts.into_iter().flatten().collect())
}

fn run_level(
    jobs: Vec<Job<'_>>,
    relations: &[Vec<Delta>],
    now_us: i64,
    threads: usize,
) -> Vec<Done> {
    if threads <= 1 || jobs.len() <= 1 {
        return jobs
            .into_iter()
            .map(|job| run_one(job, relations, now_us))
            .collect();
    }
    let workers = threads.min(jobs.len());
    let queue = Mutex::new(jobs.into_iter());
    let done = Mutex::new(Vec::new());
    let work = || {
        loop {
            let Some(job) = queue.lock().next() else {
                return;
            };
            let result = run_one(job, relations, now_us);
            done.lock().push(result);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..workers {
            scope.spawn(work);
        }
        work();
    });
    done.into_inner()
}

fn run_one(job: Job<'_>, relations: &[Vec<Delta>], now_us: i64) -> Done {
    let Job { index, plan, state } = job;
    let mut context = StepContext {
        now_us,
        watermark_us: state.watermark,
        errors: Vec::new(),
        late: Vec::new(),
    };
    let mut go = || {
        for (name, relation) in &plan.reads {
            for delta in &relations[*relation] {
                state.dataflow.push(name, delta.clone(), &mut context)?;
            }
        }
        state.dataflow.finish(&mut context)
    };
    let result = go().map_err(|error| StepFailure(format!("view {}: {error}", plan.name)));
    (index, result.map(|deltas| (deltas, context)))
}
