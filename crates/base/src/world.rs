//! The world seam: time, random ids, tasks and work that blocks. The product takes them from the machine; a simulation gives
//! its own, so that the same seed gives the same run.
//!
//! Knows nothing of what the tasks do.

use std::fmt::Write;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::clock::{Clock, SystemClock};

/// Where ids come from that nobody else may have.
pub trait Random: Send + Sync + 'static {
    /// 16 bytes, all of them random but for what marks them as a UUID of version 4.
    fn id(&self) -> [u8; 16];
}

/// A future that nobody waits for.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;
/// Something that may wait for the disk.
pub type Work = Box<dyn FnOnce() + Send>;

/// Who runs what is not awaited in place.
pub trait Tasks: Send + Sync + 'static {
    /// Runs a task beside the caller, until it ends or the node does.
    fn spawn(&self, task: Task);
    /// Runs what may block where it holds up nobody.
    fn block(&self, work: Work);
}

/// The work ended without a result: it has panicked, or the node is going down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the work was not finished")]
pub struct Unfinished;

/// See the module. Clones are the same world.
#[derive(Clone)]
pub struct World {
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    tasks: Arc<dyn Tasks>,
}

impl World {
    pub fn new(clock: Arc<dyn Clock>, random: Arc<dyn Random>, tasks: Arc<dyn Tasks>) -> Self {
        Self {
            clock,
            random,
            tasks,
        }
    }

    /// The machine's clock and randomness, the runtime's tasks and threads.
    pub fn system() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// As [`World::system`], with another clock.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self::new(clock, Arc::new(SystemRandom), Arc::new(RuntimeTasks))
    }

    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Wall time in milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// See [`Random::id`].
    pub fn random_id(&self) -> [u8; 16] {
        self.random.id()
    }

    /// A random UUID as text with dashes.
    pub fn uuid_text(&self) -> String {
        let mut text = String::with_capacity(36);
        for (at, byte) in self.random_id().iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    /// Runs a task beside the caller. Needs a runtime of tokio.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(Box::pin(task));
    }

    /// Runs what may block away from the threads that serve sockets.
    ///
    /// # Errors
    /// The work has panicked.
    pub async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Unfinished> {
        let (done, waiting) = oneshot::channel();
        self.tasks.block(Box::new(move || {
            // Who asked may have gone away meanwhile.
            let _ = done.send(work());
        }));
        waiting.await.map_err(|_| Unfinished)
    }
}

/// The machine's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn id(&self) -> [u8; 16] {
        uuid::Uuid::new_v4().into_bytes()
    }
}

/// The runtime that the caller runs in.
#[derive(Clone, Copy, Debug, Default)]
pub struct RuntimeTasks;

impl Tasks for RuntimeTasks {
    fn spawn(&self, task: Task) {
        tokio::spawn(task);
    }

    fn block(&self, work: Work) {
        tokio::task::spawn_blocking(work);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn work_gives_its_result_and_a_panic_is_an_error() {
        let world = World::system();
        assert_eq!(world.off_thread(|| 7).await, Ok(7));
        let panicked: Result<(), _> = world.off_thread(|| panic!("on purpose")).await;
        assert_eq!(panicked, Err(Unfinished));
    }

    #[test]
    fn uuids_are_of_version_4_and_differ() {
        let world = World::system();
        let (one, other) = (world.uuid_text(), world.uuid_text());
        assert_ne!(one, other);
        assert_eq!((one.len(), one.as_bytes()[14]), (36, b'4'), "{one}");
    }
}
