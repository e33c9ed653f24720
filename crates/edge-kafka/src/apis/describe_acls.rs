//! DescribeAcls, v1-3 (KIP-140). v2 is flexible; v3 has resources of type user.

use headwater_broker::{Acl, PatternType, ResourceType};
use headwater_wire::Versions;
use headwater_wire::messages::describe_acls_response::{AclDescription, DescribeAclsResource};
use headwater_wire::messages::{DescribeAclsRequestData, DescribeAclsResponseData};

use crate::acl_codes::describe_filter;
use crate::authorize::{Operation, Resource};
use crate::call::{Call, Handle, text};
use crate::codes::{Refusal, code_of, message_of};

impl Handle for DescribeAclsRequestData {
    const VERSIONS: Versions = Versions::new(1, 3);

    async fn answer(self, call: Call) -> DescribeAclsResponseData {
        let found = find(&self, &call);
        DescribeAclsResponseData {
            error_code: code_of(&found),
            error_message: message_of(&found),
            resources: by_resource(found.unwrap_or_default()),
            ..Default::default()
        }
    }
}

fn find(request: &DescribeAclsRequestData, call: &Call) -> Result<Vec<Acl>, Refusal> {
    call.permit(Operation::Describe, Resource::Cluster)?;
    let filter = describe_filter(request)?;
    let catalog = call.broker().catalog();
    Ok(catalog.acls().picked(&filter).collect())
}

/// They come in the order of their resources.
fn by_resource(acls: Vec<Acl>) -> Vec<DescribeAclsResource> {
    let mut out: Vec<DescribeAclsResource> = Vec::new();
    let mut last: Option<(ResourceType, PatternType, String)> = None;
    for acl in acls {
        let rule = AclDescription {
            principal: text(acl.rule.principal),
            host: text(acl.rule.host),
            operation: acl.rule.operation.code(),
            permission_type: acl.rule.permission.code(),
            ..Default::default()
        };
        let here = (acl.resource, acl.pattern, acl.name);
        match out.last_mut() {
            Some(resource) if last.as_ref() == Some(&here) => resource.acls.push(rule),
            _ => {
                out.push(DescribeAclsResource {
                    resource_type: here.0.code(),
                    resource_name: text(here.2.clone()),
                    pattern_type: here.1.code(),
                    acls: vec![rule],
                    ..Default::default()
                });
                last = Some(here);
            }
        }
    }
    out
}
