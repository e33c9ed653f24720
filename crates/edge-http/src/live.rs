//! One overview a second for everybody who looks, and the last minutes of it for charts.
//!
//! Readers see the newest overview only: one that is slow misses some, and nobody waits for it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::stream::{self, Stream};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use crate::dto::{Overview, Sample, Traffic};
use crate::limits::HISTORY_SAMPLES;
use crate::serve::App;

pub(crate) struct Live {
    newest: watch::Sender<Option<Arc<str>>>,
    recent: Mutex<Recent>,
}

#[derive(Default)]
struct Recent {
    history: VecDeque<Sample>,
    /// Totals and rates at the last tick.
    last: Option<(Instant, Traffic)>,
}

impl Live {
    pub fn new() -> Self {
        Self {
            newest: watch::Sender::new(None),
            recent: Mutex::new(Recent::default()),
        }
    }

    /// An overview with the rates of the last tick and the history before it.
    pub fn complete(&self, overview: &mut Overview) {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        overview.history = recent.history.iter().cloned().collect();
        if let Some((_, traffic)) = &recent.last {
            copy_rates(traffic, &mut overview.traffic);
        }
    }

    /// The newest overview at once, then each next one, as JSON.
    pub fn follow(&self) -> impl Stream<Item = Arc<str>> + Send + use<> {
        let mut newest = self.newest.subscribe();
        newest.mark_changed();
        stream::unfold(newest, |mut newest| async move {
            loop {
                newest.changed().await.ok()?;
                let overview = newest.borrow_and_update().clone();
                if let Some(overview) = overview {
                    return Some((overview, newest));
                }
            }
        })
    }

    fn publish(&self, mut overview: Overview, now: Instant) {
        self.recent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .note(&mut overview, now);
        match serde_json::to_string(&overview) {
            Ok(json) => drop(self.newest.send_replace(Some(json.into()))),
            Err(error) => tracing::warn!(%error, "the overview does not serialize"),
        }
    }
}

impl Recent {
    fn note(&mut self, overview: &mut Overview, now: Instant) {
        if let Some((then, before)) = &self.last {
            fill_rates(before, &mut overview.traffic, now - *then);
            self.history.push_back(sample(overview));
        }
        if self.history.len() > HISTORY_SAMPLES {
            self.history.pop_front();
        }
        self.last = Some((now, overview.traffic.clone()));
    }
}

fn fill_rates(before: &Traffic, now: &mut Traffic, elapsed: Duration) {
    let seconds = elapsed.as_secs_f64().max(0.001);
    let rate = |before: u64, now: u64| Some(now.saturating_sub(before) as f64 / seconds);
    now.records_in_per_s = rate(before.records_in_total, now.records_in_total);
    now.bytes_in_per_s = rate(before.bytes_in_total, now.bytes_in_total);
    now.records_out_per_s = rate(before.records_out_total, now.records_out_total);
    now.bytes_out_per_s = rate(before.bytes_out_total, now.bytes_out_total);
}

fn copy_rates(from: &Traffic, to: &mut Traffic) {
    to.records_in_per_s = from.records_in_per_s;
    to.bytes_in_per_s = from.bytes_in_per_s;
    to.records_out_per_s = from.records_out_per_s;
    to.bytes_out_per_s = from.bytes_out_per_s;
}

fn sample(overview: &Overview) -> Sample {
    let traffic = &overview.traffic;
    Sample {
        at_ms: overview.at_ms,
        records_in_per_s: traffic.records_in_per_s.unwrap_or_default(),
        records_out_per_s: traffic.records_out_per_s.unwrap_or_default(),
        bytes_in_per_s: traffic.bytes_in_per_s.unwrap_or_default(),
        bytes_out_per_s: traffic.bytes_out_per_s.unwrap_or_default(),
        pipelines_lag: overview.lag.pipelines_records,
        groups_lag: overview.lag.groups_records,
    }
}

/// Ticks until it is aborted. An overview that fails is left out.
pub(crate) async fn run(app: App, pause: Duration) {
    let mut ticks = tokio::time::interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match app.control.overview().await {
            Ok(mut overview) => {
                for pipeline in &mut overview.pipelines {
                    let key = format!("summary {}", pipeline.name);
                    pipeline.rows_per_s = app.rates.observe(key, pipeline.rows_total);
                }
                app.live.publish(overview, Instant::now());
            }
            Err(error) => tracing::debug!(%error, "no overview this second"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use futures::StreamExt;

    fn with_records_in(total: u64) -> Overview {
        Overview {
            traffic: Traffic {
                records_in_total: total,
                ..Traffic::default()
            },
            ..Overview::default()
        }
    }

    #[tokio::test]
    async fn a_slow_reader_sees_the_newest_only() {
        let live = Live::new();
        let start = Instant::now();
        let mut reader = std::pin::pin!(live.follow());
        for second in 0..400_u64 {
            live.publish(
                with_records_in(second * 50),
                start + Duration::from_secs(second),
            );
        }
        let seen: Overview = serde_json::from_str(&reader.next().await.unwrap()).unwrap();
        assert_eq!(seen.traffic.records_in_total, 399 * 50);
        assert_eq!(seen.traffic.records_in_per_s, Some(50.0));
        assert!(seen.history.is_empty());
        let mut asked = with_records_in(1);
        live.complete(&mut asked);
        assert_eq!(asked.history.len(), HISTORY_SAMPLES);
        assert_eq!(asked.traffic.records_in_per_s, Some(50.0));
    }
}
