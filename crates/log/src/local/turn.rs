//! The log without threads: the caller runs its writer and its keeper round by round, on its own thread and in its own
//! time. For deterministic simulation.

use std::sync::Arc;

use parking_lot::Mutex;

use super::config::{LocalConfig, OpenError};
use super::disk::Disk;
use super::keeper::Keeper;
use super::{LocalLog, prepare};

/// What a round came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// There was nothing to do.
    Idle,
    /// Something was done; there may be more.
    Did,
    /// Waits for something that only time can bring, such as room on the disk: try again later.
    Waits,
    /// The disk has failed: the log writes nothing more.
    Ended,
}

/// The threads' work, done by hand.
pub(super) struct Hands {
    keeper: Mutex<Keeper>,
}

impl LocalLog {
    /// Opens a folder without starting threads: nothing is written until [`LocalLog::turn_writer`] is called, no chunk
    /// made ahead, sealed or removed until [`LocalLog::turn_keeper`] is. Dropping it writes nothing either.
    ///
    /// [`crate::wait`] must not be used on its commits: nobody else would make them durable.
    pub fn open_manual(disk: Arc<dyn Disk>, config: LocalConfig) -> Result<Self, OpenError> {
        let (shared, writer, lock) = prepare(disk, config)?;
        let hands = Hands {
            keeper: Mutex::new(Keeper::new(Arc::clone(&shared))),
        };
        Ok(Self {
            shared,
            writer: Arc::new(Mutex::new(writer)),
            threads: Vec::new(),
            hands: Some(hands),
            _lock: lock,
        })
    }

    /// One round of the writer: one group commit of what is queued. [`Turn::Idle`] on a log with threads.
    pub fn turn_writer(&self) -> Turn {
        match self.hands {
            Some(_) => self.writer.lock().turn(),
            None => Turn::Idle,
        }
    }

    /// One job of the keeper, without the pauses that it makes on a thread. [`Turn::Idle`] on a log with threads.
    pub fn turn_keeper(&self) -> Turn {
        self.hands
            .as_ref()
            .map_or(Turn::Idle, |hands| hands.keeper.lock().turn())
    }

    /// One step of the walk that looks for rotten data; [`Turn::Idle`] at its end, and on a log with threads.
    pub fn turn_scrub(&self) -> Turn {
        self.hands
            .as_ref()
            .map_or(Turn::Idle, |hands| hands.keeper.lock().turn_scrub())
    }
}
