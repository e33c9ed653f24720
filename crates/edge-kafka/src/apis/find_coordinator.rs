//! FindCoordinator, v0-6.
//!
//! v1 adds the type of the key; v3 is flexible; v4 asks for several keys at once (KIP-699); v5 an error of transactions v2; v6 share
//! groups. The coordinator of every group and of every transactional id is this node. Share groups are not served: refused with a
//! code that clients do not retry.

use headwater_wire::messages::find_coordinator_response::Coordinator;
use headwater_wire::messages::{FindCoordinatorRequestData, FindCoordinatorResponseData};
use headwater_wire::{ErrorCode, KafkaString, Versions};

use crate::authorize::{Operation, Resource};
use crate::call::{Call, Handle, text};

/// Kafka's `CoordinatorType`.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
/// First version with several keys.
const BATCHED_FROM: i16 = 4;

impl Handle for FindCoordinatorRequestData {
    const VERSIONS: Versions = Versions::new(0, 6);

    async fn answer(self, call: Call) -> FindCoordinatorResponseData {
        if call.version >= BATCHED_FROM {
            let coordinators = self
                .coordinator_keys
                .into_iter()
                .map(|key| find(&call, self.key_type, key))
                .collect();
            return FindCoordinatorResponseData {
                coordinators,
                ..Default::default()
            };
        }
        let Coordinator {
            node_id,
            host,
            port,
            error_code,
            error_message,
            ..
        } = find(&call, self.key_type, self.key);
        FindCoordinatorResponseData {
            node_id,
            host,
            port,
            error_code,
            error_message,
            ..Default::default()
        }
    }
}

fn find(call: &Call, key_type: i8, key: KafkaString) -> Coordinator {
    let refuse = |error: ErrorCode, why: &str, key| Coordinator {
        key,
        node_id: -1,
        port: -1,
        error_code: error.code(),
        error_message: Some(text(why)),
        ..Default::default()
    };
    match key_type {
        GROUP if !call.may(Operation::Describe, Resource::Group(key.as_str())) => refuse(
            ErrorCode::GroupAuthorizationFailed,
            "Group authorization failed.",
            key,
        ),
        TRANSACTION if !call.may(Operation::Describe, Resource::TransactionalId(key.as_str())) => {
            refuse(
                ErrorCode::TransactionalIdAuthorizationFailed,
                "Transactional Id authorization failed.",
                key,
            )
        }
        GROUP | TRANSACTION => {
            let config = &call.node.config;
            let (host, port) = (
                text(config.advertised_host.clone()),
                config.advertised_port.into(),
            );
            Coordinator {
                key,
                node_id: call.node.id(),
                host,
                port,
                ..Default::default()
            }
        }
        _ => refuse(
            ErrorCode::InvalidRequest,
            "there is no such type of coordinator",
            key,
        ),
    }
}
