//! What a step writes into the log: records of sink topics, changelogs, alerts, dead letters, late rows.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use headwater_connect::{Change, ChangeKind, TopicInfo};
use headwater_dataflow::delta::Delta;
use headwater_formats::write::{RecordEncoder, RecordRows};
use headwater_formats::{FormatError, JsonEncoder};
use headwater_record::partition_for_key;
use serde_json::{Value, json};

use super::appends::Appends;
use super::core::StepOutput;
use super::dead;
use super::net::{At, Net, net};
use super::plan::{OutputKind, PipelinePlan, TopicRecords};

/// Topics that every pipeline writes to.
#[derive(Clone, Debug)]
pub struct SharedTopics {
    pub dead_letters: TopicInfo,
    pub late_rows: TopicInfo,
    pub rebuilds: TopicInfo,
}

/// What a step's clock and number are, for its records.
#[derive(Clone, Copy, Debug)]
pub struct StepStamp {
    pub clock_ms: i64,
    pub step: u64,
}

/// Writes all outputs of a step, except its own record.
pub fn write(
    plan: &PipelinePlan,
    topics: &SharedTopics,
    out: &StepOutput,
    stamp: StepStamp,
    appends: &mut Appends,
) -> Result<(), String> {
    for output in &plan.outputs {
        let deltas = &out.relations[output.relation];
        write_rows(plan, output.relation, &output.kind, deltas, stamp, appends)?;
    }
    for (output, events) in &out.alerts {
        let OutputKind::Alert { topic, .. } = &plan.outputs[*output].kind else {
            continue;
        };
        for event in events {
            let key = Value::Object(event.key.clone()).to_string();
            let value = serde_json::to_vec(event).map_err(|error| error.to_string())?;
            appends.push(topic.partition(0), Some(key.as_bytes()), Some(&value));
        }
    }
    for letter in dead::letters(plan, &out.dead, stamp) {
        appends.push(topics.dead_letters.partition(0), None, Some(&letter));
    }
    write_late(plan, topics, out, stamp, appends)
}

/// Rows of one relation to one output; also how a new output gets what is already there.
pub fn write_rows(
    plan: &PipelinePlan,
    relation: usize,
    kind: &OutputKind,
    deltas: &[Delta],
    stamp: StepStamp,
    appends: &mut Appends,
) -> Result<(), String> {
    if deltas.iter().all(Delta::is_empty) {
        return Ok(());
    }
    match kind {
        OutputKind::Topic { topic, records } => to_topic(topic, records, deltas, stamp, appends),
        OutputKind::Changelog { topic, .. } => {
            let key = if plan.append_only(relation) {
                None
            } else {
                plan.key(relation)
            };
            to_changelog(topic, key, deltas, appends)
        }
        OutputKind::Alert { .. } => Ok(()),
    }
}

fn to_topic(
    topic: &TopicInfo,
    records: &TopicRecords,
    deltas: &[Delta],
    stamp: StepStamp,
    appends: &mut Appends,
) -> Result<(), String> {
    let broken = |error: FormatError| error.to_string();
    let encoder =
        RecordEncoder::new(schema_of(deltas)?.as_ref(), &records.outline).map_err(broken)?;
    let rows = deltas.iter().map(|delta| encoder.bind(&delta.rows));
    let rows: Vec<RecordRows<'_>> = rows.collect::<Result<_, _>>().map_err(broken)?;
    let (mut key, mut value) = (Vec::new(), Vec::new());
    let round_robin =
        i32::try_from(stamp.step % u64::from(topic.partitions.max(1).unsigned_abs())).unwrap_or(0);
    let mut write = |at: At, deleted: bool| {
        let rows = &rows[at.delta];
        key.clear();
        value.clear();
        let keyed = rows.key(at.row, &mut key);
        let partition = match keyed {
            true => partition_for_key(&key, topic.partitions),
            false => round_robin,
        };
        let (partition, key) = (topic.partition(partition), keyed.then_some(key.as_slice()));
        if deleted {
            // A tombstone says when the row went, not what time the row was of.
            return appends.push(partition, key, None);
        }
        let valued = rows.value(at.row, &mut value);
        appends.push_record(
            partition,
            rows.timestamp_ms(at.row),
            key,
            valued.then_some(value.as_slice()),
            &rows.headers(at.row),
        );
    };
    let Some(columns) = &records.upserts else {
        added(deltas).for_each(|at| write(at, false));
        return Ok(());
    };
    for change in net(deltas, columns).map_err(|error| error.to_string())? {
        match change {
            Net::Upsert(at) => write(at, false),
            Net::Delete(at) => write(at, true),
        }
    }
    Ok(())
}

fn schema_of(deltas: &[Delta]) -> Result<SchemaRef, String> {
    let first = deltas.first().ok_or("no rows")?;
    Ok(first.rows.schema())
}

fn to_changelog(
    topic: &TopicInfo,
    key: Option<&[usize]>,
    deltas: &[Delta],
    appends: &mut Appends,
) -> Result<(), String> {
    let encoder = JsonEncoder::new(schema_of(deltas)?.as_ref());
    let rows = deltas.iter().map(|delta| encoder.bind(&delta.rows));
    let rows = rows.collect::<Result<Vec<_>, FormatError>>();
    let rows = rows.map_err(|error| error.to_string())?;
    let mut write = |at: At, kind: ChangeKind| -> Result<(), String> {
        let change = Change {
            kind,
            values: rows[at.delta].values(at.row),
        };
        let value = serde_json::to_vec(&change).map_err(|error| error.to_string())?;
        appends.push(topic.partition(0), None, Some(&value));
        Ok(())
    };
    let Some(key) = key else {
        return added(deltas).try_for_each(|at| write(at, ChangeKind::Upsert));
    };
    for change in net(deltas, key).map_err(|error| error.to_string())? {
        match change {
            Net::Upsert(at) => write(at, ChangeKind::Upsert)?,
            Net::Delete(at) => write(at, ChangeKind::Delete)?,
        }
    }
    Ok(())
}

fn added(deltas: &[Delta]) -> impl Iterator<Item = At> + '_ {
    deltas.iter().enumerate().flat_map(|(delta, rows)| {
        (0..rows.len())
            .filter(|row| rows.kind(*row).adds())
            .map(move |row| At { delta, row })
    })
}

fn write_late(
    plan: &PipelinePlan,
    topics: &SharedTopics,
    out: &StepOutput,
    stamp: StepStamp,
    appends: &mut Appends,
) -> Result<(), String> {
    for (flow, late) in &out.late {
        let texts = row_texts(&late.rows)?;
        for (row, text) in texts.into_iter().enumerate() {
            let origin = late.origin.as_ref();
            let topic = origin
                .and_then(|o| plan.inputs.get(o.source as usize))
                .map(|input| input.topic.name.as_str());
            let value = json!({
                "time": stamp.clock_ms,
                "pipeline": plan.name,
                "view": plan.flows[*flow].name,
                "operator": late.operator,
                "topic": topic,
                "partition": origin.map(|o| o.partition[row]),
                "offset": origin.map(|o| o.offset[row]),
                "row": text,
            });
            appends.push(
                topics.late_rows.partition(0),
                None,
                Some(value.to_string().as_bytes()),
            );
        }
    }
    Ok(())
}

fn row_texts(rows: &RecordBatch) -> Result<Vec<String>, String> {
    let (bytes, ends) = JsonEncoder::new(&rows.schema())
        .encode(rows)
        .map_err(|error| error.to_string())?;
    let starts = std::iter::once(0).chain(ends.iter().copied());
    Ok(starts
        .zip(ends.iter())
        .map(|(start, end)| String::from_utf8_lossy(&bytes[start..*end]).into_owned())
        .collect())
}

/// Rows that are all added, for an output that is new.
pub fn as_inserts(batches: Vec<RecordBatch>) -> Arc<[Delta]> {
    batches.into_iter().map(Delta::inserts).collect()
}
