//! The conformance suite on one and on four shards, and what only this log offers.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::conformance::{self, batch, partition};
use crate::{Append, wait};

#[test]
fn conformance_with_one_shard() {
    conformance::run(&|| MemoryLog::new(1));
}

#[test]
fn conformance_with_four_shards() {
    conformance::run(&|| MemoryLog::new(4));
}

#[test]
fn held_commits_are_submitted_but_not_durable() {
    let log = MemoryLog::new(1);
    let p = partition(1);
    log.hold();
    let commit = || Commit {
        appends: vec![Append {
            partition: p,
            batch: batch(3, 1),
        }],
        ..Commit::default()
    };
    let submitted = log.submit(commit()).unwrap();
    assert!(
        log.read(p, 0, 1 << 20, Bound::Durable)
            .unwrap()
            .batches
            .is_empty()
    );
    assert_eq!(
        log.read(p, 0, 1 << 20, Bound::Submitted)
            .unwrap()
            .batches
            .len(),
        1
    );
    log.release();
    wait(submitted.durable).unwrap();
    assert_eq!(log.state(p).durable_end, 3);
    log.hold();
    let lost = log.submit(commit()).unwrap();
    log.fail("pulled");
    assert!(wait(lost.durable).is_err());
    assert!(matches!(log.submit(commit()), Err(SubmitError::Failed(_))));
}
