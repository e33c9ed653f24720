//! Space given back by moving what lives, and rot found at rest.

use std::sync::Arc;

use super::basics::small;
use crate::api::{Bound, Commit, Log, ReadError, Rewrite, SubmitError};
use crate::conformance::{batch, commit_of, partition, submit};
use crate::local::disk::FaultDisk;
use crate::local::{LocalConfig, LocalLog, Turn};

fn open(disk: &FaultDisk) -> LocalLog {
    let config = LocalConfig {
        tail_cache_bytes_max: 0,
        ..small()
    };
    LocalLog::open_manual(Arc::new(disk.clone()), config).unwrap()
}

/// Makes a commit durable, turning writer and keeper.
fn send(log: &LocalLog, commit: &Commit) {
    loop {
        match log.submit(commit.clone()) {
            Ok(_) => break,
            Err(SubmitError::Busy { .. }) => drop(log.turn_keeper()),
            Err(error) => panic!("{error}"),
        }
    }
    while log.turn_writer() == Turn::Did {}
}

/// Lets the keeper do all there is to do.
fn keep(log: &LocalLog) {
    for _ in 0..10_000 {
        let kept = log.turn_keeper();
        let wrote = log.turn_writer();
        if (kept, wrote) == (Turn::Idle, Turn::Idle) {
            return;
        }
    }
    panic!("the keeper never ends");
}

/// One batch in a hundred is of partition 1, the others are of partition 2; gives the end of both.
fn filled(log: &LocalLog, count: i64) -> (i64, i64) {
    for i in 0..count {
        let p = partition(if i % 100 == 0 { 1 } else { 2 });
        send(log, &commit_of(&[(p, batch(10, i))]));
    }
    keep(log);
    (
        log.state(partition(1)).durable_end,
        log.state(partition(2)).durable_end,
    )
}

fn bases(log: &LocalLog, n: u8) -> Vec<i64> {
    let (p, mut at, mut found) = (partition(n), log.state(partition(n)).start, Vec::new());
    while at < log.state(p).durable_end {
        let out = log.read(p, at, 5000, Bound::Durable).unwrap();
        let Some(last) = out.batches.last() else {
            break;
        };
        let header = |batch| headwater_record::validate(batch).unwrap();
        at = header(last).last_offset() + 1;
        found.extend(out.batches.iter().map(|batch| header(batch).base_offset));
    }
    found
}

#[test]
fn what_lives_is_moved_out_of_chunks_that_are_mostly_dead() {
    let disk = FaultDisk::new(1);
    let log = open(&disk);
    let (_, end) = filled(&log, 3000);
    let (chunks, kept) = (log.metrics().chunks, bases(&log, 1));
    assert!(chunks > 5 && kept.len() == 30);
    let trim = Commit {
        trims: vec![(partition(2), end)],
        ..Commit::default()
    };
    send(&log, &trim);
    keep(&log);
    let metrics = log.metrics();
    assert!(metrics.chunks <= 3, "{metrics:?}");
    assert!(metrics.moved_bytes > 0 && metrics.removed_chunks as usize >= chunks - 3);
    assert_eq!(bases(&log, 1), kept);
    drop(log);
    let log = open(&disk);
    assert_eq!(bases(&log, 1), kept);
    assert_eq!(log.state(partition(1)).start, 0);
}

#[test]
fn what_a_rewrite_took_out_does_not_come_back_when_its_chunks_go() {
    let disk = FaultDisk::new(1);
    let log = open(&disk);
    let (end, _) = filled(&log, 2000);
    // All but the last batch of partition 1 is taken out: nothing of it is left but the knowledge that it is gone.
    let rewrite = Rewrite {
        partition: partition(1),
        from: 0,
        to: end - 10,
        generation: log.state(partition(1)).generation,
        batches: Vec::new(),
    };
    let commit = Commit {
        rewrites: vec![rewrite],
        ..Commit::default()
    };
    send(&log, &commit);
    // The chunk with that rewrite dies first, then those with the old batches.
    filled(&log, 1000);
    let (_, behind) = filled(&log, 1000);
    let wanted = bases(&log, 1);
    assert_eq!(wanted[0], end - 10);
    for start in [behind / 2, behind * 3 / 4, behind] {
        let trim = Commit {
            trims: vec![(partition(2), start)],
            ..Commit::default()
        };
        send(&log, &trim);
        keep(&log);
        assert_eq!(bases(&log, 1), wanted);
    }
    assert!(log.metrics().chunks <= 3, "{:?}", log.metrics());
    drop(log);
    let log = open(&disk);
    assert_eq!(bases(&log, 1), wanted);
    assert_eq!(
        (
            log.state(partition(1)).start,
            log.read(partition(1), 3, 1, Bound::Durable)
                .unwrap()
                .batches
                .len()
        ),
        (0, 1)
    );
}

#[test]
fn a_compaction_wins_over_a_move_that_is_under_way() {
    let disk = FaultDisk::new(1);
    let log = open(&disk);
    let (end, behind) = filled(&log, 1500);
    let trim = Commit {
        trims: vec![(partition(2), behind)],
        ..Commit::default()
    };
    send(&log, &trim);
    let stale = log.state(partition(1)).generation;
    // The keeper reads and submits a piece; nobody writes it yet.
    while log.turn_keeper() == Turn::Did {}
    let rewrite = |generation| Commit {
        rewrites: vec![Rewrite {
            partition: partition(1),
            from: 0,
            to: end - 10,
            generation,
            batches: Vec::new(),
        }],
        ..Commit::default()
    };
    assert!(matches!(
        log.submit(rewrite(stale)),
        Err(SubmitError::Stale { .. })
    ));
    log.turn_writer();
    send(&log, &rewrite(log.state(partition(1)).generation));
    keep(&log);
    assert_eq!(bases(&log, 1), [end - 10]);
    drop(log);
    assert_eq!(bases(&open(&disk), 1), [end - 10]);
}

#[test]
fn rot_at_rest_is_found_counted_once_and_hurts_its_partition_only() {
    let disk = FaultDisk::new(1);
    let log = open(&disk);
    filled(&log, 1500);
    let scrub = || while log.turn_scrub() == Turn::Did {};
    scrub();
    let clean = log.metrics();
    assert_eq!((clean.rotten_batches, clean.scrubs), (0, 1));
    assert!(clean.scrubbed_bytes > 64 * 1024);
    // Record 3 of the batch of time 100, which is of partition 1, offset 10.
    disk.damage("wal-00000000000000000001.chunk", |bytes| {
        let at = bytes
            .windows(5)
            .position(|found| found == b"100-3")
            .unwrap();
        bytes[at] ^= 4;
    });
    scrub();
    scrub();
    let metrics = log.metrics();
    assert_eq!((metrics.rotten_batches, metrics.scrubs), (1, 3));
    let read = |n, from| log.read(partition(n), from, 1 << 20, Bound::Durable);
    assert_eq!(
        read(1, 0).unwrap().batches.len(),
        1,
        "what is in front of it is an answer"
    );
    let error = read(1, 10).unwrap_err();
    assert!(
        matches!(&error, ReadError::Corrupt(what) if what.contains("offset 10")),
        "{error}"
    );
    assert!(!read(1, 20).unwrap().batches.is_empty());
    assert_eq!(bases(&log, 2).len(), 1485);
    assert_eq!(log.metrics().rotten_batches, 1);
}

#[test]
fn a_rotten_footer_is_found_too_and_a_rotten_chunk_is_not_moved() {
    let disk = FaultDisk::new(1);
    let log = open(&disk);
    let (_, behind) = filled(&log, 1500);
    disk.damage("wal-00000000000000000001.chunk", |bytes| {
        let at = bytes
            .windows(5)
            .position(|found| found == b"100-3")
            .unwrap();
        bytes[at] ^= 4;
    });
    disk.damage("wal-00000000000000000002.chunk", |bytes| {
        let trailer = bytes.len() - 60;
        bytes[trailer] ^= 1;
    });
    while log.turn_scrub() == Turn::Did {}
    assert_eq!(log.metrics().rotten_batches, 2);
    let trim = Commit {
        trims: vec![(partition(2), behind)],
        ..Commit::default()
    };
    send(&log, &trim);
    keep(&log);
    for name in [
        "wal-00000000000000000001.chunk",
        "wal-00000000000000000002.chunk",
    ] {
        assert!(
            disk.content(name).is_some(),
            "{name} is kept for whoever can mend it"
        );
    }
}

#[test]
fn threads_move_and_scrub_by_themselves() {
    let config = LocalConfig {
        scrub_pause: std::time::Duration::from_millis(5),
        ..small()
    };
    let log = LocalLog::open_on(Arc::new(FaultDisk::new(1)), config).unwrap();
    for i in 0..2000 {
        let p = partition(if i % 100 == 0 { 1 } else { 2 });
        submit(&log, &commit_of(&[(p, batch(10, i))]));
    }
    let trim = Commit {
        trims: vec![(partition(2), i64::MAX)],
        ..Commit::default()
    };
    crate::wait(submit(&log, &trim).durable).unwrap();
    let done = || {
        let metrics = log.metrics();
        metrics.chunks <= 3 && metrics.moved_bytes > 0 && metrics.scrubs > 1
    };
    for _ in 0..5000 {
        if done() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert!(done(), "{:?}", log.metrics());
    assert_eq!(
        (bases(&log, 1).len(), log.metrics().rotten_batches),
        (20, 0)
    );
}
