//! Reads partitions from given offsets on: long polls, one request a leader at a time.
//!
//! Only what is committed is given: records of open or aborted transactions and control batches are left out. Leaders that move or
//! nodes that restart are waited for; an offset that is gone continues at the earliest there is.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_record::{BatchError, Record, control_type, records, split};
use headwater_wire::ErrorCode;
use headwater_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use headwater_wire::messages::fetch_response::PartitionData;
use headwater_wire::messages::{FetchRequestData, FetchResponseData};

use super::cluster::Client;
use super::connection::{CALL_TIMEOUT, Connection};
use super::error::ClientError;

const READ_COMMITTED: i8 = 1;
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Earliest,
    Latest,
    At(i64),
    /// At the first record of this time (milliseconds since the epoch) or later.
    Time(i64),
}

#[derive(Clone, Debug)]
pub struct FetcherConfig {
    /// How long a poll waits for a first record.
    pub max_wait: Duration,
    /// Most bytes of one answer.
    pub bytes_max: i32,
    /// Most bytes of one partition in an answer.
    pub partition_bytes_max: i32,
    /// How long failures that may pass are waited out.
    pub patience: Duration,
}

impl Default for FetcherConfig {
    fn default() -> Self {
        Self {
            max_wait: Duration::from_millis(500),
            bytes_max: 16 * 1024 * 1024,
            partition_bytes_max: 4 * 1024 * 1024,
            patience: Duration::from_secs(60),
        }
    }
}

/// Records of one partition, in order.
#[derive(Clone, Debug)]
pub struct Fetched {
    pub topic: Arc<str>,
    pub partition: i32,
    pub records: Vec<Record>,
    /// The offset behind them, where the next poll goes on.
    pub next_offset: i64,
    pub high_watermark: i64,
}

type Place = (Arc<str>, i32);

#[derive(Debug)]
struct Position {
    offset: i64,
    leader: i32,
    high_watermark: Option<i64>,
}

/// Reads some partitions.
#[derive(Debug)]
pub struct Fetcher {
    client: Client,
    config: FetcherConfig,
    positions: BTreeMap<Place, Position>,
    /// Connections of our own: a long poll would hold up others.
    connections: HashMap<i32, Arc<Connection>>,
    failing_since: Option<Instant>,
    /// A failure beside which something was read: what was read is given first.
    failed: Option<ClientError>,
}

impl Fetcher {
    /// # Errors
    /// A partition does not exist, or its offsets cannot be looked up.
    pub async fn new(
        client: Client,
        partitions: &[(&str, i32, Start)],
        config: FetcherConfig,
    ) -> Result<Self, ClientError> {
        let mut fetcher = Self {
            client,
            config,
            positions: BTreeMap::new(),
            connections: HashMap::new(),
            failing_since: None,
            failed: None,
        };
        for (topic, partition, start) in partitions {
            let known = fetcher.client.partitions(topic, false).await?;
            let found = known.iter().find(|known| known.index == *partition);
            let missing = || ClientError::NoPartition {
                topic: (*topic).to_owned(),
                partition: *partition,
            };
            let leader = found.ok_or_else(missing)?.leader;
            let offset = fetcher
                .client
                .offset_of(topic, *partition, leader, *start)
                .await?;
            fetcher.positions.insert(
                ((*topic).into(), *partition),
                Position {
                    offset,
                    leader,
                    high_watermark: None,
                },
            );
        }
        Ok(fetcher)
    }

    /// The next records; empty when none came within the wait.
    ///
    /// # Errors
    /// What does not pass by waiting, or has not within the patience.
    pub async fn poll(&mut self) -> Result<Vec<Fetched>, ClientError> {
        let outcome = match self.failed.take() {
            Some(error) => Err(error),
            None => self.round().await,
        };
        match outcome {
            Ok(fetched) => {
                self.failing_since = None;
                Ok(fetched)
            }
            Err(error) if error.is_retriable() => {
                let since = *self.failing_since.get_or_insert_with(Instant::now);
                if since.elapsed() > self.config.patience {
                    return Err(error);
                }
                self.connections.clear();
                tokio::time::sleep(RETRY_PAUSE).await;
                self.find_leaders().await?;
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    /// Whether everything below the high watermarks that the last polls told has been given.
    pub fn at_end(&self) -> bool {
        self.positions.values().all(|position| {
            position
                .high_watermark
                .is_some_and(|end| position.offset >= end)
        })
    }

    /// Offsets where the next poll goes on.
    pub fn positions(&self) -> impl Iterator<Item = (&str, i32, i64)> {
        self.positions
            .iter()
            .map(|((topic, partition), position)| (&**topic, *partition, position.offset))
    }

    async fn round(&mut self) -> Result<Vec<Fetched>, ClientError> {
        let mut leaders: Vec<i32> = self
            .positions
            .values()
            .map(|position| position.leader)
            .collect();
        leaders.sort_unstable();
        leaders.dedup();
        if leaders.is_empty() {
            tokio::time::sleep(self.config.max_wait).await;
        }
        let mut requests = Vec::new();
        for leader in leaders {
            requests.push((self.connection(leader).await?, self.request(leader)));
        }
        let timeout = CALL_TIMEOUT + self.config.max_wait;
        let calls = requests
            .iter()
            .map(|(connection, request)| connection.call_within(request, timeout));
        let (mut fetched, mut failed) = (Vec::new(), None);
        for answer in futures::future::join_all(calls).await {
            let taken = match answer {
                Ok(response) => self.take(response, &mut fetched).await,
                Err(error) => Err(error),
            };
            failed = failed.or(taken.err());
        }
        // The positions are behind what was read: it must not get lost with a failure of something else.
        match failed {
            Some(error) if fetched.is_empty() => Err(error),
            failed => {
                self.failed = failed;
                Ok(fetched)
            }
        }
    }

    async fn connection(&mut self, leader: i32) -> Result<Arc<Connection>, ClientError> {
        if let Some(connection) = self
            .connections
            .get(&leader)
            .filter(|connection| !connection.is_broken())
        {
            return Ok(Arc::clone(connection));
        }
        let known = self.client.node(leader).await?;
        let connection = self.client.own_connection(&known).await?;
        self.connections.insert(leader, Arc::clone(&connection));
        Ok(connection)
    }

    fn request(&self, leader: i32) -> FetchRequestData {
        let mut topics: Vec<FetchTopic> = Vec::new();
        for ((topic, partition), position) in self
            .positions
            .iter()
            .filter(|(_, position)| position.leader == leader)
        {
            let wanted = FetchPartition {
                partition: *partition,
                fetch_offset: position.offset,
                partition_max_bytes: self.config.partition_bytes_max,
                ..FetchPartition::default()
            };
            match topics
                .last_mut()
                .filter(|last| last.topic.as_str() == &**topic)
            {
                Some(last) => last.partitions.push(wanted),
                None => {
                    let topic = topic.to_string().into();
                    topics.push(FetchTopic {
                        topic,
                        partitions: vec![wanted],
                        ..FetchTopic::default()
                    });
                }
            }
        }
        FetchRequestData {
            max_wait_ms: i32::try_from(self.config.max_wait.as_millis()).unwrap_or(i32::MAX),
            min_bytes: 1,
            max_bytes: self.config.bytes_max,
            isolation_level: READ_COMMITTED,
            session_epoch: -1,
            topics,
            ..FetchRequestData::default()
        }
    }

    async fn take(
        &mut self,
        response: FetchResponseData,
        fetched: &mut Vec<Fetched>,
    ) -> Result<(), ClientError> {
        ClientError::check("fetch", response.error_code)?;
        let mut failed = None;
        for topic in response.responses {
            let name: Arc<str> = topic.topic.as_str().into();
            for data in topic.partitions {
                let place = (Arc::clone(&name), data.partition_index);
                let outcome = match ErrorCode::from(data.error_code) {
                    ErrorCode::None => self
                        .advance(place, &data)
                        .map(|records| fetched.extend(records)),
                    ErrorCode::OffsetOutOfRange => self.rewind(place).await,
                    _ => {
                        let what = format!("{name}/{}", data.partition_index);
                        Err(ClientError::broker(what, data.error_code, None))
                    }
                };
                failed = failed.or(outcome.err());
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn advance(
        &mut self,
        place: Place,
        data: &PartitionData,
    ) -> Result<Option<Fetched>, ClientError> {
        let Some(position) = self.positions.get_mut(&place) else {
            return Ok(None);
        };
        // Records of open transactions lie between the last stable offset and the high watermark.
        let end = if data.last_stable_offset >= 0 {
            data.last_stable_offset
        } else {
            data.high_watermark
        };
        position.high_watermark = Some(end);
        let (topic, partition) = place;
        let read = visible(data, position.offset).map_err(|error| ClientError::Records {
            topic: topic.to_string(),
            partition,
            reason: error.to_string(),
        });
        let (records, next_offset) = read?;
        position.offset = next_offset;
        let fetched = Fetched {
            topic,
            partition,
            records,
            next_offset,
            high_watermark: data.high_watermark,
        };
        Ok(Some(fetched).filter(|fetched| !fetched.records.is_empty()))
    }

    /// The offset is gone (retention, or a topic made anew): the earliest that there is follows.
    async fn rewind(&mut self, place: Place) -> Result<(), ClientError> {
        let Some(position) = self.positions.get_mut(&place) else {
            return Ok(());
        };
        position.offset = self
            .client
            .offset_of(&place.0, place.1, position.leader, Start::Earliest)
            .await?;
        Ok(())
    }

    async fn find_leaders(&mut self) -> Result<(), ClientError> {
        let mut topics: Vec<Arc<str>> = self
            .positions
            .keys()
            .map(|(topic, _)| Arc::clone(topic))
            .collect();
        topics.dedup();
        for topic in topics {
            let partitions = match self.client.partitions(&topic, false).await {
                Ok(partitions) => partitions,
                Err(error) if error.is_retriable() => return Ok(()),
                Err(error) => return Err(error),
            };
            for partition in partitions {
                if let Some(position) = self
                    .positions
                    .get_mut(&(Arc::clone(&topic), partition.index))
                {
                    position.leader = partition.leader;
                }
            }
        }
        Ok(())
    }
}

/// The records from `from` on that are data and committed, and the offset behind all that was looked at.
fn visible(data: &PartitionData, from: i64) -> Result<(Vec<Record>, i64), BatchError> {
    let mut aborted: Vec<(i64, i64)> = Vec::new();
    aborted.extend(
        data.aborted_transactions
            .iter()
            .flatten()
            .map(|one| (one.first_offset, one.producer_id)),
    );
    aborted.sort_unstable();
    let mut aborted = aborted.into_iter().peekable();
    let mut aborting: HashSet<i64> = HashSet::new();
    let (mut out, mut next) = (Vec::new(), from);
    for batch in split(data.records.clone().unwrap_or_default()) {
        let (header, bytes) = batch?;
        while let Some((_, producer)) = aborted.next_if(|(first, _)| *first <= header.last_offset())
        {
            aborting.insert(producer);
        }
        next = next.max(header.last_offset() + 1);
        if header.is_control() {
            if control_type(&bytes)?.is_some() {
                aborting.remove(&header.producer_id);
            }
        } else if !(header.is_transactional() && aborting.contains(&header.producer_id)) {
            for record in records(&bytes)? {
                let record = record?;
                if record.offset >= from {
                    out.push(record);
                }
            }
        }
    }
    Ok((out, next))
}
