//! One member: what it offered, what it was given, and whom to answer.

use bytes::Bytes;

use super::types::{Join, Protocol, Waiter};

/// How long a member that never completed a rebalance may wait in one before it counts as gone (as in Kafka).
pub(super) const NEW_MEMBER_WAIT_MS_MAX: i64 = 300_000;

#[derive(Clone, Debug)]
pub(super) struct Member {
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub session_ms: i64,
    pub rebalance_ms: i64,
    pub protocols: Vec<Protocol>,
    pub assignment: Bytes,
    /// The order of arrival: the earliest is the next leader.
    pub arrival: u64,
    /// When it last showed itself.
    pub seen_ms: i64,
    /// It has not completed a rebalance yet.
    pub is_new: bool,
    /// It has asked for its assignment in this generation.
    pub synced: bool,
    pub joining: Option<Waiter>,
    pub syncing: Option<Waiter>,
}

impl Member {
    pub fn new(join: &Join, arrival: u64, now_ms: i64) -> Self {
        Self {
            instance_id: join.instance_id.clone(),
            client_id: join.client_id.clone(),
            client_host: join.client_host.clone(),
            session_ms: join.session_timeout_ms.into(),
            rebalance_ms: join.rebalance_timeout_ms.max(0).into(),
            protocols: join.protocols.clone(),
            assignment: Bytes::new(),
            arrival,
            seen_ms: now_ms,
            is_new: true,
            synced: false,
            joining: None,
            syncing: None,
        }
    }

    /// Takes over what a later JoinGroup says.
    pub fn update(&mut self, join: &Join, now_ms: i64) {
        self.client_id.clone_from(&join.client_id);
        self.client_host.clone_from(&join.client_host);
        self.session_ms = join.session_timeout_ms.into();
        self.rebalance_ms = join.rebalance_timeout_ms.max(0).into();
        self.protocols.clone_from(&join.protocols);
        self.seen_ms = now_ms;
    }

    pub fn supports(&self, protocol: &str) -> bool {
        self.protocols
            .iter()
            .any(|offered| offered.name == protocol)
    }

    /// The subscription in a protocol; empty when it is not offered.
    pub fn metadata(&self, protocol: &str) -> Bytes {
        let offered = self
            .protocols
            .iter()
            .find(|offered| offered.name == protocol);
        offered
            .map(|offered| offered.metadata.clone())
            .unwrap_or_default()
    }

    /// Bytes held for this member.
    pub fn bytes(&self) -> usize {
        self.assignment.len() + protocols_bytes(&self.protocols)
    }

    /// When the member counts as gone. Who waits for an answer is there, unless it is new and waits for too long.
    pub fn deadline_ms(&self) -> Option<i64> {
        match (
            self.joining.is_some() || self.syncing.is_some(),
            self.is_new,
        ) {
            (false, _) => Some(self.seen_ms.saturating_add(self.session_ms)),
            (true, true) => Some(
                self.seen_ms
                    .saturating_add(self.session_ms.max(NEW_MEMBER_WAIT_MS_MAX)),
            ),
            (true, false) => None,
        }
    }
}

pub(super) fn protocols_bytes(protocols: &[Protocol]) -> usize {
    protocols
        .iter()
        .map(|protocol| protocol.name.len() + protocol.metadata.len())
        .sum()
}
