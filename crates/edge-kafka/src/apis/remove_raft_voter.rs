//! RemoveRaftVoter, v0 (KIP-853). The quorum is this node, and stays so.

use headwater_wire::messages::{RemoveRaftVoterRequestData, RemoveRaftVoterResponseData};
use headwater_wire::{ErrorCode, Versions};

use crate::authorize::{Operation, Resource};
use crate::call::{Call, Handle};
use crate::codes::{Refusal, code_of, message_of};

impl Handle for RemoveRaftVoterRequestData {
    const VERSIONS: Versions = Versions::new(0, 0);

    async fn answer(self, call: Call) -> RemoveRaftVoterResponseData {
        let fixed = || {
            let text =
                "Cluster doesn't support removing voter because the kraft.version feature is 0";
            Err(Refusal::new(ErrorCode::UnsupportedVersion, text))
        };
        let outcome: Result<(), Refusal> = call
            .permit(Operation::Alter, Resource::Cluster)
            .and_then(|()| fixed());
        RemoveRaftVoterResponseData {
            error_code: code_of(&outcome),
            error_message: message_of(&outcome),
            ..Default::default()
        }
    }
}
