//! DeleteAcls, v1-3 (KIP-140). v2 is flexible; v3 has resources of type user.

use headwater_broker::Acl;
use headwater_wire::Versions;
use headwater_wire::messages::delete_acls_response::{
    DeleteAclsFilterResult, DeleteAclsMatchingAcl,
};
use headwater_wire::messages::{DeleteAclsRequestData, DeleteAclsResponseData};

use crate::acl_codes::delete_filter;
use crate::authorize::{Operation, Resource};
use crate::call::{Call, Handle, text};
use crate::codes::{Refusal, code_of, message_of};

impl Handle for DeleteAclsRequestData {
    const VERSIONS: Versions = Versions::new(1, 3);

    async fn answer(self, call: Call) -> DeleteAclsResponseData {
        let permit = call.permit(Operation::Alter, Resource::Cluster);
        let read: Vec<_> = self
            .filters
            .iter()
            .map(|filter| permit.clone().and_then(|()| delete_filter(filter)))
            .collect();
        let good: Vec<_> = read.iter().filter_map(|one| one.clone().ok()).collect();
        let removed = match good.is_empty() {
            true => Ok(Vec::new()),
            false => call.broker().remove_acls(&good).await,
        };
        let mut removed = removed.map(Vec::into_iter).map_err(Refusal::from);
        let mut result = |read: Result<_, Refusal>| {
            let matching = read.and_then(|_| match &mut removed {
                Ok(removed) => Ok(removed.next().unwrap_or_default()),
                Err(error) => Err(error.clone()),
            });
            DeleteAclsFilterResult {
                error_code: code_of(&matching),
                error_message: message_of(&matching),
                matching_acls: matching.unwrap_or_default().into_iter().map(told).collect(),
                ..Default::default()
            }
        };
        let filter_results = read.into_iter().map(&mut result).collect();
        DeleteAclsResponseData {
            filter_results,
            ..Default::default()
        }
    }
}

fn told(acl: Acl) -> DeleteAclsMatchingAcl {
    DeleteAclsMatchingAcl {
        resource_type: acl.resource.code(),
        resource_name: text(acl.name),
        pattern_type: acl.pattern.code(),
        principal: text(acl.rule.principal),
        host: text(acl.rule.host),
        operation: acl.rule.operation.code(),
        permission_type: acl.rule.permission.code(),
        ..Default::default()
    }
}
