//! What every backend of the log must do: run by the tests of each, on an empty log per case.
//!
//! Panics with the case's name where a backend deviates; for tests only.
#![allow(clippy::unwrap_used)]

mod rewrites;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use headwater_base::limits::COMMIT_BYTES_MAX;
use headwater_base::{Offset, PartitionId, TopicId};
use headwater_record::{BatchBuilder, Codec, records, validate};
use tokio::sync::Notify;

use crate::api::{Append, Bound, Commit, Log, PartitionState, ReadError, SubmitError, Submitted};
use crate::wait::wait;

const ALL: usize = usize::MAX;

type Case = fn(&dyn Log);

/// Runs every case, each on a new log from `make`.
pub fn run<L: Log>(make: &dyn Fn() -> L) {
    let cases: [(&str, Case); 13] = [
        ("appends get contiguous offsets", contiguous),
        ("a batch comes back as it went in", as_it_went_in),
        ("unknown partitions read as empty", unknown),
        (
            "reads start with the batch that holds the offset",
            inside_a_batch,
        ),
        (
            "reads end at max_bytes, but give at least one batch",
            max_bytes,
        ),
        ("offsets outside are refused", out_of_range),
        ("a commit over several partitions", several_partitions),
        ("trims move the start", trims),
        ("drops end a partition, and it starts again from 0", drops),
        ("times are found", times),
        ("retention by size finds its offset", sizes),
        ("registrations wake", wakes),
        ("what a log cannot take is refused", refusals),
    ];
    for (name, case) in cases.into_iter().chain(rewrites::CASES) {
        println!("conformance: {name}");
        case(&make());
    }
    println!("conformance: many writers");
    many_writers(&Arc::new(make()));
}

/// Partition 0 of the topic numbered `n`.
pub fn partition(n: u8) -> PartitionId {
    PartitionId {
        topic: TopicId([n; 16]),
        index: 0,
    }
}

/// A batch of `count` records with `timestamp_ms` on all of them.
pub fn batch(count: usize, timestamp_ms: i64) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    for i in 0..count {
        builder.push(
            timestamp_ms,
            None,
            Some(format!("{timestamp_ms}-{i}").as_bytes()),
        );
    }
    builder.build()
}

/// A commit of batches.
pub fn commit_of(batches: &[(PartitionId, Bytes)]) -> Commit {
    let append = |(partition, batch): &(PartitionId, Bytes)| Append {
        partition: *partition,
        batch: batch.clone(),
    };
    Commit {
        appends: batches.iter().map(append).collect(),
        ..Commit::default()
    }
}

/// Submits, again and again while the log says that it is busy.
pub fn submit(log: &dyn Log, commit: &Commit) -> Submitted {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        match log.submit(commit.clone()) {
            Err(SubmitError::Busy { .. }) if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(1))
            }
            other => return other.unwrap(),
        }
    }
}

fn append(log: &dyn Log, batches: &[(PartitionId, Bytes)]) -> Vec<Offset> {
    let submitted = submit(log, &commit_of(batches));
    wait(submitted.durable).unwrap();
    submitted.base_offsets
}

fn bases(log: &dyn Log, partition: PartitionId, from: Offset, max_bytes: usize) -> Vec<Offset> {
    let out = log
        .read(partition, from, max_bytes, Bound::Durable)
        .unwrap();
    out.batches
        .iter()
        .map(|batch| validate(batch).unwrap().base_offset)
        .collect()
}

fn contiguous(log: &dyn Log) {
    let p = partition(1);
    assert_eq!(append(log, &[(p, batch(3, 1)), (p, batch(1, 2))]), [0, 3]);
    assert_eq!(append(log, &[(p, batch(2, 3))]), [4]);
    assert_eq!(bases(log, p, 0, ALL), [0, 3, 4]);
    let state = log.state(p);
    assert_eq!(
        (state.start, state.durable_end, state.submitted_end),
        (0, 6, 6)
    );
}

fn as_it_went_in(log: &dyn Log) {
    let p = partition(1);
    for codec in Codec::ALL {
        let mut builder = BatchBuilder::new(codec).producer(4, 2, 9);
        builder.push_with_headers(5, Some(b"k"), Some(b"v"), &[(b"h", None)]);
        let batch = builder.build();
        let base = append(log, &[(p, batch.clone())])[0];
        let out = log.read(p, base, ALL, Bound::Durable).unwrap();
        assert_eq!(
            out.batches[0][17..],
            batch[17..],
            "only base offset and leader epoch may change"
        );
        assert_eq!(
            records(&out.batches[0])
                .unwrap()
                .next()
                .unwrap()
                .unwrap()
                .offset,
            base
        );
    }
}

fn unknown(log: &dyn Log) {
    let p = partition(9);
    assert_eq!(log.state(p), PartitionState::default());
    assert!(
        log.read(p, 0, ALL, Bound::Durable)
            .unwrap()
            .batches
            .is_empty()
    );
    assert!(matches!(
        log.read(p, 1, ALL, Bound::Durable),
        Err(ReadError::OutOfRange { .. })
    ));
    assert_eq!(log.find_time(p, 0).unwrap(), None);
}

fn inside_a_batch(log: &dyn Log) {
    let p = partition(1);
    (0..5).for_each(|i| drop(append(log, &[(p, batch(10, i))])));
    assert_eq!(bases(log, p, 25, ALL), [20, 30, 40]);
    assert_eq!(bases(log, p, 30, ALL), [30, 40]);
    assert!(bases(log, p, 50, ALL).is_empty());
}

fn max_bytes(log: &dyn Log) {
    let p = partition(1);
    let one = batch(10, 1);
    (0..5).for_each(|_| drop(append(log, &[(p, one.clone())])));
    assert_eq!(bases(log, p, 0, 0), [0]);
    assert_eq!(bases(log, p, 0, one.len() * 2), [0, 10]);
    assert_eq!(bases(log, p, 0, one.len() * 3 - 1), [0, 10]);
}

fn out_of_range(log: &dyn Log) {
    let p = partition(1);
    append(log, &[(p, batch(3, 1))]);
    for offset in [-1, 4, Offset::MAX] {
        let refused = log.read(p, offset, ALL, Bound::Durable);
        let Err(ReadError::OutOfRange { offset: at, state }) = refused else {
            panic!("{offset}: {refused:?}")
        };
        assert_eq!((at, state.durable_end), (offset, 3));
    }
}

/// Partitions that a commit may touch together, whatever the number of shards.
fn together(log: &dyn Log, count: usize) -> Vec<PartitionId> {
    let shard = log.shard_of(partition(0));
    (0..=255)
        .map(partition)
        .filter(|p| log.shard_of(*p) == shard)
        .take(count)
        .collect()
}

fn several_partitions(log: &dyn Log) {
    let ps = together(log, 3);
    let appends = [
        (ps[0], batch(1, 1)),
        (ps[1], batch(2, 1)),
        (ps[0], batch(3, 1)),
        (ps[2], batch(4, 1)),
    ];
    assert_eq!(append(log, &appends), [0, 0, 1, 0]);
    assert_eq!(append(log, &appends), [4, 2, 5, 4]);
    assert_eq!(bases(log, ps[0], 0, ALL), [0, 1, 4, 5]);
    assert_eq!(log.state(ps[1]).durable_end, 4);
    let mut seen: HashMap<PartitionId, Vec<Offset>> = HashMap::new();
    log.scan(&mut |p, meta| seen.entry(p).or_default().push(meta.base_offset))
        .unwrap();
    assert_eq!(
        (seen.len(), &seen[&ps[0]], &seen[&ps[2]]),
        (3, &vec![0, 1, 4, 5], &vec![0, 4])
    );
}

fn trim(log: &dyn Log, partition: PartitionId, offset: Offset) {
    wait(
        submit(
            log,
            &Commit {
                trims: vec![(partition, offset)],
                ..Commit::default()
            },
        )
        .durable,
    )
    .unwrap();
}

fn trims(log: &dyn Log) {
    let p = partition(1);
    (0..4).for_each(|i| drop(append(log, &[(p, batch(10, i))])));
    let bytes = log.state(p).bytes;
    trim(log, p, 15);
    assert_eq!(log.state(p).start, 15);
    let held = log.state(p).bytes;
    assert!(
        held < bytes && held >= bytes / 2,
        "{held} of {bytes} bytes: a backend may estimate within a chunk"
    );
    assert!(matches!(
        log.read(p, 14, ALL, Bound::Durable),
        Err(ReadError::OutOfRange { .. })
    ));
    assert_eq!(bases(log, p, 15, ALL), [10, 20, 30]);
    assert_eq!(log.find_time(p, 0).unwrap(), Some(10));
    trim(log, p, 3);
    assert_eq!(log.state(p).start, 15, "the start never moves back");
    trim(log, p, 1000);
    let state = log.state(p);
    assert_eq!(
        (state.start, state.durable_end, state.bytes),
        (40, 40, 0),
        "nor past the end"
    );
    assert_eq!(append(log, &[(p, batch(1, 9))]), [40]);
    trim(log, partition(77), 5);
    assert_eq!(
        log.state(partition(77)),
        PartitionState::default(),
        "a trim makes no partition"
    );
}

fn drops(log: &dyn Log) {
    let p = partition(1);
    append(log, &[(p, batch(10, 1))]);
    wait(
        submit(
            log,
            &Commit {
                drops: vec![p],
                ..Commit::default()
            },
        )
        .durable,
    )
    .unwrap();
    assert_eq!(log.state(p), PartitionState::default());
    let mut batches = 0;
    log.scan(&mut |_, _| batches += 1).unwrap();
    assert_eq!(batches, 0);
    assert_eq!(append(log, &[(p, batch(2, 5))]), [0]);
    assert_eq!(
        (log.state(p).durable_end, bases(log, p, 0, ALL).len()),
        (2, 1)
    );
}

fn times(log: &dyn Log) {
    let p = partition(1);
    [100, 300, 200, 400]
        .iter()
        .for_each(|t| drop(append(log, &[(p, batch(2, *t))])));
    for (asked, found) in [
        (0, Some(0)),
        (100, Some(0)),
        (101, Some(2)),
        (250, Some(2)),
        (301, Some(6)),
        (401, None),
    ] {
        assert_eq!(log.find_time(p, asked).unwrap(), found, "at {asked}");
    }
    assert_eq!(log.max_timestamp(p).unwrap(), Some((400, 6)));
    append(log, &[(p, batch(1, 400)), (p, batch(1, 7))]);
    assert_eq!(log.max_timestamp(p).unwrap(), Some((400, 6)), "the first");
    trim(log, p, 8);
    assert_eq!(log.max_timestamp(p).unwrap(), Some((400, 8)));
    assert_eq!(log.max_timestamp(partition(9)).unwrap(), None);
}

fn sizes(log: &dyn Log) {
    let p = partition(1);
    let one = batch(10, 1);
    (0..5).for_each(|_| drop(append(log, &[(p, one.clone())])));
    let bytes = one.len() as u64;
    for (keep, offset) in [
        (0, 40),
        (1, 40),
        (bytes, 40),
        (bytes + 1, 30),
        (3 * bytes, 20),
        (5 * bytes, 0),
        (u64::MAX, 0),
    ] {
        assert_eq!(log.offset_for_bytes(p, keep).unwrap(), offset, "{keep}");
    }
    trim(log, p, 25);
    assert_eq!(log.offset_for_bytes(p, u64::MAX).unwrap(), 25);
    assert_eq!(log.offset_for_bytes(partition(9), 1).unwrap(), 0);
}

/// Whether the wake-up has been given; takes it.
fn woken(wake: &Notify) -> bool {
    let notified = std::pin::pin!(wake.notified());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    std::future::Future::poll(notified, &mut context).is_ready()
}

fn wakes(log: &dyn Log) {
    let (p, q) = (partition(1), partition(2));
    let (durable, submitted) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let first = log.register(&[p, q], Bound::Durable, Arc::clone(&durable));
    let second = log.register(&[p], Bound::Submitted, Arc::clone(&submitted));
    append(log, &[(q, batch(1, 1))]);
    assert_eq!((woken(&durable), woken(&submitted)), (true, false));
    append(log, &[(p, batch(1, 1))]);
    assert_eq!((woken(&durable), woken(&submitted)), (true, true));
    trim(log, p, 1);
    assert_eq!((woken(&durable), woken(&submitted)), (true, true));
    wait(
        submit(
            log,
            &Commit {
                drops: vec![p],
                ..Commit::default()
            },
        )
        .durable,
    )
    .unwrap();
    assert_eq!((woken(&durable), woken(&submitted)), (true, true));
    drop((first, second));
    append(log, &[(p, batch(1, 1))]);
    assert_eq!((woken(&durable), woken(&submitted)), (false, false));
}

fn refusals(log: &dyn Log) {
    let refused = log.submit(commit_of(&[(
        partition(1),
        Bytes::from_static(b"not a batch"),
    )]));
    assert!(matches!(refused, Err(SubmitError::Invalid(_))));
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(1, None, Some(&vec![0; COMMIT_BYTES_MAX]));
    let refused = log.submit(commit_of(&[(partition(1), builder.build())]));
    assert!(matches!(refused, Err(SubmitError::TooLarge { .. })));
    let other = (1..=255)
        .map(partition)
        .find(|p| log.shard_of(*p) != log.shard_of(partition(0)));
    if let Some(other) = other {
        let refused = log.submit(commit_of(&[
            (partition(0), batch(1, 1)),
            (other, batch(1, 1)),
        ]));
        assert!(matches!(refused, Err(SubmitError::CrossShard(..))));
    }
    assert_eq!(
        log.state(partition(0)),
        PartitionState::default(),
        "nothing of a refused commit is written"
    );
    assert!(log.shards() > 0 && log.shard_of(partition(3)) < log.shards());
}

fn many_writers<L: Log>(log: &Arc<L>) {
    const COMMITS: i64 = 200;
    let writers: Vec<_> = (0..4u8)
        .map(|n| {
            let log = Arc::clone(log);
            std::thread::spawn(move || {
                let pending: Vec<_> = (0..COMMITS)
                    .map(|i| submit(&*log, &commit_of(&[(partition(n / 2), batch(2, i))])))
                    .collect();
                pending
                    .into_iter()
                    .for_each(|submitted| wait(submitted.durable).unwrap());
            })
        })
        .collect();
    writers
        .into_iter()
        .for_each(|writer| writer.join().unwrap());
    for n in 0..2 {
        let mut next = 0;
        while next < 4 * COMMITS {
            let found = bases(&**log, partition(n), next, 5000);
            assert_eq!(found[0], next);
            next = found.last().unwrap() + 2;
        }
        assert_eq!(log.state(partition(n)).durable_end, 4 * COMMITS);
    }
}
