//! Access rights: listing, adding and taking them away.

use headwater_wire::KafkaString;
use headwater_wire::messages as m;

use super::cluster::Client;
use super::error::ClientError;

/// Kafka's number for "any".
const ANY: i8 = 1;

/// One rule, in Kafka's words and in small letters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AclEntry {
    /// `topic`, `group`, `cluster`, `transactional-id`.
    pub resource: String,
    pub name: String,
    /// `literal` or `prefixed`.
    pub pattern: String,
    /// `allow` or `deny`.
    pub permission: String,
    /// `all`, `read`, `write`...
    pub operation: String,
    /// `User:name`, or `User:*`.
    pub principal: String,
    /// An address, or `*`.
    pub host: String,
}

/// Kafka's numbers and our words.
type Words = &'static [(i8, &'static str)];

pub const RESOURCES: Words = &[
    (2, "topic"),
    (3, "group"),
    (4, "cluster"),
    (5, "transactional-id"),
    (6, "delegation-token"),
    (7, "user"),
];
pub const PATTERNS: Words = &[(3, "literal"), (4, "prefixed")];
pub const PERMISSIONS: Words = &[(2, "deny"), (3, "allow")];
pub const OPERATIONS: Words = &[
    (2, "all"),
    (3, "read"),
    (4, "write"),
    (5, "create"),
    (6, "delete"),
    (7, "alter"),
    (8, "describe"),
    (9, "cluster-action"),
    (10, "describe-configs"),
    (11, "alter-configs"),
    (12, "idempotent-write"),
    (13, "create-tokens"),
    (14, "describe-tokens"),
    (15, "two-phase-commit"),
];

fn word(words: Words, code: i8) -> String {
    let known = words.iter().find(|(one, _)| *one == code);
    known.map_or_else(|| code.to_string(), |(_, word)| (*word).to_owned())
}

/// Unknown words become 0, which the node refuses.
fn code(words: Words, word: &str) -> i8 {
    let known = words.iter().find(|(_, one)| *one == word);
    known.map_or(0, |(code, _)| *code)
}

fn text(string: &KafkaString) -> String {
    string.as_str().to_owned()
}

impl Client {
    /// All rules.
    ///
    /// # Errors
    /// What the node says.
    pub async fn acls(&self) -> Result<Vec<AclEntry>, ClientError> {
        let request = m::DescribeAclsRequestData {
            resource_type_filter: ANY,
            pattern_type_filter: ANY,
            operation: ANY,
            permission_type: ANY,
            ..Default::default()
        };
        let response = self.call(&request).await?;
        let message = response.error_message.as_ref().map(KafkaString::as_str);
        if response.error_code != 0 {
            let what = "cannot list access rights";
            return Err(ClientError::broker(what, response.error_code, message));
        }
        let mut entries: Vec<AclEntry> = Vec::new();
        for resource in &response.resources {
            entries.extend(resource.acls.iter().map(|acl| AclEntry {
                resource: word(RESOURCES, resource.resource_type),
                name: text(&resource.resource_name),
                pattern: word(PATTERNS, resource.pattern_type),
                permission: word(PERMISSIONS, acl.permission_type),
                operation: word(OPERATIONS, acl.operation),
                principal: text(&acl.principal),
                host: text(&acl.host),
            }));
        }
        entries.sort();
        Ok(entries)
    }

    /// # Errors
    /// What the node says.
    pub async fn add_acl(&self, acl: &AclEntry) -> Result<(), ClientError> {
        let creation = m::create_acls_request::AclCreation {
            resource_type: code(RESOURCES, &acl.resource),
            resource_name: acl.name.clone().into(),
            resource_pattern_type: code(PATTERNS, &acl.pattern),
            principal: acl.principal.clone().into(),
            host: acl.host.clone().into(),
            operation: code(OPERATIONS, &acl.operation),
            permission_type: code(PERMISSIONS, &acl.permission),
            ..Default::default()
        };
        let request = m::CreateAclsRequestData {
            creations: vec![creation],
            ..Default::default()
        };
        let response = self.call(&request).await?;
        let what = "cannot add the access right";
        response.results.iter().try_for_each(|one| {
            let message = one.error_message.as_ref().map(KafkaString::as_str);
            match one.error_code {
                0 => Ok(()),
                code => Err(ClientError::broker(what, code, message)),
            }
        })
    }

    /// Takes away this very rule; gives how many there were: 0 or 1.
    ///
    /// # Errors
    /// What the node says.
    pub async fn remove_acl(&self, acl: &AclEntry) -> Result<usize, ClientError> {
        let filter = m::delete_acls_request::DeleteAclsFilter {
            resource_type_filter: code(RESOURCES, &acl.resource),
            resource_name_filter: Some(acl.name.clone().into()),
            pattern_type_filter: code(PATTERNS, &acl.pattern),
            principal_filter: Some(acl.principal.clone().into()),
            host_filter: Some(acl.host.clone().into()),
            operation: code(OPERATIONS, &acl.operation),
            permission_type: code(PERMISSIONS, &acl.permission),
            ..Default::default()
        };
        let request = m::DeleteAclsRequestData {
            filters: vec![filter],
            ..Default::default()
        };
        let response = self.call(&request).await?;
        let mut removed = 0;
        for result in &response.filter_results {
            let message = result.error_message.as_ref().map(KafkaString::as_str);
            if result.error_code != 0 {
                let what = "cannot take away the access right";
                return Err(ClientError::broker(what, result.error_code, message));
            }
            removed += result.matching_acls.len();
        }
        Ok(removed)
    }
}
