//! What of a classic group survives a restart of its host: the last generation that was complete, with its assignment.
//!
//! ```text
//! version u8 = 1 | generation i32 | protocol type text | protocol option | leader option | since ms i64
//! | (id text | instance option | client text | host text | session ms i32 | rebalance ms i32
//!    | (protocol text | metadata bytes)* | assignment bytes)*                        fields as in `bytes_io`
//! ```

use bytes::{BufMut, Bytes};

use super::group::{Answers, Group, Phase};
use super::member::Member;
use super::types::{Answer, GroupError, Limits, Protocol};
use crate::bytes_io::{Reader, put_bytes, put_count, put_option, put_text};
use crate::consumer_groups::record::{protocols, put_protocols};

const VERSION: u8 = 1;

/// A group between two rebalances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedGroup {
    pub generation: i32,
    pub protocol_type: String,
    pub protocol: Option<String>,
    pub leader: Option<String>,
    /// Since when it is as it is (ms): an empty group's offsets expire from then on.
    pub changed_ms: i64,
    /// In the order of their arrival.
    pub members: Vec<SavedMember>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedMember {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub session_ms: i32,
    pub rebalance_ms: i32,
    pub protocols: Vec<Protocol>,
    pub assignment: Bytes,
}

impl Group {
    pub fn saved(&self) -> SavedGroup {
        let mut members: Vec<(&String, &Member)> = self.members.iter().collect();
        members.sort_by_key(|(_, member)| member.arrival);
        let member = |(id, member): (&String, &Member)| SavedMember {
            member_id: id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            session_ms: i32::try_from(member.session_ms).unwrap_or(i32::MAX),
            rebalance_ms: i32::try_from(member.rebalance_ms).unwrap_or(i32::MAX),
            protocols: member.protocols.clone(),
            assignment: member.assignment.clone(),
        };
        SavedGroup {
            generation: self.generation,
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            changed_ms: self.changed_ms,
            members: members.into_iter().map(member).collect(),
        }
    }

    /// The group as it was; every member's session begins now.
    pub fn restored(limits: Limits, saved: SavedGroup, now_ms: i64) -> Self {
        let mut group = Self::new(limits);
        group.generation = saved.generation;
        group.protocol_type = (!saved.protocol_type.is_empty()).then_some(saved.protocol_type);
        group.protocol = saved.protocol;
        group.leader = saved.leader;
        group.changed_ms = saved.changed_ms;
        if !saved.members.is_empty() {
            group.phase = Phase::Stable;
        }
        for saved in saved.members {
            if let Some(instance) = &saved.instance_id {
                let id = saved.member_id.clone();
                group.instances.insert(instance.clone(), id);
            }
            let member = Member {
                instance_id: saved.instance_id,
                client_id: saved.client_id,
                client_host: saved.client_host,
                session_ms: saved.session_ms.into(),
                rebalance_ms: saved.rebalance_ms.into(),
                protocols: saved.protocols,
                assignment: saved.assignment,
                arrival: group.arrivals,
                seen_ms: now_ms,
                is_new: false,
                synced: true,
                joining: None,
                syncing: None,
            };
            group.arrivals += 1;
            group.members.insert(saved.member_id, member);
        }
        group
    }

    /// Whether something that [`Group::saved`] tells has changed since this was last asked, and shall survive a restart.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// It could not be written; to be told again.
    pub fn keep_changed(&mut self) {
        self.changed = true;
    }

    /// Since when the group is without members, or stable (ms).
    pub fn changed_ms(&self) -> i64 {
        self.changed_ms
    }

    /// Sends everybody who waits away to come again: the group becomes one of another kind.
    pub fn dismiss(&mut self) -> Vec<Answer> {
        let mut out = Answers::default();
        for (id, member) in &mut self.members {
            if let Some(waiter) = member.joining.take() {
                out.refuse_join(waiter, GroupError::RebalanceInProgress, id);
            }
            if let Some(waiter) = member.syncing.take() {
                out.refuse_sync(waiter, GroupError::RebalanceInProgress);
            }
        }
        out.into_vec()
    }

    /// Has all members join again.
    pub fn rebalance(&mut self, now_ms: i64) -> Vec<Answer> {
        let mut out = Answers::default();
        self.prepare(now_ms, &mut out);
        out.into_vec()
    }
}

impl SavedGroup {
    /// Members' protocols are cut down to the chosen one, as in Kafka: the others matter only in the next rebalance, in which
    /// everybody names them again.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.put_i32(self.generation);
        put_text(&mut out, &self.protocol_type);
        put_option(&mut out, self.protocol.as_deref());
        put_option(&mut out, self.leader.as_deref());
        out.put_i64(self.changed_ms);
        put_count(&mut out, self.members.len());
        for member in &self.members {
            put_text(&mut out, &member.member_id);
            put_option(&mut out, member.instance_id.as_deref());
            put_text(&mut out, &member.client_id);
            put_text(&mut out, &member.client_host);
            out.put_i32(member.session_ms);
            out.put_i32(member.rebalance_ms);
            let chosen = |one: &&Protocol| Some(&one.name) == self.protocol.as_ref();
            let kept: Vec<Protocol> = member.protocols.iter().filter(chosen).cloned().collect();
            put_protocols(&mut out, &kept);
            put_bytes(&mut out, &member.assignment);
        }
        out
    }

    /// `None`: written by a newer version, or garbage.
    pub fn decode(bytes: Bytes) -> Option<Self> {
        let mut rest = Reader(bytes);
        if rest.u8()? != VERSION {
            return None;
        }
        Some(Self {
            generation: rest.i32()?,
            protocol_type: rest.text()?,
            protocol: rest.option()?,
            leader: rest.option()?,
            changed_ms: rest.i64()?,
            members: rest.list(decode_member)?,
        })
    }
}

fn decode_member(rest: &mut Reader) -> Option<SavedMember> {
    Some(SavedMember {
        member_id: rest.text()?,
        instance_id: rest.option()?,
        client_id: rest.text()?,
        client_host: rest.text()?,
        session_ms: rest.i32()?,
        rebalance_ms: rest.i32()?,
        protocols: protocols(rest)?,
        assignment: Bytes::copy_from_slice(&rest.bytes()?),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn member() -> impl Strategy<Value = SavedMember> {
        let texts = ("[a-z]{1,9}", prop::option::of("[a-z]{0,9}"), ".{0,9}");
        let bytes = prop::collection::vec(any::<u8>(), 0..20);
        (texts, bytes.clone(), bytes, any::<i32>()).prop_map(|(texts, one, other, ms)| {
            SavedMember {
                member_id: texts.0,
                instance_id: texts.1,
                client_id: texts.2.clone(),
                client_host: texts.2,
                session_ms: ms,
                rebalance_ms: ms,
                protocols: vec![Protocol {
                    name: "range".into(),
                    metadata: one.into(),
                }],
                assignment: other.into(),
            }
        })
    }

    proptest! {
        #[test]
        fn a_group_survives_its_encoding(members in prop::collection::vec(member(), 0..4), generation: i32, changed_ms: i64) {
            let saved = SavedGroup {
                generation,
                protocol_type: "consumer".into(),
                protocol: Some("range".into()),
                leader: members.first().map(|member| member.member_id.clone()),
                changed_ms,
                members,
            };
            let bytes = saved.encode();
            prop_assert_eq!(SavedGroup::decode(bytes.clone().into()), Some(saved));
            for cut in 0..bytes.len() {
                prop_assert_eq!(SavedGroup::decode(bytes[..cut].to_vec().into()), None);
            }
        }

        #[test]
        fn garbage_is_no_group_and_no_panic(bytes: Vec<u8>) {
            let _ = SavedGroup::decode(bytes.into());
        }
    }
}
