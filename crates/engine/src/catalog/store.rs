//! The catalog in the log: one JSON record of the topic `__headwater_catalog` holds all of it, the newest counts.

use std::collections::BTreeSet;
use std::sync::Arc;

use headwater_base::PartitionId;
use headwater_connect::{Step, StepLog, Visibility};
use headwater_sql::{SqlError, define, parse_one};
use serde::{Deserialize, Serialize};

use super::{Object, Objects};
use crate::error::EngineError;
use crate::pipeline::appends::Appends;

pub const TOPIC: &str = "__headwater_catalog";
const VERSION: u16 = 1;

#[derive(Serialize, Deserialize)]
struct Stored {
    v: u16,
    objects: Vec<StoredObject>,
    #[serde(default)]
    paused: BTreeSet<String>,
}

#[derive(Serialize, Deserialize)]
struct StoredObject {
    pipeline: String,
    text: String,
    file: Option<String>,
}

/// What was there when the engine last ran.
pub fn load(log: &dyn StepLog, partition: PartitionId) -> Result<Objects, EngineError> {
    let mut newest = None;
    let mut next = 0;
    loop {
        let read = log.read_committed(partition, next, 1024 * 1024, Visibility::Durable)?;
        for batch in &read.batches {
            let records = headwater_record::records(batch)
                .map_err(|e| EngineError::Catalog(e.to_string()))?;
            newest = records
                .filter_map(Result::ok)
                .last()
                .and_then(|record| record.value)
                .or(newest);
        }
        if read.next <= next || read.next >= read.end {
            break;
        }
        next = read.next;
    }
    let Some(bytes) = newest else {
        return Ok(Objects::default());
    };
    let stored: Stored =
        serde_json::from_slice(&bytes).map_err(|e| EngineError::Catalog(e.to_string()))?;
    if stored.v != VERSION {
        return Err(EngineError::Catalog(format!(
            "the catalog has version {}, this program reads {VERSION}",
            stored.v
        )));
    }
    let broken = |error: SqlError| EngineError::Catalog(error.render());
    let objects: Result<Vec<Object>, SqlError> = stored.objects.iter().map(read_object).collect();
    let mut all = Objects {
        paused: stored.paused,
        ..Objects::default()
    };
    all.admit_all(objects.map_err(broken)?).map_err(broken)?;
    Ok(all)
}

fn read_object(stored: &StoredObject) -> Result<Object, SqlError> {
    let statement = parse_one(&stored.text, stored.file.as_deref())?;
    let defined = define(&statement)?
        .ok_or_else(|| SqlError::new("the catalog holds a statement that creates nothing"))?;
    Ok(Object::new(
        defined,
        &stored.pipeline,
        stored.file.as_deref(),
    ))
}

/// Writes the catalog for good and lets go of what was before.
pub async fn save(
    log: &Arc<dyn StepLog>,
    partition: PartitionId,
    objects: &Objects,
    now_ms: i64,
) -> Result<(), EngineError> {
    let all = objects.by_name.values().map(|object| StoredObject {
        pipeline: object.pipeline.clone(),
        text: object.text.clone(),
        file: object.file.clone(),
    });
    let pipelines = objects.pipelines();
    let there = |name: &&String| pipelines.contains(name);
    let stored = Stored {
        v: VERSION,
        objects: all.collect(),
        paused: objects.paused.iter().filter(there).cloned().collect(),
    };
    let bytes =
        serde_json::to_vec(&stored).map_err(|error| EngineError::Catalog(error.to_string()))?;
    let mut appends = Appends::new(now_ms);
    appends.push(partition, None, Some(&bytes));
    let trims = vec![(partition, log.extent(partition).1)];
    let (_, durable) = log.commit(Step {
        appends: appends.finish(),
        trims,
    })?;
    durable.await?;
    Ok(())
}
