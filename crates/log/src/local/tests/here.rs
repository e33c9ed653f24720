//! Writing on the thread that submitted.

use std::time::{Duration, Instant};

use super::basics::open;
use crate::api::{Commit, Durable, Log, SubmitError};
use crate::conformance::{batch, commit_of, partition};
use crate::local::LocalLog;
use crate::local::disk::FaultDisk;
use crate::wait;

fn later(log: &LocalLog, commit: &Commit) -> Durable {
    loop {
        match log.submit_later(commit.clone()) {
            Ok(submitted) => return submitted.durable,
            Err(SubmitError::Busy { .. }) => std::thread::sleep(Duration::from_millis(1)),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn who_is_alone_writes_when_it_says_so_and_by_itself() {
    let log = open(&FaultDisk::new(1));
    let p = partition(1);
    let commit = commit_of(&[(p, batch(5, 1))]);
    // The thread looks for work once when it starts, and may be slow to do so.
    let by_itself = (0..200).any(|_| {
        let both = [later(&log, &commit), later(&log, &commit)];
        std::thread::sleep(Duration::from_millis(2));
        let (before, fsyncs) = (log.state(p), log.metrics().fsyncs);
        log.write_submitted(true);
        let (after, fsyncs_after) = (log.state(p), log.metrics().fsyncs);
        both.into_iter().for_each(|durable| wait(durable).unwrap());
        (before.durable_end + 10, fsyncs + 1) == (after.durable_end, fsyncs_after)
    });
    assert!(by_itself);
}

#[test]
fn a_slow_disk_holds_nobody_up_twice() {
    let disk = FaultDisk::new(1);
    let log = open(&disk);
    let commit = commit_of(&[(partition(1), batch(5, 1))]);
    disk.set_sync_takes(Duration::from_millis(400));
    let began = Instant::now();
    let first = later(&log, &commit);
    log.write_submitted(true);
    assert!(began.elapsed() >= Duration::from_millis(400));
    let second = later(&log, &commit);
    log.write_submitted(true);
    assert_eq!(log.state(partition(1)).durable_end, 5);
    wait(first).unwrap();
    wait(second).unwrap();
}

#[test]
fn many_at_once_lose_nothing() {
    let disk = FaultDisk::new(1);
    let log = open(&disk);
    let (threads, each) = (4, 150);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let log = &log;
            scope.spawn(move || {
                let commit = commit_of(&[(partition(thread), batch(1, i64::from(thread)))]);
                for round in 0..each {
                    let durable = match round % 7 {
                        0 => log
                            .submit(commit.clone())
                            .map(|submitted| submitted.durable),
                        _ => Ok(later(log, &commit)),
                    };
                    if round % 7 > 0 {
                        log.write_submitted(true);
                    }
                    // Waits for every other one only, so that some are queued behind each other.
                    if let Some(durable) = durable.ok().filter(|_| round % 2 == 0) {
                        wait(durable).unwrap();
                    }
                }
            });
        }
    });
    let submitted = |thread| log.state(partition(thread)).submitted_end;
    let ends: Vec<i64> = (0..threads).map(submitted).collect();
    assert!(ends.iter().all(|end| *end > each / 2), "{ends:?}");
    drop(log);
    let log = open(&disk);
    let durable = |thread| log.state(partition(thread)).durable_end;
    assert_eq!((0..threads).map(durable).collect::<Vec<i64>>(), ends);
}

#[test]
fn what_finds_no_room_here_is_tried_again_by_the_thread() {
    let disk = FaultDisk::new(1);
    let log = open(&disk);
    let commit = commit_of(&[(partition(1), batch(5, 1))]);
    disk.set_writes_full(true);
    let stuck = later(&log, &commit);
    log.write_submitted(true);
    assert!(log.metrics().full);
    disk.set_writes_full(false);
    wait(stuck).unwrap();
    assert_eq!(log.state(partition(1)).durable_end, 5);
}

#[test]
fn a_sync_that_fails_here_poisons_for_good() {
    let disk = FaultDisk::new(1);
    let log = open(&disk);
    let commit = commit_of(&[(partition(1), batch(5, 1))]);
    disk.fail_sync();
    let failed = later(&log, &commit);
    log.write_submitted(true);
    assert!(log.failure().is_some());
    wait(failed).unwrap_err();
    assert!(matches!(
        log.submit_later(commit),
        Err(SubmitError::Failed(_))
    ));
    assert_eq!(log.state(partition(1)).durable_end, 0);
}
