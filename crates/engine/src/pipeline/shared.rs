//! What others see of a running pipeline, and how they ask something of it. Written by its threads, read by anyone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};

use super::core::{Counters, Withheld};
use super::plan::PipelinePlan;
use super::record::{Position, Range};
use crate::cell::ViewCell;
use crate::status::{OperatorStatus, PipelineState};

/// What every pipeline may hold of what cannot be spilled, before it has to wait.
const UNSPILLED_BYTES: usize = 64 * 1024 * 1024;

/// The rows of the views may take a quarter of a pipeline's memory, the operators the rest.
const VIEWS_PART: usize = 4;

/// See the module's description.
pub struct Shared {
    pub plan: Arc<PipelinePlan>,
    /// By relation; `None` where rows are not kept.
    pub cells: Vec<Option<Arc<ViewCell>>>,
    pub visible: Mutex<Visible>,
    /// Held to write while a step's results become visible, to read while pictures of several views are taken: these show one step.
    pub showing: RwLock<()>,
    /// Counts what has been made visible; wakes those who wait for it.
    pub published: watch::Sender<u64>,
    pub stop: AtomicBool,
    /// Takes no input until it is resumed.
    pub paused: AtomicBool,
    /// Its views have rows without any input; the first step gives them.
    pub first_step_due: AtomicBool,
    /// Asked to end the input once everything that is there has been consumed.
    pub end_asked: AtomicBool,
    pub wake: Arc<Notify>,
    /// Newest step up to which step records may go, because snapshots make them superfluous (0: none).
    pub trim_step: AtomicU64,
    pub snapshot_bytes: AtomicU64,
    /// Steps are this many times smaller than they could be, because results did not fit into a commit.
    pub step_divisor: AtomicUsize,
    /// They did not right now.
    pub oversized: AtomicBool,
    pub memory: Arc<NodeMemory>,
    pub state_bytes: AtomicUsize,
}

/// What is visible of a pipeline right now.
pub struct Visible {
    pub state: PipelineState,
    pub step: u64,
    pub ended: bool,
    pub positions: BTreeMap<(u32, i32), i64>,
    pub counters: Counters,
    pub watermark: Option<i64>,
    pub input_watermarks: Vec<(Option<i64>, u64)>,
    pub operators: Vec<OperatorStatus>,
    pub rows_per_s: f64,
    pub step_last_us: u64,
    /// Dead letters by input.
    pub dead_by_input: Vec<u64>,
    pub withheld: Vec<Withheld>,
}

/// State of all pipelines together, and its limits.
#[derive(Debug)]
pub struct NodeMemory {
    pub used: AtomicI64,
    /// Pipelines that share it.
    pub pipelines: AtomicUsize,
    pub node_max: AtomicUsize,
    pub pipeline_max: AtomicUsize,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.account(0);
        self.memory.pipelines.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Shared {
    pub fn new(
        plan: Arc<PipelinePlan>,
        cells: Vec<Option<Arc<ViewCell>>>,
        memory: Arc<NodeMemory>,
    ) -> Arc<Self> {
        let visible = Visible {
            state: PipelineState::Starting,
            step: 0,
            ended: false,
            positions: BTreeMap::new(),
            counters: Counters::default(),
            watermark: None,
            input_watermarks: Vec::new(),
            operators: Vec::new(),
            rows_per_s: 0.0,
            step_last_us: 0,
            dead_by_input: Vec::new(),
            withheld: Vec::new(),
        };
        memory.pipelines.fetch_add(1, Ordering::AcqRel);
        Arc::new(Self {
            plan,
            cells,
            visible: Mutex::new(visible),
            showing: RwLock::new(()),
            published: watch::channel(0).0,
            stop: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            first_step_due: AtomicBool::new(false),
            end_asked: AtomicBool::new(false),
            wake: Arc::new(Notify::new()),
            trim_step: AtomicU64::new(0),
            snapshot_bytes: AtomicU64::new(0),
            step_divisor: AtomicUsize::new(1),
            oversized: AtomicBool::new(false),
            memory,
            state_bytes: AtomicUsize::new(0),
        })
    }

    pub fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    pub fn ask_to_stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    pub fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Release);
        self.wake.notify_one();
    }

    pub fn set_state(&self, state: PipelineState) {
        self.visible.lock().state = state;
        self.published.send_modify(|count| *count += 1);
    }

    /// A failure stays until the pipeline is started again.
    pub fn fail(&self, reason: String) {
        tracing::error!(pipeline = self.plan.name, reason, "pipeline stopped");
        self.set_state(PipelineState::Failed(reason));
        self.ask_to_stop();
    }

    pub fn failed(&self) -> bool {
        matches!(self.visible.lock().state, PipelineState::Failed(_))
    }

    pub fn set_positions(&self, positions: &[Position]) {
        let mut visible = self.visible.lock();
        visible.positions = positions
            .iter()
            .map(|p| ((p.input, p.partition), p.next))
            .collect();
    }

    pub fn advance(&self, step: u64, ended: bool, ranges: &[Range]) {
        let mut visible = self.visible.lock();
        visible.step = step;
        visible.ended |= ended;
        for range in ranges {
            visible
                .positions
                .insert((range.input, range.partition), range.next);
        }
        drop(visible);
        self.published.send_modify(|count| *count += 1);
    }

    /// Bytes of memory that its state may take: its equal share of the node's, and more while others leave theirs.
    pub fn allowance(&self) -> usize {
        let memory = &self.memory;
        let node_max = memory.node_max.load(Ordering::Acquire);
        let share = node_max / memory.pipelines.load(Ordering::Acquire).max(1);
        let own = i64::try_from(self.state_bytes.load(Ordering::Acquire)).unwrap_or(i64::MAX);
        let others = usize::try_from(memory.used.load(Ordering::Acquire) - own).unwrap_or(0);
        share
            .max(node_max.saturating_sub(others))
            .min(memory.pipeline_max.load(Ordering::Acquire))
    }

    /// Bytes of memory that the rows of its views may take.
    pub fn view_allowance(&self) -> usize {
        self.allowance() / VIEWS_PART
    }

    /// Accounts the state's size; answers why the pipeline has to wait, if it has to: it holds more than it may of what cannot be spilled.
    pub fn account(&self, bytes: usize) -> Option<String> {
        let before = self.state_bytes.swap(bytes, Ordering::AcqRel);
        let change =
            i64::try_from(bytes).unwrap_or(i64::MAX) - i64::try_from(before).unwrap_or(i64::MAX);
        let used = self.memory.used.fetch_add(change, Ordering::AcqRel) + change;
        debug_assert!(used >= 0);
        let allowed = self.allowance();
        (bytes > (allowed / 4).saturating_add(allowed).saturating_add(UNSPILLED_BYTES)).then(|| {
            format!(
                "its state takes {} MiB of memory that cannot go to disk, it may take {} MiB (--state-memory)",
                mib(bytes),
                mib(allowed)
            )
        })
    }

    pub fn cell_bytes(&self) -> usize {
        self.cells.iter().flatten().map(|cell| cell.bytes()).sum()
    }
}

fn mib(bytes: usize) -> usize {
    bytes.div_ceil(1024 * 1024)
}
