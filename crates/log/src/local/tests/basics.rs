//! The conformance suite, restarts, sealing, what is refused at the start.

use std::sync::Arc;
use std::time::Duration;

use crate::api::{Bound, Commit, Log};
use crate::conformance::{self, batch, commit_of, partition, submit};
use crate::local::disk::FaultDisk;
use crate::local::{LocalConfig, LocalLog};
use crate::wait;

pub(super) fn small() -> LocalConfig {
    LocalConfig {
        chunk_bytes: 64 * 1024,
        tail_cache_bytes_max: 16 * 1024,
        full_retry: Duration::from_millis(5),
        ..LocalConfig::default()
    }
}

pub(super) fn open(disk: &FaultDisk) -> LocalLog {
    LocalLog::open_on(Arc::new(disk.clone()), small()).unwrap()
}

#[test]
fn conformance_on_a_real_disk() {
    let folder = tempfile::tempdir().unwrap();
    let next = std::cell::Cell::new(0);
    conformance::run(&|| {
        next.set(next.get() + 1);
        LocalLog::open(
            &folder.path().join(next.get().to_string()),
            LocalConfig::default(),
        )
        .unwrap()
    });
}

#[test]
fn conformance_with_small_chunks_and_no_cache() {
    conformance::run(&|| {
        let config = LocalConfig {
            tail_cache_bytes_max: 0,
            commit_bytes_max: 32 * 1024,
            ..small()
        };
        LocalLog::open_on(Arc::new(FaultDisk::new(1)), config).unwrap()
    });
}

#[test]
fn restarts_keep_everything() {
    let disk = FaultDisk::new(1);
    let (p, q) = (partition(1), partition(2));
    for round in 0..20 {
        let log = open(&disk);
        assert_eq!(log.state(p).durable_end, round * 100);
        assert_eq!(log.state(q).start, (round * 2 - 1).max(0));
        for i in 0..50 {
            let last = submit(&log, &commit_of(&[(p, batch(2, round * 50 + i))]));
            if i == 49 {
                wait(last.durable).unwrap();
            }
        }
        let mut commit = commit_of(&[(q, batch(2, 7))]);
        commit.trims.push((q, round * 2 + 1));
        wait(submit(&log, &commit).durable).unwrap();
    }
    let log = open(&disk);
    assert!(log.metrics().chunks > 3, "{:?}", log.metrics());
    let mut next = 0;
    while next < 2000 {
        let out = log.read(p, next, 3000, Bound::Durable).unwrap();
        for found in &out.batches {
            let header = headwater_record::validate(found).unwrap();
            assert_eq!((header.base_offset, header.max_timestamp), (next, next / 2));
            next += 2;
        }
    }
    assert_eq!(log.find_time(p, 777).unwrap(), Some(1554));
}

#[test]
fn what_follows_a_trim_to_the_end_is_read_from_a_sealed_chunk() {
    let disk = FaultDisk::new(1);
    let log = open(&disk);
    let (p, q) = (partition(1), partition(2));
    submit(&log, &commit_of(&[(p, batch(5, 1))]));
    let trim = Commit {
        trims: vec![(p, 5)],
        ..Commit::default()
    };
    wait(submit(&log, &trim).durable).unwrap();
    submit(&log, &commit_of(&[(p, batch(5, 2))]));
    for i in 0..2000 {
        let last = submit(&log, &commit_of(&[(q, batch(5, i))]));
        if i == 1999 {
            wait(last.durable).unwrap();
        }
    }
    // Before, while and after the chunk is sealed.
    for _ in 0..50 {
        let out = log.read(p, 5, 1000, Bound::Durable).unwrap();
        assert_eq!(out.batches.len(), 1);
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(log.find_time(p, 2).unwrap(), Some(5));
}

#[test]
fn chunks_without_readable_batches_are_removed() {
    let disk = FaultDisk::new(1);
    let log = open(&disk);
    let p = partition(1);
    let mut end = 0;
    for i in 0..2000 {
        end = submit(&log, &commit_of(&[(p, batch(5, i))])).base_offsets[0] + 5;
    }
    let before = log.metrics().chunks;
    assert!(before > 5);
    wait(
        submit(
            &log,
            &Commit {
                trims: vec![(p, end - 5)],
                ..Commit::default()
            },
        )
        .durable,
    )
    .unwrap();
    let settled = || log.metrics().chunks <= 3;
    for _ in 0..400 {
        if settled() {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(
        settled(),
        "{} of {before} chunks left",
        log.metrics().chunks
    );
    drop(log);
    let log = open(&disk);
    assert_eq!(log.state(p).start, end - 5);
    assert_eq!(
        log.read(p, end - 5, 1000, Bound::Durable)
            .unwrap()
            .batches
            .len(),
        1
    );
}
