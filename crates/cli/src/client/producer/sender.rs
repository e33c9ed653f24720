//! The one task that sends: takes ripe batches, keeps requests in flight, asks for identities and leaders.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use headwater_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use headwater_wire::messages::{
    InitProducerIdRequestData, ProduceRequestData, ProduceResponseData,
};

use super::accumulator::Taken;
use super::batch::Identity;
use super::{Acks, Shared};
use crate::client::connection::{CALL_TIMEOUT, Connection};
use crate::client::error::ClientError;

/// Requests in flight to one node: as many as a node remembers sequences of.
const IN_FLIGHT_MAX: usize = 5;
/// How long a node may take to store a request.
const STORE_TIMEOUT_MS: i32 = 30_000;
/// Pause before a request is tried again.
pub(super) const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// How often topics are looked at again for new leaders and partitions.
const REFRESH_EVERY: Duration = Duration::from_secs(60);
const EXPIRE_EVERY: Duration = Duration::from_secs(1);

pub(super) enum Done {
    Produced {
        node: i32,
        taken: Vec<Taken>,
        outcome: Result<ProduceResponseData, ClientError>,
    },
    Identity(Result<Identity, ClientError>),
    Refreshed,
}

type Work = FuturesUnordered<Pin<Box<dyn Future<Output = Done> + Send>>>;

pub(super) struct Sender {
    pub shared: Arc<Shared>,
    work: Work,
    in_flight: HashMap<i32, usize>,
    asking_identity: bool,
    /// No identity is asked for before.
    identity_after: Instant,
    pub refresh_at: Instant,
    refreshing: bool,
    expire_at: Instant,
    /// The last failure, for the message when time runs out.
    pub last_error: String,
}

pub(super) async fn run(shared: Arc<Shared>) {
    let now = Instant::now();
    let mut sender = Sender {
        shared,
        work: Work::new(),
        in_flight: HashMap::new(),
        asking_identity: false,
        identity_after: now,
        refresh_at: now + REFRESH_EVERY,
        refreshing: false,
        expire_at: now + EXPIRE_EVERY,
        last_error: "none".to_owned(),
    };
    loop {
        let next = sender.dispatch().await;
        let shared = Arc::clone(&sender.shared);
        tokio::select! {
            Some(done) = sender.work.next(), if !sender.work.is_empty() => sender.done(done),
            () = shared.wake.notified() => {}
            () = tokio::time::sleep_until(next.into()) => {}
        }
    }
}

impl Sender {
    /// Does all that can be done now; gives the moment at which there may be more.
    async fn dispatch(&mut self) -> Instant {
        self.housekeep();
        let idempotent = self.shared.config.acks == Acks::All;
        if idempotent
            && !self.asking_identity
            && self.identity_after <= Instant::now()
            && self.shared.lock().needs_identity()
        {
            self.ask_identity();
        }
        loop {
            let in_flight = &self.in_flight;
            let takes_more = |node: i32| {
                in_flight
                    .get(&node)
                    .is_none_or(|count| *count < IN_FLIGHT_MAX)
            };
            let (taken, next) = self.shared.lock().take(idempotent, &takes_more);
            if taken.is_empty() {
                let waiting = if self.asking_identity {
                    None
                } else {
                    Some(self.identity_after).filter(|at| *at > Instant::now())
                };
                return next
                    .into_iter()
                    .chain(waiting)
                    .min()
                    .unwrap_or(self.expire_at)
                    .min(self.expire_at);
            }
            let mut by_node: HashMap<i32, Vec<Taken>> = HashMap::new();
            for one in taken {
                by_node.entry(one.leader).or_default().push(one);
            }
            for (node, taken) in by_node {
                self.send(node, taken).await;
            }
        }
    }

    fn housekeep(&mut self) {
        let now = Instant::now();
        if now >= self.expire_at {
            self.expire_at = now + EXPIRE_EVERY;
            let timeout = self.shared.config.delivery_timeout;
            let why = self.not_delivered();
            if let Some(limit) = now.checked_sub(timeout) {
                self.shared.lock().expire(limit, &why);
                self.shared.progress.notify_waiters();
            }
        }
        if now >= self.refresh_at && !self.refreshing {
            self.refreshing = true;
            self.refresh_at = now + REFRESH_EVERY;
            let shared = Arc::clone(&self.shared);
            self.work.push(Box::pin(async move {
                refresh(&shared).await;
                Done::Refreshed
            }));
        }
    }

    pub fn not_delivered(&self) -> ClientError {
        let timeout_ms =
            u64::try_from(self.shared.config.delivery_timeout.as_millis()).unwrap_or(u64::MAX);
        ClientError::NotDelivered {
            timeout_ms,
            last: self.last_error.clone(),
        }
    }

    /// Sends batches to one node, as many requests as their size asks for.
    async fn send(&mut self, node: i32, taken: Vec<Taken>) {
        let max_bytes = self.shared.config.request_bytes_max;
        let mut request: Vec<Taken> = Vec::new();
        let mut bytes = 0;
        for one in taken {
            if bytes + one.batch.bytes > max_bytes && !request.is_empty() {
                self.send_request(node, std::mem::take(&mut request)).await;
                bytes = 0;
            }
            bytes += one.batch.bytes;
            request.push(one);
        }
        self.send_request(node, request).await;
    }

    async fn send_request(&mut self, node: i32, mut taken: Vec<Taken>) {
        *self.in_flight.entry(node).or_default() += 1;
        let acks = self.shared.config.acks;
        let body = request(&mut taken, acks);
        let connection = match self.shared.client.node(node).await {
            Ok(connection) => connection,
            Err(error) => {
                return self.done(Done::Produced {
                    node,
                    taken,
                    outcome: Err(error),
                });
            }
        };
        if acks == Acks::None {
            let outcome = connection
                .fire(&body)
                .await
                .map(|()| ProduceResponseData::default());
            return self.done(Done::Produced {
                node,
                taken,
                outcome,
            });
        }
        // Queued here, so that requests go out in the order of their sequences; awaited elsewhere.
        match connection.enqueue(&body).await {
            Ok(pending) => self.work.push(Box::pin(async move {
                let outcome = pending.answer(CALL_TIMEOUT + Duration::from_secs(5)).await;
                Done::Produced {
                    node,
                    taken,
                    outcome,
                }
            })),
            Err(error) => self.done(Done::Produced {
                node,
                taken,
                outcome: Err(error),
            }),
        }
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Produced {
                node,
                taken,
                outcome,
            } => {
                if let Some(count) = self.in_flight.get_mut(&node) {
                    *count = count.saturating_sub(1);
                }
                self.settle(taken, outcome);
                self.shared.progress.notify_waiters();
            }
            Done::Identity(outcome) => {
                self.asking_identity = false;
                match outcome {
                    Ok(identity) => self.shared.lock().identify(identity),
                    Err(error) => {
                        self.last_error = error.to_string();
                        self.identity_after = Instant::now() + RETRY_PAUSE;
                    }
                }
            }
            Done::Refreshed => self.refreshing = false,
        }
    }

    fn ask_identity(&mut self) {
        self.asking_identity = true;
        let client = self.shared.client.clone();
        self.work.push(Box::pin(async move {
            Done::Identity(identity(client.any().await).await)
        }));
    }
}

async fn identity(
    connection: Result<Arc<Connection>, ClientError>,
) -> Result<Identity, ClientError> {
    let request = InitProducerIdRequestData {
        transaction_timeout_ms: STORE_TIMEOUT_MS,
        ..Default::default()
    };
    let response = connection?.call(&request).await?;
    ClientError::check("no producer id", response.error_code)?;
    Ok(Identity {
        id: response.producer_id,
        epoch: response.producer_epoch,
    })
}

/// Looks at all topics again. What cannot be learnt now is learnt the next time.
async fn refresh(shared: &Shared) {
    let names = shared.lock().topic_names();
    for name in names {
        if let Ok(partitions) = shared.client.partitions(&name, false).await {
            shared.lock().set_partitions(&name, &partitions);
        }
    }
}

fn request(taken: &mut [Taken], acks: Acks) -> ProduceRequestData {
    let mut topics: Vec<TopicProduceData> = Vec::new();
    for one in taken {
        let partition = PartitionProduceData {
            index: one.place.1 as i32,
            records: Some(one.batch.build()),
            ..PartitionProduceData::default()
        };
        match topics
            .iter_mut()
            .find(|topic| topic.name.as_str() == &*one.topic)
        {
            Some(topic) => topic.partition_data.push(partition),
            None => topics.push(TopicProduceData {
                name: one.topic.to_string().into(),
                partition_data: vec![partition],
                ..TopicProduceData::default()
            }),
        }
    }
    ProduceRequestData {
        acks: acks.code(),
        timeout_ms: STORE_TIMEOUT_MS,
        topic_data: topics,
        ..ProduceRequestData::default()
    }
}
