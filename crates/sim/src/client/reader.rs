//! A reader that follows partitions by itself, from wherever it likes.

use bytes::Bytes;
use headwater_record::fuzz::Mutator;
use headwater_record::{BatchError, ControlType, control_type, records, split, validate};
use headwater_wire::ErrorCode;
use headwater_wire::messages as m;
use headwater_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use headwater_wire::messages::fetch_response::PartitionData;

use super::conn::{Conn, Gone};
use super::{Field, by_topic, pause};
use crate::history::{Event, Isolation, Place};

/// Names topics by name.
const FETCH_VERSION: i16 = 12;

/// A record as a client gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Got {
    pub offset: i64,
    pub writer: String,
    pub n: u64,
}

/// What a fetch gave of one partition.
pub struct Fetched {
    pub next: i64,
    pub records: Vec<Got>,
    pub start: i64,
    pub high: i64,
    pub stable: i64,
}

/// Fetches from the given positions; per partition what there was, or the error code.
///
/// # Errors
/// The connection failed.
pub async fn fetch(
    conn: &mut Conn,
    positions: &[(Place, i64)],
    isolation: Isolation,
    max_bytes: i32,
    max_wait_ms: i32,
) -> Result<Vec<(Place, i64, Result<Fetched, i16>)>, Gone> {
    let topics = by_topic(positions.iter().cloned());
    let partition = |(index, offset): &(i32, i64)| FetchPartition {
        partition: *index,
        fetch_offset: *offset,
        partition_max_bytes: max_bytes,
        ..Default::default()
    };
    let topics = topics.iter().map(|(name, partitions)| FetchTopic {
        topic: name.clone().into(),
        partitions: partitions.iter().map(partition).collect(),
        ..Default::default()
    });
    let request = m::FetchRequestData {
        replica_id: -1,
        max_wait_ms,
        min_bytes: 1,
        max_bytes: max_bytes * 2,
        isolation_level: i8::from(isolation == Isolation::Committed),
        session_epoch: -1,
        topics: topics.collect(),
        ..Default::default()
    };
    let answer = conn.call(FETCH_VERSION, &request).await?;
    let mut out = Vec::new();
    for topic in &answer.responses {
        for data in &topic.partitions {
            let at = Place(topic.topic.as_str().to_owned(), data.partition_index);
            let Some((_, from)) = positions.iter().find(|(place, _)| *place == at) else {
                continue;
            };
            let fetched = match data.error_code {
                0 => Ok(unpack(data, *from, isolation)),
                code => Err(code),
            };
            out.push((at, *from, fetched));
        }
    }
    Ok(out)
}

/// The records from the position on; of aborted transactions none, as clients do it.
fn unpack(data: &PartitionData, from: i64, isolation: Isolation) -> Fetched {
    let mut fetched = Fetched {
        next: from,
        records: Vec::new(),
        start: data.log_start_offset,
        high: data.high_watermark,
        stable: data.last_stable_offset,
    };
    let mut aborted = data.aborted_transactions.clone().unwrap_or_default();
    aborted.sort_by_key(|one| std::cmp::Reverse(one.first_offset));
    let mut hidden: Vec<i64> = Vec::new();
    let bytes = data.records.clone().unwrap_or_default();
    for (header, batch) in split(bytes).flatten() {
        // Compacted batches have gaps, and may be empty; rotten ones must never come.
        if let Err(error @ BatchError::Corrupt(_)) = validate(&batch) {
            panic!("{error} in a batch that was fetched at {from}");
        }
        while aborted
            .last()
            .is_some_and(|one| one.first_offset <= header.last_offset())
        {
            hidden.extend(aborted.pop().map(|one| one.producer_id));
        }
        fetched.next = header.last_offset() + 1;
        if header.is_control() {
            if control_type(&batch) == Ok(Some(ControlType::Abort)) {
                hidden.retain(|id| *id != header.producer_id);
            }
            continue;
        }
        let is_hidden = header.is_transactional() && hidden.contains(&header.producer_id);
        if !(is_hidden && isolation == Isolation::Committed) {
            fetched.records.extend(unpack_batch(&batch, from));
        }
    }
    fetched
}

fn unpack_batch(batch: &Bytes, from: i64) -> Vec<Got> {
    let Ok(walk) = records(batch) else {
        return Vec::new();
    };
    let got = walk
        .flatten()
        .filter(|record| record.offset >= from)
        .map(|record| {
            let value = record.value.unwrap_or_default();
            let text = String::from_utf8_lossy(&value).into_owned();
            let mut parts = text.split('/');
            let writer = parts.next().unwrap_or_default().to_owned();
            let n = parts
                .next()
                .and_then(|n| n.parse().ok())
                .unwrap_or(u64::MAX);
            Got {
                offset: record.offset,
                writer,
                n,
            }
        });
    got.collect()
}

/// Notes what a fetch gave and moves the position.
pub fn note(
    field: &Field,
    reader: &str,
    since: u64,
    isolation: Isolation,
    at: &Place,
    from: i64,
    fetched: &Fetched,
) {
    let record = |got: &Got| (got.offset, got.writer.clone(), got.n);
    if fetched.next > from {
        field.note(Event::Read {
            reader: reader.to_owned(),
            since,
            isolation,
            at: at.clone(),
            from,
            next: fetched.next,
            records: fetched.records.iter().map(record).collect(),
        });
    }
    let stable = if fetched.stable < 0 {
        fetched.high
    } else {
        fetched.stable
    };
    field.note(Event::Marks {
        reader: reader.to_owned(),
        since,
        at: at.clone(),
        start: fetched.start,
        high: fetched.high,
        stable,
    });
}

/// Reads until the field ends; begins again from the front now and then.
pub async fn run(field: Field, name: String, places: Vec<Place>, isolation: Isolation, seed: u64) {
    let mut rng = Mutator::new(seed);
    let mut conn = Conn::new(field.network.clone(), &name);
    let mut positions: Vec<(Place, i64)> = places.into_iter().map(|place| (place, 0)).collect();
    while !field.has_ended() {
        let since = field.clock.elapsed_us();
        let max_bytes = 200 + rng.below(20_000) as i32;
        let asked: Vec<_> = positions
            .iter()
            .filter(|_| rng.below(3) > 0)
            .cloned()
            .collect();
        let Ok(answer) = fetch(&mut conn, &asked, isolation, max_bytes, 100).await else {
            pause(&mut rng, 200).await;
            continue;
        };
        for (at, from, fetched) in answer {
            let Some(position) = positions.iter_mut().find(|(place, _)| *place == at) else {
                continue;
            };
            match fetched {
                Ok(fetched) => {
                    note(&field, &name, since, isolation, &at, from, &fetched);
                    position.1 = fetched.next;
                }
                Err(code) if code == ErrorCode::OffsetOutOfRange.code() => {
                    position.1 = reset(&field, &mut conn, &at).await
                }
                Err(_) => pause(&mut rng, 100).await,
            }
        }
        if rng.below(200) == 0 {
            let one = rng.below(positions.len());
            positions[one].1 = reset(&field, &mut conn, &positions[one].0.clone()).await;
        }
        pause(&mut rng, 20).await;
    }
}

/// The start of a partition; 0 when nobody says.
pub async fn reset(field: &Field, conn: &mut Conn, at: &Place) -> i64 {
    let partition = m::list_offsets_request::ListOffsetsPartition {
        partition_index: at.1,
        timestamp: -2,
        ..Default::default()
    };
    let topic = m::list_offsets_request::ListOffsetsTopic {
        name: at.0.clone().into(),
        partitions: vec![partition],
        ..Default::default()
    };
    let request = m::ListOffsetsRequestData {
        replica_id: -1,
        topics: vec![topic],
        ..Default::default()
    };
    for _ in 0..20 {
        if let Ok(answer) = conn.call(5, &request).await
            && let Some(found) = answer
                .topics
                .first()
                .and_then(|topic| topic.partitions.first())
            && found.error_code == 0
        {
            return found.offset;
        }
        if field.has_ended() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    0
}
