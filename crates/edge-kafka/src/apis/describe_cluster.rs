//! DescribeCluster, v0-2.
//!
//! v1 asks for brokers or controllers (KIP-919): this node is a broker; v2 adds fenced brokers.

use headwater_wire::messages::describe_cluster_response::DescribeClusterBroker;
use headwater_wire::messages::{DescribeClusterRequestData, DescribeClusterResponseData};
use headwater_wire::{ErrorCode, Versions};

use crate::apis::shared::{CLUSTER_OPERATIONS, OPERATIONS_UNASKED};
use crate::call::{Call, Handle, text};

const BROKERS: i8 = 1;

impl Handle for DescribeClusterRequestData {
    const VERSIONS: Versions = Versions::new(0, 2);

    async fn answer(self, call: Call) -> DescribeClusterResponseData {
        if call.version >= 1 && self.endpoint_type != BROKERS {
            let error_message = Some(text("this node is a broker, not a controller"));
            return DescribeClusterResponseData {
                error_code: ErrorCode::MismatchedEndpointType.code(),
                error_message,
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
                true => CLUSTER_OPERATIONS,
                false => OPERATIONS_UNASKED,
            },
            ..Default::default()
        }
    }
}
