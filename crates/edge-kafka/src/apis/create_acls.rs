//! CreateAcls, v1-3 (KIP-140). v2 is flexible; v3 has resources of type user.

use headwater_wire::Versions;
use headwater_wire::messages::create_acls_response::AclCreationResult;
use headwater_wire::messages::{CreateAclsRequestData, CreateAclsResponseData};

use crate::acl_codes::acl_of;
use crate::authorize::{Operation, Resource};
use crate::call::{Call, Handle};
use crate::codes::{Refusal, code_of, message_of};

impl Handle for CreateAclsRequestData {
    const VERSIONS: Versions = Versions::new(1, 3);

    async fn answer(self, call: Call) -> CreateAclsResponseData {
        let permit = call.permit(Operation::Alter, Resource::Cluster);
        let read: Vec<_> = self
            .creations
            .iter()
            .map(|creation| permit.clone().and_then(|()| acl_of(creation)))
            .collect();
        let good = read.iter().filter_map(|one| one.as_ref().ok().cloned());
        let mut added = call.broker().add_acls(good.collect()).await.into_iter();
        let mut outcome =
            |read: Result<_, Refusal>| read.and_then(|_| Ok(added.next().unwrap_or(Ok(()))?));
        let result = |read| {
            let outcome = outcome(read);
            AclCreationResult {
                error_code: code_of(&outcome),
                error_message: message_of(&outcome),
                ..Default::default()
            }
        };
        CreateAclsResponseData {
            results: read.into_iter().map(result).collect(),
            ..Default::default()
        }
    }
}
