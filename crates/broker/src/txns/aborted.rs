//! Which ranges were aborted, across restarts. What is written with a transaction's end says where it began; where its marker went
//! is only known then, and written right behind. Should a crash come in between, the headers of the log tell.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use headwater_base::{Clock, Offset, PartitionId};
use headwater_log::{Append, BatchMeta, Commit, Log};

use super::codec::AbortedEntry;
use crate::Broker;
use crate::error::OpenError;
use crate::journal::{self, ABORTED};
use crate::producer_table::ProducerTable;
use crate::stable::AbortedRange;

/// Attribute bit of control batches.
const CONTROL: i16 = 0x20;
/// Records beyond four times the number of ranges after which all are written anew.
const RECORDS_MAX: usize = 10_000;

/// The journal of aborted ranges. The ranges themselves are with the producers of their partitions.
pub(crate) struct AbortedStore {
    log: Arc<dyn Log>,
    clock: Arc<dyn Clock>,
    records: AtomicUsize,
    /// The journal lacks the end of a range, because the log had no room for it.
    behind: AtomicBool,
}

/// What the journal says at start, to be completed by the headers of the log.
#[derive(Default)]
pub(crate) struct AbortedReplay(HashMap<(PartitionId, i64), Vec<Replayed>>);

struct Replayed {
    first: Offset,
    last: Option<Offset>,
    /// Its marker is still held. Without it no data is either, and a reader would wait for the marker for ever.
    held: bool,
}

impl AbortedReplay {
    /// Sees a batch of the log.
    pub fn see(&mut self, partition: PartitionId, batch: &BatchMeta) {
        if batch.attributes & CONTROL == 0 || self.0.is_empty() {
            return;
        }
        let Some(ranges) = self.0.get_mut(&(partition, batch.producer_id)) else {
            return;
        };
        let marker = batch.base_offset;
        for range in ranges.iter_mut().filter(|range| range.first < marker) {
            range.held |= *range.last.get_or_insert(marker) == marker;
        }
    }

    /// The ranges whose markers are held.
    pub fn ranges(self) -> impl Iterator<Item = (PartitionId, AbortedRange)> {
        self.0
            .into_iter()
            .flat_map(|((partition, producer_id), ranges)| {
                let held = ranges.into_iter().filter(|range| range.held);
                held.filter_map(move |range| {
                    let (first, last) = (range.first, range.last?);
                    let range = AbortedRange {
                        producer_id,
                        first,
                        last,
                    };
                    Some((partition, range))
                })
            })
    }
}

impl AbortedStore {
    pub fn open(
        log: Arc<dyn Log>,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, AbortedReplay), OpenError> {
        let mut replay = AbortedReplay::default();
        let mut records = 0;
        let mut behind = false;
        journal::replay(&*log, ABORTED, |_, key, value| {
            let entry = key.and_then(|key| AbortedEntry::decode(key, value));
            let AbortedEntry {
                partition,
                producer_id,
                first,
                last,
            } = entry.ok_or(OpenError::Transaction)?;
            let ranges = replay.0.entry((partition, producer_id)).or_default();
            match ranges.iter_mut().find(|range| range.first == first) {
                Some(range) => range.last = last.or(range.last),
                None => ranges.push(Replayed {
                    first,
                    last,
                    held: false,
                }),
            }
            records += 1;
            Ok(())
        })?;
        for range in replay.0.values().flatten() {
            behind |= range.last.is_none();
        }
        let store = Self {
            log,
            clock,
            records: AtomicUsize::new(records),
            behind: AtomicBool::new(behind),
        };
        Ok((store, replay))
    }

    pub fn encode(&self, entries: &[AbortedEntry]) -> Append {
        self.records.fetch_add(entries.len(), Ordering::Relaxed);
        let records: Vec<_> = entries.iter().map(AbortedEntry::encode).collect();
        journal::append(ABORTED, self.clock.now_ms(), &records)
    }

    /// Says where the markers went of ranges that are in the journal without that.
    pub fn complete(&self, entries: &[AbortedEntry]) {
        if entries.is_empty() {
            return;
        }
        let commit = Commit {
            appends: vec![self.encode(entries)],
            ..Commit::default()
        };
        if let Err(error) = self.log.submit(commit) {
            tracing::debug!(%error, "the ends of aborted ranges are written later");
            self.behind.store(true, Ordering::Relaxed);
        }
    }

    /// Writes everything anew when the journal lacks something or has become long.
    pub fn tidy(&self, producers: &ProducerTable) {
        let records = self.records.load(Ordering::Relaxed);
        let behind = self.behind.load(Ordering::Relaxed);
        if !behind && records <= RECORDS_MAX {
            return;
        }
        // Read before the ranges: what is submitted later stays behind the trim.
        let end = self.log.state(ABORTED).submitted_end;
        let all = self.live(producers);
        if behind || records > RECORDS_MAX + 4 * all.len() {
            self.rewrite(&all, end);
        }
    }

    fn live(&self, producers: &ProducerTable) -> Vec<AbortedEntry> {
        let of = |partition| {
            let start = self.log.state(partition).start;
            let found = producers.find(partition);
            let ranges = found.map(|found| found.lock().stable().all_aborted().to_vec());
            let ranges = ranges.unwrap_or_default().into_iter();
            ranges
                .filter(move |range| range.last >= start)
                .map(move |range| AbortedEntry {
                    partition,
                    producer_id: range.producer_id,
                    first: range.first,
                    last: Some(range.last),
                })
        };
        producers.all().into_iter().flat_map(of).collect()
    }

    fn rewrite(&self, all: &[AbortedEntry], end: Offset) {
        self.records.store(all.len(), Ordering::Relaxed);
        let live = all.iter().map(AbortedEntry::encode);
        let now_ms = self.clock.now_ms();
        if let Err(error) = journal::rewrite(&*self.log, (ABORTED, end), now_ms, live) {
            tracing::warn!(%error, "aborted ranges were not written anew");
            return;
        }
        self.behind.store(false, Ordering::Relaxed);
    }
}

impl Broker {
    /// Forgets aborted ranges of which the log holds neither data nor marker any more. To be called when their removal is durable;
    /// a start that comes before that forgets them as well.
    pub fn forget_aborted(&self, partition: PartitionId, gone: &[AbortedRange]) {
        if let Some(found) = self.producers.find(partition) {
            found
                .lock()
                .stable_mut()
                .forget_aborted(|range| gone.contains(range));
        }
    }
}
