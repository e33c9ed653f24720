//! Compaction against a model: whatever is written, compacted and interrupted, who reads what is committed from the start gets the
//! last value of every key, in order, and nothing that was aborted.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use headwater_base::TopicId;
use headwater_log::local::disk::FaultDisk;
use headwater_log::local::disk::fault::Survives;
use headwater_log::{Append, Commit, LocalConfig, LocalLog, MemoryLog, wait};
use headwater_record::{BatchBuilder, Codec, Record, control_batch, records};
use proptest::prelude::*;

use super::*;

const ID: PartitionId = PartitionId {
    topic: TopicId([5; 16]),
    index: 0,
};
const DAY_MS: i64 = 24 * 3_600_000;

#[derive(Clone, Debug)]
enum Op {
    /// Keys and whether each gets a value; of a transaction of this producer, if any.
    Put {
        producer: Option<i64>,
        records: Vec<(u8, bool)>,
        codec: usize,
    },
    End {
        producer: i64,
        commits: bool,
    },
    Compact {
        crash_after: Option<usize>,
        keys_max: usize,
        wait_days: i64,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let records = prop::collection::vec((0u8..6, prop::bool::weighted(0.8)), 1..5);
    let producer = prop::option::weighted(0.6, 0i64..3);
    let put = (producer, records, 0usize..5).prop_map(|(producer, records, codec)| Op::Put {
        producer,
        records,
        codec,
    });
    let end =
        (0i64..3, any::<bool>()).prop_map(|(producer, commits)| Op::End { producer, commits });
    let crash_after = prop::option::weighted(0.3, 0usize..4);
    let compact =
        (crash_after, 1usize..8, 0i64..3).prop_map(|(crash_after, keys_max, wait_days)| {
            Op::Compact {
                crash_after,
                keys_max,
                wait_days,
            }
        });
    prop_oneof![5 => put, 2 => end, 2 => compact]
}

/// The log, and what is true of it.
struct Model {
    log: Arc<dyn Log>,
    /// What the log is on, unless it is in memory.
    disk: Option<FaultDisk>,
    /// Every record ever written, by offset.
    written: BTreeMap<Offset, Record>,
    /// Of committed transactions and outside of any.
    committed: BTreeSet<Offset>,
    open: BTreeMap<i64, (Offset, Vec<Offset>)>,
    aborted: Vec<AbortedRange>,
    clean: Clean,
    now_ms: i64,
    values: u32,
}

/// A local log of small chunks, so that they fill and are given back.
fn open(disk: &FaultDisk) -> Arc<dyn Log> {
    let config = LocalConfig {
        chunk_bytes: 64 * 1024,
        tail_cache_bytes_max: 2 * 1024,
        ..LocalConfig::default()
    };
    Arc::new(LocalLog::open_on(Arc::new(disk.clone()), config).unwrap())
}

impl Model {
    fn in_memory() -> Self {
        Self::on(Arc::new(MemoryLog::new(1)), None)
    }

    fn on_a_disk(seed: u64) -> Self {
        let disk = FaultDisk::new(seed);
        Self::on(open(&disk), Some(disk))
    }

    fn on(log: Arc<dyn Log>, disk: Option<FaultDisk>) -> Self {
        Self {
            log,
            disk,
            written: BTreeMap::new(),
            committed: BTreeSet::new(),
            open: BTreeMap::new(),
            aborted: Vec::new(),
            clean: Clean {
                to: 0,
                bytes: 0,
                horizon_ms: i64::MAX,
            },
            now_ms: 100 * DAY_MS,
            values: 0,
        }
    }

    fn append(&self, batch: Bytes) -> Offset {
        let commit = Commit {
            appends: vec![Append {
                partition: ID,
                batch,
            }],
            ..Commit::default()
        };
        let submitted = self.log.submit(commit).unwrap();
        wait(submitted.durable).unwrap();
        submitted.base_offsets[0]
    }

    /// The power fails while a piece is on its way, and the log is opened again.
    fn power_cut(&mut self, rewrites: Vec<Rewrite>) {
        let Some(disk) = self.disk.take() else { return };
        let commit = Commit {
            rewrites,
            ..Commit::default()
        };
        let under_way = self.log.submit(commit).unwrap();
        let found = disk.after_power_cut(Survives::SomeSectors(u64::from(self.values)));
        drop(under_way);
        self.log = open(&found);
        self.disk = Some(found);
        self.check();
    }

    fn put(&mut self, producer: Option<i64>, of: &[(u8, bool)], codec: usize) {
        let mut builder = BatchBuilder::new(Codec::ALL[codec]);
        if let Some(producer) = producer {
            builder = builder.producer(producer, 0, 0).transactional();
        }
        for (key, has_value) in of {
            self.values += 1;
            let value = format!("{}-{}", self.values, "x".repeat(20));
            builder.push(
                self.now_ms + i64::from(self.values),
                Some(&[b'k', *key]),
                has_value.then_some(value.as_bytes()),
            );
        }
        let base = self.append(builder.build());
        let out = self.log.read(ID, base, 1, Bound::Durable).unwrap();
        let stored: Vec<Record> = records(&out.batches[0])
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let offsets = stored.iter().map(|record| record.offset);
        match producer {
            None => self.committed.extend(offsets),
            Some(producer) => {
                let open = self.open.entry(producer).or_insert((base, Vec::new()));
                open.1.extend(offsets);
            }
        }
        self.written
            .extend(stored.into_iter().map(|record| (record.offset, record)));
    }

    fn end(&mut self, producer: i64, commits: bool) {
        let kind = match commits {
            true => ControlType::Commit,
            false => ControlType::Abort,
        };
        let marker = self.append(control_batch(kind, (producer, 0), 0, self.now_ms));
        let Some((first, offsets)) = self.open.remove(&producer) else {
            return;
        };
        match commits {
            true => self.committed.extend(offsets),
            false => self.aborted.push(AbortedRange {
                producer_id: producer,
                first,
                last: marker,
            }),
        }
    }

    /// Compacts up to what is decided, but for the newest batch; stops in the middle when it is to crash.
    fn compact(&mut self, crash_after: Option<usize>, keys_max: usize) {
        let state = self.log.state(ID);
        if state.durable_end == 0 {
            return;
        }
        let newest = self
            .log
            .read(ID, state.durable_end - 1, 1, Bound::Durable)
            .unwrap();
        let newest = BatchHeader::parse(&newest.batches[0]).unwrap().base_offset;
        let first_open = self.open.values().map(|(first, _)| *first).min();
        let to = first_open.map_or(newest, |first| first.min(newest));
        let mut pieces = 0;
        loop {
            let extent = Extent {
                id: ID,
                dirty_from: self.clean.to.min(to),
                to,
                now_ms: self.now_ms,
                delete_retention_ms: DAY_MS,
                piece_bytes: 300,
            };
            let aborted = Aborted::new(self.aborted.clone());
            let mut run = Run::new(extent, 0, aborted, keys_max * 60);
            while !run.map(&*self.log).unwrap().0 {}
            run.rewind(0);
            while let Some(mut piece) = run.plan(&*self.log).unwrap() {
                self.aborted
                    .retain(|range| !piece.forgotten.contains(range));
                let rewrites = std::mem::take(&mut piece.rewrites);
                if crash_after == Some(pieces) {
                    return self.power_cut(rewrites);
                }
                pieces += 1;
                let commit = Commit {
                    rewrites,
                    ..Commit::default()
                };
                wait(self.log.submit(commit).unwrap().durable).unwrap();
                run.advance(piece);
                self.check();
            }
            let (clean, end) = run.result();
            self.clean = clean;
            self.now_ms += 1;
            if end >= to {
                break;
            }
        }
        self.check_compacted(to);
    }

    fn batches(&self) -> Vec<Bytes> {
        self.log
            .read(ID, 0, usize::MAX, Bound::Durable)
            .unwrap()
            .batches
    }

    /// What a consumer in read_committed sees below the first open transaction, by Kafka's algorithm: it is told of aborted
    /// transactions by producer and first offset, and drops the producer's records until it meets the marker.
    fn read_committed(&self) -> Vec<Record> {
        let stable = self.open.values().map(|(first, _)| *first).min();
        let mut told: Vec<AbortedRange> = self.aborted.clone();
        told.sort_by_key(|range| range.first);
        let (mut dropping, mut seen) = (BTreeSet::new(), Vec::new());
        for batch in self.batches() {
            let header = BatchHeader::parse(&batch).unwrap();
            if stable.is_some_and(|stable| header.base_offset >= stable) {
                break;
            }
            while told
                .first()
                .is_some_and(|range| range.first <= header.last_offset())
            {
                dropping.insert(told.remove(0).producer_id);
            }
            if header.is_control() {
                if control_type(&batch).unwrap() == Some(ControlType::Abort) {
                    dropping.remove(&header.producer_id);
                }
                continue;
            }
            if header.is_transactional() && dropping.contains(&header.producer_id) {
                continue;
            }
            seen.extend(records(&batch).unwrap().map(Result::unwrap));
        }
        seen
    }

    /// What has to hold at any moment, also in the middle of a run.
    fn check(&self) {
        let seen = self.read_committed();
        let ascending = seen.windows(2).all(|pair| pair[0].offset < pair[1].offset);
        assert!(ascending, "offsets ascend");
        for record in &seen {
            assert_eq!(Some(record), self.written.get(&record.offset), "unchanged");
            assert!(self.committed.contains(&record.offset), "never aborted");
        }
        let stable = self.open.values().map(|(first, _)| *first).min();
        let stable = stable.unwrap_or(Offset::MAX);
        let committed = self.committed.iter().filter(|offset| **offset < stable);
        let committed = committed.map(|offset| &self.written[offset]);
        assert_eq!(latest(seen.iter()), latest(committed));
        // Open transactions are rebuilt from the batches: data opens, a marker closes.
        let mut open = BTreeSet::new();
        for batch in self.batches() {
            let header = BatchHeader::parse(&batch).unwrap();
            match (header.is_control(), header.is_transactional()) {
                (true, _) => drop(open.remove(&header.producer_id)),
                (false, true) => drop(open.insert(header.producer_id)),
                (false, false) => {}
            }
        }
        assert_eq!(open, self.open.keys().copied().collect());
    }

    /// Below what a run has reached, every key has one record.
    fn check_compacted(&self, to: Offset) {
        let mut keys = BTreeSet::new();
        for batch in self.batches() {
            let header = BatchHeader::parse(&batch).unwrap();
            if header.base_offset >= to || header.is_control() {
                continue;
            }
            for record in records(&batch).unwrap() {
                assert!(keys.insert(record.unwrap().key), "a key twice");
            }
        }
    }
}

/// The last value of each key that has one.
fn latest<'a>(records: impl Iterator<Item = &'a Record>) -> BTreeMap<Bytes, Bytes> {
    let mut latest = BTreeMap::new();
    for record in records {
        let key = record.key.clone().unwrap();
        match &record.value {
            Some(value) => latest.insert(key, value.clone()),
            None => latest.remove(&key),
        };
    }
    latest
}

fn play(mut model: Model, ops: Vec<Op>) {
    for op in ops {
        match op {
            Op::Put {
                producer,
                records,
                codec,
            } => model.put(producer, &records, codec),
            Op::End { producer, commits } => model.end(producer, commits),
            Op::Compact {
                crash_after,
                keys_max,
                wait_days,
            } => {
                model.now_ms += wait_days * DAY_MS;
                let end = model.log.state(ID).durable_end;
                model.compact(crash_after, keys_max);
                assert_eq!(model.log.state(ID).durable_end, end);
            }
        }
        model.check();
    }
    // In the end everything goes that can: nothing aborted, no tombstone, no marker but of data that is left.
    (0..3).for_each(|producer| model.end(producer, producer != 1));
    model.put(None, &[(0, true)], 0);
    for _ in 0..3 {
        model.now_ms += 2 * DAY_MS;
        model.compact(None, 100);
    }
    assert!(model.aborted.is_empty());
    let (mut markers, mut with_data) = (0, 0);
    for batch in model.batches() {
        let header = BatchHeader::parse(&batch).unwrap();
        match header.is_control() {
            true => markers += 1,
            false => with_data += usize::from(header.is_transactional()),
        }
        let valued = |record: Result<Record, _>| record.unwrap().value.is_some();
        assert!(records(&batch).unwrap().all(valued));
    }
    assert!(
        markers <= with_data,
        "{markers} markers, {with_data} batches"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn readers_of_what_is_committed_see_the_last_value_of_every_key(ops in prop::collection::vec(op(), 1..40)) {
        play(Model::in_memory(), ops);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn so_they_do_when_the_power_fails(ops in prop::collection::vec(op(), 1..40), seed: u64) {
        play(Model::on_a_disk(seed), ops);
    }
}
