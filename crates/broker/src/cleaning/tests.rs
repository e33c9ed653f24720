//! Cleaning as users of topics meet it.
#![allow(clippy::unwrap_used)]

mod compact;
mod expiry;

use headwater_base::Clock;
use headwater_record::{BatchBuilder, Codec, Record, records};

use crate::tests::{Bench, named};
use crate::*;

const HOUR_MS: i64 = 3_600_000;

fn now() -> i64 {
    headwater_base::SystemClock.now_ms()
}

/// Key and value, at a time.
fn keyed(timestamp_ms: i64, entries: &[(&str, Option<&str>)]) -> bytes::Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    for (key, value) in entries {
        builder.push(timestamp_ms, Some(key.as_bytes()), value.map(str::as_bytes));
    }
    builder.build()
}

/// Everything that a consumer from the start reads.
async fn all(bench: &Bench, topic: &str) -> Vec<Record> {
    let (topic_found, mut seen) = (bench.broker.topic(topic).unwrap(), Vec::new());
    let id = topic_found.partition(0).unwrap();
    let mut at = bench.broker.partition_state(id).start;
    loop {
        let fetched = bench.get(topic, at, 1 << 20, 0).await.unwrap();
        if fetched.batches.is_empty() {
            return seen;
        }
        for batch in &fetched.batches {
            seen.extend(records(batch).unwrap().map(Result::unwrap));
        }
        at = seen.last().map_or(at, |record| record.offset + 1);
    }
}

fn shown(records: &[Record]) -> Vec<(i64, String, Option<String>)> {
    let text = |bytes: &bytes::Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let one = |record: &Record| {
        (
            record.offset,
            record.key.as_ref().map(text).unwrap_or_default(),
            record.value.as_ref().map(text),
        )
    };
    records.iter().map(one).collect()
}
