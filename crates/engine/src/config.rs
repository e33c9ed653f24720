//! What an engine is told when it starts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use headwater_base::{Clock, SystemClock};

/// Limits of one step. A step takes what has arrived, up to here.
#[derive(Clone, Copy, Debug)]
pub struct StepBounds {
    pub rows_max: usize,
    pub bytes_max: usize,
    /// Steps that may wait for their fdatasync while the next one is computed.
    pub in_flight_max: usize,
    /// From this many rows on, independent views of a step are computed on several threads.
    pub parallel_rows_min: usize,
}

/// A state that is partly on disk is read through once a step if keys are random: steps that take more in make that rarer.
pub const SPILLED_STEP: StepBounds = StepBounds {
    rows_max: 1024 * 1024,
    bytes_max: 32 * 1024 * 1024,
    in_flight_max: 1,
    parallel_rows_min: 1_024,
};

impl Default for StepBounds {
    fn default() -> Self {
        Self {
            rows_max: 65_536,
            bytes_max: 8 * 1024 * 1024,
            in_flight_max: 3,
            parallel_rows_min: 1_024,
        }
    }
}

/// When a snapshot is taken: so rarely that what it writes stays a small part of what was read since.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotPolicy {
    /// Least input between two snapshots.
    pub input_bytes_min: u64,
    /// And at least this many times the size of the last one.
    pub growth: f64,
    /// Also when this many steps have passed since the last one.
    pub steps_max: u64,
}

impl Default for SnapshotPolicy {
    fn default() -> Self {
        Self {
            input_bytes_min: 256 * 1024 * 1024,
            growth: 1.0,
            steps_max: 2_000_000,
        }
    }
}

/// Gives the value of a variable of the environment.
pub type Variables = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

#[derive(Clone)]
pub struct EngineConfig {
    /// Folder of the snapshots. Everything in it can be rebuilt from the log.
    pub state_dir: PathBuf,
    pub clock: Arc<dyn Clock>,
    pub steps: StepBounds,
    pub snapshots: SnapshotPolicy,
    /// Memory of the state of all pipelines together; what is more is on disk.
    pub node_state_bytes_max: usize,
    pub pipeline_state_bytes_max: usize,
    /// Partitions of topics that a source, table or sink brings into being.
    pub topic_partitions: i32,
    /// Changelog that a sink which is down may hold back before it pauses and starts over from a snapshot of its view.
    pub sink_lag_bytes_max: u64,
    /// How long a query waits for views to see what was acked before it.
    pub query_wait: Duration,
    /// Values of `${VAR}`.
    pub variable: Variables,
}

impl EngineConfig {
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self {
            state_dir: state_dir.into(),
            clock: Arc::new(SystemClock),
            steps: StepBounds::default(),
            snapshots: SnapshotPolicy::default(),
            node_state_bytes_max: 2 * 1024 * 1024 * 1024,
            pipeline_state_bytes_max: 2 * 1024 * 1024 * 1024,
            topic_partitions: 1,
            sink_lag_bytes_max: 256 * 1024 * 1024,
            query_wait: Duration::from_secs(2),
            variable: Arc::new(|name| std::env::var(name).ok()),
        }
    }
}
