//! Who runs the writer: its own thread, or, where that is faster, the thread that has just submitted.
//!
//! ```text
//! thread   submit -> wake the writer -> write, fdatasync -> wake who waits for the ack, and who waits to read
//! here     submit -> write, fdatasync -> the ack; who waits to read runs next on this thread
//! ```
//! Waking a thread costs as much as a third of an fdatasync. So a caller that is alone writes by itself: little is queued, nobody
//! is writing, the last frame was for one caller only and did not take long. In company, or on a slow disk, the thread
//! does it, so that callers, which may be the threads that serve all sockets, are not held up; frames are larger then.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::panicked::ToldOfPanic;
use super::state::Shared;
use super::turn::Turn;
use super::writer::Writer;

/// More than this is left to the thread: the caller has better things to do than to copy it.
const HERE_BYTES_MAX: usize = 64 * 1024;
/// After an fdatasync that took longer the next one is the thread's, in microseconds.
const HERE_SYNC_US_MAX: u64 = 1_000;

/// The thread's work: runs until the log closes and the queue is empty, or the disk fails.
pub(super) fn run(shared: &Arc<Shared>, writer: &Mutex<Writer>) {
    let _told = ToldOfPanic::new("writer", shared);
    loop {
        let turn = writer.lock().turn();
        match turn {
            Turn::Did => {}
            Turn::Ended => return,
            Turn::Idle => {
                if !shared.wait_for_work() {
                    return;
                }
            }
            Turn::Waits => {
                let mut state = shared.state.lock();
                if !state.closing {
                    let pause = shared.config.full_retry;
                    shared.work.wait_for(&mut state, pause);
                }
            }
        }
    }
}

/// Has what is queued written, by this thread or by the writer's.
pub(super) fn write_submitted(shared: &Arc<Shared>, writer: &Mutex<Writer>, here: bool) {
    if shared.is_alone()
        && here
        && let Some(mut writer) = writer.try_lock()
    {
        let _told = ToldOfPanic::new("submitting", shared);
        writer.turn();
    }
    let state = shared.state.lock();
    // What came meanwhile, or did not fit, or found no room.
    if !state.queue.is_empty() || state.stuck.is_some() {
        shared.work.notify_one();
    }
}

impl Shared {
    /// Counts the caller, too.
    fn is_alone(&self) -> bool {
        let mut state = self.state.lock();
        state.callers += 1;
        state.callers == 1
            && state.company <= 1
            && !state.queue.is_empty()
            && state.queued_bytes <= HERE_BYTES_MAX
            && self.counters.last_fsync_us.load(Ordering::Relaxed) <= HERE_SYNC_US_MAX
    }

    /// False when the log closes and nothing is left to write, or nothing may be written any more.
    fn wait_for_work(&self) -> bool {
        let mut state = self.state.lock();
        while state.queue.is_empty() && state.stuck.is_none() {
            if state.closing || state.failure.is_some() {
                return false;
            }
            self.work.wait(&mut state);
        }
        true
    }
}
