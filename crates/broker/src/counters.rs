//! What flowed in and out of each topic: plain atomics for the console, and the same through `metrics`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use headwater_base::TopicId;
use metrics::Counter;
use parking_lot::RwLock;

/// Totals of one topic since the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    pub records_in: u64,
    pub bytes_in: u64,
    pub records_out: u64,
    pub bytes_out: u64,
}

/// Counts up, here and in the metrics recorder.
struct Meter {
    total: AtomicU64,
    exported: Counter,
}

impl Meter {
    fn new(exported: Counter) -> Self {
        Self {
            total: AtomicU64::new(0),
            exported,
        }
    }

    fn add(&self, amount: u64) {
        self.total.fetch_add(amount, Ordering::Relaxed);
        self.exported.increment(amount);
    }

    fn get(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}

/// The meters of one topic.
pub(crate) struct TopicMeters {
    records_in: Meter,
    bytes_in: Meter,
    records_out: Meter,
    bytes_out: Meter,
}

impl TopicMeters {
    fn new(topic: &str) -> Self {
        let topic = || topic.to_owned();
        Self {
            records_in: Meter::new(
                metrics::counter!("headwater_topic_records_in_total", "topic" => topic()),
            ),
            bytes_in: Meter::new(
                metrics::counter!("headwater_topic_bytes_in_total", "topic" => topic()),
            ),
            records_out: Meter::new(
                metrics::counter!("headwater_topic_records_out_total", "topic" => topic()),
            ),
            bytes_out: Meter::new(
                metrics::counter!("headwater_topic_bytes_out_total", "topic" => topic()),
            ),
        }
    }

    pub fn came_in(&self, records: u64, bytes: u64) {
        self.records_in.add(records);
        self.bytes_in.add(bytes);
    }

    pub fn went_out(&self, records: u64, bytes: u64) {
        self.records_out.add(records);
        self.bytes_out.add(bytes);
    }

    pub fn flow(&self) -> Flow {
        Flow {
            records_in: self.records_in.get(),
            bytes_in: self.bytes_in.get(),
            records_out: self.records_out.get(),
            bytes_out: self.bytes_out.get(),
        }
    }
}

/// The meters of all topics that were used since the start.
#[derive(Default)]
pub(crate) struct Counters(RwLock<HashMap<TopicId, Arc<TopicMeters>>>);

impl Counters {
    pub fn of(&self, id: TopicId, name: &str) -> Arc<TopicMeters> {
        if let Some(meters) = self.0.read().get(&id) {
            return Arc::clone(meters);
        }
        let mut all = self.0.write();
        Arc::clone(
            all.entry(id)
                .or_insert_with(|| Arc::new(TopicMeters::new(name))),
        )
    }

    pub fn forget(&self, id: TopicId) {
        self.0.write().remove(&id);
    }
}
