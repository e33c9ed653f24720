//! ListPartitionReassignments, v0 (KIP-455): nothing is ever under way on one node.

use headwater_wire::Versions;
use headwater_wire::messages::{
    ListPartitionReassignmentsRequestData, ListPartitionReassignmentsResponseData,
};

use crate::authorize::{Operation, Resource};
use crate::call::{Call, Handle};
use crate::codes::{code_of, message_of};

impl Handle for ListPartitionReassignmentsRequestData {
    const VERSIONS: Versions = Versions::new(0, 0);

    async fn answer(self, call: Call) -> ListPartitionReassignmentsResponseData {
        let permit = call.permit(Operation::Describe, Resource::Cluster);
        ListPartitionReassignmentsResponseData {
            error_code: code_of(&permit),
            error_message: message_of(&permit),
            ..Default::default()
        }
    }
}
