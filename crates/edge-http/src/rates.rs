//! Rates from totals: what grew since somebody last looked, per second. So nobody has to sample who is not looked at.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::dto::{Pipeline, Topic, View};
use crate::limits::RATES_MAX;

/// Looks closer together than this share one rate, so that two readers do not disturb each other.
const WINDOW_MIN: Duration = Duration::from_millis(700);
/// A look longer ago says nothing of now.
const WINDOW_MAX: Duration = Duration::from_secs(10);

#[derive(Default)]
pub(crate) struct Rates {
    seen: Mutex<HashMap<String, Seen>>,
}

struct Seen {
    at: Instant,
    total: u64,
    rate: Option<f64>,
}

impl Rates {
    /// Per second since the last look at `key`; `None` when there was none lately, or when the total has been reset.
    pub fn observe(&self, key: String, total: u64) -> Option<f64> {
        self.observe_at(Instant::now(), key, total)
    }

    fn observe_at(&self, now: Instant, key: String, total: u64) -> Option<f64> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= RATES_MAX {
            seen.retain(|_, entry| now - entry.at < WINDOW_MAX);
        }
        if seen.len() >= RATES_MAX && !seen.contains_key(&key) {
            return None;
        }
        let entry = seen.entry(key).or_insert(Seen {
            at: now,
            total,
            rate: None,
        });
        entry.look(now, total)
    }

    pub fn topic(&self, topic: &mut Topic) {
        topic.records_in_per_s =
            self.observe(format!("topic {}", topic.name), topic.records_in_total);
        topic.bytes_in_per_s = topic
            .bytes_in_total
            .and_then(|total| self.observe(format!("bytes {}", topic.name), total));
    }

    pub fn view(&self, view: &mut View) {
        view.changes_per_s = self.observe(format!("view {}", view.name), view.changes_total);
    }

    pub fn pipeline(&self, pipeline: &mut Pipeline) {
        let name = &pipeline.name;
        pipeline.rows_per_s = self.observe(format!("pipeline {name}"), pipeline.rows_total);
        for operator in &mut pipeline.operators {
            operator.rows_per_s = self.observe(
                format!("operator {name} {}", operator.id),
                operator.rows_total,
            );
        }
        for sink in &mut pipeline.sinks {
            sink.rows_per_s = self.observe(format!("sink {name} {}", sink.name), sink.rows_total);
        }
    }
}

impl Seen {
    fn look(&mut self, now: Instant, total: u64) -> Option<f64> {
        let elapsed = now - self.at;
        if elapsed < WINDOW_MIN && total >= self.total {
            return self.rate;
        }
        let usable = elapsed <= WINDOW_MAX && total >= self.total;
        self.rate = usable.then(|| (total - self.total) as f64 / elapsed.as_secs_f64());
        self.at = now;
        self.total = total;
        self.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_come_from_what_grew_between_two_looks() {
        let rates = Rates::default();
        let start = Instant::now();
        let look = |at_ms, total| {
            rates.observe_at(start + Duration::from_millis(at_ms), "k".into(), total)
        };
        assert_eq!(look(0, 100), None);
        assert_eq!(look(2_000, 300), Some(100.0));
        assert_eq!(
            look(2_100, 400),
            Some(100.0),
            "too soon: the last rate stands"
        );
        assert_eq!(look(3_000, 400), Some(100.0));
        assert_eq!(look(4_000, 400), Some(0.0));
        assert_eq!(look(5_000, 10), None, "the node began anew");
        assert_eq!(look(65_000, 1_000), None, "too long ago");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let rates = Rates::default();
        let start = Instant::now();
        for n in 0..RATES_MAX + 10 {
            rates.observe_at(start, n.to_string(), 0);
        }
        let held = || rates.seen.lock().map(|seen| seen.len()).unwrap_or_default();
        assert_eq!(held(), RATES_MAX);
        rates.observe_at(start + Duration::from_secs(60), "new".into(), 0);
        assert_eq!(held(), 1);
    }
}
