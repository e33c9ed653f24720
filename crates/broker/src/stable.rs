//! What is stable in one partition: where its open transactions begin, and which ranges were aborted (KIP-98).
//!
//! Pure. A transaction whose end is submitted counts as ended for those who may see what is submitted, and as open for all others
//! until its marker is durable.

use std::collections::BTreeMap;

use headwater_base::Offset;
use headwater_log::{Bound, PartitionState};

/// One aborted transaction of a partition. What its producer wrote in `first..=last` was never committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AbortedRange {
    pub producer_id: i64,
    /// The transaction's first offset.
    pub first: Offset,
    /// Where its marker is.
    pub last: Offset,
}

impl AbortedRange {
    /// Whether a batch, which has to be transactional and of data, belongs to it.
    pub fn covers(&self, producer_id: i64, base_offset: Offset) -> bool {
        self.producer_id == producer_id && (self.first..=self.last).contains(&base_offset)
    }
}

/// Open, ending and aborted transactions of a partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stable {
    /// First offset of each open transaction, and its producer.
    open: BTreeMap<Offset, i64>,
    /// First offset and marker of transactions whose marker may not be durable yet.
    ending: Vec<(Offset, Offset)>,
    /// By marker.
    aborted: Vec<AbortedRange>,
}

impl Stable {
    pub fn begin(&mut self, producer_id: i64, first: Offset) {
        self.open.insert(first, producer_id);
    }

    /// A marker ends the transaction that began at `first`. `durable_end` lets go of what needs no waiting for any more.
    pub fn end(&mut self, first: Offset, marker: Offset, durable_end: Offset) {
        self.open.remove(&first);
        self.ending.retain(|(_, marker)| *marker >= durable_end);
        self.ending.push((first, marker));
    }

    pub fn abort(&mut self, range: AbortedRange) {
        let at = self.aborted.partition_point(|one| one.last < range.last);
        if self.aborted.get(at) != Some(&range) {
            self.aborted.insert(at, range);
        }
    }

    /// Forgets ranges that are gone from the log, and those that end below its start.
    pub fn forget_aborted(&mut self, gone: impl Fn(&AbortedRange) -> bool) {
        self.aborted.retain(|range| !gone(range));
    }

    /// Everything below is decided. `state` has to have been read before.
    pub fn last_stable_offset(&self, state: &PartitionState, bound: Bound) -> Offset {
        let open = self.open.keys().next().copied();
        match bound {
            Bound::Submitted => open.map_or(state.submitted_end, |first| {
                first.clamp(state.start, state.submitted_end)
            }),
            Bound::Durable => {
                let end = state.durable_end;
                let ending = self.ending.iter().filter(|(_, marker)| *marker >= end);
                let first = ending.map(|(first, _)| *first).chain(open).min();
                // Of a partition that was trimmed to its end the start may be above what is durable for a moment.
                first.map_or(end, |first| first.max(state.start).min(end))
            }
        }
    }

    /// Ranges with something in `from..to`, by marker. Those that end below the log's start are gone.
    pub fn aborted(&self, from: Offset, to: Offset) -> Vec<AbortedRange> {
        let at = self.aborted.partition_point(|range| range.last < from);
        let behind = self.aborted[at..].iter();
        behind.filter(|range| range.first < to).copied().collect()
    }

    pub fn all_aborted(&self) -> &[AbortedRange] {
        &self.aborted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(durable_end: Offset, submitted_end: Offset) -> PartitionState {
        PartitionState {
            durable_end,
            submitted_end,
            ..PartitionState::default()
        }
    }

    #[test]
    fn the_oldest_open_transaction_bounds_what_is_stable() {
        let mut stable = Stable::default();
        assert_eq!(stable.last_stable_offset(&state(9, 9), Bound::Durable), 9);
        stable.begin(7, 3);
        stable.begin(8, 5);
        assert_eq!(stable.last_stable_offset(&state(9, 9), Bound::Durable), 3);
        stable.end(3, 9, 9);
        assert_eq!(
            stable.last_stable_offset(&state(9, 10), Bound::Submitted),
            5,
            "ended for those who see what is submitted"
        );
        assert_eq!(stable.last_stable_offset(&state(9, 10), Bound::Durable), 3);
        assert_eq!(stable.last_stable_offset(&state(10, 10), Bound::Durable), 5);
        stable.end(5, 10, 10);
        assert_eq!(
            stable.last_stable_offset(&state(11, 11), Bound::Durable),
            11
        );
    }

    #[test]
    fn aborted_ranges_are_found_by_overlap() {
        let mut stable = Stable::default();
        let range = |producer_id, first, last| AbortedRange {
            producer_id,
            first,
            last,
        };
        stable.abort(range(2, 4, 20));
        stable.abort(range(1, 0, 10));
        stable.abort(range(1, 0, 10));
        assert_eq!(stable.aborted(0, 3), [range(1, 0, 10)]);
        assert_eq!(stable.aborted(0, 5), [range(1, 0, 10), range(2, 4, 20)]);
        assert_eq!(stable.aborted(11, 12), [range(2, 4, 20)]);
        assert!(stable.aborted(21, 30).is_empty());
        assert!(range(1, 0, 10).covers(1, 10) && !range(1, 0, 10).covers(2, 10));
        stable.forget_aborted(|range| range.last < 15);
        assert_eq!(stable.aborted(0, 30), [range(2, 4, 20)]);
    }
}
