//! Clients that write down what they do and see. They speak the protocol by themselves, so that nothing of the node is trusted.
//!
//! Reading order: [`conn`] asks and waits, [`producer`] with [`zombie`], [`txn`], [`reader`], [`group`] with [`copier`], [`consumer`], [`pipeline`].

pub mod conn;
pub mod consumer;
pub mod copier;
pub mod group;
pub mod pipeline;
pub mod producer;
pub mod reader;
pub mod txn;
pub mod zombie;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use headwater_record::fuzz::Mutator;
use parking_lot::Mutex;

use crate::history::{Event, Line, Place};
use crate::node::{Network, SimClock};

/// What all clients of a simulation share.
#[derive(Clone)]
pub struct Field {
    pub network: Network,
    pub clock: Arc<SimClock>,
    history: Arc<Mutex<Vec<Line>>>,
    /// What a client was answered and never should have been.
    complaints: Arc<Mutex<Vec<String>>>,
    ended: Arc<AtomicBool>,
}

impl Field {
    pub fn new(network: Network, clock: Arc<SimClock>) -> Self {
        Self {
            network,
            clock,
            history: Arc::default(),
            complaints: Arc::default(),
            ended: Arc::default(),
        }
    }

    /// Writes an event down.
    pub fn note(&self, e: Event) {
        let t = self.clock.elapsed_us();
        self.history.lock().push(Line { t, e });
    }

    pub fn complain(&self, what: String) {
        let t = self.clock.elapsed_us();
        self.complaints.lock().push(format!("{what} (at {t})"));
    }

    /// From now on clients finish what they are at and begin nothing.
    pub fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }

    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    pub fn history(&self) -> Vec<Line> {
        self.history.lock().clone()
    }

    pub fn complaints(&self) -> Vec<String> {
        self.complaints.lock().clone()
    }
}

/// A pause of up to so many milliseconds.
pub async fn pause(rng: &mut Mutator, most_ms: usize) {
    let ms = 1 + rng.below(most_ms);
    tokio::time::sleep(Duration::from_millis(ms as u64)).await;
}

/// Partitions by topic, as most requests want them.
pub fn by_topic<T>(places: impl IntoIterator<Item = (Place, T)>) -> Vec<(String, Vec<(i32, T)>)> {
    let mut topics: Vec<(String, Vec<(i32, T)>)> = Vec::new();
    for (Place(topic, index), one) in places {
        match topics.iter_mut().find(|(name, _)| *name == topic) {
            Some((_, all)) => all.push((index, one)),
            None => topics.push((topic, vec![(index, one)])),
        }
    }
    topics
}
