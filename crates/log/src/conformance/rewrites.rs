//! Rewrites: what replaces batches, what refuses to, what readers see of it.

use std::sync::Arc;

use bytes::Bytes;
use headwater_base::{Offset, PartitionId};
use headwater_record::{validate, with_place};
use tokio::sync::Notify;

use super::{ALL, Case, append, bases, batch, partition, submit, together, trim, woken};
use crate::api::{Bound, Commit, Log, ReadError, Rewrite, SubmitError};
use crate::wait::wait;

pub(super) const CASES: [(&str, Case); 11] = [
    ("a rewrite leaves gaps that reads go over", gaps),
    ("an empty rewrite takes everything out", emptied),
    ("batches of a rewrite come back as they went in", same_bytes),
    ("a stale rewrite is refused", stale),
    ("a rewrite after a trim within its range", trim_between),
    ("a rewrite and appends in one commit", with_appends),
    ("a dropped partition is not rewritten", after_a_drop),
    ("times are found over gaps", times),
    ("a rewrite of what was rewritten", again),
    ("several ranges in one commit", several_ranges),
    ("ranges and batches that do not fit are refused", refusals),
];

/// Batches of one record each at offsets 0, 1, 2...; the timestamp is ten times the offset.
fn filled(log: &dyn Log, partition: PartitionId, count: i64) {
    (0..count).for_each(|i| drop(append(log, &[(partition, batch(1, 10 * i))])));
}

/// A batch of one record for this offset.
fn at(offset: Offset, timestamp_ms: i64) -> Bytes {
    with_place(batch(1, timestamp_ms), offset, 0)
}

/// A rewrite as of now.
fn rewrite(
    log: &dyn Log,
    partition: PartitionId,
    (from, to): (Offset, Offset),
    batches: Vec<Bytes>,
) -> Rewrite {
    Rewrite {
        partition,
        from,
        to,
        generation: log.state(partition).generation,
        batches,
    }
}

fn commit_of(rewrites: Vec<Rewrite>) -> Commit {
    Commit {
        rewrites,
        ..Commit::default()
    }
}

fn apply(log: &dyn Log, rewrite: Rewrite) {
    wait(submit(log, &commit_of(vec![rewrite])).durable).unwrap();
}

fn refused(log: &dyn Log, rewrites: Vec<Rewrite>) -> SubmitError {
    loop {
        match log.submit(commit_of(rewrites.clone())).err() {
            Some(SubmitError::Busy { .. }) => std::thread::yield_now(),
            other => return other.expect("a rewrite that is to be refused"),
        }
    }
}

fn gaps(log: &dyn Log) {
    let p = partition(1);
    filled(log, p, 10);
    let before = log.state(p);
    let kept = vec![at(3, 30), at(5, 50)];
    apply(log, rewrite(log, p, (2, 8), kept));
    let after = log.state(p);
    assert_eq!(
        (after.start, after.durable_end, after.submitted_end),
        (0, 10, 10)
    );
    assert!(after.generation > before.generation && after.bytes < before.bytes);
    assert_eq!(bases(log, p, 0, ALL), [0, 1, 3, 5, 8, 9]);
    for (from, first) in [(2, 3), (3, 3), (4, 5), (6, 8), (7, 8), (9, 9)] {
        assert_eq!(bases(log, p, from, ALL)[0], first, "from {from}");
        assert_eq!(bases(log, p, from, 0), [first], "one batch from {from}");
    }
    let mut seen = Vec::new();
    log.scan(&mut |_, meta| seen.push(meta.base_offset))
        .unwrap();
    assert_eq!(seen, [0, 1, 3, 5, 8, 9], "in order of offset");
    assert_eq!(append(log, &[(p, batch(1, 1))]), [10]);
}

fn emptied(log: &dyn Log) {
    let p = partition(1);
    filled(log, p, 6);
    let generation = log.state(p).generation;
    apply(log, rewrite(log, p, (0, 6), Vec::new()));
    let state = log.state(p);
    assert_eq!(
        (state.start, state.durable_end, state.bytes),
        (0, 6, 0),
        "offsets stay used"
    );
    assert!(state.generation > generation);
    assert!(bases(log, p, 0, ALL).is_empty() && bases(log, p, 5, ALL).is_empty());
    assert_eq!(append(log, &[(p, batch(2, 9))]), [6]);
    assert_eq!(bases(log, p, 0, ALL), [6]);
    trim(log, p, 3);
    assert_eq!((log.state(p).start, bases(log, p, 3, ALL)), (3, vec![6]));
    let below = log.read(p, 2, ALL, Bound::Durable);
    assert!(matches!(below, Err(ReadError::OutOfRange { .. })));
}

fn same_bytes(log: &dyn Log) {
    let p = partition(1);
    append(log, &[(p, batch(5, 1)), (p, batch(5, 2))]);
    let new = with_place(batch(3, 77), 4, 0);
    apply(log, rewrite(log, p, (0, 10), vec![new.clone()]));
    let out = log.read(p, 0, ALL, Bound::Durable).unwrap();
    assert_eq!(out.batches, [new]);
    assert_eq!(out.state.generation, log.state(p).generation);
    assert_eq!(validate(&out.batches[0]).unwrap().last_offset(), 6);
}

fn stale(log: &dyn Log) {
    let p = partition(1);
    filled(log, p, 4);
    let late = rewrite(log, p, (0, 2), Vec::new());
    apply(log, rewrite(log, p, (2, 4), vec![at(3, 30)]));
    assert!(matches!(
        refused(log, vec![late.clone()]),
        SubmitError::Stale { partition } if partition == p
    ));
    let mut commit = commit_of(vec![late]);
    commit.appends = super::commit_of(&[(p, batch(1, 1))]).appends;
    assert!(log.submit(commit).is_err());
    assert_eq!(log.state(p).submitted_end, 4, "nothing of it is taken");
    let unknown = rewrite(log, partition(9), (0, 1), Vec::new());
    assert!(matches!(
        refused(log, vec![unknown]),
        SubmitError::Stale { .. }
    ));
    assert_eq!(bases(log, p, 0, ALL), [0, 1, 3]);
}

fn trim_between(log: &dyn Log) {
    let p = partition(1);
    filled(log, p, 10);
    let across = rewrite(log, p, (2, 8), vec![at(3, 1), at(4, 1), at(6, 1)]);
    trim(log, p, 4);
    apply(log, across);
    assert_eq!(log.state(p).start, 4);
    assert_eq!(bases(log, p, 4, ALL), [4, 6, 8, 9]);
    let wholly_below = rewrite(log, p, (4, 6), vec![at(5, 1)]);
    trim(log, p, 7);
    apply(log, wholly_below);
    assert_eq!(bases(log, p, 7, ALL), [8, 9]);
    let mut both = commit_of(vec![rewrite(log, p, (7, 9), vec![at(8, 2)])]);
    both.trims.push((p, 9));
    wait(submit(log, &both).durable).unwrap();
    assert_eq!((log.state(p).start, bases(log, p, 9, ALL)), (9, vec![9]));
    assert_eq!(log.state(p).bytes, batch(1, 90).len() as u64);
}

fn with_appends(log: &dyn Log) {
    let ps = together(log, 2);
    filled(log, ps[0], 4);
    let wake = Arc::new(Notify::new());
    let registered = log.register(&[ps[1]], Bound::Durable, Arc::clone(&wake));
    let mut commit = super::commit_of(&[(ps[0], batch(1, 9)), (ps[1], batch(2, 9))]);
    commit.rewrites = vec![rewrite(log, ps[0], (0, 4), vec![at(2, 20)])];
    let submitted = submit(log, &commit);
    assert_eq!(submitted.base_offsets, [4, 0]);
    wait(submitted.durable).unwrap();
    assert_eq!(bases(log, ps[0], 0, ALL), [2, 4]);
    assert_eq!(bases(log, ps[1], 0, ALL), [0]);
    assert!(woken(&wake));
    drop(registered);
}

fn after_a_drop(log: &dyn Log) {
    let p = partition(1);
    filled(log, p, 4);
    let late = rewrite(log, p, (0, 4), vec![at(2, 66)]);
    let drop_it = Commit {
        drops: vec![p],
        ..Commit::default()
    };
    wait(submit(log, &drop_it).durable).unwrap();
    assert!(matches!(
        refused(log, vec![late.clone()]),
        SubmitError::Stale { .. }
    ));
    filled(log, p, 4);
    assert!(
        matches!(refused(log, vec![late]), SubmitError::Stale { .. }),
        "another partition of the same name"
    );
    apply(log, rewrite(log, p, (1, 3), Vec::new()));
    assert_eq!(bases(log, p, 0, ALL), [0, 3]);
}

fn times(log: &dyn Log) {
    let p = partition(1);
    filled(log, p, 10);
    apply(log, rewrite(log, p, (2, 10), vec![at(4, 40), at(7, 70)]));
    for (asked, found) in [
        (10, Some(1)),
        (11, Some(4)),
        (41, Some(7)),
        (70, Some(7)),
        (71, None),
    ] {
        assert_eq!(log.find_time(p, asked).unwrap(), found, "at {asked}");
    }
    assert_eq!(log.max_timestamp(p).unwrap(), Some((70, 7)));
    let bytes = log.state(p).bytes;
    assert_eq!(log.offset_for_bytes(p, bytes).unwrap(), 0);
    assert_eq!(log.offset_for_bytes(p, 1).unwrap(), 7);
}

fn again(log: &dyn Log) {
    let p = partition(1);
    filled(log, p, 12);
    apply(log, rewrite(log, p, (0, 6), vec![at(1, 1), at(3, 3)]));
    apply(log, rewrite(log, p, (6, 12), vec![at(8, 8), at(11, 11)]));
    assert_eq!(bases(log, p, 0, ALL), [1, 3, 8, 11]);
    // Over the border of both, and within one.
    apply(log, rewrite(log, p, (2, 9), vec![at(8, 88)]));
    assert_eq!(bases(log, p, 0, ALL), [1, 8, 11]);
    apply(log, rewrite(log, p, (9, 11), Vec::new()));
    assert_eq!(bases(log, p, 0, ALL), [1, 8, 11]);
    assert_eq!(bases(log, p, 9, ALL), [11]);
    apply(log, rewrite(log, p, (0, 8), Vec::new()));
    assert_eq!(bases(log, p, 0, ALL), [8, 11]);
    assert_eq!(log.max_timestamp(p).unwrap(), Some((88, 8)));
}

fn several_ranges(log: &dyn Log) {
    let ps = together(log, 2);
    filled(log, ps[0], 10);
    filled(log, ps[1], 3);
    let commit = commit_of(vec![
        rewrite(log, ps[0], (1, 3), vec![at(2, 1)]),
        rewrite(log, ps[1], (0, 2), vec![]),
        rewrite(log, ps[0], (5, 6), vec![]),
        rewrite(log, ps[0], (6, 9), vec![at(6, 6), at(8, 8)]),
    ]);
    wait(submit(log, &commit).durable).unwrap();
    assert_eq!(bases(log, ps[0], 0, ALL), [0, 2, 3, 4, 6, 8, 9]);
    assert_eq!(bases(log, ps[1], 0, ALL), [2]);
    let one = batch(1, 10).len() as u64;
    assert_eq!(log.state(ps[1]).bytes, one);
}

fn refusals(log: &dyn Log) {
    let p = partition(1);
    append(log, &[(p, batch(5, 1)), (p, batch(5, 2))]);
    let now = |range, batches| rewrite(log, p, range, batches);
    let bad = [
        vec![now((3, 3), vec![])],
        vec![now((-1, 5), vec![])],
        vec![now((2, 5), vec![])],
        vec![now((0, 7), vec![])],
        vec![now((0, 11), vec![])],
        vec![now((0, 5), vec![at(5, 1)])],
        vec![now((5, 10), vec![at(4, 1)])],
        vec![now((0, 5), vec![at(3, 1), at(3, 1)])],
        vec![now((0, 5), vec![Bytes::from_static(b"not a batch")])],
        vec![now((0, 10), vec![]), now((5, 10), vec![])],
    ];
    for rewrites in bad {
        let error = refused(log, rewrites.clone());
        assert!(
            matches!(error, SubmitError::Invalid(_)),
            "{error} for {rewrites:?}"
        );
    }
    assert_eq!(bases(log, p, 0, ALL), [0, 5]);
    assert_eq!(append(log, &[(p, batch(1, 1))]), [10]);
}
