//! What the pipelines may have to read again, which the log's own cleaning leaves alone.
//!
//! In memory: each pipeline says it again when it starts. Knows nothing of what a pipeline is.

use std::collections::{HashMap, HashSet};

use headwater_base::{Offset, PartitionId};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::Broker;

#[derive(Default)]
pub(crate) struct Holds {
    state: Mutex<State>,
    /// Told whenever a holder names other offsets.
    pub changed: Notify,
}

#[derive(Default)]
struct State {
    by_holder: HashMap<String, Vec<(PartitionId, Offset)>>,
    /// Holders that cleaning was stopped by, until they are told.
    wanted: HashSet<String>,
    /// Deletions that clients no longer wait for, to be done when they may. Forgotten with the process.
    postponed: HashMap<PartitionId, Offset>,
}

impl Holds {
    /// Replaces what this holder needs.
    pub fn set(&self, holder: &str, positions: Vec<(PartitionId, Offset)>) {
        let mut state = self.state.lock();
        match positions.is_empty() {
            true => state.by_holder.remove(holder),
            false => state.by_holder.insert(holder.to_owned(), positions),
        };
        drop(state);
        self.changed.notify_waiters();
    }

    /// Remembers that everything below is to be deleted.
    pub fn postpone(&self, partition: PartitionId, before: Offset) {
        let mut state = self.state.lock();
        let one = state.postponed.entry(partition).or_default();
        *one = before.max(*one);
    }

    /// Deletions that still wait, in the order of their partitions.
    pub fn postponed(&self) -> Vec<(PartitionId, Offset)> {
        let state = self.state.lock();
        let mut all: Vec<_> = state.postponed.iter().map(|(id, to)| (*id, *to)).collect();
        all.sort_unstable();
        all
    }

    /// What of the partition is below has been deleted, or the partition itself.
    pub fn done(&self, partition: PartitionId, start: Offset) {
        let postponed = &mut self.state.lock().postponed;
        if postponed.get(&partition).is_some_and(|to| *to <= start) {
            postponed.remove(&partition);
        }
    }

    /// Whether cleaning was stopped by this holder since it was last asked.
    pub fn take_wanted(&self, holder: &str) -> bool {
        self.state.lock().wanted.remove(holder)
    }

    /// The lowest offset of the partition that somebody needs, at most `wanted`. Those who are in the way hear of it.
    pub fn limit(&self, partition: PartitionId, wanted: Offset) -> Offset {
        let State {
            by_holder,
            wanted: told,
            ..
        } = &mut *self.state.lock();
        let mut limit = wanted;
        for (holder, positions) in by_holder.iter() {
            let held = positions.iter().filter(|(id, _)| *id == partition);
            for (_, offset) in held.filter(|(_, offset)| *offset < wanted) {
                told.insert(holder.clone());
                limit = limit.min(*offset);
            }
        }
        limit
    }
}

impl Broker {
    /// How far cleaning that would like to go up to `wanted` may go, that offset excluded.
    pub(crate) fn cleanable_to(&self, partition: PartitionId, wanted: Offset) -> Offset {
        self.holds.limit(partition, wanted)
    }
}

#[cfg(test)]
mod tests {
    use headwater_base::TopicId;

    use super::*;

    fn place(index: i32, offset: Offset) -> (PartitionId, Offset) {
        let topic = TopicId([7; 16]);
        (PartitionId { topic, index }, offset)
    }

    #[test]
    fn cleaning_stops_at_the_lowest_offset_that_somebody_needs_and_says_so_once() {
        let holds = Holds::default();
        holds.set("a", vec![place(0, 50), place(1, 5)]);
        holds.set("b", vec![place(0, 20)]);
        assert_eq!(holds.limit(place(0, 0).0, 10), 10);
        assert!(!holds.take_wanted("a") && !holds.take_wanted("b"));
        assert_eq!(holds.limit(place(0, 0).0, 40), 20);
        assert!(holds.take_wanted("b"));
        assert!(!holds.take_wanted("b") && !holds.take_wanted("a"));
        holds.set("b", Vec::new());
        assert_eq!(holds.limit(place(0, 0).0, 90), 50);
        assert_eq!(holds.limit(place(2, 0).0, 90), 90);
    }
}
