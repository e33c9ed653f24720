//! Fetch: long poll over many partitions, whole batches as they are stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use headwater_base::{Offset, PartitionId, TopicId};
use headwater_log::{Bound, Log, PartitionState, ReadError, ReadOut};
use headwater_meta::Catalog;
use headwater_record::BatchHeader;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::Instant;

use crate::Broker;
use crate::error::BrokerError;
use crate::producer_table::ProducerTable;
use crate::stable::AbortedRange;
use crate::topics::{TopicRef, check_leader_epoch};

/// What a client wants to read.
#[derive(Clone, Debug)]
pub struct FetchRequest {
    pub max_wait: Duration,
    /// Wait until as many bytes are there.
    pub min_bytes: usize,
    pub max_bytes: usize,
    /// Nothing of transactions that are still open (`isolation.level=read_committed`).
    pub committed: bool,
    pub partitions: Vec<FetchItem>,
}

/// One partition of it.
#[derive(Clone, Debug)]
pub struct FetchItem {
    pub topic: TopicRef,
    pub partition: i32,
    pub offset: Offset,
    pub max_bytes: usize,
    /// -1: not known to the client.
    pub leader_epoch: i32,
}

/// What one partition has.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    pub batches: Vec<Bytes>,
    pub state: PartitionState,
    /// Everything below is decided.
    pub last_stable: Offset,
    /// Aborted transactions among the batches, when only what is committed was asked for.
    pub aborted: Vec<AbortedRange>,
}

/// The answer, one result per item in order.
pub struct FetchOut {
    pub partitions: Vec<Result<Fetched, BrokerError>>,
    /// Accounts for bytes that an answer holds, from the disk or many from the cache, until the answer has been written.
    pub memory: Option<OwnedSemaphorePermit>,
}

/// An item after its names have been looked up.
#[derive(Clone, Copy)]
struct Target {
    id: PartitionId,
    offset: Offset,
    max_bytes: usize,
    committed: bool,
}

/// The log, and what in it is decided.
#[derive(Clone)]
struct Source {
    log: Arc<dyn Log>,
    producers: Arc<ProducerTable>,
    /// Counts answers.
    turn: Arc<AtomicUsize>,
    /// What is not in memory is left for another answer: nobody may wait for the disk here.
    ready: bool,
}

/// Answers from the tail cache up to here are not accounted for.
const UNACCOUNTED_BYTES_MAX: usize = 64 * 1024;

/// An answer from the disk may always be so long.
const SHARE_BYTES_MIN: usize = 1024 * 1024;
/// And need not be longer: who reads far behind is sent this while the log reads on, and then asks again.
const COLD_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Every partition of it gets so much, where it has as much, before another gets more than its part: what lies side by
/// side on the disk is read together.
const PART_BYTES_MIN: usize = 256 * 1024;
/// Partitions whose next batches lie no further apart in the log are brought together: who is ahead gets less, or waits.
const TOGETHER_BYTES: u64 = 512 * 1024 * 1024;
/// In one of so many answers all get the same: the one behind may be one that never gets on.
const EQUAL_EVERY: usize = 16;

type Targets = Arc<[Result<Target, BrokerError>]>;

impl Broker {
    /// Answers when `min_bytes` are there, an item has an error, or `max_wait` is over.
    pub async fn fetch(&self, request: FetchRequest) -> FetchOut {
        let catalog = self.catalog.current();
        let targets: Targets = request
            .partitions
            .iter()
            .map(|item| find(&catalog, item, request.committed))
            .collect();
        let max_bytes = request.max_bytes.min(self.config.fetch_bytes_max);
        let mut out = self.read_until_enough(&request, &targets, max_bytes).await;
        self.tell_deleted(&request, &targets, &mut out);
        self.count(&targets, &out);
        out
    }

    /// Of a topic that was deleted meanwhile no offset is in range any more; that is not what the client is to hear.
    fn tell_deleted(&self, request: &FetchRequest, targets: &Targets, out: &mut FetchOut) {
        let catalog = self.catalog.current();
        let answers = out.partitions.iter_mut().zip(targets.iter());
        for ((answer, target), item) in answers.zip(&request.partitions) {
            let missed = matches!(answer, Err(BrokerError::OffsetOutOfRange { .. }));
            let deleted = |target: &Target| catalog.topic_by_id(target.id.topic).is_none();
            if missed && target.as_ref().is_ok_and(deleted) {
                *answer = Err(match item.topic {
                    TopicRef::Name(_) => BrokerError::UnknownTopicOrPartition,
                    TopicRef::Id(_) => BrokerError::UnknownTopicId,
                });
            }
        }
    }

    async fn read_until_enough(
        &self,
        request: &FetchRequest,
        targets: &Targets,
        max_bytes: usize,
    ) -> FetchOut {
        let deadline = Instant::now() + request.max_wait;
        if enough_at_once(&self.source(), targets, request) {
            let out = self.read_all(targets, (request.min_bytes, max_bytes)).await;
            if request.max_wait.is_zero() || is_enough(&out, request.min_bytes) {
                return out;
            }
        }
        let ids: Vec<PartitionId> = targets.iter().flatten().map(|target| target.id).collect();
        let wake = Arc::new(Notify::new());
        let _registration = self.log.register(&ids, Bound::Durable, Arc::clone(&wake));
        loop {
            // Read after registering: what came in between is seen here, what comes later wakes.
            if enough_at_once(&self.source(), targets, request) {
                let out = self.read_all(targets, (request.min_bytes, max_bytes)).await;
                if is_enough(&out, request.min_bytes) {
                    return out;
                }
            }
            if tokio::time::timeout_at(deadline, wake.notified())
                .await
                .is_err()
            {
                return self.read_all(targets, (request.min_bytes, max_bytes)).await;
            }
        }
    }

    async fn read_all(
        &self,
        targets: &Targets,
        (min_bytes, max_bytes): (usize, usize),
    ) -> FetchOut {
        let cached = |target: &Target| self.log.in_memory(target.id, target.offset);
        if targets.iter().flatten().all(cached) {
            let source = Source {
                ready: true,
                ..self.source()
            };
            let partitions = read_targets(&source, targets, max_bytes, min_bytes);
            return self.account_cached(partitions);
        }
        let max_bytes = max_bytes
            .min(COLD_BYTES_MAX.max(min_bytes))
            .min(self.fair_share());
        let mut memory = self.reserve(targets, max_bytes).await;
        let (source, owned) = (self.source(), Arc::clone(targets));
        let read = self
            .world
            .off_thread(move || read_targets(&source, &owned, max_bytes, min_bytes))
            .await;
        let partitions = read.unwrap_or_else(|error| {
            let failed = BrokerError::Storage(format!("reading the log failed: {error}"));
            targets.iter().map(|_| Err(failed.clone())).collect()
        });
        // Less was there than there might have been: a slow peer shall not keep others from it.
        if let Some(held) = &mut memory {
            let surplus = held.num_permits().saturating_sub(bytes_of(&partitions));
            drop(held.split(surplus));
        }
        FetchOut { partitions, memory }
    }

    fn source(&self) -> Source {
        Source {
            log: Arc::clone(&self.log),
            producers: Arc::clone(&self.producers),
            turn: Arc::clone(&self.fetch_turn),
            ready: false,
        }
    }

    /// Commits in an answer outlive the tail cache while the peer is slow to take it. Where there is no room left for them
    /// the answer is one batch: nobody waits here for others' peers.
    fn account_cached(&self, mut partitions: Vec<Result<Fetched, BrokerError>>) -> FetchOut {
        let bytes = bytes_of(&partitions);
        if bytes <= UNACCOUNTED_BYTES_MAX {
            return FetchOut {
                partitions,
                memory: None,
            };
        }
        let permits = bytes.min(self.config.fetch_buffer_bytes_max);
        let permits = u32::try_from(permits).unwrap_or(u32::MAX);
        let memory = Arc::clone(&self.fetch_budget)
            .try_acquire_many_owned(permits)
            .ok();
        if memory.is_none() {
            leave_first_batch(&mut partitions);
        }
        FetchOut { partitions, memory }
    }

    /// Most bytes that one answer may hold now: peers that take theirs slowly shall never have everything.
    fn fair_share(&self) -> usize {
        (self.fetch_budget.available_permits() / 4).max(SHARE_BYTES_MIN)
    }

    /// Waits for room for what will be read from the disk.
    async fn reserve(&self, targets: &Targets, max_bytes: usize) -> Option<OwnedSemaphorePermit> {
        let wanted: u64 = targets
            .iter()
            .flatten()
            .map(|target| self.log.state(target.id).bytes.min(target.max_bytes as u64))
            .sum();
        let bytes = wanted
            .min(max_bytes as u64)
            .min(self.config.fetch_buffer_bytes_max as u64);
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX).max(1);
        Arc::clone(&self.fetch_budget)
            .acquire_many_owned(permits)
            .await
            .ok()
    }

    fn count(&self, targets: &Targets, out: &FetchOut) {
        let catalog = self.catalog.current();
        for (target, fetched) in targets.iter().zip(&out.partitions) {
            let (Ok(target), Ok(fetched)) = (target, fetched) else {
                continue;
            };
            if let Some(topic) = catalog
                .topic_by_id(target.id.topic)
                .filter(|_| !fetched.batches.is_empty())
            {
                let (records, bytes) = volume(&fetched.batches);
                self.counters
                    .of(topic.id, &topic.name)
                    .went_out(records, bytes);
            }
        }
    }

    /// The name of a topic.
    pub fn topic_name(&self, id: TopicId) -> Option<String> {
        let catalog = self.catalog.current();
        catalog.topic_by_id(id).map(|topic| topic.name.clone())
    }

    /// Whether anybody can read this topic id.
    pub fn knows_topic_id(&self, id: TopicId) -> bool {
        self.catalog.current().topic_by_id(id).is_some()
    }
}

fn find(catalog: &Catalog, item: &FetchItem, committed: bool) -> Result<Target, BrokerError> {
    let topic = item.topic.find(catalog)?;
    let id = topic
        .partition(item.partition)
        .ok_or(BrokerError::UnknownTopicOrPartition)?;
    check_leader_epoch(item.leader_epoch)?;
    Ok(Target {
        id,
        offset: item.offset,
        max_bytes: item.max_bytes,
        committed,
    })
}

/// Records and bytes of stored batches.
pub(crate) fn volume(batches: &[Bytes]) -> (u64, u64) {
    batches.iter().fold((0, 0), |(records, bytes), batch| {
        let count = BatchHeader::parse(batch)
            .map_or(0, |header| u64::from(header.record_count.unsigned_abs()));
        (records + count, bytes + batch.len() as u64)
    })
}

/// Whether reading can give an answer now: something is there to read, or an item is wrong, or nobody waits.
fn enough_at_once(source: &Source, targets: &Targets, request: &FetchRequest) -> bool {
    let ready = |target: &Target| {
        let (state, _, end) = source.extent(target);
        target.offset < end || !(state.start..=state.durable_end).contains(&target.offset)
    };
    request.max_wait.is_zero()
        || request.min_bytes == 0
        || targets.is_empty()
        || targets
            .iter()
            .any(|target| target.as_ref().map_or(true, ready))
}

fn is_enough(out: &FetchOut, min_bytes: usize) -> bool {
    bytes_of(&out.partitions) >= min_bytes || out.partitions.iter().any(Result::is_err)
}

fn bytes_of(partitions: &[Result<Fetched, BrokerError>]) -> usize {
    partitions
        .iter()
        .flatten()
        .flat_map(|fetched| &fetched.batches)
        .map(Bytes::len)
        .sum()
}

impl Source {
    fn read(&self, target: &Target, max_bytes: usize, bound: Bound) -> Result<ReadOut, ReadError> {
        match self.ready {
            true => self
                .log
                .read_ready(target.id, target.offset, max_bytes, bound),
            false => self.log.read(target.id, target.offset, max_bytes, bound),
        }
    }

    /// State, last stable offset, and where the target's reader has to stop.
    fn extent(&self, target: &Target) -> (PartitionState, Offset, Offset) {
        let (state, stable) = self
            .producers
            .last_stable(&*self.log, target.id, Bound::Durable);
        let end = match target.committed {
            true => stable,
            false => state.durable_end,
        };
        (state, stable, end)
    }
}

fn read_targets(
    source: &Source,
    targets: &Targets,
    max_bytes: usize,
    min_bytes: usize,
) -> Vec<Result<Fetched, BrokerError>> {
    let place = |target: &Target| source.log.place(target.id, target.offset);
    let places: Vec<_> = targets
        .iter()
        .map(|target| target.as_ref().ok().and_then(place))
        .collect();
    let max_bytes = match places.iter().flatten().count() {
        0 => max_bytes,
        _ => max_bytes.min(COLD_BYTES_MAX.max(min_bytes)),
    };
    let turn = source.turn.fetch_add(1, Ordering::Relaxed);
    if !turn.is_multiple_of(EQUAL_EVERY) {
        let parts = parts(&places, max_bytes, TOGETHER_BYTES);
        let waits = parts.contains(&0);
        let out = read_parts(source, targets, max_bytes, &parts);
        if !waits || bytes_of(&out) >= min_bytes.max(1) {
            return out;
        }
    }
    read_parts(source, targets, max_bytes, &parts(&places, max_bytes, 0))
}

fn read_parts(
    source: &Source,
    targets: &Targets,
    max_bytes: usize,
    parts: &[usize],
) -> Vec<Result<Fetched, BrokerError>> {
    let mut left = max_bytes;
    let mut any = false;
    let read = |(target, part): (&Result<Target, BrokerError>, &usize)| {
        let fetched = read_one(source, target.clone()?, (left, *part), any)?;
        let bytes: usize = fetched.batches.iter().map(Bytes::len).sum();
        left = left.saturating_sub(bytes);
        any |= bytes > 0;
        Ok(fetched)
    };
    targets.iter().zip(parts).map(read).collect()
}

/// How much of the answer each target may have, by where it is read in the log. What is in memory has no place, and no bound.
/// Others share. The further one is ahead of another that is no more than `together` bytes behind it, the less it gets, and
/// nothing when it is a whole answer ahead: so all come to read the same pieces of the log, which are read once for all of them.
fn parts(places: &[Option<u64>], max_bytes: usize, together: u64) -> Vec<usize> {
    let mut sorted: Vec<u64> = places.iter().copied().flatten().collect();
    sorted.sort_unstable();
    let share = (max_bytes / sorted.len().max(1)).max(PART_BYTES_MIN);
    let part = |place: u64| {
        let near = sorted.partition_point(|other| other.saturating_add(together) < place);
        let ahead = usize::try_from(place - sorted[near]).unwrap_or(usize::MAX);
        match max_bytes.checked_sub(ahead).filter(|left| *left > 0) {
            Some(left) => (share * left / max_bytes).max(PART_BYTES_MIN),
            None => 0,
        }
    };
    places
        .iter()
        .map(|place| place.map_or(max_bytes, part))
        .collect()
}

/// Reads one partition. The first batch of a whole answer may exceed every limit, so that a consumer always gets on (KIP-74).
fn read_one(
    source: &Source,
    target: Target,
    (left, part_bytes): (usize, usize),
    any: bool,
) -> Result<Fetched, BrokerError> {
    let (state, last_stable, end) = source.extent(&target);
    if !(state.start..=state.durable_end).contains(&target.offset) {
        return Err(BrokerError::OffsetOutOfRange {
            offset: target.offset,
            start: state.start,
            end: state.durable_end,
        });
    }
    let limit = left.min(target.max_bytes);
    let part = limit.min(part_bytes);
    if target.offset >= end || (any && limit == 0) || part == 0 && limit > 0 {
        return Ok(Fetched {
            state,
            last_stable,
            ..Fetched::default()
        });
    }
    let ReadOut { mut batches, state } = source.read(&target, part.max(1), Bound::Durable)?;
    let mut aborted = Vec::new();
    if target.committed {
        batches.truncate(batches.partition_point(|batch| base_offset(batch) < end));
        cut(&mut batches, (limit, part), any);
        let last = batches
            .last()
            .and_then(|last| BatchHeader::parse(last).ok());
        let to = last.map_or(target.offset, |last| last.last_offset() + 1);
        aborted = source.producers.aborted(target.id, target.offset, to);
    } else {
        cut(&mut batches, (limit, part), any);
    }
    Ok(Fetched {
        batches,
        state,
        last_stable,
        aborted,
    })
}

/// Where a stored batch begins.
pub(crate) fn base_offset(batch: &Bytes) -> Offset {
    BatchHeader::parse(batch).map_or(Offset::MAX, |header| header.base_offset)
}

/// Leaves one batch of the whole answer.
fn leave_first_batch(partitions: &mut [Result<Fetched, BrokerError>]) {
    let mut keep = 1;
    for fetched in partitions.iter_mut().flatten() {
        fetched.batches.truncate(keep);
        keep -= fetched.batches.len();
    }
}

/// Leaves whole batches within the part; the first where it is within the limit, and whatever it is when nothing else is in the
/// answer.
fn cut(batches: &mut Vec<Bytes>, (limit, part): (usize, usize), any: bool) {
    let mut sum = 0;
    let fits = batches.iter().take_while(|batch| {
        sum += batch.len();
        sum <= part
    });
    let keep = fits.count();
    let first = batches
        .first()
        .is_some_and(|first| !any || first.len() <= limit);
    batches.truncate(keep.max(usize::from(first)));
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn shared(places: &[Option<u64>], together: u64) -> Vec<usize> {
        let parts = parts(places, 8 << 20, together);
        parts.iter().map(|part| part >> 10).collect()
    }

    #[test]
    fn what_is_in_memory_is_not_bounded_and_neighbours_share() {
        assert_eq!(shared(&[None, None], TOGETHER_BYTES), [8192, 8192]);
        let places = [Some(70 * MIB), None, Some(70 * MIB)];
        assert_eq!(shared(&places, TOGETHER_BYTES), [4096, 8192, 4096]);
        assert_eq!(shared(&[Some(1); 600], TOGETHER_BYTES)[599], 256);
    }

    #[test]
    fn who_is_ahead_gets_less_or_waits_but_not_for_those_that_are_far_behind() {
        let places = [0, 4, 8, 63, 500, 1100].map(|place| Some(place * MIB));
        let share = 8192 / 6;
        let waits = [share, share / 2, 0, 0, 0, share];
        assert_eq!(shared(&places, TOGETHER_BYTES), waits);
        assert_eq!(shared(&places, 0), [share; 6]);
        assert_eq!(parts(&[Some(1)], 0, 0), [0]);
    }
}
