//! Vocabulary that every floor shares: ids, offsets, limits, the seams to the outside (clock, randomness, tasks).
//!
//! Knows nothing of logs, protocols or SQL.

pub mod checksum;
pub mod clock;
pub mod ids;
pub mod limits;
pub mod spill;
pub mod world;

pub use checksum::{crc32c, crc32c_both};
pub use clock::{Clock, ManualClock, SystemClock};
pub use ids::{Offset, PartitionId, TopicId};
pub use spill::{PartId, SpillStore};
pub use world::{Random, Task, Tasks, Unfinished, Work, World};
