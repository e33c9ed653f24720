//! Records that could not be taken in, and how they are written down.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use super::input::{Taken, base_offset, last_offset};
use super::output::StepStamp;
use super::plan::PipelinePlan;

/// Bytes of a key or value that a dead letter shows; its position tells where all of it is.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// Once the dead letters of a step are this large, the rest of them show little of their records.
const STEP_BYTES_MAX: usize = 16 * 1024 * 1024;
const SHORT_BODY_BYTES: usize = 128;

/// A record that could not be taken in.
#[derive(Clone, Debug)]
pub struct DeadRecord {
    pub partition: i32,
    pub offset: i64,
    pub operator: String,
    pub error: String,
    pub record: Raw,
}

/// The record itself.
#[derive(Clone, Debug)]
pub enum Raw {
    Known {
        key: Option<Bytes>,
        value: Option<Bytes>,
    },
    /// Still to be looked up.
    InBatch,
}

/// Looks up the records that are not known yet; each batch is walked once, however many of them it has.
pub fn fill_in(taken: &[Taken], dead: &mut [(usize, DeadRecord)]) {
    let mut wanted: HashMap<(usize, i32, i64), usize> = HashMap::new();
    for (index, (input, dead)) in dead.iter().enumerate() {
        if matches!(dead.record, Raw::InBatch) {
            wanted.insert((*input, dead.partition, dead.offset), index);
        }
    }
    for one in taken {
        let (input, partition) = (one.range.input as usize, one.range.partition);
        let mut offsets: Vec<i64> = wanted
            .keys()
            .filter(|(i, p, _)| (*i, *p) == (input, partition))
            .map(|(_, _, offset)| *offset)
            .collect();
        offsets.sort_unstable();
        for batch in &one.batches {
            let first = offsets.partition_point(|offset| *offset < base_offset(batch));
            if offsets
                .get(first)
                .is_none_or(|offset| *offset > last_offset(batch))
            {
                continue;
            }
            let Ok(records) = headwater_record::records(batch) else {
                continue;
            };
            for record in records.filter_map(Result::ok) {
                if let Some(index) = wanted.get(&(input, partition, record.offset)) {
                    dead[*index].1.record = Raw::Known {
                        key: record.key,
                        value: record.value,
                    };
                }
            }
        }
    }
}

/// The dead letters of a step, each as a record's value.
pub fn letters<'a>(
    plan: &'a PipelinePlan,
    dead: &'a [(usize, DeadRecord)],
    stamp: StepStamp,
) -> impl Iterator<Item = Vec<u8>> + 'a {
    let mut bytes = 0;
    dead.iter().map(move |(input, dead)| {
        let most = if bytes < STEP_BYTES_MAX {
            BODY_BYTES_MAX
        } else {
            SHORT_BODY_BYTES
        };
        let letter = letter(plan, *input, dead, stamp, most)
            .to_string()
            .into_bytes();
        bytes += letter.len();
        letter
    })
}

fn letter(
    plan: &PipelinePlan,
    input: usize,
    dead: &DeadRecord,
    stamp: StepStamp,
    most: usize,
) -> Value {
    let (key, value) = match &dead.record {
        Raw::Known { key, value } => (key.as_deref(), value.as_deref()),
        Raw::InBatch => (None, None),
    };
    let cut = |bytes: Option<&'_ [u8]>| bytes.map(|bytes| bytes[..bytes.len().min(most)].to_vec());
    let text = |bytes: &Option<Vec<u8>>| {
        let text = bytes.as_deref().map(String::from_utf8_lossy);
        text.map(std::borrow::Cow::into_owned)
    };
    let encoded = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(|bytes| STANDARD.encode(bytes));
    let (short_key, short_value) = (cut(key), cut(value));
    let longest = key.map_or(0, <[u8]>::len).max(value.map_or(0, <[u8]>::len));
    let mut letter = json!({
        "time": stamp.clock_ms,
        "pipeline": plan.name,
        "operator": dead.operator,
        "source": plan.inputs[input].name,
        "error": dead.error,
        "topic": plan.inputs[input].topic.name,
        "partition": dead.partition,
        "offset": dead.offset,
        "key_text": text(&short_key),
        "key_base64": encoded(&short_key),
        "value_text": text(&short_value),
        "value_base64": encoded(&short_value),
    });
    if longest > most {
        letter["truncated"] = true.into();
    }
    letter
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use headwater_record::{BatchBuilder, Codec};

    use super::super::record::Range;
    use super::*;

    #[test]
    fn finds_the_records_of_one_partition_by_offset() {
        let mut batch = BatchBuilder::new(Codec::None);
        for text in ["zero", "one", "two"] {
            batch.push(1, None, Some(text.as_bytes()));
        }
        let taken = Taken {
            range: Range {
                input: 1,
                partition: 4,
                from: 0,
                next: 3,
            },
            batches: vec![batch.build()],
            decoded: None,
        };
        let dead = |input, offset| {
            let record = DeadRecord {
                partition: 4,
                offset,
                operator: String::new(),
                error: String::new(),
                record: Raw::InBatch,
            };
            (input, record)
        };
        let mut all = [dead(1, 2), dead(1, 0), dead(0, 1), dead(1, 9)];
        fill_in(&[taken], &mut all);
        let value = |index: usize| match &all[index].1.record {
            Raw::Known { value, .. } => value.clone(),
            Raw::InBatch => None,
        };
        assert_eq!(value(0).unwrap(), "two");
        assert_eq!(value(1).unwrap(), "zero");
        assert_eq!((value(2), value(3)), (None, None));
    }
}
