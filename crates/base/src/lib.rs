//! Vocabulary that every floor shares: ids, offsets, limits, the clock seam.
//!
//! Knows nothing of logs, protocols, SQL or any runtime.

pub mod clock;
pub mod ids;
pub mod limits;

pub use clock::{Clock, ManualClock, SystemClock};
pub use ids::{Offset, PartitionId, TopicId};
