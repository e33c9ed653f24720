//! Time, randomness and tasks of a simulated node.

use std::sync::atomic::{AtomicI64, Ordering};

use headwater_base::{Clock, Random, Task, Tasks, Work};
use headwater_record::fuzz::Mutator;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Wall time when a simulation begins (ms): some day in 2026.
const BEGIN_MS: i64 = 1_780_000_000_000;

/// Wall time that follows the runtime's, and jumps.
#[derive(Debug)]
pub struct SimClock {
    began: Instant,
    jump_ms: AtomicI64,
}

impl SimClock {
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            jump_ms: AtomicI64::new(0),
        }
    }

    /// How far wall time is off from now on, in ms.
    pub fn jump_to(&self, off_ms: i64) {
        self.jump_ms.store(off_ms, Ordering::SeqCst);
    }

    /// Microseconds since the simulation began; never jumps.
    pub fn elapsed_us(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }

    /// Wall time as those have it whose clock does not jump (ms).
    pub fn true_ms(&self) -> i64 {
        BEGIN_MS + self.began.elapsed().as_millis() as i64
    }
}

impl Default for SimClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SimClock {
    fn now_ms(&self) -> i64 {
        self.true_ms() + self.jump_ms.load(Ordering::SeqCst)
    }
}

/// Ids by a seed.
pub struct SimRandom(Mutex<Mutator>);

impl SimRandom {
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(Mutator::new(seed ^ 0x7261_6e64)))
    }
}

impl Random for SimRandom {
    fn id(&self) -> [u8; 16] {
        let mut rng = self.0.lock();
        let mut id = [0; 16];
        id[..8].copy_from_slice(&rng.next_u64().to_be_bytes());
        id[8..].copy_from_slice(&rng.next_u64().to_be_bytes());
        id[6] = 0x40 | (id[6] & 0x0f);
        id[8] = 0x80 | (id[8] & 0x3f);
        id
    }
}

/// The tasks of one life of the node: they end with it. What may block is done at once.
#[derive(Default)]
pub struct SimTasks(Mutex<JoinSet<()>>);

impl SimTasks {
    pub fn start(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut all = self.0.lock();
        while all.try_join_next().is_some() {}
        all.spawn(task);
    }

    /// Ends all of them where they are.
    pub async fn end(&self) {
        let mut all = std::mem::take(&mut *self.0.lock());
        all.shutdown().await;
    }
}

impl Tasks for SimTasks {
    fn spawn(&self, task: Task) {
        self.start(task);
    }

    fn block(&self, work: Work) {
        work();
    }
}
