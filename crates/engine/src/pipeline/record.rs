//! What a pipeline writes down of each step: enough to run it again and get the same results.
//!
//! Records of the topic `__headwater_steps_<pipeline>`, JSON, one a step. A *generation* is one shape of the pipeline (its
//! definitions and input topics); its first record, step 0, is its genesis. Steps of a generation are numbered without gaps.

use serde::{Deserialize, Serialize};

use super::seed::Seeding;

/// Version of the records' layout. A record of another version ends the replay: the pipeline is rebuilt from its input.
pub const STEP_RECORD_VERSION: u16 = 1;

/// How far a partition of an input has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Index of the input in the pipeline.
    pub input: u32,
    pub partition: i32,
    pub next: i64,
}

/// Records `from..next` of one partition, taken in by one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    pub input: u32,
    pub partition: i32,
    pub from: i64,
    pub next: i64,
}

/// One step as it is kept. See the module's description.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    pub v: u16,
    pub generation: u64,
    pub step: u64,
    /// The step's clock, milliseconds since the epoch.
    pub clock_ms: i64,
    /// The pipeline had not yet read what was there when it started.
    pub catching_up: bool,
    /// The bounded input has ended: the watermark is infinite from this step on.
    pub ended: bool,
    /// Partitions (input, partition) that do not hold the watermark back in this step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub idle: Vec<(u32, i32)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<Range>,
    /// All positions after this step; there whenever a snapshot was begun after it, and in a genesis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub positions: Option<Vec<Position>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub genesis: Option<Genesis>,
    /// Outputs that have still to get what their views held when the generation began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seeding: Option<Seeding>,
}

/// How a generation begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    /// Of inputs and views: what the state depends on.
    pub flow_fingerprint: String,
    /// Of the outputs that go on as they are, by name: `(name, fingerprint)`.
    pub outputs: Vec<(String, String)>,
    /// Which inputs the numbers in positions mean: name and topic id.
    #[serde(default)]
    pub inputs: Vec<String>,
    /// Where the input begins for a rebuild.
    pub base: Vec<Position>,
    /// Up to here the state is rebuilt without writing any output; what follows is processed as usual.
    pub until: Vec<Position>,
    /// The generation and step whose snapshot holds exactly the state at `until`, when the flows did not change.
    pub inherits: Option<(u64, u64)>,
    /// Outputs that are new: they get the whole content of their view in the first steps.
    pub seeds: Vec<String>,
    /// Rows of the first of `seeds` that the generation before has written.
    #[serde(default)]
    pub seeded_rows: u64,
}

impl StepRecord {
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// `None` when it is not a record of this version.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(bytes)
            .ok()
            .filter(|record| record.v == STEP_RECORD_VERSION)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn comes_back_as_written_and_foreign_versions_are_refused() {
        let mut record = StepRecord {
            v: STEP_RECORD_VERSION,
            generation: 3,
            step: 9,
            clock_ms: 17,
            catching_up: true,
            ended: false,
            idle: vec![(0, 2)],
            ranges: vec![Range {
                input: 0,
                partition: 1,
                from: 4,
                next: 9,
            }],
            positions: None,
            genesis: Some(Genesis {
                seeds: vec!["s".into()],
                ..Genesis::default()
            }),
            seeding: Some(Seeding {
                outputs: vec!["s".into()],
                rows: 3,
            }),
        };
        assert_eq!(StepRecord::decode(&record.encode()), Some(record.clone()));
        record.v += 1;
        assert_eq!(StepRecord::decode(&record.encode()), None);
        assert_eq!(StepRecord::decode(b"{"), None);
    }
}
