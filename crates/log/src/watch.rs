//! Who is woken when a partition grows or changes. Shared by the backends.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use headwater_base::PartitionId;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::api::{Bound, Registration};

/// What happened to a partition.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// Grew as far as this bound sees.
    Grew(Bound),
    /// Start moved or the partition went: everybody is concerned.
    Changed,
}

struct Watcher {
    id: usize,
    bound: Bound,
    wake: Arc<Notify>,
}

#[derive(Default)]
struct Inner {
    by_partition: Mutex<HashMap<PartitionId, Vec<Watcher>>>,
    next_id: AtomicUsize,
    /// Registrations alive, so that a log nobody watches pays one load per commit.
    alive: AtomicUsize,
}

/// The registry.
#[derive(Clone, Default)]
pub(crate) struct Watchers(Arc<Inner>);

impl Watchers {
    pub fn register(
        &self,
        partitions: &[PartitionId],
        bound: Bound,
        wake: &Arc<Notify>,
    ) -> Box<dyn Registration> {
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        self.0.alive.fetch_add(1, Ordering::SeqCst);
        let mut map = self.0.by_partition.lock();
        for partition in partitions {
            map.entry(*partition).or_default().push(Watcher {
                id,
                bound,
                wake: Arc::clone(wake),
            });
        }
        Box::new(Registered {
            inner: Arc::clone(&self.0),
            id,
            partitions: partitions.to_vec(),
        })
    }

    pub fn notify(&self, partitions: impl Iterator<Item = PartitionId>, event: Event) {
        if self.0.alive.load(Ordering::SeqCst) == 0 {
            return;
        }
        let wake: Vec<Arc<Notify>> = {
            let map = self.0.by_partition.lock();
            let watchers =
                partitions.flat_map(|partition| map.get(&partition).into_iter().flatten());
            let concerned =
                |watcher: &&Watcher| event == Event::Changed || event == Event::Grew(watcher.bound);
            watchers
                .filter(concerned)
                .map(|watcher| Arc::clone(&watcher.wake))
                .collect()
        };
        // Not under the lock: whoever wakes first ends its registration, and would wait for it.
        wake.iter().for_each(|wake| wake.notify_one());
    }
}

struct Registered {
    inner: Arc<Inner>,
    id: usize,
    partitions: Vec<PartitionId>,
}

impl Registration for Registered {}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut map = self.inner.by_partition.lock();
        for partition in &self.partitions {
            if let Some(watchers) = map.get_mut(partition) {
                watchers.retain(|watcher| watcher.id != self.id);
                if watchers.is_empty() {
                    map.remove(partition);
                }
            }
        }
        self.inner.alive.fetch_sub(1, Ordering::SeqCst);
    }
}
