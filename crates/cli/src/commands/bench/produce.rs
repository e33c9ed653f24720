//! `headwater bench produce`: each connection keeps so many requests on their way; every answer is timed.
//!
//! At a rate a batch counts from when its records were due, not from when there was time to send them: a broker that stalls is
//! not spared the records that it held up (coordinated omission).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use headwater_wire::ErrorCode;
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
/// Refusals for so long without one success, and there is nothing to measure.
const REFUSED_PATIENCE: Duration = Duration::from_secs(30);
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
            refused_since: None,
            again: VecDeque::new(),
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

/// One batch of a request, by its place in the share's partitions.
struct Part {
    at: usize,
    template: Arc<Template>,
    /// When its records were to be sent.
    due: Instant,
}

impl Part {
    fn records(&self) -> u64 {
        u64::from(self.template.records.unsigned_abs())
    }
}

type Answer = (Vec<Part>, Instant, Result<ProduceResponseData, ClientError>);

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
    /// Since when everything is refused.
    refused_since: Option<Instant>,
    /// What was refused, to be sent again.
    again: VecDeque<Part>,
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
            let wants = more || !self.again.is_empty();
            let sends = wants && !self.broken_sequence && in_flight.len() < in_flight_max;
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
        if !self.goes_on() && self.again.is_empty() {
            return Ok(None);
        }
        // At a rate a request that comes late still counts from when it was due.
        let due = self.every.map_or(now, |_| self.due);
        self.due = self.every.map_or(now, |every| self.due + every);
        let parts = self.parts(due);
        if parts.is_empty() {
            return Ok(None);
        }
        let request = self.request(&parts)?;
        let connection = &self.share.connection;
        if self.sending.acks == Acks::None {
            connection.fire(&request).await?;
            let now = Instant::now();
            parts.iter().for_each(|part| self.count(part, now));
            return Ok(None);
        }
        let pending = connection.enqueue(&request).await?;
        Ok(Some(Box::pin(async move {
            let answer = pending.answer(CALL_TIMEOUT).await;
            (parts, Instant::now(), answer)
        })))
    }

    /// Batches for the partitions whose turn it is: what was refused first. None of them twice in a request.
    fn parts(&mut self, due: Instant) -> Vec<Part> {
        let batches = match self.every {
            Some(_) => 1,
            None => usize::from(self.sending.batches).min(self.share.partitions.len()),
        };
        if !self.again.is_empty() {
            let parts = distinct(&mut self.again, batches);
            self.tally.resent += parts.iter().map(Part::records).sum::<u64>();
            return parts;
        }
        let mut parts = Vec::with_capacity(batches);
        for _ in 0..batches {
            let Some(template) = self.template_for(due) else {
                break;
            };
            parts.push(Part {
                at: self.next,
                template,
                due,
            });
            self.next = (self.next + 1) % self.share.partitions.len();
        }
        parts
    }

    fn request(&mut self, parts: &[Part]) -> Result<ProduceRequestData, CliError> {
        let mut partition_data = Vec::with_capacity(parts.len());
        let now_ms = now_ms();
        for part in parts {
            let sequence = self.sequences[part.at];
            let batch = part.template.stamped(self.identity, sequence, now_ms);
            let batch = batch.map_err(|error| CliError::Usage(error.to_string()))?;
            self.sequences[part.at] = after(sequence, part.template.records);
            partition_data.push(PartitionProduceData {
                index: self.share.partitions[part.at],
                records: Some(batch),
                ..Default::default()
            });
        }
        let topic = TopicProduceData {
            name: self.target.topic.clone().into(),
            partition_data,
            ..Default::default()
        };
        Ok(ProduceRequestData {
            acks: self.sending.acks.code(),
            timeout_ms: STORE_TIMEOUT_MS,
            topic_data: vec![topic],
            ..Default::default()
        })
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

    fn settle(&mut self, (parts, at, answer): Answer) -> Result<(), CliError> {
        // A broken connection ends the benchmark: what follows would measure something else.
        let response = answer?;
        let mut refusal = None;
        for part in parts {
            let code = code_of(&response, self.share.partitions[part.at]);
            if code == 0 {
                self.refused_since = None;
                self.count(&part, at);
                continue;
            }
            let error = ClientError::broker("a batch was refused", code, None);
            self.tally.failed(&error);
            self.again.push_back(part);
            refusal = Some(error);
        }
        let Some(error) = refusal else {
            return Ok(());
        };
        let since = *self.refused_since.get_or_insert_with(Instant::now);
        if since.elapsed() > REFUSED_PATIENCE || !passes(&error) {
            return Err(error.into());
        }
        self.due = self.due.max(Instant::now() + REFUSED_PAUSE);
        self.broken_sequence = self.identity.is_some();
        Ok(())
    }

    fn count(&mut self, part: &Part, at: Instant) {
        self.counter.fetch_add(part.records(), Ordering::Relaxed);
        if part.due < self.plan.measure_from {
            return;
        }
        let bytes = part.template.value_bytes;
        self.tally.done(part.due, at, part.records(), bytes);
        if self.sending.acks != Acks::None {
            self.tally.times.add(at - part.due, 1);
        }
    }

    async fn begin_anew(&mut self) -> Result<(), CliError> {
        self.identity = Some(self.target.identity().await?);
        self.sequences.fill(0);
        self.broken_sequence = false;
        Ok(())
    }
}

/// What became of the batch of a partition.
fn code_of(response: &ProduceResponseData, partition: i32) -> i16 {
    let all = response
        .responses
        .iter()
        .flat_map(|topic| &topic.partition_responses);
    all.filter(|one| one.index == partition)
        .map(|one| one.error_code)
        .next()
        .unwrap_or(ErrorCode::UnknownServerError.code())
}

/// Whether it may be sent again: the refusal will pass, or it comes from the gap that one before it has left.
pub(super) fn passes(error: &ClientError) -> bool {
    let of_sequence = [
        ErrorCode::OutOfOrderSequenceNumber,
        ErrorCode::UnknownProducerId,
        ErrorCode::InvalidProducerEpoch,
    ];
    let gap = error.code().is_some_and(|code| of_sequence.contains(&code));
    gap || error.is_retriable()
}

/// Takes out up to so many of different partitions; those of one partition keep their order.
fn distinct(all: &mut VecDeque<Part>, most: usize) -> Vec<Part> {
    let mut taken: Vec<Part> = Vec::with_capacity(most);
    let mut left = VecDeque::with_capacity(all.len());
    for part in all.drain(..) {
        let fits = taken.len() < most && taken.iter().all(|other| other.at != part.at);
        match fits {
            true => taken.push(part),
            false => left.push_back(part),
        }
    }
    *all = left;
    taken
}

pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use headwater_wire::messages::produce_response::{
        PartitionProduceResponse, TopicProduceResponse,
    };

    use super::*;
    use crate::client::Codec;

    fn part(at: usize) -> Part {
        Part {
            at,
            template: Arc::new(Template::new(2, 16, Codec::None)),
            due: Instant::now(),
        }
    }

    #[test]
    fn what_was_refused_is_sent_again_once_a_partition_and_in_order() {
        let mut again: VecDeque<Part> = [0, 1, 0, 2, 1].map(part).into();
        let places = |parts: Vec<Part>| parts.iter().map(|part| part.at).collect::<Vec<_>>();
        assert_eq!(places(distinct(&mut again, 2)), [0, 1]);
        assert_eq!(places(distinct(&mut again, 4)), [0, 2, 1]);
        assert!(again.is_empty());
    }

    #[test]
    fn each_partition_has_its_own_outcome_and_one_that_is_not_told_is_none() {
        let one = |(index, error_code)| PartitionProduceResponse {
            index,
            error_code,
            ..Default::default()
        };
        let response = ProduceResponseData {
            responses: vec![TopicProduceResponse {
                partition_responses: [(3, 0), (4, 6)].map(one).into(),
                ..Default::default()
            }],
            ..Default::default()
        };
        assert_eq!([3, 4].map(|index| code_of(&response, index)), [0, 6]);
        assert_ne!(code_of(&response, 5), 0);
    }

    #[test]
    fn refusals_that_pass_are_told_from_those_that_do_not() {
        let error = |code: ErrorCode| ClientError::broker("", code.code(), None);
        assert!(passes(&error(ErrorCode::NotLeaderOrFollower)));
        assert!(passes(&error(ErrorCode::OutOfOrderSequenceNumber)));
        assert!(!passes(&error(ErrorCode::MessageTooLarge)));
    }
}
