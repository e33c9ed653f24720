//! A member of a consumer group (classic protocol, range assignor): joins, reads its part, commits what was processed, leaves.
//!
//! It lives inside [`GroupConsumer::poll`]: who polls at least every few seconds stays a member.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_wire::messages::join_group_request::JoinGroupRequestProtocol;
use headwater_wire::messages::leave_group_request::MemberIdentity;
use headwater_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use headwater_wire::messages::{
    HeartbeatRequestData, JoinGroupRequestData, JoinGroupResponseData, LeaveGroupRequestData,
    SyncGroupRequestData,
};
use headwater_wire::{ErrorCode, KafkaString};

use super::assignor::{self, Assignment, CONSUMER, RANGE};
use super::cluster::Client;
use super::connection::{CALL_TIMEOUT, Connection};
use super::error::ClientError;
use super::fetcher::{Fetched, Fetcher, FetcherConfig, Start};

const SESSION_TIMEOUT_MS: i32 = 30_000;
const REBALANCE_TIMEOUT_MS: i32 = 60_000;
const HEARTBEAT_EVERY: Duration = Duration::from_secs(3);
const COMMIT_EVERY: Duration = Duration::from_secs(1);
const RETRY_PAUSE: Duration = Duration::from_millis(200);

#[derive(Clone, Debug)]
pub struct GroupConfig {
    pub group: String,
    pub topics: Vec<String>,
    /// Where to begin in a partition without a committed offset.
    pub start: Start,
    pub fetcher: FetcherConfig,
}

/// A consumer that shares its topics with the other members of its group.
#[derive(Debug)]
pub struct GroupConsumer {
    client: Client,
    config: GroupConfig,
    member_id: String,
    generation: i32,
    /// `None` while out of the group.
    place: Option<InGroup>,
    /// Offsets behind what was processed and not committed yet.
    processed: BTreeMap<(Arc<str>, i32), i64>,
    committed_at: Instant,
    failing_since: Option<Instant>,
}

#[derive(Debug)]
struct InGroup {
    coordinator: Arc<Connection>,
    fetcher: Fetcher,
    beat_at: Instant,
}

impl GroupConsumer {
    pub fn new(client: Client, config: GroupConfig) -> Self {
        Self {
            client,
            config,
            member_id: String::new(),
            generation: -1,
            place: None,
            processed: BTreeMap::new(),
            committed_at: Instant::now(),
            failing_since: None,
        }
    }

    /// The next records of this member's partitions; empty when none came within the wait.
    ///
    /// # Errors
    /// What does not pass by joining again, or has not within the patience.
    pub async fn poll(&mut self) -> Result<Vec<Fetched>, ClientError> {
        match self.turn().await {
            Ok(fetched) => {
                self.failing_since = None;
                Ok(fetched)
            }
            Err(error) => self.recover(error).await.map(|()| Vec::new()),
        }
    }

    async fn turn(&mut self) -> Result<Vec<Fetched>, ClientError> {
        if self.place.is_none() {
            self.join().await?;
        }
        if self.committed_at.elapsed() >= COMMIT_EVERY {
            self.commit().await?;
        }
        self.beat().await?;
        match &mut self.place {
            Some(place) => place.fetcher.poll().await,
            None => Ok(Vec::new()),
        }
    }

    /// Decides whether to go on after a failure, and as whom.
    async fn recover(&mut self, error: ClientError) -> Result<(), ClientError> {
        match error.code() {
            Some(ErrorCode::RebalanceInProgress) => {
                // What was processed is committed before the partitions go to others.
                let _ = self.commit().await;
            }
            Some(ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration) => {
                self.member_id.clear();
                self.generation = -1;
            }
            Some(ErrorCode::NotCoordinator) => {}
            _ if error.is_retriable() => {
                let since = *self.failing_since.get_or_insert_with(Instant::now);
                if since.elapsed() > self.config.fetcher.patience {
                    return Err(error);
                }
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            _ => return Err(error),
        }
        self.place = None;
        // What comes next begins at the committed offsets; others may be further than we were.
        self.processed.clear();
        Ok(())
    }

    /// Says that everything of a partition below `next_offset` is processed; the next poll may commit it.
    pub fn processed(&mut self, topic: &Arc<str>, partition: i32, next_offset: i64) {
        self.processed
            .insert((Arc::clone(topic), partition), next_offset);
    }

    /// Whether everything that was there at the last poll has been given.
    pub fn at_end(&self) -> bool {
        self.place
            .as_ref()
            .is_some_and(|place| place.fetcher.at_end())
    }

    /// Commits what was processed.
    ///
    /// # Errors
    /// The coordinator cannot be reached, or does not count this member in any more.
    pub async fn commit(&mut self) -> Result<(), ClientError> {
        self.committed_at = Instant::now();
        if self.processed.is_empty() {
            return Ok(());
        }
        let Some(place) = &self.place else {
            return Ok(());
        };
        let offsets = self
            .processed
            .iter()
            .map(|((topic, partition), offset)| (topic.to_string(), *partition, *offset));
        let offsets: Vec<(String, i32, i64)> = offsets.collect();
        let by = (self.member_id.as_str(), self.generation);
        super::admin_groups::commit(&place.coordinator, &self.config.group, by, &offsets).await?;
        self.processed.clear();
        Ok(())
    }

    /// Commits and leaves, so that the others need not wait for the session to end.
    ///
    /// # Errors
    /// The commit failed: records given may be given again to others.
    pub async fn close(mut self) -> Result<(), ClientError> {
        let committed = self.commit().await;
        if let Some(place) = self.place.take() {
            let member = MemberIdentity {
                member_id: self.member_id.clone().into(),
                ..MemberIdentity::default()
            };
            let mut request = LeaveGroupRequestData {
                group_id: self.group_id(),
                ..LeaveGroupRequestData::default()
            };
            if place.coordinator.version::<LeaveGroupRequestData>()? >= 3 {
                request.members.push(member);
            } else {
                request.member_id = self.member_id.clone().into();
            }
            place.coordinator.call(&request).await?;
        }
        committed
    }

    fn group_id(&self) -> KafkaString {
        self.config.group.clone().into()
    }

    async fn beat(&mut self) -> Result<(), ClientError> {
        let (group_id, member_id, generation_id) = (
            self.group_id(),
            self.member_id.clone().into(),
            self.generation,
        );
        let Some(place) = self
            .place
            .as_mut()
            .filter(|place| place.beat_at <= Instant::now())
        else {
            return Ok(());
        };
        place.beat_at = Instant::now() + HEARTBEAT_EVERY;
        let request = HeartbeatRequestData {
            group_id,
            member_id,
            generation_id,
            ..HeartbeatRequestData::default()
        };
        let response = place.coordinator.call(&request).await?;
        ClientError::check("heartbeat", response.error_code)
    }

    async fn join(&mut self) -> Result<(), ClientError> {
        let known = self.client.coordinator(&self.config.group).await?;
        // Of our own: a join waits for the other members, and everything behind it with it.
        let coordinator = self.client.own_connection(&known).await?;
        let mut joined = self.ask_to_join(&coordinator).await?;
        if ErrorCode::from(joined.error_code) == ErrorCode::MemberIdRequired {
            self.member_id = joined.member_id.as_str().to_owned();
            joined = self.ask_to_join(&coordinator).await?;
        }
        ClientError::check(
            format!("cannot join group {:?}", self.config.group),
            joined.error_code,
        )?;
        self.member_id = joined.member_id.as_str().to_owned();
        self.generation = joined.generation_id;
        let assignment = self.sync(&coordinator, &joined).await?;
        let fetcher = self.fetcher(&coordinator, &assignment).await?;
        self.place = Some(InGroup {
            coordinator,
            fetcher,
            beat_at: Instant::now() + HEARTBEAT_EVERY,
        });
        Ok(())
    }

    async fn ask_to_join(
        &self,
        coordinator: &Arc<Connection>,
    ) -> Result<JoinGroupResponseData, ClientError> {
        let protocol = JoinGroupRequestProtocol {
            name: RANGE.to_owned().into(),
            metadata: assignor::subscription(&self.config.topics),
            ..JoinGroupRequestProtocol::default()
        };
        let request = JoinGroupRequestData {
            group_id: self.group_id(),
            session_timeout_ms: SESSION_TIMEOUT_MS,
            rebalance_timeout_ms: REBALANCE_TIMEOUT_MS,
            member_id: self.member_id.clone().into(),
            protocol_type: CONSUMER.to_owned().into(),
            protocols: vec![protocol],
            ..JoinGroupRequestData::default()
        };
        let timeout =
            CALL_TIMEOUT + Duration::from_millis(REBALANCE_TIMEOUT_MS.unsigned_abs().into());
        coordinator.call_within(&request, timeout).await
    }

    async fn sync(
        &self,
        coordinator: &Arc<Connection>,
        joined: &JoinGroupResponseData,
    ) -> Result<Assignment, ClientError> {
        let leads = joined.leader == joined.member_id && !joined.skip_assignment;
        let request = SyncGroupRequestData {
            group_id: self.group_id(),
            generation_id: self.generation,
            member_id: self.member_id.clone().into(),
            protocol_type: joined.protocol_type.clone(),
            protocol_name: joined.protocol_name.clone(),
            assignments: if leads {
                self.assign(joined).await?
            } else {
                Vec::new()
            },
            ..SyncGroupRequestData::default()
        };
        let timeout =
            CALL_TIMEOUT + Duration::from_millis(REBALANCE_TIMEOUT_MS.unsigned_abs().into());
        let response = coordinator.call_within(&request, timeout).await?;
        ClientError::check("no assignment", response.error_code)?;
        assignor::read_assignment(&response.assignment).ok_or_else(|| ClientError::Protocol {
            address: coordinator.address().to_owned(),
            reason: "the group's assignment is not readable".to_owned(),
        })
    }

    /// As leader: shares the partitions out.
    async fn assign(
        &self,
        joined: &JoinGroupResponseData,
    ) -> Result<Vec<SyncGroupRequestAssignment>, ClientError> {
        let topics_of =
            |member: &headwater_wire::messages::join_group_response::JoinGroupResponseMember| {
                assignor::read_subscription(&member.metadata).unwrap_or_default()
            };
        let members: BTreeMap<String, Vec<String>> = joined
            .members
            .iter()
            .map(|member| (member.member_id.as_str().to_owned(), topics_of(member)))
            .collect();
        let mut partitions = BTreeMap::new();
        for topic in members.values().flatten() {
            if !partitions.contains_key(topic) {
                let count = match self.client.partitions(topic, false).await {
                    Ok(known) => i32::try_from(known.len()).unwrap_or(i32::MAX),
                    Err(ClientError::NoTopic { .. }) => 0,
                    Err(error) => return Err(error),
                };
                partitions.insert(topic.clone(), count);
            }
        }
        let plan = assignor::range(&members, &partitions);
        let entry = |(id, assignment): (String, Assignment)| SyncGroupRequestAssignment {
            member_id: id.into(),
            assignment: assignor::write_assignment(&assignment),
            ..SyncGroupRequestAssignment::default()
        };
        Ok(plan.into_iter().map(entry).collect())
    }

    /// A fetcher of the assignment, from the committed offsets on.
    async fn fetcher(
        &self,
        coordinator: &Arc<Connection>,
        assignment: &Assignment,
    ) -> Result<Fetcher, ClientError> {
        let wanted: Vec<(String, Vec<i32>)> = assignment
            .iter()
            .map(|(topic, all)| (topic.clone(), all.clone()))
            .collect();
        let committed =
            super::admin_groups::committed(coordinator, &self.config.group, Some(&wanted)).await?;
        let start = |topic: &str, partition: i32| {
            let known = committed
                .iter()
                .find(|known| known.topic == topic && known.partition == partition);
            known.map_or(self.config.start, |known| Start::At(known.offset))
        };
        let flat = assignment.iter().flat_map(|(topic, all)| {
            all.iter()
                .map(move |partition| (topic.as_str(), *partition))
        });
        let starts: Vec<(&str, i32, Start)> =
            flat.map(|(topic, p)| (topic, p, start(topic, p))).collect();
        Fetcher::new(self.client.clone(), &starts, self.config.fetcher.clone()).await
    }
}
