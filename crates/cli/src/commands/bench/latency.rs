//! `headwater bench latency`: from sending a record until it has been read, by a consumer that waits for it.
//!
//! One at a time, or at a rate; then a record counts from when it was due. Producer and consumer have a connection each and
//! run in this process, so that both read the same clock; a record carries the run's mark and the time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use headwater_record::{BatchBuilder, Codec, records, split};
use headwater_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use headwater_wire::messages::fetch_response::PartitionData;
use headwater_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use headwater_wire::messages::{FetchRequestData, FetchResponseData, ProduceRequestData};
use serde_json::json;
use tokio::sync::mpsc;

use super::load::after;
use super::measure::{Progress, Report, Tally, Times};
use super::produce::{now_ms, passes};
use super::target::Target;
use super::{LatencyBench, ended};
use crate::client::connection::{CALL_TIMEOUT, Connection};
use crate::client::{Acks, ClientError, Start};
use crate::commands::signal::asked_to_end;
use crate::error::CliError;

const MAX_WAIT_MS: i32 = 500;
const FETCH_BYTES: i32 = 16 * 1024 * 1024;
const STORE_TIMEOUT_MS: i32 = 30_000;
/// A record that has not come by then is lost.
const PATIENCE: Duration = Duration::from_secs(30);
/// Records read that the sender has not taken note of yet.
const READ_MAX: usize = 64 * 1024;
/// Mark (8 bytes) and nanoseconds since the start (8 bytes).
const STAMP_BYTES: usize = 16;

/// Refusals for so long without one success, and there is nothing to measure.
const REFUSED_PATIENCE: Duration = Duration::from_secs(20);
/// Pause after a refusal.
const REFUSED_PAUSE: Duration = Duration::from_millis(20);

/// A record's due time as nanoseconds since the start, and when it had been read.
type Seen = (u64, Instant);

/// Runs everything that is timed on one thread: waking another one would take longer than much of what is to be measured.
pub(super) async fn run(args: &LatencyBench, target: &Target) -> Result<Report, CliError> {
    tokio::task::block_in_place(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| CliError::io("cannot start", error))?;
        runtime.block_on(async {
            tokio::select! {
                biased;
                measured = measure(args, target) => measured,
                () = asked_to_end() => Err(ended()),
            }
        })
    })
}

async fn measure(args: &LatencyBench, target: &Target) -> Result<Report, CliError> {
    if args.acks == Acks::None {
        return Err(CliError::Usage(
            "acks 0 has no answer to be timed; choose all or 1".to_owned(),
        ));
    }
    let leaders = target.partitions.iter().map(|partition| partition.leader);
    let leader = target.partitions.first().map_or(-1, |first| first.leader);
    if leaders.into_iter().any(|other| other != leader) {
        return Err(CliError::Usage(
            "the partitions have several leaders; use --partitions 1".to_owned(),
        ));
    }
    let known = target.client.node(leader).await?;
    let reading = target.client.own_connection(&known).await?;
    let sending = target.client.own_connection(&known).await?;
    let progress = Progress::new(args.common.output, "latency");
    let start = Instant::now();
    let mark = now_ms() as u64 ^ u64::from(std::process::id()).rotate_left(48);
    let mut places = BTreeMap::new();
    for partition in &target.partitions {
        let end = target
            .client
            .offset_of(&target.topic, partition.index, leader, Start::Latest);
        places.insert(partition.index, end.await?);
    }
    let (seen, came) = mpsc::channel(READ_MAX);
    let reader = tokio::spawn(follow(reading, target.topic.clone(), places, mark, seen));
    let sender = Sender {
        args,
        target,
        connection: sending,
        start,
        mark,
        identity: match args.acks == Acks::All && !args.no_idempotence {
            true => Some(target.identity().await?),
            false => None,
        },
        sequences: vec![0; target.partitions.len()],
        next: 0,
        end_to_end: Times::new()?,
        tally: Tally::new()?,
        outstanding: 0,
        again: VecDeque::new(),
        refused_since: None,
        broken_sequence: false,
    };
    let counter = progress.counter();
    let outcome = sender.run(came, &counter).await;
    reader.abort();
    match outcome {
        Ok(report) => Ok(report),
        // The reader knows better why nothing came.
        Err(error) => match reader.await {
            Ok(Err(first)) => Err(first),
            _ => Err(error),
        },
    }
}

struct Sender<'a> {
    args: &'a LatencyBench,
    target: &'a Target,
    connection: Arc<Connection>,
    start: Instant,
    mark: u64,
    identity: Option<(i64, i16)>,
    sequences: Vec<i32>,
    next: usize,
    end_to_end: Times,
    /// Counts records read; its times are those of the acks.
    tally: Tally,
    /// Sent and not read yet, what is to be sent again included.
    outstanding: u64,
    /// Records that were refused, by when they were due.
    again: VecDeque<Instant>,
    /// Since when everything is refused.
    refused_since: Option<Instant>,
    /// After a refusal sequences have a gap: everything has to be settled before a new identity begins.
    broken_sequence: bool,
}

impl Sender<'_> {
    async fn run(
        mut self,
        mut came: mpsc::Receiver<Seen>,
        counter: &std::sync::atomic::AtomicU64,
    ) -> Result<Report, CliError> {
        let measure_from = self.start + self.args.warm_up;
        let until = measure_from + self.args.duration;
        let every = self
            .args
            .rate
            .map(|rate| Duration::from_secs_f64(1.0 / rate as f64));
        let mut due = Instant::now();
        let mut acks = FuturesUnordered::new();
        let mut heard = Instant::now();
        loop {
            let over = Instant::now() >= until;
            if self.broken_sequence && acks.is_empty() {
                self.begin_anew().await?;
            }
            if over && self.outstanding == 0 && acks.is_empty() {
                return Ok(self.report());
            }
            let new = !over && (every.is_some() || (self.outstanding == 0 && acks.is_empty()));
            let sends = !self.broken_sequence && (new || !self.again.is_empty());
            tokio::select! {
                biased;
                Some((due, at, answer)) = acks.next(), if !acks.is_empty() => {
                    self.acked(due, at, answer, measure_from)?;
                }
                read = came.recv() => {
                    let (nanos, at) = read.ok_or(ClientError::Closed)?;
                    heard = Instant::now();
                    counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    self.read(nanos, at, measure_from);
                    // One at a time: the next is due now.
                    if every.is_none() { due = Instant::now() }
                }
                () = wait_until(due), if sends => {
                    let sent = match self.again.pop_front() {
                        Some(refused) => {
                            self.tally.resent += 1;
                            refused
                        }
                        None => {
                            let sent = if every.is_some() { due } else { Instant::now() };
                            self.outstanding += 1;
                            due = every.map_or(sent, |every| due + every);
                            sent
                        }
                    };
                    let request = self.request(sent);
                    let pending = self.connection.enqueue(&request).await?;
                    acks.push(async move {
                        let answer = pending.answer(CALL_TIMEOUT).await;
                        (sent, Instant::now(), answer)
                    });
                }
                () = tokio::time::sleep_until((heard + PATIENCE).into()), if self.outstanding > 0 => {
                    return Err(CliError::Usage(format!(
                        "{} records were sent and not read within {} s",
                        self.outstanding,
                        PATIENCE.as_secs()
                    )));
                }
            }
        }
    }

    fn request(&mut self, due: Instant) -> ProduceRequestData {
        let at = self.next;
        self.next = (at + 1) % self.sequences.len();
        let sequence = self.sequences[at];
        self.sequences[at] = after(sequence, 1);
        let mut value = vec![b'.'; self.args.common.record_size as usize];
        let nanos = u64::try_from((due - self.start).as_nanos()).unwrap_or(u64::MAX);
        value[..8].copy_from_slice(&self.mark.to_be_bytes());
        value[8..STAMP_BYTES].copy_from_slice(&nanos.to_be_bytes());
        let mut builder = BatchBuilder::new(Codec::None);
        if let Some((id, epoch)) = self.identity {
            builder = builder.producer(id, epoch, sequence);
        }
        builder.push(now_ms(), None, Some(&value));
        let batch = PartitionProduceData {
            index: self.target.partitions[at].index,
            records: Some(builder.build()),
            ..Default::default()
        };
        ProduceRequestData {
            acks: self.args.acks.code(),
            timeout_ms: STORE_TIMEOUT_MS,
            topic_data: vec![TopicProduceData {
                name: self.target.topic.clone().into(),
                partition_data: vec![batch],
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    fn acked(
        &mut self,
        due: Instant,
        at: Instant,
        answer: Result<headwater_wire::messages::ProduceResponseData, ClientError>,
        measure_from: Instant,
    ) -> Result<(), CliError> {
        let response = answer?;
        let mut codes = response
            .responses
            .iter()
            .flat_map(|topic| &topic.partition_responses)
            .map(|one| one.error_code);
        if let Some(code) = codes.find(|code| *code != 0) {
            return self.refused(due, code);
        }
        self.refused_since = None;
        if due >= measure_from {
            self.tally.times.add(at - due, 1);
        }
        Ok(())
    }

    /// A record that is not stored is sent again, or it would be waited for in vain.
    fn refused(&mut self, due: Instant, code: i16) -> Result<(), CliError> {
        let error = ClientError::broker("a record was refused", code, None);
        self.tally.failed(&error);
        let since = *self.refused_since.get_or_insert_with(Instant::now);
        if since.elapsed() > REFUSED_PATIENCE || !passes(&error) {
            return Err(error.into());
        }
        self.again.push_back(due);
        // Without sequences nothing has to be settled, but it is waited for all the same.
        self.broken_sequence = true;
        Ok(())
    }

    async fn begin_anew(&mut self) -> Result<(), CliError> {
        tokio::time::sleep(REFUSED_PAUSE).await;
        if self.identity.is_some() {
            self.identity = Some(self.target.identity().await?);
        }
        self.sequences.fill(0);
        self.broken_sequence = false;
        Ok(())
    }

    fn read(&mut self, nanos: u64, at: Instant, measure_from: Instant) {
        self.outstanding = self.outstanding.saturating_sub(1);
        let due = self.start + Duration::from_nanos(nanos);
        if due >= measure_from {
            self.end_to_end.add(at.saturating_duration_since(due), 1);
            let bytes = u64::from(self.args.common.record_size);
            self.tally.done(due, at, 1, bytes);
        }
    }

    fn report(self) -> Report {
        let settings = json!({
            "bootstrap": self.args.common.bootstrap.bootstrap,
            "partitions": self.target.partitions.len(),
            "record_size": self.args.common.record_size,
            "acks": self.args.acks.to_string(),
            "idempotent": self.identity.is_some(),
            "rate": self.args.rate,
        });
        Report {
            benchmark: "latency",
            settings,
            times: vec![
                ("end_to_end", self.end_to_end),
                ("ack", self.tally.times.clone()),
            ],
            tally: self.tally,
        }
    }
}

/// Timers are as coarse as a millisecond: what is due now does not wait for one.
async fn wait_until(due: Instant) {
    if due > Instant::now() {
        tokio::time::sleep_until(due.into()).await;
    }
}

/// Reads everything that comes, and tells of records with the mark.
async fn follow(
    connection: Arc<Connection>,
    topic: String,
    mut places: BTreeMap<i32, i64>,
    mark: u64,
    seen: mpsc::Sender<Seen>,
) -> Result<(), CliError> {
    loop {
        let partition = |(index, next): (&i32, &i64)| FetchPartition {
            partition: *index,
            fetch_offset: *next,
            partition_max_bytes: FETCH_BYTES,
            ..Default::default()
        };
        let request = FetchRequestData {
            max_wait_ms: MAX_WAIT_MS,
            min_bytes: 1,
            max_bytes: FETCH_BYTES,
            session_epoch: -1,
            topics: vec![FetchTopic {
                topic: topic.clone().into(),
                partitions: places.iter().map(partition).collect(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let response = connection.call(&request).await?;
        let at = Instant::now();
        if partitions_of(&response).any(|data| data.error_code != 0) {
            tokio::time::sleep(REFUSED_PAUSE).await;
        }
        for nanos in stamps(response, &mut places, mark)? {
            if seen.send((nanos, at)).await.is_err() {
                return Ok(());
            }
        }
    }
}

fn partitions_of(response: &FetchResponseData) -> impl Iterator<Item = &PartitionData> {
    let topics = response.responses.iter();
    topics.flat_map(|topic| &topic.partitions)
}

/// The times of the records with the mark; moves on behind all there are.
fn stamps(
    response: FetchResponseData,
    places: &mut BTreeMap<i32, i64>,
    mark: u64,
) -> Result<Vec<u64>, CliError> {
    ClientError::check("fetch", response.error_code)?;
    let mut stamps = Vec::new();
    for data in response
        .responses
        .into_iter()
        .flat_map(|topic| topic.partitions)
    {
        let index = data.partition_index;
        match ClientError::check(format!("fetch of partition {index}"), data.error_code) {
            // It is asked for again.
            Err(error) if error.is_retriable() => continue,
            outcome => outcome?,
        }
        let unreadable = |error: headwater_record::BatchError| {
            CliError::Usage(format!("unreadable records in partition {index}: {error}"))
        };
        for batch in split(data.records.unwrap_or_default()) {
            let (header, bytes) = batch.map_err(unreadable)?;
            let next = places.entry(index).or_default();
            *next = (*next).max(header.last_offset() + 1);
            for record in records(&bytes).map_err(unreadable)? {
                let value = record.map_err(unreadable)?.value.unwrap_or_default();
                if let (Some(found), Some(nanos)) = (number(&value, 0), number(&value, 8))
                    && found == mark
                {
                    stamps.push(nanos);
                }
            }
        }
    }
    Ok(stamps)
}

fn number(value: &[u8], at: usize) -> Option<u64> {
    value
        .get(at..)?
        .first_chunk()
        .map(|bytes| u64::from_be_bytes(*bytes))
}
