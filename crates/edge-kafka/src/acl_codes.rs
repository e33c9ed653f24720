//! ACLs and filters of the protocol to ours and back.

use headwater_broker::{
    Acl, AclFilter, Operation, PatternFilter, PatternType, Permission, ResourceType, Rule,
};
use headwater_wire::messages::DescribeAclsRequestData;
use headwater_wire::messages::create_acls_request::AclCreation;
use headwater_wire::messages::delete_acls_request::DeleteAclsFilter;

use crate::call::{plain, plain_option};
use crate::codes::Refusal;

/// Kafka's number for "any", in every enum.
const ANY: i8 = 1;
/// Kafka's `PatternType.MATCH`.
const MATCH: i8 = 2;

/// # Errors
/// A number stands for nothing that an ACL can have.
pub(crate) fn acl_of(creation: &AclCreation) -> Result<Acl, Refusal> {
    let invalid = |what: &str, code: i8| {
        let name = if code == ANY { "ANY" } else { "UNKNOWN" };
        Refusal::request(format!("Invalid {what} {name}"))
    };
    let resource = ResourceType::of(creation.resource_type);
    let pattern = PatternType::of(creation.resource_pattern_type);
    let operation = Operation::of(creation.operation);
    let permission = Permission::of(creation.permission_type);
    Ok(Acl {
        resource: resource.ok_or_else(|| invalid("resourceType", creation.resource_type))?,
        name: plain(&creation.resource_name),
        pattern: pattern.ok_or_else(|| invalid("patternType", creation.resource_pattern_type))?,
        rule: Rule {
            principal: plain(&creation.principal),
            host: plain(&creation.host),
            operation: operation.ok_or_else(|| invalid("operation", creation.operation))?,
            permission: permission
                .ok_or_else(|| invalid("permissionType", creation.permission_type))?,
        },
    })
}

/// The fields of a filter, which two requests have under the same names.
macro_rules! filter_of {
    ($from:expr) => {{
        let from = $from;
        let pattern = match from.pattern_type_filter {
            ANY => PatternFilter::Any,
            MATCH => PatternFilter::Match,
            code => PatternFilter::Exactly(known(PatternType::of(code), "pattern type", code)?),
        };
        Ok(AclFilter {
            resource: or_any(from.resource_type_filter, ResourceType::of, "resource type")?,
            name: plain_option(from.resource_name_filter.as_ref()),
            pattern,
            principal: plain_option(from.principal_filter.as_ref()),
            host: plain_option(from.host_filter.as_ref()),
            operation: or_any(from.operation, Operation::of, "operation")?,
            permission: or_any(from.permission_type, Permission::of, "permission type")?,
        })
    }};
}

pub(crate) fn describe_filter(from: &DescribeAclsRequestData) -> Result<AclFilter, Refusal> {
    filter_of!(from)
}

pub(crate) fn delete_filter(from: &DeleteAclsFilter) -> Result<AclFilter, Refusal> {
    filter_of!(from)
}

fn or_any<T>(code: i8, of: fn(i8) -> Option<T>, what: &str) -> Result<Option<T>, Refusal> {
    match code {
        ANY => Ok(None),
        code => known(of(code), what, code).map(Some),
    }
}

fn known<T>(found: Option<T>, what: &str, code: i8) -> Result<T, Refusal> {
    found.ok_or_else(|| Refusal::request(format!("The filter has the unknown {what} {code}")))
}
