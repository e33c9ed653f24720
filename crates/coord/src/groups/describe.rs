//! What a group tells about itself.

use bytes::Bytes;

use super::group::Group;
use super::types::State;
use crate::consumer_protocol::read_topics;

/// A group as DescribeGroups shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    pub state: State,
    pub generation: i32,
    /// Empty until somebody has joined.
    pub protocol_type: String,
    /// The chosen protocol; empty while none is.
    pub protocol: String,
    pub members: Vec<MemberDescription>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberDescription {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    /// The subscription in the chosen protocol; empty while none is.
    pub metadata: Bytes,
    /// Empty unless the group is stable.
    pub assignment: Bytes,
}

impl Group {
    /// Whether a member reads the topic, as far as can be told: consumers that have not agreed on a protocol yet, or whose
    /// subscriptions cannot be read, may read anything (as in Kafka). Of others than consumers nothing is known.
    pub fn is_subscribed(&self, topic: &str) -> bool {
        if self.members.is_empty() || self.protocol_type.as_deref() != Some("consumer") {
            return false;
        }
        let Some(protocol) = &self.protocol else {
            return true;
        };
        self.members.values().any(|member| {
            read_topics(&member.metadata(protocol))
                .is_none_or(|topics| topics.iter().any(|name| name == topic))
        })
    }

    pub fn describe(&self) -> Description {
        let state = self.state();
        let protocol = match state {
            State::Stable | State::CompletingRebalance => self.protocol.clone().unwrap_or_default(),
            State::Empty | State::PreparingRebalance | State::Dead => String::new(),
        };
        let members = self.members.iter().map(|(id, member)| MemberDescription {
            member_id: id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            metadata: member.metadata(&protocol),
            assignment: if state == State::Stable {
                member.assignment.clone()
            } else {
                Bytes::new()
            },
        });
        Description {
            state,
            generation: self.generation,
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            members: members.collect(),
            protocol,
        }
    }
}
