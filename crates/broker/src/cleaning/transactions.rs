//! Transactions as compaction meets them, batch by batch: whose records were aborted, and whose markers are still needed (KIP-98).
//!
//! Pure. A marker stays while data of its transaction stays: who rebuilds open transactions from the batches needs it.

use std::collections::{BTreeSet, HashMap};

use headwater_base::Offset;
use headwater_record::BatchHeader;

use crate::stable::AbortedRange;

/// The aborted transactions of a partition, by producer.
#[derive(Debug, Default)]
pub(crate) struct Aborted(HashMap<i64, Vec<AbortedRange>>);

impl Aborted {
    pub fn new(ranges: Vec<AbortedRange>) -> Self {
        let mut by_producer: HashMap<i64, Vec<AbortedRange>> = HashMap::new();
        for range in ranges {
            by_producer
                .entry(range.producer_id)
                .or_default()
                .push(range);
        }
        by_producer
            .values_mut()
            .for_each(|ranges| ranges.sort_unstable_by_key(|range| range.last));
        Self(by_producer)
    }

    /// Whether the records of a batch of data were never committed.
    pub fn covers(&self, header: &BatchHeader) -> bool {
        header.is_transactional()
            && !header.is_control()
            && self
                .ending_at_or_after(header.producer_id, header.base_offset)
                .is_some_and(|range| range.covers(header.producer_id, header.base_offset))
    }

    /// The range that a marker ends.
    pub fn ended_by(&self, marker: &BatchHeader) -> Option<AbortedRange> {
        self.ending_at_or_after(marker.producer_id, marker.base_offset)
            .filter(|range| range.last == marker.base_offset)
    }

    fn ending_at_or_after(&self, producer_id: i64, offset: Offset) -> Option<AbortedRange> {
        let ranges = self.0.get(&producer_id)?;
        let at = ranges.partition_point(|range| range.last < offset);
        ranges.get(at).copied()
    }
}

/// Producers whose transaction has data left, and whose marker was not met yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WithData(BTreeSet<i64>);

impl WithData {
    /// Data of a transaction stays.
    pub fn data_stays(&mut self, header: &BatchHeader) {
        if header.is_transactional() {
            self.0.insert(header.producer_id);
        }
    }

    /// A marker ends the producer's transaction; true if data of it is left.
    pub fn marker(&mut self, header: &BatchHeader) -> bool {
        self.0.remove(&header.producer_id)
    }
}
