//! Random histories of three producers over four partitions, with restarts between any two steps: each transaction is wholly there or
//! wholly not, for consumers and for the engine.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const PARTITIONS: i32 = 4;

#[derive(Clone, Debug)]
enum Act {
    Write(usize, i32),
    End(usize, bool),
    Fence(usize),
    Restart,
    TimeOut,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        12 => (0..3usize, 0..PARTITIONS).prop_map(|(who, index)| Act::Write(who, index)),
        6 => (0..3usize, any::<bool>()).prop_map(|(who, commits)| Act::End(who, commits)),
        1 => (0..3usize).prop_map(Act::Fence),
        2 => Just(Act::Restart),
        1 => Just(Act::TimeOut),
    ]
}

#[derive(Default)]
struct Client {
    id: String,
    producer: Option<Producer>,
    sequences: BTreeMap<i32, i32>,
    /// Written in the open transaction: partition and value.
    open: Vec<(i32, String)>,
}

struct History {
    stage: Stage,
    v2: bool,
    clients: Vec<Client>,
    /// Committed, by partition: sorted, because the order across producers is the log's.
    expected: BTreeMap<i32, Vec<String>>,
    written: usize,
}

impl History {
    async fn new(shards: u16, v2: bool) -> Self {
        let stage = Stage::in_memory(shards);
        stage.topic("t", PARTITIONS).await;
        let mut clients = Vec::new();
        for n in 0..3 {
            let id = format!("x{n}");
            let producer = Some(stage.init(&id).await);
            clients.push(Client {
                id,
                producer,
                ..Client::default()
            });
        }
        Self {
            stage,
            v2,
            clients,
            expected: BTreeMap::new(),
            written: 0,
        }
    }

    async fn act(mut self, act: Act) -> Self {
        match act {
            Act::Write(who, index) => self.write(who, index).await,
            Act::End(who, commits) => self.end(who, commits).await,
            Act::Fence(who) => self.fence(who).await,
            Act::Restart => self.stage = self.stage.restart(),
            Act::TimeOut => {
                self.stage.clock.advance(60_001);
                self.stage.broker.tick_transactions().await;
                for who in 0..self.clients.len() {
                    if !self.clients[who].open.is_empty() {
                        self.fence(who).await;
                    }
                }
            }
        }
        self
    }

    async fn write(&mut self, who: usize, index: i32) {
        self.written += 1;
        let value = format!("v{}", self.written);
        let client = &mut self.clients[who];
        let sequence = client.sequences.entry(index).or_default();
        let (by, place) = (client.producer.unwrap(), (index, *sequence));
        let (id, v2) = (&client.id, self.v2);
        self.stage.write(id, by, place, &value, v2).await.unwrap();
        let again = self.stage.write(id, by, place, "again", v2).await.unwrap();
        let state = self.stage.log.state(self.stage.partition(index));
        assert_eq!(again.base_offset + 1, state.durable_end, "a duplicate");
        *sequence += 1;
        client.open.push((index, value));
    }

    async fn end(&mut self, who: usize, commits: bool) {
        let client = &mut self.clients[who];
        if client.open.is_empty() {
            return;
        }
        let by = client.producer.unwrap();
        let next = self.stage.end(&client.id, by, commits, self.v2).await;
        let next = next.unwrap();
        let again = self.stage.end(&client.id, by, commits, self.v2).await;
        assert_eq!(again, Ok(next));
        if next != by {
            client.sequences.clear();
        }
        client.producer = Some(next);
        for (index, value) in client.open.drain(..) {
            if commits {
                self.expected.entry(index).or_default().push(value);
            }
        }
    }

    async fn fence(&mut self, who: usize) {
        let client = &mut self.clients[who];
        let old = client.producer.unwrap();
        client.producer = Some(self.stage.init(&client.id).await);
        client.sequences.clear();
        client.open.clear();
        let zombie = self.stage.write(&client.id, old, (0, 0), "zombie", self.v2);
        assert!(zombie.await.is_err());
        let late = self.stage.end(&client.id, old, true, self.v2).await;
        assert!(late.is_err(), "{late:?}");
    }

    /// What is below the last stable offset is all that is decided; at the end everything is.
    async fn check(&mut self) {
        for who in 0..3 {
            self.end(who, who == 1).await;
        }
        for index in 0..PARTITIONS {
            let mut expected = self.expected.get(&index).cloned().unwrap_or_default();
            expected.sort();
            let engine = |visibility| self.stage.engine(index, visibility);
            for mut got in [
                self.stage.committed(index).await,
                engine(Visibility::Durable),
                engine(Visibility::InFlight),
            ] {
                got.sort();
                assert_eq!(got, expected, "partition {index}");
            }
            let partition = self.stage.partition(index);
            let state = self.stage.log.state(partition);
            let stable = self
                .stage
                .broker
                .last_stable_offset(partition, Bound::Durable);
            assert_eq!(stable, state.durable_end);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_transaction_is_wholly_there_or_wholly_not(
        shards in prop_oneof![Just(1u16), Just(4u16)],
        v2: bool,
        acts in proptest::collection::vec(act(), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut history = History::new(shards, v2).await;
            for act in acts {
                history = history.act(act).await;
            }
            history.check().await;
            history.stage = history.stage.restart();
            history.check().await;
        });
    }
}
