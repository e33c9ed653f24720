//! The access control lists of a node, and the answer to "may they?" by the rules of Kafka's authorizer.
//!
//! A rule that denies wins over every one that allows. Being allowed to read, write, delete or alter implies describe; alter
//! configs implies describe configs. What no ACL is about is open to everybody, as Kafka does it without ACLs and with
//! `allow.everyone.if.no.acl.found`: the first ACL on a resource closes it for those that it does not name.

mod types;

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};

pub use types::{
    Acl, AclFilter, CLUSTER_NAME, Operation, PatternFilter, PatternType, Permission, ResourceType,
    Rule, WILDCARD, WILDCARD_PRINCIPAL,
};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who<'a> {
    /// `User:name`.
    pub principal: &'a str,
    /// The client's address.
    pub host: &'a str,
}

type ByName = BTreeMap<String, BTreeSet<Rule>>;

/// The rules about resources of one type.
#[derive(Clone, Debug, Default)]
struct OfType {
    literal: ByName,
    prefixed: ByName,
}

impl OfType {
    fn of(&self, pattern: PatternType) -> &ByName {
        match pattern {
            PatternType::Literal => &self.literal,
            PatternType::Prefixed => &self.prefixed,
        }
    }

    fn of_mut(&mut self, pattern: PatternType) -> &mut ByName {
        match pattern {
            PatternType::Literal => &mut self.literal,
            PatternType::Prefixed => &mut self.prefixed,
        }
    }

    /// The rules that apply to a resource.
    fn about<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Rule> {
        let ends = name.char_indices().map(|(at, c)| at + c.len_utf8());
        let prefixes = ends
            .filter(|_| !self.prefixed.is_empty())
            .filter_map(|end| self.prefixed.get(&name[..end]));
        let wildcard = self.literal.get(WILDCARD).filter(|_| name != WILDCARD);
        let here = self.literal.get(name).into_iter().chain(wildcard);
        here.chain(prefixes).flatten()
    }
}

/// All ACLs.
#[derive(Clone, Debug, Default)]
pub struct Acls {
    types: BTreeMap<ResourceType, OfType>,
    count: usize,
}

impl Acls {
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn contains(&self, acl: &Acl) -> bool {
        let names = self
            .types
            .get(&acl.resource)
            .map(|rules| rules.of(acl.pattern));
        let rules = names.and_then(|names| names.get(&acl.name));
        rules.is_some_and(|rules| rules.contains(&acl.rule))
    }

    pub(crate) fn add(&mut self, acl: Acl) {
        let names = self
            .types
            .entry(acl.resource)
            .or_default()
            .of_mut(acl.pattern);
        let new = names.entry(acl.name).or_default().insert(acl.rule);
        self.count += usize::from(new);
    }

    pub(crate) fn remove(&mut self, acl: &Acl) {
        let Some(names) = self.types.get_mut(&acl.resource) else {
            return;
        };
        let names = names.of_mut(acl.pattern);
        let Some(rules) = names.get_mut(&acl.name) else {
            return;
        };
        self.count -= usize::from(rules.remove(&acl.rule));
        if rules.is_empty() {
            names.remove(&acl.name);
        }
    }

    /// All of them, by type, pattern and name.
    pub fn iter(&self) -> impl Iterator<Item = Acl> + '_ {
        let of_type = |(resource, rules): (&ResourceType, &'_ OfType)| {
            let resource = *resource;
            PatternType::ALL_OF_THEM
                .iter()
                .flat_map(|pattern| {
                    let names = rules.of(*pattern).iter();
                    names.flat_map(move |(name, rules)| {
                        rules.iter().map(move |rule| Acl {
                            resource,
                            name: name.clone(),
                            pattern: *pattern,
                            rule: rule.clone(),
                        })
                    })
                })
                .collect::<Vec<_>>()
        };
        self.types.iter().flat_map(of_type)
    }

    /// Those that a filter picks.
    pub fn picked<'a>(&'a self, filter: &'a AclFilter) -> impl Iterator<Item = Acl> + 'a {
        self.iter().filter(|acl| filter.picks(acl))
    }

    /// Whether somebody may do something to a resource.
    pub fn allow(
        &self,
        who: Who<'_>,
        operation: Operation,
        resource: ResourceType,
        name: &str,
    ) -> bool {
        let Some(rules) = self.types.get(&resource) else {
            return true;
        };
        let (mut any, mut allowed) = (false, false);
        for rule in rules.about(name) {
            any = true;
            if rule.names(who) {
                match rule.permission {
                    Permission::Deny if rule.denies(operation) => return false,
                    Permission::Allow if rule.grants(operation) => allowed = true,
                    Permission::Deny | Permission::Allow => {}
                }
            }
        }
        allowed || !any
    }

    /// Whether there is, or could be, a resource of this type to which somebody may do something (KIP-679).
    pub fn allow_some(&self, who: Who<'_>, operation: Operation, resource: ResourceType) -> bool {
        // A name that nobody uses: open unless an ACL is about every name.
        if self.allow(who, operation, resource, "hardcode") {
            return true;
        }
        let Some(rules) = self.types.get(&resource) else {
            return true;
        };
        let has = |names: &ByName, name: &str, permission: Permission| {
            names.get(name).is_some_and(|rules| {
                rules.iter().any(|rule| {
                    rule.permission == permission && rule.names(who) && rule.is_about(operation)
                })
            })
        };
        if has(&rules.literal, WILDCARD, Permission::Deny) {
            return false;
        }
        let denied_prefix = |name: &str| {
            let ends = name.char_indices().map(|(at, c)| at + c.len_utf8());
            ends.into_iter()
                .any(|end| has(&rules.prefixed, &name[..end], Permission::Deny))
        };
        let open = |names: &ByName, name: &String, literal: bool| {
            has(names, name, Permission::Allow)
                && !(literal && has(names, name, Permission::Deny))
                && (name == WILDCARD || !denied_prefix(name))
        };
        rules
            .literal
            .keys()
            .any(|name| open(&rules.literal, name, true))
            || rules
                .prefixed
                .keys()
                .any(|name| open(&rules.prefixed, name, false))
    }
}

impl Rule {
    fn names(&self, who: Who<'_>) -> bool {
        (self.principal == who.principal || self.principal == WILDCARD_PRINCIPAL)
            && (self.host == WILDCARD || same_host(&self.host, who.host))
    }

    fn is_about(&self, operation: Operation) -> bool {
        self.operation == Operation::All || self.operation == operation
    }

    fn denies(&self, operation: Operation) -> bool {
        self.is_about(operation)
    }

    fn grants(&self, operation: Operation) -> bool {
        use Operation as O;
        self.is_about(operation)
            || match operation {
                O::Describe => matches!(self.operation, O::Read | O::Write | O::Delete | O::Alter),
                O::DescribeConfigs => self.operation == O::AlterConfigs,
                _ => false,
            }
    }
}

/// An address can be written in several ways.
fn same_host(a: &str, b: &str) -> bool {
    let address = |text: &str| text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
    a == b || address(a).is_some_and(|ip| Some(ip) == address(b))
}

#[cfg(test)]
mod tests;
