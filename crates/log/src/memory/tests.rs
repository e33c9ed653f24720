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

#[test]
fn a_rewrite_shows_when_it_is_durable_and_only_one_can_be_under_way() {
    let log = MemoryLog::new(1);
    let p = partition(1);
    let append = |n| Append {
        partition: p,
        batch: batch(1, n),
    };
    let commit = Commit {
        appends: (0..4).map(append).collect(),
        ..Commit::default()
    };
    log.submit(commit).unwrap();
    let generation = log.state(p).generation;
    let rewrite = || Rewrite {
        partition: p,
        from: 0,
        to: 2,
        generation,
        batches: Vec::new(),
    };
    let commit = || Commit {
        rewrites: vec![rewrite()],
        ..Commit::default()
    };
    log.hold();
    let submitted = log.submit(commit()).unwrap();
    let read = || log.read(p, 0, 1 << 20, Bound::Submitted).unwrap();
    assert_eq!(
        (read().batches.len(), read().state.generation),
        (4, generation)
    );
    assert!(matches!(
        log.submit(commit()),
        Err(SubmitError::Stale { .. })
    ));
    log.release();
    wait(submitted.durable).unwrap();
    assert_eq!(read().batches.len(), 2);
    assert!(log.state(p).generation > generation);
}
