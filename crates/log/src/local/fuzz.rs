//! The fuzz target of recovery: whatever is in the files, opening ends in a log or a refusal, and what it then reads
//! is made of whole batches.

use std::sync::Arc;

use headwater_base::PartitionId;
use headwater_record::fuzz::Mutator;
use headwater_record::{BatchBuilder, Codec, validate};

use super::disk::fault::FaultDisk;
use super::{LocalConfig, LocalLog};
use crate::api::{Append, Bound, Commit, Log, Rewrite, SubmitError};
use crate::conformance::partition;
use crate::wait;

const FILES: [&str; 5] = [
    "wal-00000000000000000001.chunk",
    "wal-00000000000000000002.chunk",
    "wal-00000000000000000003.chunk",
    "wal-00000000000000000004.chunk",
    "FORMAT",
];

fn config() -> LocalConfig {
    LocalConfig {
        chunk_bytes: 16 * 1024,
        commit_bytes_max: 8 * 1024,
        ..LocalConfig::default()
    }
}

/// A disk with a few chunks written by a healthy log.
pub fn written(seed: u64) -> FaultDisk {
    let disk = FaultDisk::new(seed);
    let Ok(log) = LocalLog::open_on(Arc::new(disk.clone()), config()) else {
        return disk;
    };
    let mut rng = Mutator::new(seed);
    for i in 0..20 + rng.below(40) {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.push(i as i64, None, Some(&vec![i as u8; rng.below(1500)]));
        let id = partition(rng.below(3) as u8);
        let appends = vec![Append {
            partition: id,
            batch: builder.build(),
        }];
        let trims = if rng.below(9) == 0 {
            vec![(id, i as i64 / 3)]
        } else {
            Vec::new()
        };
        let drops = if rng.below(30) == 0 {
            vec![partition(2)]
        } else {
            Vec::new()
        };
        send(
            &log,
            &Commit {
                appends,
                trims,
                drops,
                rewrites: rewrite(&log, id, &mut rng).into_iter().collect(),
            },
        );
    }
    disk
}

/// Takes something out of a partition, now and then.
fn rewrite(log: &LocalLog, partition: PartitionId, rng: &mut Mutator) -> Option<Rewrite> {
    let state = log.state(partition);
    if rng.below(6) > 0 || state.durable_end < 2 {
        return None;
    }
    let from = rng.below(state.durable_end as usize - 1) as i64;
    Some(Rewrite {
        partition,
        from,
        to: from + 1,
        generation: state.generation,
        batches: Vec::new(),
    })
}

fn send(log: &LocalLog, commit: &Commit) {
    loop {
        match log.submit(commit.clone()) {
            // A failure shows in what is read back.
            Ok(submitted) => return drop(wait(submitted.durable)),
            Err(SubmitError::Busy { .. }) => std::thread::yield_now(),
            Err(_) => return,
        }
    }
}

/// Damages the files as the seed says, opens, reads everything and writes once more.
pub fn recovery(disk: &FaultDisk, seed: u64) {
    let disk = disk.after_power_cut(super::disk::fault::Survives::LastWriteUpTo(usize::MAX));
    let mut rng = Mutator::new(seed);
    for _ in 0..1 + rng.below(4) {
        let name = FILES[rng.below(FILES.len())];
        if disk.content(name).is_some() {
            disk.damage(name, |bytes| damage(bytes, &mut rng));
        }
    }
    // A refusal is an acceptable end; a panic or a broken batch is not.
    let Ok(log) = LocalLog::open_on(Arc::new(disk), config()) else {
        return;
    };
    for id in (0..3).map(partition) {
        read_all(&log, id);
        let _ = log.find_time(id, 7);
    }
    let _ = log.scan(&mut |_, _| {});
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(1, None, None);
    send(
        &log,
        &Commit {
            appends: vec![Append {
                partition: partition(0),
                batch: builder.build(),
            }],
            ..Commit::default()
        },
    );
}

/// Damage that is found: in the used part of the file half of the time.
fn damage(bytes: &mut Vec<u8>, rng: &mut Mutator) {
    if rng.below(2) == 0 {
        rng.mutate(bytes);
        return;
    }
    let used = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |at| at + 1);
    let mut front = bytes[..used].to_vec();
    rng.mutate(&mut front);
    front.resize(bytes.len(), 0);
    *bytes = front;
}

fn read_all(log: &LocalLog, id: headwater_base::PartitionId) {
    let state = log.state(id);
    let mut at = state.start;
    while at < state.durable_end {
        let Ok(out) = log.read(id, at, 5000, Bound::Durable) else {
            return;
        };
        for batch in &out.batches {
            let header = validate(batch);
            assert!(header.is_ok(), "a broken batch was read: {header:?}");
            at = header.map_or(i64::MAX, |header| header.last_offset() + 1);
        }
        if out.batches.is_empty() {
            // A gap that reaches the end.
            return;
        }
    }
}
