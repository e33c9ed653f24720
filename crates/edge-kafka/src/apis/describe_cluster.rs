//! DescribeCluster, v0-2.
//!
//! v1 asks for brokers or controllers (KIP-919): this node is a broker; v2 adds fenced brokers.

use headwater_wire::messages::describe_cluster_response::DescribeClusterBroker;
use headwater_wire::messages::{DescribeClusterRequestData, DescribeClusterResponseData};
use headwater_wire::{ErrorCode, Versions};

use crate::apis::shared::OPERATIONS_UNASKED;
use crate::call::{Call, Handle, text};

/// Kafka's types of endpoints.
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

impl Handle for DescribeClusterRequestData {
    const VERSIONS: Versions = Versions::new(0, 2);

    async fn answer(self, call: Call) -> DescribeClusterResponseData {
        if let Some((error, why)) = refusal(call.version, self.endpoint_type) {
            return DescribeClusterResponseData {
                error_code: error.code(),
                error_message: Some(text(why)),
                ..Default::default()
            };
        }
        let config = &call.node.config;
        let node = call.node.id();
        let (host, port) = (
            text(config.advertised_host.clone()),
            config.advertised_port.into(),
        );
        DescribeClusterResponseData {
            cluster_id: text(call.broker().cluster_id()),
            controller_id: node,
            brokers: vec![DescribeClusterBroker {
                broker_id: node,
                host,
                port,
                rack: None,
                ..Default::default()
            }],
            cluster_authorized_operations: match self.include_cluster_authorized_operations {
                true => call.cluster_operations(),
                false => OPERATIONS_UNASKED,
            },
            ..Default::default()
        }
    }
}

fn refusal(version: i16, endpoint_type: i8) -> Option<(ErrorCode, String)> {
    match endpoint_type {
        _ if version < 1 => None,
        BROKERS => None,
        CONTROLLERS => Some((
            ErrorCode::MismatchedEndpointType,
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER".into(),
        )),
        other => Some((
            ErrorCode::UnsupportedEndpointType,
            format!("Unsupported endpoint type {other}"),
        )),
    }
}
