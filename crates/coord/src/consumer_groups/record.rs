//! What of a group survives a restart of its host, as bytes: one record for the group, one for each member.
//!
//! ```text
//! head:   version u8 = 1 | epoch i32 | assignment epoch i32 | (topic text | id 16 | partitions i32)* | (regex text | (topic text)*)*
//! member: version u8 = 1 | instance option | rack option | client text | host text | rebalance ms i32 | assignor option
//!         | (topic text)* | regex option | epoch i32 | previous i32 | state u8 | assigned | revoking | target
//!         | 0 u8, or 1 u8 and session ms i32 | (protocol text | metadata bytes)*
//! partitions: (id 16 | (index i32)*)*        fields as in `bytes_io`
//! ```

use bytes::{BufMut, Bytes};
use headwater_base::TopicId;

use super::group::ConsumerGroup;
use super::member::{Member, MemberState};
use super::types::{ClassicPart, Partitions};
use crate::bytes_io::{Reader, put_bytes, put_count, put_option, put_text};
use crate::groups::Protocol;

const VERSION: u8 = 1;

impl ConsumerGroup {
    /// The group without its members.
    pub fn encode_head(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.put_i32(self.epoch);
        out.put_i32(self.assignment_epoch);
        put_count(&mut out, self.topics.len());
        for (name, (id, partitions)) in &self.topics {
            put_text(&mut out, name);
            out.put_slice(&id.0);
            out.put_i32(*partitions);
        }
        put_count(&mut out, self.resolved.len());
        for (pattern, topics) in &self.resolved {
            put_text(&mut out, pattern);
            put_count(&mut out, topics.len());
            topics.iter().for_each(|topic| put_text(&mut out, topic));
        }
        out
    }

    /// One member; `None` when it is no more.
    pub fn encode_member(&self, id: &str) -> Option<Vec<u8>> {
        self.members.get(id).map(encode_member)
    }

    /// The group as it was written. Its members have no sessions yet: see [`ConsumerGroup::start_sessions`].
    /// `None`: written by a newer version, or garbage.
    pub fn restored(
        head: Bytes,
        members: impl IntoIterator<Item = (String, Bytes)>,
    ) -> Option<Self> {
        let mut rest = Reader(head);
        if rest.u8()? != VERSION {
            return None;
        }
        let mut out = Self::new();
        out.epoch = rest.i32()?;
        out.assignment_epoch = rest.i32()?;
        let topic = |rest: &mut Reader| {
            let name = rest.text()?;
            Some((name, (TopicId(rest.array()?), rest.i32()?)))
        };
        out.topics = rest.list(topic)?.into_iter().collect();
        let pattern = |rest: &mut Reader| {
            let pattern = rest.text()?;
            Some((pattern, rest.list(Reader::text)?.into_iter().collect()))
        };
        out.resolved = rest.list(pattern)?.into_iter().collect();
        for (id, bytes) in members {
            out.put(&id, decode_member(bytes)?);
        }
        let _ = out.take_changes();
        Some(out)
    }
}

fn encode_member(member: &Member) -> Vec<u8> {
    let mut out = vec![VERSION];
    put_option(&mut out, member.instance_id.as_deref());
    put_option(&mut out, member.rack_id.as_deref());
    put_text(&mut out, &member.client_id);
    put_text(&mut out, &member.client_host);
    out.put_i32(member.rebalance_ms);
    put_option(&mut out, member.assignor.as_deref());
    put_count(&mut out, member.topic_names.len());
    member
        .topic_names
        .iter()
        .for_each(|name| put_text(&mut out, name));
    put_option(&mut out, member.topic_regex.as_deref());
    out.put_i32(member.epoch);
    out.put_i32(member.previous_epoch);
    out.put_u8(match member.state {
        MemberState::Stable => 0,
        MemberState::UnrevokedPartitions => 1,
        MemberState::UnreleasedPartitions => 2,
    });
    for partitions in [&member.assigned, &member.revoking, &member.target] {
        put_partitions(&mut out, partitions);
    }
    out.put_u8(member.classic.is_some().into());
    if let Some(part) = &member.classic {
        out.put_i32(part.session_ms);
        put_protocols(&mut out, &part.protocols);
    }
    out
}

fn decode_member(bytes: Bytes) -> Option<Member> {
    let mut rest = Reader(bytes);
    if rest.u8()? != VERSION {
        return None;
    }
    let mut member = Member::new();
    member.instance_id = rest.option()?;
    member.rack_id = rest.option()?;
    member.client_id = rest.text()?;
    member.client_host = rest.text()?;
    member.rebalance_ms = rest.i32()?;
    member.assignor = rest.option()?;
    member.topic_names = rest.list(Reader::text)?.into_iter().collect();
    member.topic_regex = rest.option()?;
    member.epoch = rest.i32()?;
    member.previous_epoch = rest.i32()?;
    member.state = match rest.u8()? {
        0 => MemberState::Stable,
        1 => MemberState::UnrevokedPartitions,
        2 => MemberState::UnreleasedPartitions,
        _ => return None,
    };
    member.assigned = partitions(&mut rest)?;
    member.revoking = partitions(&mut rest)?;
    member.target = partitions(&mut rest)?;
    member.classic = match rest.u8()? {
        0 => None,
        _ => Some(ClassicPart {
            session_ms: rest.i32()?,
            protocols: protocols(&mut rest)?,
        }),
    };
    Some(member)
}

fn put_partitions(out: &mut Vec<u8>, partitions: &Partitions) {
    put_count(out, partitions.len());
    for (topic, indexes) in partitions {
        out.put_slice(&topic.0);
        put_count(out, indexes.len());
        indexes.iter().for_each(|index| out.put_i32(*index));
    }
}

fn partitions(rest: &mut Reader) -> Option<Partitions> {
    let topic = |rest: &mut Reader| {
        let id = TopicId(rest.array()?);
        Some((id, rest.list(Reader::i32)?.into_iter().collect()))
    };
    Some(rest.list(topic)?.into_iter().collect())
}

/// Protocols with what members said in them.
pub(crate) fn put_protocols(out: &mut Vec<u8>, protocols: &[Protocol]) {
    put_count(out, protocols.len());
    for protocol in protocols {
        put_text(out, &protocol.name);
        put_bytes(out, &protocol.metadata);
    }
}

/// The inverse of [`put_protocols`]; the bytes are copied, so that no journal batch lives as long as a member.
pub(crate) fn protocols(rest: &mut Reader) -> Option<Vec<Protocol>> {
    rest.list(|rest| {
        let name = rest.text()?;
        let metadata = Bytes::copy_from_slice(&rest.bytes()?);
        Some(Protocol { name, metadata })
    })
}
