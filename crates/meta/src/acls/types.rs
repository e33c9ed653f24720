//! What an ACL is made of, in Kafka's terms, and the filters that pick ACLs out (KIP-11, KIP-290).
//!
//! The numbers of the enums are Kafka's; they are what clients send.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An enum with Kafka's numbers and names. The numbers below the first one mean "unknown" (0) and "any" (1).
macro_rules! coded {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $variant:ident = $code:literal $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$each])* $variant = $code,)* }

        impl $name {
            pub const ALL_OF_THEM: &'static [Self] = &[$(Self::$variant,)*];

            /// Kafka's number.
            pub const fn code(self) -> i8 {
                self as i8
            }

            /// None for 0 (unknown), 1 (any) and what is no number of Kafka's.
            pub const fn of(code: i8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $text,)* })
            }
        }
    };
}

coded! {
    /// What an ACL protects.
    ResourceType {
        Topic = 2 "TOPIC",
        Group = 3 "GROUP",
        Cluster = 4 "CLUSTER",
        TransactionalId = 5 "TRANSACTIONAL_ID",
        DelegationToken = 6 "DELEGATION_TOKEN",
        User = 7 "USER",
    }
}

coded! {
    /// How the name of an ACL is compared with a resource's.
    PatternType {
        /// Equal, or the name is `*`.
        Literal = 3 "LITERAL",
        /// The resource's name begins with it.
        Prefixed = 4 "PREFIXED",
    }
}

coded! {
    /// What somebody wants to do.
    Operation {
        All = 2 "ALL",
        Read = 3 "READ",
        Write = 4 "WRITE",
        Create = 5 "CREATE",
        Delete = 6 "DELETE",
        Alter = 7 "ALTER",
        Describe = 8 "DESCRIBE",
        ClusterAction = 9 "CLUSTER_ACTION",
        DescribeConfigs = 10 "DESCRIBE_CONFIGS",
        AlterConfigs = 11 "ALTER_CONFIGS",
        IdempotentWrite = 12 "IDEMPOTENT_WRITE",
        CreateTokens = 13 "CREATE_TOKENS",
        DescribeTokens = 14 "DESCRIBE_TOKENS",
        TwoPhaseCommit = 15 "TWO_PHASE_COMMIT",
    }
}

coded! {
    Permission {
        Deny = 2 "DENY",
        Allow = 3 "ALLOW",
    }
}

/// The name of the one resource of type cluster.
pub const CLUSTER_NAME: &str = "kafka-cluster";
/// Every name, every host.
pub const WILDCARD: &str = "*";
/// Every user.
pub const WILDCARD_PRINCIPAL: &str = "User:*";

impl ResourceType {
    /// The operations that make sense on it: the bits of "authorized operations" answers.
    pub const fn operations(self) -> &'static [Operation] {
        use Operation as O;
        match self {
            Self::Topic => &[
                O::Read,
                O::Write,
                O::Create,
                O::Delete,
                O::Alter,
                O::Describe,
                O::DescribeConfigs,
                O::AlterConfigs,
            ],
            Self::Group => &[
                O::Read,
                O::Delete,
                O::Describe,
                O::DescribeConfigs,
                O::AlterConfigs,
            ],
            Self::Cluster => &[
                O::Create,
                O::Alter,
                O::Describe,
                O::ClusterAction,
                O::DescribeConfigs,
                O::AlterConfigs,
                O::IdempotentWrite,
            ],
            Self::TransactionalId => &[O::Write, O::Describe, O::TwoPhaseCommit],
            Self::DelegationToken => &[O::Describe],
            Self::User => &[O::CreateTokens, O::DescribeTokens],
        }
    }
}

/// Who may, or may not, do what from where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Rule {
    /// `User:name`, or `User:*`.
    pub principal: String,
    /// An address, or `*`.
    pub host: String,
    pub operation: Operation,
    pub permission: Permission,
}

/// A rule on the resources that a name stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Acl {
    pub resource: ResourceType,
    pub name: String,
    pub pattern: PatternType,
    #[serde(flatten)]
    pub rule: Rule,
}

/// How a filter compares names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternFilter {
    /// ACLs of any pattern type with this very name.
    Any,
    /// ACLs that apply to a resource of this name.
    Match,
    Exactly(PatternType),
}

/// Picks ACLs out; what is `None` picks all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclFilter {
    pub resource: Option<ResourceType>,
    pub name: Option<String>,
    pub pattern: PatternFilter,
    pub principal: Option<String>,
    pub host: Option<String>,
    pub operation: Option<Operation>,
    pub permission: Option<Permission>,
}

impl AclFilter {
    /// Everything.
    pub const ANY: Self = Self {
        resource: None,
        name: None,
        pattern: PatternFilter::Any,
        principal: None,
        host: None,
        operation: None,
        permission: None,
    };

    pub fn picks(&self, acl: &Acl) -> bool {
        let rule = &acl.rule;
        self.resource.is_none_or(|wanted| wanted == acl.resource)
            && self.picks_name(acl)
            && self.principal.as_ref().is_none_or(|p| *p == rule.principal)
            && self.host.as_ref().is_none_or(|host| *host == rule.host)
            && self.operation.is_none_or(|wanted| wanted == rule.operation)
            && self
                .permission
                .is_none_or(|wanted| wanted == rule.permission)
    }

    fn picks_name(&self, acl: &Acl) -> bool {
        if let PatternFilter::Exactly(pattern) = self.pattern
            && pattern != acl.pattern
        {
            return false;
        }
        match &self.name {
            None => true,
            Some(name) if self.pattern == PatternFilter::Match => acl.applies_to(name),
            Some(name) => *name == acl.name,
        }
    }
}

impl Acl {
    /// Whether the name of the ACL stands for this resource.
    pub fn applies_to(&self, name: &str) -> bool {
        match self.pattern {
            PatternType::Literal => self.name == name || self.name == WILDCARD,
            PatternType::Prefixed => name.starts_with(&self.name),
        }
    }

    /// What is wrong with an ACL that somebody wants to have made.
    ///
    /// # Errors
    /// The name does not fit the type, or the principal has no type.
    pub fn check(&self) -> Result<(), String> {
        if self.resource == ResourceType::Cluster && self.name != CLUSTER_NAME {
            return Err(format!(
                "The only valid name for the CLUSTER resource is {CLUSTER_NAME}"
            ));
        }
        if self.name.is_empty() {
            return Err("Invalid empty resource name".into());
        }
        if !self.rule.principal.contains(':') {
            return Err(format!(
                "Could not parse principal from `{}` (no colon is present separating the principal type from the principal name)",
                self.rule.principal
            ));
        }
        Ok(())
    }
}
