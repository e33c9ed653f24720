//! `headwater bench produce`: each connection keeps so many requests on their way; every answer is timed.
//!
//! At a rate a batch counts from when its records were due, not from when there was time to send them: a broker that stalls is
//! not spared the records that it held up (coordinated omission).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use headwater_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use headwater_wire::messages::{ProduceRequestData, ProduceResponseData};
use serde_json::json;

use super::load::{Template, after, records_in};
use super::measure::{Progress, Report, Tally};
use super::target::{Share, Target};
use super::{ProduceBench, Sending};
use crate::client::connection::CALL_TIMEOUT;
use crate::client::{Acks, ClientError};
use crate::error::CliError;

const STORE_TIMEOUT_MS: i32 = 30_000;
/// So many refused requests without one success, and there is nothing to measure.
const REFUSED_MAX: u32 = 100;
/// Pause after a refusal.
const REFUSED_PAUSE: Duration = Duration::from_millis(20);

pub(super) async fn run(args: &ProduceBench, target: &Target) -> Result<Report, CliError> {
    let progress = Progress::new(args.common.output, "produce");
    let measure_from = Instant::now() + args.warm_up;
    let plan = Plan {
        measure_from,
        until: args.records.is_none().then(|| measure_from + args.duration),
        left: args.records.map(quota),
        rate: args.rate,
        linger: args.linger,
    };
    let value_bytes = args.common.record_size as usize;
    let tally = load(target, &args.sending, value_bytes, plan, &progress).await?;
    let sending = &args.sending;
    let settings = json!({
        "bootstrap": args.common.bootstrap.bootstrap,
        "partitions": target.partitions.len(),
        "record_size": value_bytes,
        "connections": target.connections,
        "acks": sending.acks.to_string(),
        "compression": sending.compression.name(),
        "idempotent": is_idempotent(sending),
        "batch_size": sending.batch_size,
        "batches": sending.batches,
        "in_flight": sending.in_flight,
        "rate": args.rate,
    });
    let times = vec![("ack", tally.times.clone())];
    Ok(Report {
        benchmark: "produce",
        settings,
        tally,
        times,
    })
}

/// Records still to be sent, by all connections together.
pub(super) fn quota(records: u64) -> Arc<AtomicI64> {
    Arc::new(AtomicI64::new(i64::try_from(records).unwrap_or(i64::MAX)))
}

/// When to send, and what of it to count.
#[derive(Clone)]
pub(super) struct Plan {
    pub measure_from: Instant,
    pub until: Option<Instant>,
    pub left: Option<Arc<AtomicI64>>,
    /// Records a second, of all connections together.
    pub rate: Option<u64>,
    pub linger: Duration,
}

fn is_idempotent(sending: &Sending) -> bool {
    sending.acks == Acks::All && !sending.no_idempotence
}

/// Sends by the plan over all connections.
pub(super) async fn load(
    target: &Target,
    sending: &Sending,
    value_bytes: usize,
    plan: Plan,
    progress: &Progress,
) -> Result<Tally, CliError> {
    let shares = target.shares().await?;
    let hands = shares.len().max(1) as f64;
    let full = records_in(sending.batch_size as usize, value_bytes);
    let pace = plan.rate.map(|rate| {
        let mine = rate as f64 / hands;
        let records = (mine * plan.linger.as_secs_f64())
            .round()
            .clamp(1.0, full as f64);
        (records as usize, Duration::from_secs_f64(records / mine))
    });
    let records = pace.map_or(full, |(records, _)| records);
    let template = Arc::new(Template::new(records, value_bytes, sending.compression));
    let mut workers = Vec::new();
    for share in shares {
        let identity = match is_idempotent(sending) {
            true => Some(target.identity().await?),
            false => None,
        };
        workers.push(Worker {
            sequences: vec![0; share.partitions.len()],
            share,
            target,
            sending,
            value_bytes,
            plan: plan.clone(),
            template: Arc::clone(&template),
            identity,
            next: 0,
            due: Instant::now(),
            every: pace.map(|(_, every)| every),
            refused: 0,
            broken_sequence: false,
            counter: progress.counter(),
            tally: Tally::new()?,
        });
    }
    let all = workers.into_iter().map(Worker::run);
    let mut tally = Tally::new()?;
    for worked in futures::future::try_join_all(all).await? {
        tally.join(&worked);
    }
    Ok(tally)
}

/// A request on its way.
struct Sent {
    due: Instant,
    records: u64,
    bytes: u64,
}

type Answer = (Sent, Instant, Result<ProduceResponseData, ClientError>);

/// One connection at work.
struct Worker<'a> {
    target: &'a Target,
    sending: &'a Sending,
    value_bytes: usize,
    share: Share,
    plan: Plan,
    template: Arc<Template>,
    identity: Option<(i64, i16)>,
    /// Next sequence number of each partition of the share.
    sequences: Vec<i32>,
    /// The partition whose turn it is.
    next: usize,
    /// When the next request is to be sent.
    due: Instant,
    every: Option<Duration>,
    refused: u32,
    /// After a refusal sequences have a gap: everything has to be settled before a new identity begins.
    broken_sequence: bool,
    counter: Arc<AtomicU64>,
    tally: Tally,
}

impl Worker<'_> {
    async fn run(mut self) -> Result<Tally, CliError> {
        let mut in_flight: FuturesOrdered<BoxFuture<'static, Answer>> = FuturesOrdered::new();
        let in_flight_max = usize::from(self.sending.in_flight);
        let mut more = true;
        loop {
            if self.broken_sequence && in_flight.is_empty() {
                self.begin_anew().await?;
            }
            let sends = more && !self.broken_sequence && in_flight.len() < in_flight_max;
            if in_flight.is_empty() && !sends {
                return Ok(self.tally);
            }
            tokio::select! {
                biased;
                Some(answer) = in_flight.next(), if !in_flight.is_empty() => self.settle(answer)?,
                () = tokio::time::sleep_until(self.due.into()), if sends => {
                    match self.send().await? {
                        Some(answer) => in_flight.push_back(answer),
                        None => more = self.goes_on(),
                    }
                }
            }
        }
    }

    fn goes_on(&self) -> bool {
        let left = self.plan.left.as_ref();
        self.plan.until.is_none_or(|until| Instant::now() < until)
            && left.is_none_or(|left| left.load(Ordering::Relaxed) > 0)
    }

    /// Sends one request. `None` when there is nothing (more) to wait for.
    async fn send(&mut self) -> Result<Option<BoxFuture<'static, Answer>>, CliError> {
        let now = Instant::now();
        if !self.goes_on() {
            return Ok(None);
        }
        // At a rate a request that comes late still counts from when it was due.
        let due = self.every.map_or(now, |_| self.due);
        self.due = self.every.map_or(now, |every| self.due + every);
        let Some((request, sent)) = self.request(due)? else {
            return Ok(None);
        };
        let connection = &self.share.connection;
        if self.sending.acks == Acks::None {
            connection.fire(&request).await?;
            self.count(&sent, Instant::now());
            return Ok(None);
        }
        let pending = connection.enqueue(&request).await?;
        Ok(Some(Box::pin(async move {
            let answer = pending.answer(CALL_TIMEOUT).await;
            (sent, Instant::now(), answer)
        })))
    }

    /// Batches for the partitions whose turn it is.
    fn request(&mut self, due: Instant) -> Result<Option<(ProduceRequestData, Sent)>, CliError> {
        let batches = match self.every {
            Some(_) => 1,
            None => usize::from(self.sending.batches).min(self.share.partitions.len()),
        };
        let mut sent = Sent {
            due,
            records: 0,
            bytes: 0,
        };
        let mut partition_data = Vec::with_capacity(batches);
        let now_ms = now_ms();
        for _ in 0..batches {
            let Some(template) = self.template_for(due) else {
                break;
            };
            let (at, sequence) = (self.next, self.sequences[self.next]);
            let batch = template.stamped(self.identity, sequence, now_ms);
            let batch = batch.map_err(|error| CliError::Usage(error.to_string()))?;
            self.sequences[at] = after(sequence, template.records);
            self.next = (at + 1) % self.share.partitions.len();
            sent.records += u64::from(template.records.unsigned_abs());
            sent.bytes += template.value_bytes;
            partition_data.push(PartitionProduceData {
                index: self.share.partitions[at],
                records: Some(batch),
                ..Default::default()
            });
        }
        if partition_data.is_empty() {
            return Ok(None);
        }
        let topic = TopicProduceData {
            name: self.target.topic.clone().into(),
            partition_data,
            ..Default::default()
        };
        let request = ProduceRequestData {
            acks: self.sending.acks.code(),
            timeout_ms: STORE_TIMEOUT_MS,
            topic_data: vec![topic],
            ..Default::default()
        };
        Ok(Some((request, sent)))
    }

    /// The batch to send; a smaller one when fewer records are left.
    fn template_for(&self, due: Instant) -> Option<Arc<Template>> {
        let Some(left) = self.plan.left.as_ref() else {
            return Some(Arc::clone(&self.template));
        };
        if due < self.plan.measure_from {
            return Some(Arc::clone(&self.template));
        }
        let full = i64::from(self.template.records);
        match left.fetch_sub(full, Ordering::Relaxed) {
            none if none <= 0 => None,
            enough if enough >= full => Some(Arc::clone(&self.template)),
            some => Some(Arc::new(Template::new(
                usize::try_from(some).unwrap_or(1),
                self.value_bytes,
                self.sending.compression,
            ))),
        }
    }

    fn settle(&mut self, (sent, at, answer): Answer) -> Result<(), CliError> {
        // A broken connection ends the benchmark: what follows would measure something else.
        let response = answer?;
        let topics = response.responses.iter();
        let codes = topics.flat_map(|topic| &topic.partition_responses);
        let refused = codes.map(|one| one.error_code).find(|code| *code != 0);
        let Some(code) = refused else {
            self.refused = 0;
            self.count(&sent, at);
            return Ok(());
        };
        let error = ClientError::broker("a batch was refused", code, None);
        self.tally.failed(&error);
        self.refused += 1;
        if self.refused >= REFUSED_MAX {
            return Err(error.into());
        }
        self.due = self.due.max(Instant::now() + REFUSED_PAUSE);
        self.broken_sequence = self.identity.is_some();
        Ok(())
    }

    fn count(&mut self, sent: &Sent, at: Instant) {
        self.counter.fetch_add(sent.records, Ordering::Relaxed);
        if sent.due < self.plan.measure_from {
            return;
        }
        self.tally.done(sent.due, at, sent.records, sent.bytes);
        if self.sending.acks != Acks::None {
            self.tally.times.add(at - sent.due, 1);
        }
    }

    async fn begin_anew(&mut self) -> Result<(), CliError> {
        self.identity = Some(self.target.identity().await?);
        self.sequences.fill(0);
        self.broken_sequence = false;
        Ok(())
    }
}

pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
