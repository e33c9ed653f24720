//! What cleaning did, for the metrics.

use metrics::{Counter, Gauge, counter, gauge};

use crate::error::BrokerError;

/// Runs, bytes removed and failures since the start of the process, and bytes that wait for compaction.
pub(crate) struct Meters {
    retention_runs: Counter,
    retention_bytes: Counter,
    compaction_runs: Counter,
    compaction_bytes: Counter,
    failures: Counter,
    dirty_bytes: Gauge,
}

/// The outcome of one round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Commits that moved log starts.
    pub trims: u64,
    pub trimmed_bytes: u64,
    /// Partitions that were compacted.
    pub compactions: u64,
    pub compacted_bytes: u64,
    pub failures: u64,
    /// Bytes of compacted topics that no run has seen yet.
    pub dirty_bytes: u64,
}

impl Round {
    pub(super) fn trimmed(&mut self, bytes: u64) {
        self.trims += 1;
        self.trimmed_bytes += bytes;
    }

    pub(super) fn failed(&mut self, error: &BrokerError) {
        self.failures += 1;
        tracing::warn!(%error, "cleaning failed; it is tried again");
    }

    pub(super) fn add(&mut self, other: Self) {
        self.trims += other.trims;
        self.trimmed_bytes += other.trimmed_bytes;
        self.compactions += other.compactions;
        self.compacted_bytes += other.compacted_bytes;
        self.failures += other.failures;
        self.dirty_bytes += other.dirty_bytes;
    }
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            retention_runs: counter!("headwater_cleaning_runs_total", "kind" => "retention"),
            retention_bytes: counter!("headwater_cleaning_removed_bytes_total", "kind" => "retention"),
            compaction_runs: counter!("headwater_cleaning_runs_total", "kind" => "compaction"),
            compaction_bytes: counter!("headwater_cleaning_removed_bytes_total", "kind" => "compaction"),
            failures: counter!("headwater_cleaning_failures_total"),
            dirty_bytes: gauge!("headwater_cleaning_dirty_bytes"),
        }
    }
}

impl Meters {
    pub fn retained(&self, round: &Round) {
        self.retention_runs.increment(round.trims);
        self.retention_bytes.increment(round.trimmed_bytes);
        self.failures.increment(round.failures);
    }

    pub fn compacted(&self, round: &Round) {
        self.compaction_runs.increment(round.compactions);
        self.compaction_bytes.increment(round.compacted_bytes);
        self.failures.increment(round.failures);
        self.dirty_bytes.set(round.dirty_bytes as f64);
    }
}
