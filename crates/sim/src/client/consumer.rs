//! A member of a group of the consumer protocol (KIP-848): the coordinator assigns, members give back and take over bit by bit.

use std::collections::BTreeMap;

use headwater_record::fuzz::Mutator;
use headwater_wire::messages as m;
use headwater_wire::messages::consumer_group_heartbeat_request::TopicPartitions;
use headwater_wire::messages::metadata_request::MetadataRequestTopic;
use headwater_wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use headwater_wire::{ErrorCode, KafkaUuid};

use super::conn::Conn;
use super::group::{Out, commit_code, offset_commit};
use super::reader::{fetch, note, reset};
use super::{Field, pause, zombie};
use crate::history::{Event, Isolation, Place};

struct Member {
    field: Field,
    conn: Conn,
    group: String,
    id: String,
    epoch: i32,
    /// Its epoch before that.
    former: Option<i32>,
    topic: String,
    topic_id: KafkaUuid,
    /// What it owns, with its position.
    owned: BTreeMap<i32, i64>,
    rng: Mutator,
}

/// Consumes one topic until the field ends.
pub async fn run(field: Field, group: String, name: String, topic: String, seed: u64) {
    let mut member = Member {
        conn: Conn::new(field.network.clone(), &name),
        field: field.clone(),
        group,
        id: name.clone(),
        epoch: 0,
        former: None,
        topic,
        topic_id: KafkaUuid::ZERO,
        owned: BTreeMap::new(),
        rng: Mutator::new(seed),
    };
    let mut life = 0;
    while !field.has_ended() {
        if member.find_topic().await.is_ok() {
            // Ended by a fence or a failure: it comes back as somebody else or as itself.
            let _ = member.live(&name).await;
        }
        pause(&mut member.rng, 300).await;
        if member.epoch == 0 {
            life += 1;
            member.id = format!("{name}.{life}");
            member.owned.clear();
            member.former = None;
        }
    }
}

impl Member {
    async fn find_topic(&mut self) -> Result<(), Out> {
        let topic = MetadataRequestTopic {
            name: Some(self.topic.clone().into()),
            ..Default::default()
        };
        let request = m::MetadataRequestData {
            topics: Some(vec![topic]),
            ..Default::default()
        };
        let answer = self.conn.call(12, &request).await?;
        let topic = answer.topics.first().filter(|topic| topic.error_code == 0);
        self.topic_id = topic.ok_or(Out)?.topic_id;
        Ok(())
    }

    /// Beats and consumes.
    async fn live(&mut self, name: &str) -> Result<(), Out> {
        while !self.field.has_ended() {
            self.beat().await?;
            self.haunt().await;
            if !self.owned.is_empty() {
                self.consume(name).await?;
            }
            match self.rng.below(150) {
                0 => tokio::time::sleep(std::time::Duration::from_secs(50)).await,
                _ => pause(&mut self.rng, 300).await,
            }
        }
        Ok(())
    }

    /// One heartbeat: says what is owned, gives back what is to be given back, takes what is free.
    async fn beat(&mut self) -> Result<(), Out> {
        let partitions: Vec<i32> = self.owned.keys().copied().collect();
        let owned = match partitions.is_empty() {
            true => Vec::new(),
            false => vec![TopicPartitions {
                topic_id: self.topic_id,
                partitions,
                ..Default::default()
            }],
        };
        let request = m::ConsumerGroupHeartbeatRequestData {
            group_id: self.group.clone().into(),
            member_id: self.id.clone().into(),
            member_epoch: self.epoch,
            rebalance_timeout_ms: 5_000,
            subscribed_topic_names: Some(vec![self.topic.clone().into()]),
            topic_partitions: Some(owned),
            ..Default::default()
        };
        let answer = self.conn.call(1, &request).await?;
        match answer.error_code {
            0 => {}
            code => {
                let again = [ErrorCode::UnknownMemberId, ErrorCode::FencedMemberEpoch];
                if again.iter().any(|error| error.code() == code) {
                    self.epoch = 0;
                }
                return Err(Out);
            }
        }
        if self.epoch > 0 && answer.member_epoch > self.epoch {
            self.former = Some(self.epoch);
        }
        self.epoch = answer.member_epoch;
        let Some(assignment) = answer.assignment else {
            return Ok(());
        };
        let topics = assignment.topic_partitions.iter();
        let target: Vec<i32> = topics
            .flat_map(|topic| topic.partitions.iter().copied())
            .collect();
        self.owned.retain(|index, _| target.contains(index));
        let new: Vec<i32> = target
            .into_iter()
            .filter(|index| !self.owned.contains_key(index))
            .collect();
        self.take(new).await
    }

    /// Asks where the group stands in new partitions.
    async fn take(&mut self, new: Vec<i32>) -> Result<(), Out> {
        if new.is_empty() {
            return Ok(());
        }
        let since = self.field.clock.elapsed_us();
        let topic = OffsetFetchRequestTopics {
            name: self.topic.clone().into(),
            partition_indexes: new,
            ..Default::default()
        };
        let group = OffsetFetchRequestGroup {
            group_id: self.group.clone().into(),
            member_id: Some(self.id.clone().into()),
            member_epoch: self.epoch,
            topics: Some(vec![topic]),
            ..Default::default()
        };
        let request = m::OffsetFetchRequestData {
            groups: vec![group],
            require_stable: true,
            ..Default::default()
        };
        let answer = self.conn.call(9, &request).await?;
        let group = answer
            .groups
            .first()
            .filter(|group| group.error_code == 0)
            .ok_or(Out)?;
        for one in group.topics.iter().flat_map(|topic| &topic.partitions) {
            if one.error_code != 0 {
                return Err(Out);
            }
            let at = Place(self.topic.clone(), one.partition_index);
            let (group, offset) = (self.group.clone(), one.committed_offset);
            self.field.note(Event::Position {
                group,
                since,
                at: at.clone(),
                offset,
            });
            let position = match offset {
                -1 => reset(&self.field, &mut self.conn, &at).await,
                offset => offset,
            };
            self.owned.insert(one.partition_index, position);
        }
        Ok(())
    }

    async fn consume(&mut self, name: &str) -> Result<(), Out> {
        let since = self.field.clock.elapsed_us();
        let place =
            |(index, position): (&i32, &i64)| (Place(self.topic.clone(), *index), *position);
        let positions: Vec<(Place, i64)> = self.owned.iter().map(place).collect();
        for (at, from, fetched) in
            fetch(&mut self.conn, &positions, Isolation::Committed, 3_000, 50).await?
        {
            let fetched = fetched.map_err(|_| Out)?;
            note(
                &self.field,
                name,
                since,
                Isolation::Committed,
                &at,
                from,
                &fetched,
            );
            self.owned.insert(at.1, fetched.next);
            if fetched.next > from && self.rng.below(2) == 0 {
                self.commit(at, fetched.next).await?;
            }
        }
        Ok(())
    }

    /// Commits in the epoch before: that must not count.
    async fn haunt(&mut self) {
        let Some(epoch) = self.former.take() else {
            return;
        };
        let at = Place(self.topic.clone(), self.rng.below(3) as i32);
        let request = offset_commit(&self.group, (&self.id, epoch), &at, 0);
        let Ok(answer) = self.conn.call(9, &request).await else {
            return;
        };
        let who = format!("{} of epoch {epoch} in {}", self.id, self.group);
        let wanted = [
            ErrorCode::StaleMemberEpoch,
            ErrorCode::UnknownMemberId,
            ErrorCode::FencedMemberEpoch,
        ];
        zombie::expect_refusal(&self.field, &who, commit_code(&answer), &wanted);
    }

    async fn commit(&mut self, at: Place, offset: i64) -> Result<(), Out> {
        let group = self.group.clone();
        self.field.note(Event::Offer {
            group: group.clone(),
            at: at.clone(),
            offset,
        });
        let request = offset_commit(&self.group, (&self.id, self.epoch), &at, offset);
        let code = commit_code(&self.conn.call(9, &request).await?);
        let fenced = [ErrorCode::UnknownMemberId, ErrorCode::FencedMemberEpoch];
        if code == 0 {
            self.field.note(Event::Offered { group, at, offset });
            return Ok(());
        }
        if fenced.iter().any(|error| error.code() == code) {
            self.epoch = 0;
        }
        if self.epoch == 0 || code == ErrorCode::StaleMemberEpoch.code() {
            self.field.note(Event::OfferRefused { group, at, offset });
        }
        Err(Out)
    }
}
