//! A panic of one of the log's threads ends the log for good: without a writer nothing becomes durable, without a keeper there
//! is soon no room. Whoever holds the log hears of it as of a failed disk, and ends the process.

use std::sync::Arc;

use super::state::Shared;
use crate::api::WriteFailure;

/// Held by a thread of the log for as long as it runs.
pub(super) struct ToldOfPanic {
    thread: &'static str,
    shared: Arc<Shared>,
}

impl ToldOfPanic {
    pub fn new(thread: &'static str, shared: &Arc<Shared>) -> Self {
        Self {
            thread,
            shared: Arc::clone(shared),
        }
    }
}

impl Drop for ToldOfPanic {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let failure = WriteFailure {
            place: self.shared.disk.path().display().to_string(),
            reason: format!(
                "its {} thread has panicked, which is a mistake in the program (the panic's own message says where)",
                self.thread
            ),
        };
        for queued in self.shared.poison(&failure) {
            // Nobody listening is fine: not everybody waits for the disk.
            let _ = queued.done.send(Err(failure.clone()));
        }
    }
}
