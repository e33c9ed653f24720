//! The extent of every partition after some commit: what recovery starts from, and what a sealed chunk remembers.
//!
//! The writer and the recovery fold the same entries into it, in the same order.

use hashbrown::HashMap;
use headwater_base::{Offset, PartitionId};

use super::frame::Entry;

/// Extent of one partition, as far as it is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// The chunk with its first batch: older chunks may hold batches of a dropped partition of the same id.
    pub born: u64,
    pub start: Offset,
    pub end: Offset,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    pub partitions: HashMap<PartitionId, Extent>,
}

impl Ledger {
    /// Folds one entry in; `last_offset` is the batch's, for appends. `Err` says what contradicts what came before.
    pub fn apply(
        &mut self,
        chunk: u64,
        entry: &Entry,
        last_offset: Offset,
    ) -> Result<(), &'static str> {
        match *entry {
            Entry::Append {
                partition,
                base_offset,
                ..
            } => {
                let extent = self.partitions.entry(partition).or_insert(Extent {
                    born: chunk,
                    start: 0,
                    end: 0,
                });
                if base_offset != extent.end || last_offset < base_offset {
                    return Err("the offsets of a partition do not follow each other");
                }
                extent.end = last_offset + 1;
            }
            Entry::Trim { partition, start } => {
                if let Some(extent) = self.partitions.get_mut(&partition) {
                    extent.start = extent.start.max(start.min(extent.end));
                }
            }
            Entry::Drop { partition } => {
                self.partitions.remove(&partition);
            }
            Entry::Rewrite {
                partition,
                from,
                to,
            } => {
                let end = self.partitions.get(&partition).map_or(0, |found| found.end);
                if from < 0 || from >= to || to > end {
                    return Err("a rewrite of offsets that are not there");
                }
            }
            // Within a rewrite, which the index checks.
            Entry::Placed { .. } => {}
        }
        Ok(())
    }
}
