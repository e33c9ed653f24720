//! Transactions through the broker, on one shard, on four, and on a folder, with restarts anywhere.

mod history;
mod offsets;

use headwater_base::ManualClock;
use headwater_connect::step_log::{StepLog, Visibility};
use headwater_coord::txns::{Ending, Producer, TxnError};
use headwater_log::{Bound, LocalConfig, LocalLog, Log};
use headwater_record::{BatchHeader, records};

use super::*;

/// Clients of transactions v2 if set, else of those with AddPartitionsToTxn.
pub(super) const V2: [bool; 2] = [false, true];

/// A broker on some log, with a clock that stands still.
pub(super) struct Stage {
    pub log: Arc<dyn Log>,
    pub clock: Arc<ManualClock>,
    pub broker: Arc<Broker>,
}

impl Stage {
    pub fn on(log: Arc<dyn Log>) -> Self {
        let clock = Arc::new(ManualClock::at(1_000_000));
        let broker = open_at(&log, &clock);
        Self { log, clock, broker }
    }

    pub fn in_memory(shards: u16) -> Self {
        Self::on(Arc::new(MemoryLog::new(shards)))
    }

    pub fn restart(self) -> Self {
        let Self { log, clock, broker } = self;
        drop(broker);
        let broker = open_at(&log, &clock);
        Self { log, clock, broker }
    }

    pub async fn topic(&self, name: &str, partitions: i32) -> Arc<Topic> {
        let new = NewTopic {
            name: name.into(),
            partitions,
            replicas: 1,
            ..NewTopic::default()
        };
        let made = self.broker.create_topics(vec![new], false).await;
        made.into_iter().next().unwrap().unwrap()
    }

    pub fn partition(&self, index: i32) -> headwater_base::PartitionId {
        let topic = self.broker.find_topic(&named("t")).unwrap();
        topic.partition(index).unwrap()
    }

    pub async fn init(&self, id: &str) -> Producer {
        let producer = self.broker.init_transactional_producer(id, 60_000, None);
        producer.await.unwrap()
    }

    /// Writes one record in a transaction, as a client of this kind does.
    pub async fn write(
        &self,
        id: &str,
        by: Producer,
        (index, sequence): (i32, i32),
        value: &str,
        v2: bool,
    ) -> Result<Appended, BrokerError> {
        if !v2 {
            let partitions = vec![self.partition(index)];
            let added = self
                .broker
                .add_to_txn(id, by, partitions, Vec::new(), false);
            added.await?;
        }
        let batch = transactional(by, sequence, value);
        let ticket =
            self.broker
                .produce_as(Some(writer(id, v2)), &named("t"), index, Some(batch))?;
        self.broker.write_produced(true);
        ticket.settle().await
    }

    pub async fn end(
        &self,
        id: &str,
        by: Producer,
        commits: bool,
        v2: bool,
    ) -> Result<Producer, BrokerError> {
        let ending = if commits {
            Ending::Commit
        } else {
            Ending::Abort
        };
        self.broker.end_txn(id, by, ending, v2).await
    }

    /// What a consumer of committed records gets, filtered as clients do it.
    pub async fn committed(&self, index: i32) -> Vec<String> {
        let item = FetchItem {
            topic: named("t"),
            partition: index,
            offset: 0,
            max_bytes: 1 << 20,
            leader_epoch: -1,
        };
        let request = FetchRequest {
            max_wait: Duration::ZERO,
            min_bytes: 0,
            max_bytes: 1 << 20,
            committed: true,
            partitions: vec![item],
        };
        let mut out = self.broker.fetch(request).await;
        let fetched = out.partitions.pop().unwrap().unwrap();
        let stable = self
            .broker
            .last_stable_offset(self.partition(index), Bound::Durable);
        assert_eq!(fetched.last_stable, stable);
        as_a_client(&fetched)
    }

    /// What the engine gets.
    pub fn engine(&self, index: i32, visibility: Visibility) -> Vec<String> {
        let partition = self.partition(index);
        let read = self
            .broker
            .read_committed(partition, 0, 1 << 20, visibility);
        values(&read.unwrap().batches)
    }
}

fn open_at(log: &Arc<dyn Log>, clock: &Arc<ManualClock>) -> Arc<Broker> {
    let clock = Arc::clone(clock) as Arc<dyn headwater_base::Clock>;
    Broker::open(Arc::clone(log), clock, BrokerConfig::default()).unwrap()
}

pub(super) fn writer(id: &str, v2: bool) -> Writer<'_> {
    Writer {
        transactional_id: id,
        adds: v2,
        knows_abortable: v2,
    }
}

fn transactional(by: Producer, sequence: i32, value: &str) -> Bytes {
    let builder = BatchBuilder::new(Codec::None).producer(by.id, by.epoch, sequence);
    let mut builder = builder.transactional();
    builder.push(1_000_000, None, Some(value.as_bytes()));
    builder.build()
}

fn values(batches: &[Bytes]) -> Vec<String> {
    let all = batches.iter().flat_map(|batch| records(batch).unwrap());
    let value = |record: headwater_record::Record| record.value.unwrap();
    all.map(|record| String::from_utf8(value(record.unwrap()).to_vec()).unwrap())
        .collect()
}

/// A consumer takes an aborted transaction up when it gets to its first offset and drops the producer's batches until the marker.
fn as_a_client(fetched: &Fetched) -> Vec<String> {
    let mut waiting = fetched.aborted.clone();
    waiting.sort_by_key(|range| range.first);
    waiting.reverse();
    let mut dropped = std::collections::HashSet::new();
    let mut kept = Vec::new();
    for batch in &fetched.batches {
        let header = BatchHeader::parse(batch).unwrap();
        while waiting
            .last()
            .is_some_and(|range| range.first <= header.last_offset())
        {
            dropped.insert(waiting.pop().unwrap().producer_id);
        }
        if header.is_control() {
            dropped.remove(&header.producer_id);
        } else if !(header.is_transactional() && dropped.contains(&header.producer_id)) {
            kept.push(batch.clone());
        }
    }
    values(&kept)
}

#[tokio::test]
async fn what_is_committed_is_seen_what_is_aborted_or_open_is_not() {
    for (shards, v2) in [(1, false), (1, true), (4, false), (4, true)] {
        let stage = Stage::in_memory(shards);
        stage.topic("t", 2).await;
        let me = stage.init("x").await;
        stage.write("x", me, (0, 0), "a", v2).await.unwrap();
        stage.write("x", me, (1, 0), "b", v2).await.unwrap();
        assert!(stage.committed(0).await.is_empty());
        assert!(stage.engine(0, Visibility::InFlight).is_empty());
        assert_eq!(stage.broker.extent(stage.partition(0)), (0, 0));
        let me = stage.end("x", me, true, v2).await.unwrap();
        assert_eq!(stage.committed(0).await, ["a"]);
        assert_eq!(stage.engine(1, Visibility::Durable), ["b"]);
        let next = if v2 { 0 } else { 1 };
        stage.write("x", me, (0, next), "c", v2).await.unwrap();
        stage.end("x", me, false, v2).await.unwrap();
        for stage in [stage.restart()] {
            assert_eq!(stage.committed(0).await, ["a"]);
            assert_eq!(stage.engine(0, Visibility::InFlight), ["a"]);
            assert_eq!(stage.engine(0, Visibility::Durable), ["a"]);
            let end = stage.log.state(stage.partition(0)).durable_end;
            assert_eq!((end, stage.broker.extent(stage.partition(0)).1), (4, 4));
        }
    }
}

#[tokio::test]
async fn an_open_transaction_and_its_aborted_past_survive_a_restart_of_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let local = || Arc::new(LocalLog::open(dir.path(), LocalConfig::default()).unwrap());
    let stage = Stage::on(local());
    stage.topic("t", 1).await;
    let me = stage.init("x").await;
    stage.write("x", me, (0, 0), "aborted", true).await.unwrap();
    let me = stage.end("x", me, false, true).await.unwrap();
    stage.write("x", me, (0, 0), "open", true).await.unwrap();
    drop(stage);
    let stage = Stage::on(local());
    assert!(stage.committed(0).await.is_empty());
    stage.write("x", me, (0, 1), "more", true).await.unwrap();
    stage.end("x", me, true, true).await.unwrap();
    drop(stage);
    let stage = Stage::on(local());
    assert_eq!(stage.committed(0).await, ["open", "more"]);
    assert_eq!(stage.engine(0, Visibility::Durable), ["open", "more"]);
}

#[tokio::test]
async fn a_batch_outside_of_a_transaction_is_refused_by_what_the_client_knows() {
    let stage = Stage::in_memory(1);
    stage.topic("t", 2).await;
    let me = stage.init("x").await;
    let put = |writer: Option<Writer<'static>>, by| {
        let batch = transactional(by, 0, "v");
        let outcome = stage.broker.produce_as(writer, &named("t"), 0, Some(batch));
        outcome.map(|_| ())
    };
    let old = Writer {
        transactional_id: "x",
        adds: false,
        knows_abortable: false,
    };
    let middle = Writer {
        knows_abortable: true,
        ..old
    };
    let new = Writer {
        adds: true,
        ..middle
    };
    assert_eq!(put(None, me), Err(BrokerError::InvalidTransaction));
    assert_eq!(put(Some(old), me), Err(BrokerError::InvalidTransaction));
    assert_eq!(
        put(Some(middle), me),
        Err(TxnError::TransactionAbortable.into())
    );
    let fenced = Producer { epoch: 1, ..me };
    assert_eq!(put(Some(new), fenced), Err(BrokerError::FencedProducer));
    let other = Producer { id: 99_999, ..me };
    assert_eq!(
        put(Some(new), other),
        Err(TxnError::InvalidProducerIdMapping.into())
    );
    assert_eq!(put(Some(new), me), Ok(()));
    let plain = sequenced(me.id, me.epoch, 1, 1);
    let outcome = stage.broker.produce(&named("t"), 0, Some(plain));
    assert_eq!(outcome.map(|_| ()), Err(BrokerError::InvalidTransaction));
}

#[tokio::test]
async fn a_new_producer_fences_and_a_time_out_aborts() {
    for v2 in V2 {
        let stage = Stage::in_memory(1);
        stage.topic("t", 1).await;
        let old = stage.init("x").await;
        stage.write("x", old, (0, 0), "zombie", v2).await.unwrap();
        let me = stage.init("x").await;
        assert!(me.id == old.id && me.epoch > old.epoch);
        assert!(stage.write("x", old, (0, 1), "zombie", v2).await.is_err());
        let late = stage.end("x", old, true, v2).await;
        assert_eq!(late, Err(TxnError::ProducerFenced.into()));
        stage.write("x", me, (0, 0), "slow", v2).await.unwrap();
        stage.clock.advance(60_001);
        stage.broker.tick_transactions().await;
        assert!(stage.end("x", me, true, v2).await.is_err());
        assert!(stage.committed(0).await.is_empty());
        let state = stage.broker.describe_txn("x").unwrap();
        assert_eq!(state.state.name(), "CompleteAbort");
        let me = stage.init("x").await;
        stage.write("x", me, (0, 0), "good", v2).await.unwrap();
        stage.end("x", me, true, v2).await.unwrap();
        assert_eq!(stage.restart().committed(0).await, ["good"]);
    }
}

#[tokio::test]
async fn a_crash_between_the_decision_and_the_markers_is_mended_at_the_next_start() {
    for commits in [true, false] {
        let log = Arc::new(MemoryLog::new(4));
        let stage = Stage::on(Arc::clone(&log) as Arc<dyn Log>);
        stage.topic("t", 6).await;
        let me = stage.init("x").await;
        for index in 0..6 {
            stage.write("x", me, (index, 0), "v", true).await.unwrap();
        }
        log.hold();
        let end = stage.end("x", me, commits, true);
        // Submits the decision and does not get any further.
        assert!(
            tokio::time::timeout(Duration::from_millis(5), end)
                .await
                .is_err()
        );
        let view = stage.broker.describe_txn("x").unwrap();
        assert!(view.state.ending().is_some(), "{view:?}");
        log.release();
        let retry = stage.end("x", me, commits, true).await;
        assert_eq!(retry, Err(TxnError::ConcurrentTransactions.into()));
        let stage = stage.restart();
        let view = stage.broker.describe_txn("x").unwrap();
        assert_eq!((view.state.ending(), view.topics.len()), (None, 0));
        for index in 0..6 {
            assert_eq!(stage.committed(index).await.len(), usize::from(commits));
        }
        let again = stage.end("x", me, commits, true).await.unwrap();
        assert_eq!(again.epoch, me.epoch + 1);
    }
}

#[tokio::test]
async fn nothing_is_stable_before_the_marker_is_durable_but_the_engine_goes_ahead() {
    let log = Arc::new(MemoryLog::new(1));
    let stage = Stage::on(Arc::clone(&log) as Arc<dyn Log>);
    stage.topic("t", 1).await;
    let me = stage.init("x").await;
    stage.write("x", me, (0, 0), "v", true).await.unwrap();
    log.hold();
    let end = stage.end("x", me, true, true);
    assert!(
        tokio::time::timeout(Duration::from_millis(5), end)
            .await
            .is_err()
    );
    assert!(stage.committed(0).await.is_empty());
    assert!(stage.engine(0, Visibility::Durable).is_empty());
    assert_eq!(stage.engine(0, Visibility::InFlight), ["v"]);
    log.release();
    assert_eq!(stage.committed(0).await, ["v"]);
}

#[tokio::test]
async fn a_hanging_transaction_is_ended_by_hand() {
    for shards in [1, 4] {
        let stage = Stage::in_memory(shards);
        stage.topic("t", 1).await;
        let me = stage.init("x").await;
        stage.write("x", me, (0, 0), "hanging", true).await.unwrap();
        let active = stage.broker.active_producers(&named("t"), 0).unwrap();
        assert_eq!(
            (active[0].producer_id, active[0].txn_first),
            (me.id, Some(0))
        );
        let marker = Marker {
            producer: me,
            coordinator_epoch: 0,
            ending: Ending::Abort,
        };
        let topic = named("t");
        stage
            .broker
            .write_txn_marker(&marker, &topic, 0)
            .await
            .unwrap();
        let unknown = Marker {
            producer: Producer { id: 77, epoch: 3 },
            ..marker
        };
        stage
            .broker
            .write_txn_marker(&unknown, &topic, 0)
            .await
            .unwrap();
        let older = Marker {
            producer: Producer { id: 77, epoch: 2 },
            ..marker
        };
        assert!(
            stage
                .broker
                .write_txn_marker(&older, &topic, 0)
                .await
                .is_err()
        );
        let nowhere = stage.broker.write_txn_marker(&marker, &topic, 9).await;
        assert_eq!(nowhere, Err(BrokerError::UnknownTopicOrPartition));
        let stage = stage.restart();
        assert!(stage.committed(0).await.is_empty());
        assert_eq!(stage.broker.extent(stage.partition(0)), (0, 3));
    }
}

#[tokio::test]
async fn silent_transactional_ids_are_forgotten_and_listed_until_then() {
    let stage = Stage::in_memory(1);
    stage.topic("t", 1).await;
    let me = stage.init("x").await;
    stage.init("y").await;
    stage.write("x", me, (0, 0), "v", true).await.unwrap();
    stage.clock.advance(500);
    let list = |filter: TxnFilter| {
        let listed = stage.broker.list_txns(&filter).into_iter();
        listed.map(|one| one.id).collect::<Vec<_>>()
    };
    assert_eq!(list(TxnFilter::default()), ["x", "y"]);
    let ongoing = vec![headwater_coord::txns::State::Ongoing];
    assert_eq!(
        list(TxnFilter {
            states: ongoing,
            longer_than_ms: Some(499),
            ..TxnFilter::default()
        }),
        ["x"]
    );
    assert!(
        list(TxnFilter {
            producer_ids: vec![me.id],
            longer_than_ms: Some(500),
            ..TxnFilter::default()
        })
        .is_empty()
    );
    stage.end("x", me, true, true).await.unwrap();
    stage
        .clock
        .advance(BrokerConfig::default().transactional_id_expiration_ms);
    stage.broker.tick_transactions().await;
    let stage = stage.restart();
    assert!(stage.broker.list_txns(&TxnFilter::default()).is_empty());
    assert_eq!(
        stage.write("x", me, (0, 0), "v", true).await,
        Err(TxnError::InvalidProducerIdMapping.into())
    );
}

#[tokio::test]
async fn time_outs_that_nobody_may_ask_for_are_refused() {
    let stage = Stage::in_memory(1);
    for timeout_ms in [-1, 0, 900_001] {
        let asked = stage
            .broker
            .init_transactional_producer("x", timeout_ms, None);
        assert_eq!(asked.await, Err(TxnError::InvalidTimeout.into()));
    }
    let nameless = stage.broker.init_transactional_producer("", 1, None);
    assert_eq!(nameless.await, Err(TxnError::InvalidRequest.into()));
}
