//! A member of a classic consumer group: joins, assigns when it leads, reads, commits what it has read.

use bytes::{Buf, BufMut, Bytes};
use headwater_record::fuzz::Mutator;
use headwater_wire::ErrorCode;
use headwater_wire::messages as m;
use headwater_wire::messages::join_group_request::JoinGroupRequestProtocol;
use headwater_wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use headwater_wire::messages::offset_fetch_request::OffsetFetchRequestTopic;
use headwater_wire::messages::sync_group_request::SyncGroupRequestAssignment;

use super::conn::{Conn, Gone};
use super::reader::{fetch, note, reset};
use super::{Field, by_topic, pause, zombie};
use crate::history::{Event, Isolation, Place};

const SESSION_MS: i32 = 6_000;

/// One member. Its generation is what its commits stand on.
pub struct Member {
    pub field: Field,
    pub conn: Conn,
    pub group: String,
    pub id: String,
    pub generation: i32,
    /// Who it was in the generation before.
    former: Option<(String, i32)>,
    /// What the group shares.
    places: Vec<Place>,
    pub rng: Mutator,
}

/// What ended a step: join again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Out;

impl From<Gone> for Out {
    fn from(_: Gone) -> Self {
        Self
    }
}

/// What a member assigns: topic and partition of everything, in the order of the members.
fn assignment(places: &[&Place]) -> Bytes {
    let mut out = Vec::new();
    out.put_i16(1);
    let topics = by_topic(places.iter().map(|place| ((*place).clone(), ())));
    out.put_i32(topics.len() as i32);
    for (topic, partitions) in topics {
        out.put_i16(topic.len() as i16);
        out.put_slice(topic.as_bytes());
        out.put_i32(partitions.len() as i32);
        partitions
            .iter()
            .for_each(|(index, ())| out.put_i32(*index));
    }
    out.put_i32(-1);
    out.into()
}

fn assigned(mut bytes: Bytes) -> Option<Vec<Place>> {
    bytes.try_get_i16().ok()?;
    let mut places = Vec::new();
    for _ in 0..bytes.try_get_i32().ok()? {
        let length = bytes.try_get_i16().ok()? as usize;
        let topic = String::from_utf8(bytes.split_to(length).to_vec()).ok()?;
        for _ in 0..bytes.try_get_i32().ok()? {
            places.push(Place(topic.clone(), bytes.try_get_i32().ok()?));
        }
    }
    Some(places)
}

impl Member {
    pub fn new(field: &Field, group: &str, name: &str, places: Vec<Place>, seed: u64) -> Self {
        Self {
            field: field.clone(),
            conn: Conn::new(field.network.clone(), name),
            group: group.to_owned(),
            id: String::new(),
            generation: -1,
            former: None,
            places,
            rng: Mutator::new(seed),
        }
    }

    /// Joins and gets its partitions.
    ///
    /// # Errors
    /// Try again.
    pub async fn join(&mut self) -> Result<Vec<Place>, Out> {
        let before = (self.id.clone(), self.generation);
        let metadata = assignment(&[]);
        let protocol = JoinGroupRequestProtocol {
            name: "range".to_owned().into(),
            metadata,
            ..Default::default()
        };
        let request = m::JoinGroupRequestData {
            group_id: self.group.clone().into(),
            session_timeout_ms: SESSION_MS,
            rebalance_timeout_ms: SESSION_MS,
            member_id: self.id.clone().into(),
            protocol_type: "consumer".to_owned().into(),
            protocols: vec![protocol],
            ..Default::default()
        };
        let joined = self.conn.call(5, &request).await?;
        if joined.error_code == ErrorCode::UnknownMemberId.code() {
            self.id.clear();
            return Err(Out);
        }
        self.id = joined.member_id.as_str().to_owned();
        if joined.error_code != 0 {
            return Err(Out);
        }
        self.generation = joined.generation_id;
        let mut members: Vec<&str> = joined
            .members
            .iter()
            .map(|one| one.member_id.as_str())
            .collect();
        members.sort_unstable();
        let share = |place: usize| {
            self.places
                .iter()
                .skip(place)
                .step_by(members.len())
                .collect::<Vec<_>>()
        };
        let assignments =
            members
                .iter()
                .enumerate()
                .map(|(place, id)| SyncGroupRequestAssignment {
                    member_id: (*id).to_owned().into(),
                    assignment: assignment(&share(place)),
                    ..Default::default()
                });
        let request = m::SyncGroupRequestData {
            group_id: self.group.clone().into(),
            generation_id: self.generation,
            member_id: self.id.clone().into(),
            assignments: assignments.collect(),
            ..Default::default()
        };
        let synced = self.conn.call(3, &request).await?;
        match synced.error_code {
            0 => {
                let older = before.1 >= 0 && before.1 < self.generation;
                self.former = older.then_some(before);
                assigned(synced.assignment).ok_or(Out)
            }
            _ => Err(Out),
        }
    }

    /// Commits as who it was before the last rebalance: that must not count.
    pub async fn haunt(&mut self) {
        let Some((id, generation)) = self.former.take() else {
            return;
        };
        let at = self.places[self.rng.below(self.places.len())].clone();
        let request = offset_commit(&self.group, (&id, generation), &at, 0);
        let Ok(answer) = self.conn.call(7, &request).await else {
            return;
        };
        let who = format!("{id:?} of generation {generation} in {}", self.group);
        zombie::expect_refusal(&self.field, &who, commit_code(&answer), REFUSALS);
    }

    /// Where the group stands; -1 where it has committed nothing.
    ///
    /// # Errors
    /// Nobody says now.
    pub async fn positions(&mut self, places: &[Place]) -> Result<Vec<(Place, i64)>, Out> {
        let since = self.field.clock.elapsed_us();
        let topics = by_topic(places.iter().map(|place| (place.clone(), ())));
        let topic = |(name, partitions): (String, Vec<(i32, ())>)| OffsetFetchRequestTopic {
            name: name.into(),
            partition_indexes: partitions.iter().map(|one| one.0).collect(),
            ..Default::default()
        };
        let request = m::OffsetFetchRequestData {
            group_id: self.group.clone().into(),
            topics: Some(topics.into_iter().map(topic).collect()),
            require_stable: true,
            ..Default::default()
        };
        let answer = self.conn.call(7, &request).await?;
        let mut positions = Vec::new();
        for topic in &answer.topics {
            for one in &topic.partitions {
                if one.error_code != 0 || answer.error_code != 0 {
                    return Err(Out);
                }
                let at = Place(topic.name.as_str().to_owned(), one.partition_index);
                positions.push((at, one.committed_offset));
            }
        }
        for (at, offset) in &positions {
            let (group, at, offset) = (self.group.clone(), at.clone(), *offset);
            self.field.note(Event::Position {
                group,
                since,
                at,
                offset,
            });
        }
        Ok(positions)
    }

    /// Commits a position.
    ///
    /// # Errors
    /// It does not count, or nobody knows.
    pub async fn commit(&mut self, at: &Place, offset: i64) -> Result<(), Out> {
        let (group, place) = (self.group.clone(), at.clone());
        self.field.note(Event::Offer {
            group: group.clone(),
            at: place.clone(),
            offset,
        });
        let request = offset_commit(&self.group, (&self.id, self.generation), at, offset);
        let code = commit_code(&self.conn.call(7, &request).await?);
        match code {
            0 => {
                self.field.note(Event::Offered {
                    group,
                    at: place,
                    offset,
                });
                Ok(())
            }
            code => {
                if is_refusal(code) {
                    self.field.note(Event::OfferRefused {
                        group,
                        at: place,
                        offset,
                    });
                }
                Err(Out)
            }
        }
    }

    /// # Errors
    /// It is time to join again.
    pub async fn heartbeat(&mut self) -> Result<(), Out> {
        let request = m::HeartbeatRequestData {
            group_id: self.group.clone().into(),
            generation_id: self.generation,
            member_id: self.id.clone().into(),
            ..Default::default()
        };
        match self.conn.call(3, &request).await?.error_code {
            0 => Ok(()),
            code => {
                if code == ErrorCode::UnknownMemberId.code() {
                    self.id.clear();
                }
                Err(Out)
            }
        }
    }
}

/// With these the coordinator says that a commit does not count, for good.
const REFUSALS: &[ErrorCode] = &[
    ErrorCode::IllegalGeneration,
    ErrorCode::UnknownMemberId,
    ErrorCode::RebalanceInProgress,
    ErrorCode::FencedInstanceId,
];

/// Whether the coordinator says that the commit does not count, for good.
pub fn is_refusal(code: i16) -> bool {
    REFUSALS.iter().any(|error| error.code() == code)
}

/// The commit of one offset, by a member as of a generation (of the consumer protocol: an epoch).
pub fn offset_commit(
    group: &str,
    (id, generation): (&str, i32),
    at: &Place,
    offset: i64,
) -> m::OffsetCommitRequestData {
    let partition = OffsetCommitRequestPartition {
        partition_index: at.1,
        committed_offset: offset,
        ..Default::default()
    };
    let topic = OffsetCommitRequestTopic {
        name: at.0.clone().into(),
        partitions: vec![partition],
        ..Default::default()
    };
    m::OffsetCommitRequestData {
        group_id: group.to_owned().into(),
        generation_id_or_member_epoch: generation,
        member_id: id.to_owned().into(),
        topics: vec![topic],
        ..Default::default()
    }
}

/// What became of the one offset of a commit.
pub fn commit_code(answer: &m::OffsetCommitResponseData) -> i16 {
    let topic = answer.topics.first();
    topic
        .and_then(|topic| topic.partitions.first())
        .map_or(-1, |one| one.error_code)
}

/// Consumes until the field ends. Stands still for longer than its session now and then, and goes on as if nothing were.
pub async fn run(field: Field, group: String, name: String, places: Vec<Place>, seed: u64) {
    let mut member = Member::new(&field, &group, &name, places, seed);
    while !field.has_ended() {
        if let Ok(mine) = member.join().await
            && let Ok(positions) = member.positions(&mine).await
        {
            member.haunt().await;
            // Ended by a rebalance or a failure: join again.
            let _ = consume(&mut member, &name, positions).await;
        }
        pause(&mut member.rng, 200).await;
    }
}

async fn consume(
    member: &mut Member,
    name: &str,
    mut positions: Vec<(Place, i64)>,
) -> Result<(), Out> {
    let field = member.field.clone();
    for position in positions.iter_mut().filter(|position| position.1 < 0) {
        position.1 = reset(&field, &mut member.conn, &position.0).await;
    }
    while !field.has_ended() {
        let since = field.clock.elapsed_us();
        let isolation = Isolation::Committed;
        for (at, from, fetched) in
            fetch(&mut member.conn, &positions, isolation, 3_000, 100).await?
        {
            let fetched = fetched.map_err(|_| Out)?;
            note(&field, name, since, isolation, &at, from, &fetched);
            if let Some(position) = positions.iter_mut().find(|(place, _)| *place == at) {
                position.1 = fetched.next;
            }
            if fetched.next > from && member.rng.below(2) == 0 {
                member.commit(&at, fetched.next).await?;
            }
        }
        if member.rng.below(100) == 0 {
            tokio::time::sleep(std::time::Duration::from_secs(10)).await;
        } else {
            member.heartbeat().await?;
        }
        pause(&mut member.rng, 300).await;
    }
    Ok(())
}
