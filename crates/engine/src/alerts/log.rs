//! Reading an alert's topic: its transitions in order, as its pipeline committed them.

use headwater_base::{Offset, PartitionId};
use headwater_connect::{StepLog, Visibility};

use super::state::AlertEvent;

const READ_BYTES: usize = 1024 * 1024;

/// Everything that is held, also what is not durable yet.
pub fn read_all(
    log: &dyn StepLog,
    partition: PartitionId,
) -> Result<Vec<(Offset, AlertEvent)>, String> {
    let mut all = Vec::new();
    let mut next = 0;
    loop {
        let (events, after, end) = read_from(log, partition, next, Visibility::InFlight)?;
        all.extend(events);
        if after <= next || after >= end {
            return Ok(all);
        }
        next = after;
    }
}

/// Events with their offsets.
pub type Placed = Vec<(Offset, AlertEvent)>;

/// Some events from an offset on: `(events, where to go on, end)`.
pub fn read_from(
    log: &dyn StepLog,
    partition: PartitionId,
    from: Offset,
    visibility: Visibility,
) -> Result<(Placed, Offset, Offset), String> {
    let read = log
        .read_committed(partition, from, READ_BYTES, visibility)
        .map_err(|error| error.to_string())?;
    let mut events = Vec::new();
    for batch in &read.batches {
        for record in headwater_record::records(batch).map_err(|error| error.to_string())? {
            let record = record.map_err(|error| error.to_string())?;
            if record.offset < from.max(read.start) {
                continue;
            }
            if let Some(event) = record
                .value
                .as_deref()
                .and_then(|value| serde_json::from_slice(value).ok())
            {
                events.push((record.offset, event));
            }
        }
    }
    Ok((events, read.next, read.end))
}
