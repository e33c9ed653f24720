//! How states are divided by key, and where parts go that do not fit in memory.

use std::sync::Arc;

pub use headwater_base::spill::{MemoryStore, PartId, SpillStore};

/// How states are divided by key.
#[derive(Clone)]
pub struct Division {
    /// A part whose state takes more bytes of memory than this is divided in two.
    pub part_bytes_max: usize,
    /// Most threads that work on the parts of one state at once.
    pub threads_max: usize,
    /// A step of fewer rows is not worth more than one thread.
    pub parallel_rows_min: usize,
    /// `None`: everything stays in memory.
    pub store: Option<Arc<dyn SpillStore>>,
}

/// In memory without limit, on one thread.
impl Default for Division {
    fn default() -> Self {
        Self {
            part_bytes_max: PART_BYTES_MAX,
            threads_max: 1,
            parallel_rows_min: usize::MAX,
            store: None,
        }
    }
}

/// Small enough to be loaded in some 20 ms, large enough that a hundred of them hold gigabytes.
pub const PART_BYTES_MAX: usize = 16 * 1024 * 1024;
