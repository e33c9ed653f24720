//! An engine on a log in memory, records in, rows out, crashes in between.

use std::path::Path;
use std::time::Duration;

use headwater_base::PartitionId;
use headwater_connect::Visibility;
use headwater_engine::config::{SnapshotPolicy, StepBounds};
use headwater_engine::{Engine, EngineConfig};
use headwater_record::{BatchBuilder, Codec};
use serde_json::Value;
use tempfile::TempDir;

use crate::input::Record;
use crate::log::Log;
use crate::variant::{Random, Variant};

pub const PIPELINE: &str = "slt";
const PARTITIONS: i32 = 3;
/// Memory for the state of a pipeline that shall spill.
const SPILLING_BYTES: usize = 4_000;
/// Longest wait for a pipeline that should be done in milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Node {
    pub log: Log,
    pub engine: Engine,
    dir: TempDir,
    variant: Variant,
}

fn config(dir: &Path, variant: &Variant) -> EngineConfig {
    let mut config = EngineConfig::new(dir);
    config.query_wait = PATIENCE;
    config.topic_partitions = PARTITIONS;
    let small = variant.step_rows < 1_000;
    config.steps = StepBounds {
        rows_max: variant.step_rows,
        bytes_max: if small { 1 } else { 1 << 20 },
        parallel_rows_min: if variant.threads > 1 { 1 } else { usize::MAX },
        ..StepBounds::default()
    };
    if variant.spills {
        config.pipeline_state_bytes_max = SPILLING_BYTES;
    }
    let mut random = Random::new(variant.seed);
    if variant.crashes > 0 {
        config.snapshots = SnapshotPolicy {
            input_bytes_min: u64::MAX,
            growth: 0.0,
            steps_max: random.one(&[1, 3, 9, u64::MAX]),
        };
    }
    config
}

impl Node {
    pub async fn new(variant: &Variant) -> Result<Self, String> {
        Self::on(
            Log::new(variant.shards),
            tempfile::tempdir().unwrap(),
            variant,
        )
        .await
    }

    async fn on(log: Log, dir: TempDir, variant: &Variant) -> Result<Self, String> {
        let config = config(dir.path(), variant);
        let engine = Engine::start(config, log.steps(), None, None)
            .await
            .map_err(|e| e.to_string())?;
        Ok(Self {
            log,
            engine,
            dir,
            variant: variant.clone(),
        })
    }

    pub async fn apply(&self, text: &str) -> Result<(), String> {
        let files = vec![("all.sql".to_owned(), text.to_owned())];
        let applied = self.engine.apply(PIPELINE, files, false).await;
        applied.map(drop).map_err(|error| error.rendered)
    }

    /// Appends records: each in a commit of its own if steps are to be small, else many at once.
    pub async fn produce(&self, records: &[Record], random: &mut Random) {
        let mut at = 0;
        while at < records.len() {
            let most = if self.variant.step_rows < 1_000 {
                1
            } else {
                40
            };
            let end = records
                .len()
                .min(at + 1 + usize::try_from(random.below(most)).unwrap());
            let mut batches: Vec<(PartitionId, BatchBuilder)> = Vec::new();
            for record in &records[at..end] {
                let info = self.log.topic(&record.topic, PARTITIONS).await;
                let index = match &record.together {
                    Some(key) => key.bytes().map(i32::from).sum::<i32>() % info.partitions,
                    None => {
                        i32::try_from(random.below(info.partitions.unsigned_abs().into())).unwrap()
                    }
                };
                let id = info.partition(index);
                let known = batches.iter().position(|(other, _)| *other == id);
                let known = known.unwrap_or_else(|| {
                    batches.push((id, BatchBuilder::new(Codec::None)));
                    batches.len() - 1
                });
                let bytes =
                    |text: &Option<String>| text.as_ref().map(|text| text.clone().into_bytes());
                batches[known].1.push(
                    1_000,
                    bytes(&record.key).as_deref(),
                    bytes(&record.value).as_deref(),
                );
            }
            let appends = batches
                .into_iter()
                .map(|(id, batch)| (id, batch.build()))
                .collect();
            self.log.append(appends).await;
            at = end;
        }
    }

    /// Appends records, each when the one before it has been seen.
    pub async fn one_by_one(&self, records: &[Record], random: &mut Random) -> Result<(), String> {
        for record in records {
            self.produce(std::slice::from_ref(record), random).await;
            self.seen().await?;
        }
        Ok(())
    }

    async fn seen(&self) -> Result<(), String> {
        let deadline = std::time::Instant::now() + PATIENCE;
        while !self.engine.settled(PIPELINE) {
            if std::time::Instant::now() > deadline {
                return Err("the pipeline does not settle".to_owned());
            }
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
        Ok(())
    }

    /// What a crash in the middle of the work leaves, started again.
    pub async fn crash(self, random: &mut Random) -> Result<Self, String> {
        for _ in 0..random.below(15) {
            if self.engine.settled(PIPELINE) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.log.hold();
        tokio::time::sleep(Duration::from_micros(300 * random.below(5))).await;
        let state = copied(self.dir.path());
        let log = self.log.crash(random);
        self.log.release();
        self.engine.stop().await;
        let state = if random.below(8) == 0 {
            tempfile::tempdir().unwrap()
        } else {
            state
        };
        Self::on(log, state, &self.variant).await
    }

    /// All input is in: the watermark is past everything.
    pub async fn settle(&self) -> Result<(), String> {
        let ended = tokio::time::timeout(PATIENCE, self.engine.end_of_input(PIPELINE)).await;
        ended
            .map_err(|_| "the pipeline does not end".to_owned())?
            .map_err(|e| e.rendered)?;
        self.seen().await
    }

    pub async fn rows(&self, sql: &str) -> Result<Vec<Vec<Value>>, String> {
        let results = self
            .engine
            .execute(sql, None)
            .await
            .map_err(|e| e.rendered)?;
        let last = results.into_iter().next_back().ok_or("no answer")?;
        if last.behind > 0 {
            return Err(format!("{} records behind", last.behind));
        }
        Ok(last.rows)
    }

    /// Keys and values of a topic, each partition in order.
    pub fn contents(&self, topic: &str) -> Vec<(Option<Value>, Option<Value>)> {
        let log = self.log.steps();
        let Some(info) = log.topic(topic) else {
            return Vec::new();
        };
        let json = |bytes: bytes::Bytes| serde_json::from_slice(&bytes).unwrap();
        let mut all = Vec::new();
        for index in 0..info.partitions {
            let read = log
                .read_committed(info.partition(index), 0, usize::MAX, Visibility::Durable)
                .unwrap();
            for record in read
                .batches
                .iter()
                .flat_map(|batch| headwater_record::records(batch).unwrap())
            {
                let record = record.unwrap();
                all.push((record.key.map(json), record.value.map(json)));
            }
        }
        all
    }
}

/// The state folder as a crash leaves it.
fn copied(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    copy_into(from, to.path());
    to
}

fn copy_into(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).into_iter().flatten().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy_into(&entry.path(), &target);
        } else {
            // A file may be renamed while it is copied, as it may while a machine dies.
            let _ = std::fs::copy(entry.path(), target);
        }
    }
}
