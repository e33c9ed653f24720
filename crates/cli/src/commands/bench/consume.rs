//! `headwater bench consume`: each connection reads its partitions from the beginning, checks every batch and walks every record.
//!
//! As consumers do, the next request is on its way while an answer is being read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use headwater_record::{records, split, validate};
use headwater_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use headwater_wire::messages::{FetchRequestData, FetchResponseData};
use serde_json::json;

use super::ConsumeBench;
use super::measure::{Progress, Report, Tally};
use super::produce::{Plan, load, quota};
use super::target::{Share, Target};
use crate::client::connection::{CALL_TIMEOUT, Pending};
use crate::client::{ClientError, Start};
use crate::error::CliError;

const MAX_WAIT_MS: i32 = 500;
/// Pause after a refusal that will pass, such as that of a partition that is just changing its leader.
const REFUSED_PAUSE: Duration = Duration::from_millis(20);
/// No record for so long although the end is not reached: something is wrong.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn run(args: &ConsumeBench, target: &Target) -> Result<Report, CliError> {
    if target.is_own() {
        fill(args, target).await?;
    }
    let progress = Progress::new(args.common.output, "consume");
    let mut readers = Vec::new();
    for share in target.shares().await? {
        readers.push(Reader::new(args, target, share, &progress).await?);
    }
    let until = args.duration.map(|duration| Instant::now() + duration);
    let all = readers.into_iter().map(|reader| reader.run(until));
    let mut tally = Tally::new()?;
    for read in futures::future::try_join_all(all).await? {
        tally.join(&read);
    }
    let settings = json!({
        "bootstrap": args.common.bootstrap.bootstrap,
        "partitions": target.partitions.len(),
        "record_size": args.common.record_size,
        "connections": target.connections,
        "compression": args.sending.compression.name(),
        "fetch_bytes": args.fetch_bytes,
        "partition_bytes": args.partition_bytes,
    });
    let times = vec![("fetch", tally.times.clone())];
    Ok(Report {
        benchmark: "consume",
        settings,
        tally,
        times,
    })
}

/// Writes what is to be read.
async fn fill(args: &ConsumeBench, target: &Target) -> Result<(), CliError> {
    let progress = Progress::new(args.common.output, "fill");
    let plan = Plan {
        measure_from: Instant::now(),
        until: None,
        left: Some(quota(args.records)),
        rate: None,
        linger: Duration::ZERO,
    };
    let value_bytes = args.common.record_size as usize;
    let filled = load(target, &args.sending, value_bytes, plan, &progress).await?;
    if filled.records < args.records {
        return Err(CliError::Usage(format!(
            "only {} of {} records could be written: {:?}",
            filled.records, args.records, filled.errors
        )));
    }
    Ok(())
}

/// Where a partition is read.
struct Place {
    partition: i32,
    start: i64,
    next: i64,
    end: i64,
}

struct Reader {
    topic: String,
    share: Share,
    places: Vec<Place>,
    fetch_bytes: i32,
    partition_bytes: i32,
    counter: Arc<AtomicU64>,
    tally: Tally,
    progressed: Instant,
}

impl Reader {
    async fn new(
        args: &ConsumeBench,
        target: &Target,
        share: Share,
        progress: &Progress,
    ) -> Result<Self, CliError> {
        let mut places = Vec::new();
        for index in &share.partitions {
            let leader = target.partitions.iter().find(|known| known.index == *index);
            let leader = leader.map_or(-1, |known| known.leader);
            let at = |start| {
                target
                    .client
                    .offset_of(&target.topic, *index, leader, start)
            };
            let (start, end) = (at(Start::Earliest).await?, at(Start::Latest).await?);
            places.push(Place {
                partition: *index,
                start,
                next: start,
                end,
            });
        }
        Ok(Self {
            topic: target.topic.clone(),
            share,
            places,
            fetch_bytes: args.fetch_bytes,
            partition_bytes: args.partition_bytes,
            counter: progress.counter(),
            tally: Tally::new()?,
            progressed: Instant::now(),
        })
    }

    async fn run(mut self, until: Option<Instant>) -> Result<Tally, CliError> {
        self.progressed = Instant::now();
        let mut on_its_way = self.ask(until).await?;
        while let Some((asked, pending)) = on_its_way {
            let timeout = CALL_TIMEOUT + Duration::from_millis(MAX_WAIT_MS.unsigned_abs().into());
            let response = pending.answer(timeout).await?;
            let answered = Instant::now();
            let batches = self.advance(response)?;
            if batches.is_empty() && !self.tally.errors.is_empty() {
                tokio::time::sleep(REFUSED_PAUSE).await;
            }
            on_its_way = self.ask(until).await?;
            let (records, bytes) = self.read(batches)?;
            if records > 0 {
                self.progressed = Instant::now();
                self.tally.times.add(answered - asked, 1);
                self.tally.done(asked, self.progressed, records, bytes);
                self.counter.fetch_add(records, Ordering::Relaxed);
            } else if self.progressed.elapsed() > PATIENCE {
                let left: i64 = self.places.iter().map(|place| place.end - place.next).sum();
                return Err(CliError::Usage(format!(
                    "no records for {} s, although {left} are left",
                    PATIENCE.as_secs()
                )));
            }
        }
        Ok(self.tally)
    }

    /// Asks for what is next; `None` when everything was read, or the time is over.
    async fn ask(
        &mut self,
        until: Option<Instant>,
    ) -> Result<Option<(Instant, Pending<FetchRequestData>)>, CliError> {
        let all_read = self.places.iter().all(|place| place.next >= place.end);
        match until {
            Some(until) if Instant::now() >= until => return Ok(None),
            None if all_read => return Ok(None),
            Some(_) if self.places.iter().all(|place| place.start >= place.end) => {
                return Ok(None);
            }
            Some(_) if all_read => self
                .places
                .iter_mut()
                .for_each(|place| place.next = place.start),
            _ => {}
        }
        let wanted = self.places.iter().filter(|place| place.next < place.end);
        let partition = |place: &Place| FetchPartition {
            partition: place.partition,
            fetch_offset: place.next,
            partition_max_bytes: self.partition_bytes,
            ..Default::default()
        };
        let topic = FetchTopic {
            topic: self.topic.clone().into(),
            partitions: wanted.map(partition).collect(),
            ..Default::default()
        };
        let request = FetchRequestData {
            max_wait_ms: MAX_WAIT_MS,
            min_bytes: 1,
            max_bytes: self.fetch_bytes,
            session_epoch: -1,
            topics: vec![topic],
            ..Default::default()
        };
        let asked = Instant::now();
        // Whoever is first served shall not always be the same.
        if !self.places.is_empty() {
            self.places.rotate_left(1);
        }
        Ok(Some((
            asked,
            self.share.connection.enqueue(&request).await?,
        )))
    }

    /// Moves on behind what came; gives the batches with the offsets from which their records count.
    fn advance(&mut self, response: FetchResponseData) -> Result<Vec<(i64, Bytes)>, CliError> {
        ClientError::check("fetch", response.error_code)?;
        let mut batches = Vec::new();
        for data in response
            .responses
            .into_iter()
            .flat_map(|topic| topic.partitions)
        {
            let index = data.partition_index;
            match ClientError::check(format!("fetch of partition {index}"), data.error_code) {
                Ok(()) => {}
                Err(error) if error.is_retriable() => {
                    self.tally.failed(&error);
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            let found = self
                .places
                .iter_mut()
                .find(|place| place.partition == index);
            let Some(place) = found else { continue };
            for batch in split(data.records.unwrap_or_default()) {
                let (header, bytes) =
                    batch.map_err(|error| unreadable(&self.topic, index, &error))?;
                if !header.is_control() {
                    batches.push((place.next, bytes));
                }
                place.next = place.next.max(header.last_offset() + 1);
            }
        }
        Ok(batches)
    }

    /// Checks the batches and counts their records and the bytes of their values.
    fn read(&self, batches: Vec<(i64, Bytes)>) -> Result<(u64, u64), CliError> {
        let (mut count, mut bytes) = (0, 0);
        for (from, batch) in batches {
            let wrong = |error| unreadable(&self.topic, -1, &error);
            let header = validate(&batch).map_err(wrong)?;
            let mut walk = records(&batch).map_err(wrong)?;
            let mut offset = header.base_offset;
            while let Some(record) = walk.next_ref() {
                let record = record.map_err(wrong)?;
                if offset >= from {
                    count += 1;
                    bytes += record.value.map_or(0, <[u8]>::len) as u64;
                }
                offset += 1;
            }
        }
        Ok((count, bytes))
    }
}

fn unreadable(topic: &str, partition: i32, error: &headwater_record::BatchError) -> CliError {
    ClientError::Records {
        topic: topic.to_owned(),
        partition,
        reason: error.to_string(),
    }
    .into()
}
