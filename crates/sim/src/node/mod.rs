//! The node under test: the real log, broker and Kafka edge in a world that a seed decides.
//!
//! Knows nothing of what clients want from it.

mod net;
mod world;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use headwater_base::World;
use headwater_broker::{Broker, BrokerConfig};
use headwater_connect::StepLog;
use headwater_edge_kafka::{Edge, EdgeConfig};
use headwater_log::local::Turn;
use headwater_log::local::disk::FaultDisk;
use headwater_log::local::disk::fault::Survives;
use headwater_log::{LocalConfig, LocalLog, Log};
use headwater_record::fuzz::Mutator;
use parking_lot::Mutex;
use tokio::io::DuplexStream;
use tokio::sync::watch;

use crate::history::Place;
pub use net::Network;
pub use world::{SimClock, SimRandom, SimTasks};

/// How a node ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The process dies, the system lives: what was written is there, synced or not.
    Kill,
    /// The power goes: of what was not synced anything may be missing.
    PowerCut,
}

/// One life of the node.
struct Life {
    log: Arc<LocalLog>,
    broker: Arc<Broker>,
    edge: Edge,
    tasks: Arc<SimTasks>,
    stop: watch::Sender<bool>,
}

/// What does not die with a life.
struct State {
    disk: FaultDisk,
    life: Option<Life>,
    rng: Mutator,
}

/// See the module. Clones are the same node.
#[derive(Clone)]
pub struct Node {
    clock: Arc<SimClock>,
    random: Arc<SimRandom>,
    state: Arc<Mutex<State>>,
    /// Longest that a write with its sync takes, in microseconds.
    slow_us: Arc<Mutex<u64>>,
    /// What is kept for pipelines.
    kept: Arc<Mutex<BTreeMap<Place, i64>>>,
}

/// Small enough that chunks are filled, sealed and removed all the time.
fn log_config() -> LocalConfig {
    LocalConfig {
        chunk_bytes: 96 * 1024,
        commit_bytes_max: 48 * 1024,
        queue_bytes_max: 64 * 1024,
        tail_cache_bytes_max: 24 * 1024,
        index_cache_bytes_max: 8 * 1024,
        page_cached_chunks: 2,
        full_retry: Duration::from_millis(5),
        ..LocalConfig::default()
    }
}

impl Node {
    pub fn new(seed: u64, clock: Arc<SimClock>) -> Self {
        let state = State {
            disk: FaultDisk::new(seed),
            life: None,
            rng: Mutator::new(seed ^ 0x6e6f_6465),
        };
        Self {
            clock,
            random: Arc::new(SimRandom::new(seed)),
            state: Arc::new(Mutex::new(state)),
            slow_us: Arc::new(Mutex::new(1_000)),
            kept: Arc::default(),
        }
    }

    /// Starts it on what the disk holds.
    ///
    /// # Errors
    /// The folder is refused, or the broker cannot be rebuilt.
    pub fn start(&self) -> Result<(), String> {
        let (disk, seed) = {
            let mut state = self.state.lock();
            (state.disk.clone(), state.rng.next_u64())
        };
        let log = LocalLog::open_manual(Arc::new(disk), log_config())
            .map_err(|error| format!("the log does not open: {error}"))?;
        let log = Arc::new(log);
        while log.turn_keeper() == Turn::Did {}
        let tasks = Arc::new(SimTasks::default());
        let clock: Arc<SimClock> = Arc::clone(&self.clock);
        let world = World::new(
            clock,
            Arc::<SimRandom>::clone(&self.random),
            Arc::<SimTasks>::clone(&tasks),
        );
        let config = BrokerConfig {
            session_timeout_ms_min: 100,
            ..BrokerConfig::default()
        };
        let broker = Broker::open_in(Arc::clone(&log) as Arc<dyn Log>, world, config)
            .map_err(|error| format!("the broker does not open: {error}"))?;
        tell_kept(&broker, &self.kept.lock());
        broker.start_background();
        let edge = Edge::new(Arc::clone(&broker), EdgeConfig::new("node", 9092));
        tasks.start(drive(Arc::clone(&log), Arc::clone(&self.slow_us), seed));
        let (stop, _) = watch::channel(false);
        self.state.lock().life = Some(Life {
            log,
            broker,
            edge,
            tasks,
            stop,
        });
        Ok(())
    }

    /// Ends it at once; `survives` says what a power cut leaves.
    pub async fn end(&self, ending: Ending) {
        let Some(life) = self.state.lock().life.take() else {
            return;
        };
        life.tasks.end().await;
        drop(life);
        let mut state = self.state.lock();
        if ending == Ending::PowerCut {
            let survives = match state.rng.below(3) {
                0 => Survives::Nothing,
                1 => {
                    let bytes = state.disk.unsynced_bytes();
                    Survives::LastWriteUpTo(state.rng.below(bytes + 1))
                }
                _ => Survives::SomeSectors(state.rng.next_u64()),
            };
            state.disk = state.disk.after_power_cut(survives);
        }
    }

    /// Keeps what lies at or past this offset, in this life and those to come, as a pipeline with a snapshot does.
    pub fn keep(&self, at: &Place, from: i64) {
        let mut kept = self.kept.lock();
        kept.insert(at.clone(), from);
        if let Some(broker) = self.broker() {
            tell_kept(&broker, &kept);
        }
    }

    /// Whether it runs and its disk has not failed: a node whose log has failed ends itself.
    pub fn is_well(&self) -> bool {
        let state = self.state.lock();
        state
            .life
            .as_ref()
            .is_some_and(|life| life.log.failure().is_none())
    }

    /// Why the log takes nothing any more.
    pub fn failure(&self) -> Option<String> {
        let state = self.state.lock();
        let failure = state.life.as_ref()?.log.failure()?;
        Some(failure.to_string())
    }

    /// The disk as it is now.
    pub fn disk(&self) -> FaultDisk {
        self.state.lock().disk.clone()
    }

    /// Sets how long writes take.
    pub fn set_slow(&self, most: Duration) {
        *self.slow_us.lock() = most.as_micros() as u64;
    }

    /// The broker of this life.
    pub fn broker(&self) -> Option<Arc<Broker>> {
        self.state
            .lock()
            .life
            .as_ref()
            .map(|life| Arc::clone(&life.broker))
    }

    /// Takes a connection; false when nobody listens.
    pub(crate) fn accept(&self, stream: DuplexStream) -> bool {
        let state = self.state.lock();
        let Some(life) = &state.life else {
            return false;
        };
        let halves = tokio::io::split(stream);
        let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let connection = life
            .edge
            .clone()
            .connection(halves, peer, life.stop.subscribe());
        life.tasks.start(connection);
        true
    }
}

fn tell_kept(broker: &Broker, kept: &BTreeMap<Place, i64>) {
    let place = |(at, from): (&Place, &i64)| {
        let partition = broker.topic(&at.0)?.partition(at.1)?;
        Some((partition, *from))
    };
    StepLog::retain(broker, "pipeline", kept.iter().filter_map(place).collect());
}

/// Does what the log's threads do, in the simulation's time.
async fn drive(log: Arc<LocalLog>, slow_us: Arc<Mutex<u64>>, seed: u64) {
    let mut rng = Mutator::new(seed);
    loop {
        let most = *slow_us.lock();
        let wait = 50 + rng.below(most as usize) as u64;
        tokio::time::sleep(Duration::from_micros(wait)).await;
        if log.turn_writer() == Turn::Ended {
            return;
        }
        // The keeper lags behind at random.
        if rng.below(3) > 0 {
            log.turn_keeper();
        }
    }
}
