//! From append to visible, as an outside reader sees it: it asks a view over HTTP again and again how many flights it counts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

/// Pause between two questions.
const PAUSE: Duration = Duration::from_micros(500);
/// The view that is asked: three rows that count every flight.
const VIEW: &str = "punctuality";

/// Milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Visible {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
    pub flights: u64,
}

/// Asks on a thread of its own, over its own connection.
pub struct Reader {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<(Instant, u64)>>,
}

impl Reader {
    pub fn start(http: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let thread = std::thread::spawn(move || ask_until(&flag, http));
        Self { stop, thread }
    }

    /// `sent_at[n]` is when flight number n was handed to the client.
    pub fn finish(self, sent_at: &[Instant]) -> Visible {
        self.stop.store(true, Ordering::Relaxed);
        let seen = self.thread.join().unwrap_or_default();
        summarize(sent_at, &seen)
    }
}

fn ask_until(stop: &AtomicBool, http: SocketAddr) -> Vec<(Instant, u64)> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(10)))
        .build()
        .into();
    let url = format!("http://{http}/api/views/{VIEW}/rows?limit=10");
    let mut seen: Vec<(Instant, u64)> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let count = count(&agent, &url).unwrap_or(0);
        if seen.last().is_none_or(|(_, last)| count > *last) {
            seen.push((Instant::now(), count));
        }
        std::thread::sleep(PAUSE);
    }
    seen
}

/// Flights that the view counts, all its rows together (their second column).
fn count(agent: &ureq::Agent, url: &str) -> Option<u64> {
    let answer: serde_json::Value = agent.get(url).call().ok()?.body_mut().read_json().ok()?;
    Some(
        answer["rows"]
            .as_array()?
            .iter()
            .filter_map(|row| row[1].as_u64())
            .sum(),
    )
}

/// Flight n is visible at the first look that counted more than n.
fn summarize(sent_at: &[Instant], seen: &[(Instant, u64)]) -> Visible {
    let mut histogram = Histogram::<u64>::new_with_bounds(1, 600_000_000, 3)
        .unwrap_or_else(|_| unreachable!("bounds are valid"));
    let mut next = 0;
    for (at, count) in seen {
        let until = usize::try_from(*count)
            .unwrap_or(usize::MAX)
            .min(sent_at.len());
        for sent in sent_at.get(next..until).unwrap_or(&[]) {
            let micros = at.saturating_duration_since(*sent).as_micros();
            histogram.saturating_record(u64::try_from(micros).unwrap_or(u64::MAX).max(1));
        }
        next = next.max(until);
    }
    let ms = |micros: u64| micros as f64 / 1e3;
    Visible {
        p50: ms(histogram.value_at_quantile(0.5)),
        p99: ms(histogram.value_at_quantile(0.99)),
        max: ms(histogram.max()),
        flights: histogram.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flight_is_visible_when_it_is_counted() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let visible = summarize(&[at(0), at(10), at(20)], &[(at(15), 2), (at(60), 3)]);
        assert_eq!(visible.flights, 3);
        assert!(
            (visible.max - 40.0).abs() < 0.1 && (visible.p50 - 15.0).abs() < 0.1,
            "{visible:?}"
        );
    }
}
