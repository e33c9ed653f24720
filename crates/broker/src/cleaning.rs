//! What keeps the log from growing for ever, in the background: retention by time and size, compaction to the newest record of
//! each key, and what must not be lost with the records that go (producers' sequences).
//!
//! Knows topics' settings and the log; nothing of clients. Rounds ([`Broker::tick_retention`], [`Broker::tick_compaction`]) are driven
//! by tasks or, by hand, by tests; compaction is paced, so that it leaves disk and processor to those who are served.
//!
//! Reading order: [`retention`], [`delete_records`]; [`bounds`], [`compaction`] with [`offset_map`] and [`transactions`];
//! [`journal`] is what outlives a restart.

mod bounds;
mod clock_guard;
mod compaction;
mod delete_records;
mod journal;
mod meters;
mod offset_map;
mod retention;
mod runs;
mod transactions;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use headwater_base::{PartitionId, TopicId};
use headwater_log::Log;
use parking_lot::Mutex;
use tokio::time::Instant;

pub use meters::Round;

use crate::Broker;
use crate::error::OpenError;
use crate::producers::ProducerSnapshot;
use clock_guard::{ClockGuard, Trust};
use journal::{CleaningJournal, Note};
use meters::Meters;
use retention::ByTime;
use runs::Pace;

/// How often a round is to be made; most rounds find nothing to do.
pub const CLEANING_PERIOD: std::time::Duration = std::time::Duration::from_secs(1);
/// How often producers that were silent for too long are looked for, in milliseconds.
const PRUNE_MS: i64 = 60_000;
/// Retention by time is checked after a tenth of it, within these bounds (milliseconds); the upper one is a setting.
const CHECK_MS_MIN: i64 = 1_000;

/// Everything that cleaning remembers.
pub(crate) struct Cleaning {
    pub journal: CleaningJournal,
    meters: Meters,
    check_ms_max: i64,
    /// When each topic's retention by time was checked last.
    checked: Mutex<HashMap<TopicId, i64>>,
    clock: Mutex<Believed>,
    pruned_ms: AtomicI64,
    /// Held by a round of compaction. Compacted partitions in which nothing is due before a time.
    not_before: tokio::sync::Mutex<HashMap<PartitionId, i64>>,
}

/// Whether the clock is believed, and since when the steady one counts.
struct Believed {
    guard: ClockGuard,
    begun: Instant,
}

impl Cleaning {
    /// # Errors
    /// The log cannot be read, or holds records of a newer version.
    pub fn open(log: Arc<dyn Log>, check_ms_max: i64) -> Result<Self, OpenError> {
        Ok(Self {
            journal: CleaningJournal::open(log)?,
            meters: Meters::default(),
            check_ms_max,
            checked: Mutex::default(),
            clock: Mutex::new(Believed {
                guard: ClockGuard::default(),
                begun: Instant::now(),
            }),
            pruned_ms: AtomicI64::new(0),
            not_before: tokio::sync::Mutex::default(),
        })
    }

    fn believes(&self, now_ms: i64) -> bool {
        let mut clock = self.clock.lock();
        let steady = clock.begun.elapsed();
        match clock.guard.check(now_ms, steady) {
            Trust::Yes => true,
            Trust::Waiting => false,
            Trust::Leapt(by_ms) => {
                tracing::warn!(
                    by_ms,
                    "the clock leapt forward: nothing is deleted by time for some minutes"
                );
                false
            }
        }
    }

    /// Whether a topic's retention by time is to be checked. A topic that is new here is checked when its period has passed
    /// once: who writes records that are old already has at least that long to read them, as with Kafka.
    fn is_due_by_time(&self, topic: TopicId, retention_ms: i64, now_ms: i64) -> bool {
        let period_ms =
            (retention_ms / 10).clamp(CHECK_MS_MIN, self.check_ms_max.max(CHECK_MS_MIN));
        let mut checked = self.checked.lock();
        let last_ms = *checked.entry(topic).or_insert(now_ms);
        let due = !(0..period_ms).contains(&(now_ms - last_ms));
        if due {
            checked.insert(topic, now_ms);
        }
        due
    }
}

impl Broker {
    /// Starts cleaning in the background; it ends with the broker.
    pub(crate) fn start_cleaning(self: &Arc<Self>) {
        for compacts in [false, true] {
            let broker = Arc::downgrade(self);
            self.world.spawn(async move {
                loop {
                    tokio::time::sleep(CLEANING_PERIOD).await;
                    let Some(broker) = broker.upgrade() else {
                        return;
                    };
                    match compacts {
                        true => broker.tick_compaction().await,
                        false => broker.tick_retention().await,
                    };
                }
            });
        }
    }

    /// One round of retention by the broker's clock. To be called every [`CLEANING_PERIOD`]; most find nothing to do.
    pub async fn tick_retention(&self) -> Round {
        let now_ms = self.clock.now_ms();
        let by_time = match self.cleaning.believes(now_ms) {
            true => ByTime::WhereDue,
            false => ByTime::Nowhere,
        };
        self.retention_round(now_ms, by_time).await
    }

    /// One round of compaction by the broker's clock, paced, beside those of retention.
    pub async fn tick_compaction(&self) -> Round {
        let now_ms = self.clock.now_ms();
        // What may go is decided by time, too: tombstones, and what is old enough to be compacted.
        if !self.cleaning.believes(now_ms) {
            return Round::default();
        }
        let pace = Pace::bytes_per_second(self.config.cleaner_bytes_per_second);
        self.compaction_round(now_ms, pace).await
    }

    /// A round of both at a given time, which is believed, as fast as it goes: for tests and simulations.
    pub async fn clean_now(&self, now_ms: i64) -> Round {
        let mut round = self.retention_round(now_ms, ByTime::Everywhere).await;
        round.add(self.compaction_round(now_ms, Pace::unbounded()).await);
        round
    }

    async fn retention_round(&self, now_ms: i64, by_time: ByTime) -> Round {
        let round = self.retain_all(now_ms, by_time).await;
        self.cleaning.meters.retained(&round);
        let last_ms = self.cleaning.pruned_ms.load(Ordering::Relaxed);
        if !(0..PRUNE_MS).contains(&(now_ms - last_ms)) {
            self.cleaning.pruned_ms.store(now_ms, Ordering::Relaxed);
            self.prune_cleaning(now_ms);
        }
        round
    }

    async fn compaction_round(&self, now_ms: i64, pace: Pace) -> Round {
        let mut not_before = self.cleaning.not_before.lock().await;
        let catalog = self.catalog.current();
        not_before.retain(|id, _| catalog.topic_by_id(id.topic).is_some());
        let round = self.compact_all(&mut not_before, now_ms, pace).await;
        self.cleaning.meters.compacted(&round);
        round
    }

    /// Forgets what belongs to deleted topics, and producers that were silent for too long.
    fn prune_cleaning(&self, now_ms: i64) {
        let catalog = self.catalog.current();
        let exists = |id: PartitionId| {
            let topic = catalog.topic_by_id(id.topic);
            topic.is_some_and(|topic| topic.partition(id.index).is_some())
        };
        let expiration_ms = self.config.producer_expiration_ms;
        for id in self.producers.all() {
            if let Some(producers) = self.producers.find(id) {
                producers.lock().expire(now_ms, expiration_ms);
            }
        }
        let seen_before_ms = now_ms.saturating_sub(expiration_ms);
        self.cleaning.journal.prune(exists, seen_before_ms, now_ms);
        let mut checked = self.cleaning.checked.lock();
        checked.retain(|id, _| catalog.topic_by_id(*id).is_some());
    }

    /// Notes of the partition's producers that are `going` and not noted yet.
    fn outliving(&self, id: PartitionId, going: impl Fn(&ProducerSnapshot) -> bool) -> Vec<Note> {
        let Some(producers) = self.producers.find(id) else {
            return Vec::new();
        };
        let snapshots: Vec<ProducerSnapshot> = producers.lock().snapshots().collect();
        let mut notes: Vec<Note> = Vec::new();
        for one in snapshots {
            let written = one.last_offset >= 0;
            if written && going(&one) && !self.cleaning.journal.knows(id, &one) {
                notes.push(Note::Producer(id, one));
            }
        }
        notes.sort_unstable_by_key(|note| match note {
            Note::Producer(_, one) => one.producer_id,
            Note::Clean(..) => i64::MAX,
        });
        notes
    }
}

#[cfg(test)]
mod tests;
