//! The rules of the authorizer, one by one, and against a plain reading of them over random ACLs.
#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

const ME: Who<'static> = Who {
    principal: "User:ANONYMOUS",
    host: "10.0.0.1",
};

fn acl(name: &str, pattern: PatternType, operation: Operation, permission: Permission) -> Acl {
    Acl {
        resource: ResourceType::Topic,
        name: name.into(),
        pattern,
        rule: Rule {
            principal: WILDCARD_PRINCIPAL.into(),
            host: WILDCARD.into(),
            operation,
            permission,
        },
    }
}

fn allow(name: &str, operation: Operation) -> Acl {
    acl(name, PatternType::Literal, operation, Permission::Allow)
}

fn deny(name: &str, operation: Operation) -> Acl {
    acl(name, PatternType::Literal, operation, Permission::Deny)
}

fn acls(all: impl IntoIterator<Item = Acl>) -> Acls {
    let mut acls = Acls::default();
    all.into_iter().for_each(|acl| acls.add(acl));
    acls
}

fn may(acls: &Acls, operation: Operation, name: &str) -> bool {
    acls.allow(ME, operation, ResourceType::Topic, name)
}

#[test]
fn what_no_acl_is_about_is_open_and_the_first_one_closes_it() {
    let acls = acls([allow("a", Operation::Read)]);
    assert!(may(&acls, Operation::Write, "b"));
    assert!(may(&acls, Operation::Read, "a"));
    assert!(!may(&acls, Operation::Write, "a"));
    assert!(acls.allow(ME, Operation::Write, ResourceType::Group, "a"));
}

#[test]
fn denying_wins_by_any_pattern() {
    let prefixed = acl(
        "a.",
        PatternType::Prefixed,
        Operation::Write,
        Permission::Deny,
    );
    let acls = acls([allow(WILDCARD, Operation::All), prefixed]);
    assert!(may(&acls, Operation::Write, "a"));
    assert!(!may(&acls, Operation::Write, "a.b"));
    assert!(may(&acls, Operation::Read, "a.b"));
    assert!(may(&acls, Operation::Write, "b"));
}

#[test]
fn describe_follows_from_more_but_is_not_denied_with_it() {
    for more in [
        Operation::Read,
        Operation::Write,
        Operation::Delete,
        Operation::Alter,
    ] {
        assert!(may(&acls([allow("a", more)]), Operation::Describe, "a"));
    }
    let configs = acls([allow("a", Operation::AlterConfigs)]);
    assert!(may(&configs, Operation::DescribeConfigs, "a"));
    assert!(!may(&configs, Operation::Describe, "a"));
    let denied = acls([deny("a", Operation::Read), allow("a", Operation::Describe)]);
    assert!(may(&denied, Operation::Describe, "a"));
}

#[test]
fn hosts_and_principals_are_compared() {
    let mut other = allow("a", Operation::Read);
    other.rule.host = "10.0.0.2".into();
    assert!(!may(&acls([other.clone()]), Operation::Read, "a"));
    other.rule.host = "::ffff:10.0.0.1".into();
    assert!(may(&acls([other.clone()]), Operation::Read, "a"));
    other.rule.principal = "User:bob".into();
    assert!(!may(&acls([other]), Operation::Read, "a"));
}

#[test]
fn some_resource_is_open_unless_all_are_denied() {
    let some = |acls: &Acls| acls.allow_some(ME, Operation::Write, ResourceType::Topic);
    assert!(some(&Acls::default()));
    assert!(!some(&acls([deny(WILDCARD, Operation::Write)])));
    let only = acls([
        deny(WILDCARD, Operation::Read),
        allow("a", Operation::Write),
    ]);
    assert!(some(&only));
    let dominated = acls([
        allow(WILDCARD, Operation::Read),
        allow("ab", Operation::Write),
        acl(
            "a",
            PatternType::Prefixed,
            Operation::Write,
            Permission::Deny,
        ),
    ]);
    assert!(!some(&dominated));
}

#[test]
fn filters_pick_by_name_by_match_and_by_pattern() {
    let all = acls([
        allow("ab", Operation::Read),
        allow(WILDCARD, Operation::Read),
        acl(
            "a",
            PatternType::Prefixed,
            Operation::Read,
            Permission::Allow,
        ),
        allow("x", Operation::Read),
    ]);
    let count = |pattern, name: Option<&str>| {
        let filter = AclFilter {
            pattern,
            name: name.map(str::to_owned),
            ..AclFilter::ANY
        };
        all.picked(&filter).count()
    };
    assert_eq!(count(PatternFilter::Any, None), 4);
    assert_eq!(count(PatternFilter::Any, Some("a")), 1);
    assert_eq!(count(PatternFilter::Match, Some("ab")), 3);
    let literal = PatternFilter::Exactly(PatternType::Literal);
    assert_eq!(count(literal, None), 3);
    assert_eq!(count(literal, Some("a")), 0);
}

#[test]
fn bad_acls_are_refused() {
    let mut bad = allow("a", Operation::Read);
    assert_eq!(bad.check(), Ok(()));
    bad.resource = ResourceType::Cluster;
    assert!(bad.check().unwrap_err().contains(CLUSTER_NAME));
    let mut empty = allow("", Operation::Read);
    assert!(empty.check().is_err());
    empty.name = "a".into();
    empty.rule.principal = "bob".into();
    assert!(empty.check().is_err());
}

fn any_acl() -> impl Strategy<Value = Acl> {
    let operation = prop::sample::select(Operation::ALL_OF_THEM);
    let name = prop_oneof!["[ab]{1,3}", Just(WILDCARD.to_owned())];
    (name, any::<bool>(), operation, any::<bool>(), any::<bool>()).prop_map(
        |(name, prefixed, operation, denies, me)| {
            let pattern = match prefixed && name != WILDCARD {
                true => PatternType::Prefixed,
                false => PatternType::Literal,
            };
            let permission = match denies {
                true => Permission::Deny,
                false => Permission::Allow,
            };
            let mut acl = acl(&name, pattern, operation, permission);
            if !me {
                acl.rule.principal = "User:other".into();
            }
            acl
        },
    )
}

proptest! {
    #[test]
    fn the_index_answers_as_reading_every_acl_does(
        all in prop::collection::vec(any_acl(), 0..12),
        name in "[ab]{1,4}",
        operation in prop::sample::select(Operation::ALL_OF_THEM),
    ) {
        let here: Vec<&Acl> = all.iter().filter(|acl| acl.applies_to(&name)).collect();
        let mine = |acl: &&&Acl| acl.rule.names(ME);
        let denied = here.iter().filter(mine).any(|acl| acl.rule.permission == Permission::Deny && acl.rule.denies(operation));
        let allowed = here.iter().filter(mine).any(|acl| acl.rule.permission == Permission::Allow && acl.rule.grants(operation));
        let expected = !denied && (allowed || here.is_empty());
        prop_assert_eq!(may(&acls(all.clone()), operation, &name), expected);
    }

    #[test]
    fn adding_and_removing_leaves_what_was_not_removed(all in prop::collection::vec(any_acl(), 0..12), keep in 0_usize..12) {
        let mut acls = acls(all.clone());
        let (kept, gone) = all.split_at(keep.min(all.len()));
        gone.iter().for_each(|acl| acls.remove(acl));
        let expected: BTreeSet<Acl> = kept.iter().filter(|acl| !gone.contains(acl)).cloned().collect();
        prop_assert_eq!(acls.iter().collect::<BTreeSet<_>>(), expected.clone());
        prop_assert_eq!(acls.len(), expected.len());
    }
}
