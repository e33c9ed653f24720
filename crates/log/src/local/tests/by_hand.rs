//! The log without threads does nothing by itself, and the same as with threads when it is turned.

use std::sync::Arc;

use super::basics::small;
use crate::api::{Commit, Log, SubmitError};
use crate::conformance::{batch, commit_of, partition};
use crate::local::disk::FaultDisk;
use crate::local::{LocalLog, Turn};

fn open(disk: &FaultDisk) -> LocalLog {
    LocalLog::open_manual(Arc::new(disk.clone()), small()).unwrap()
}

/// Submits, turning the keeper while there is no next chunk.
fn send(log: &LocalLog, commit: &Commit) {
    loop {
        match log.submit(commit.clone()) {
            Ok(_) => return,
            Err(SubmitError::Busy { .. }) => assert_eq!(log.turn_keeper(), Turn::Did),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn nothing_happens_unless_turned() {
    let disk = FaultDisk::new(1);
    let log = open(&disk);
    let p = partition(1);
    send(&log, &commit_of(&[(p, batch(5, 1))]));
    let before = disk.operations();
    assert_eq!(
        (log.state(p).durable_end, log.state(p).submitted_end),
        (0, 5)
    );
    assert_eq!(disk.operations(), before);
    assert_eq!(
        (log.turn_writer(), log.turn_writer()),
        (Turn::Did, Turn::Idle)
    );
    assert_eq!(log.state(p).durable_end, 5);
}

#[test]
fn the_same_turns_write_the_same_bytes() {
    let run = || {
        let disk = FaultDisk::new(7);
        let log = open(&disk);
        for i in 0..600 {
            send(&log, &commit_of(&[(partition(i as u8 % 50), batch(5, i))]));
            if i % 3 == 0 {
                log.turn_writer();
            }
            if i % 5 == 0 {
                log.turn_keeper();
            }
        }
        while log.turn_writer() == Turn::Did || log.turn_keeper() == Turn::Did {}
        let mut batches = Vec::new();
        log.scan(&mut |id, meta| batches.push((id, *meta))).unwrap();
        let names = crate::local::disk::Disk::list(&disk).unwrap();
        let files: Vec<_> = names.iter().map(|name| disk.content(name)).collect();
        (batches, files)
    };
    let first = run();
    assert!(first.1.len() > 3 && first == run());
}

#[test]
fn a_disk_without_room_waits_and_a_failed_one_ends() {
    let disk = FaultDisk::new(1);
    let log = open(&disk);
    let p = partition(1);
    while log.turn_keeper() == Turn::Did {}
    send(&log, &commit_of(&[(p, batch(5, 1))]));
    disk.set_writes_full(true);
    assert_eq!(
        (log.turn_writer(), log.turn_writer()),
        (Turn::Waits, Turn::Waits)
    );
    disk.set_writes_full(false);
    assert_eq!(log.turn_writer(), Turn::Did);
    send(&log, &commit_of(&[(p, batch(5, 1))]));
    disk.fail_sync();
    assert_eq!(
        (log.turn_writer(), log.turn_keeper()),
        (Turn::Ended, Turn::Ended)
    );
    assert_eq!(log.state(p).durable_end, 5);
}
