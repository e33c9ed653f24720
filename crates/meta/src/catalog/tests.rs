//! The catalog against its rules, and snapshots against a replay of everything.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn id(n: u8) -> TopicId {
    TopicId([n; 16])
}

fn with(names: &[&str]) -> Catalog {
    let mut catalog = Catalog::default();
    for (n, name) in names.iter().enumerate() {
        let change = catalog
            .create(name, id(n as u8 + 1), 2, BTreeMap::new())
            .unwrap();
        catalog.apply(&change);
    }
    catalog
}

#[test]
fn a_topic_is_found_by_name_and_by_id_until_it_is_deleted() {
    let mut catalog = with(&["a", "b"]);
    assert_eq!(catalog.topic("a").unwrap().partitions, 2);
    assert_eq!(catalog.topic_by_id(id(2)).unwrap().name, "b");
    catalog.apply(&catalog.delete("b").unwrap());
    assert!(catalog.topic("b").is_none() && catalog.topic_by_id(id(2)).is_none());
    assert_eq!(
        catalog.delete("b"),
        Err(MetaError::UnknownTopic("b".into()))
    );
}

#[test]
fn a_topic_cannot_be_made_twice_nor_collide_nor_be_internal() {
    let catalog = with(&["a.b"]);
    let create = |name| catalog.create(name, id(9), 1, BTreeMap::new());
    assert_eq!(create("a.b"), Err(MetaError::TopicExists("a.b".into())));
    assert!(matches!(create("a_b"), Err(MetaError::InvalidTopic(_))));
    assert!(matches!(
        create("__headwater_x"),
        Err(MetaError::InvalidTopic(_))
    ));
    assert!(
        catalog
            .create_any("__headwater_x", id(9), 1, BTreeMap::new())
            .is_ok()
    );
}

#[test]
fn partitions_only_grow() {
    let mut catalog = with(&["a"]);
    for bad in [-1, 0, 1, 2, TOPIC_PARTITIONS_MAX + 1] {
        assert!(
            matches!(catalog.grow("a", bad), Err(MetaError::InvalidPartitions(_))),
            "{bad}"
        );
    }
    catalog.apply(&catalog.grow("a", 5).unwrap());
    assert_eq!(catalog.topic("a").unwrap().partitions, 5);
    assert_eq!(catalog.topic_by_id(id(1)).unwrap().partitions, 5);
}

#[test]
fn configs_take_effect_and_bad_ones_change_nothing() {
    let mut catalog = with(&["a"]);
    let bad = BTreeMap::from([("retention.ms".to_owned(), "soon".to_owned())]);
    assert!(matches!(
        catalog.configure("a", bad),
        Err(MetaError::InvalidConfig(_))
    ));
    let good = BTreeMap::from([(
        "message.timestamp.type".to_owned(),
        "LogAppendTime".to_owned(),
    )]);
    catalog.apply(&catalog.configure("a", good).unwrap());
    assert!(catalog.topic("a").unwrap().settings.log_append_time);
}

fn acl(name: &str, n: i32) -> crate::acls::Acl {
    use crate::acls::{Operation, PatternType, Permission, ResourceType, Rule};
    crate::acls::Acl {
        resource: ResourceType::Topic,
        name: name.into(),
        pattern: PatternType::Literal,
        rule: Rule {
            principal: format!("User:{}", n % 3),
            host: "*".into(),
            operation: Operation::Read,
            permission: Permission::Allow,
        },
    }
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let name = prop::sample::select(vec!["a", "b", "c"]);
    let one = (0..12u8, name, 1..9i32).prop_map(|(kind, name, n)| match kind {
        0 => Change::created(name, id(n as u8), n, BTreeMap::new()),
        1 => Change::TopicDeleted { name: name.into() },
        2 => Change::PartitionsSet {
            name: name.into(),
            partitions: n,
        },
        3 => Change::ConfigsSet {
            name: name.into(),
            configs: BTreeMap::from([("retention.ms".into(), n.to_string())]),
        },
        4 => Change::ProducerIdsReserved { next: n.into() },
        5 => Change::AclsAdded {
            acls: vec![acl(name, n)],
        },
        6 => Change::AclsRemoved {
            acls: vec![acl(name, n)],
        },
        7 => Change::ScopeConfigsSet {
            scope: if n % 2 == 0 {
                Scope::Cluster
            } else {
                Scope::Node(1)
            },
            configs: Configs::from([("message.max.bytes".into(), n.to_string())]),
        },
        8 => Change::QuotasSet {
            entity: [(crate::quotas::QuotaType::User, Some(name.into()))].into(),
            values: [("request_percentage".into(), f64::from(n) / 3.0)].into(),
        },
        9 => Change::FeatureSet {
            feature: name.into(),
            level: n as i16,
        },
        10 => Change::ScopeConfigsSet {
            scope: Scope::Group(name.into()),
            configs: Configs::new(),
        },
        _ => Change::ClusterNamed { id: n.to_string() },
    });
    prop::collection::vec(one, 0..40)
}

proptest! {
    #[test]
    fn a_snapshot_after_its_encoding_gives_the_same_catalog(changes in changes()) {
        let mut catalog = Catalog::default();
        changes.iter().for_each(|change| catalog.apply(change));
        let mut again = with(&["left-over"]);
        for change in catalog.snapshot() {
            again.apply(&Change::decode(&change.encode().unwrap()).unwrap());
        }
        prop_assert_eq!(&again.cluster_id, &catalog.cluster_id);
        prop_assert_eq!(again.next_producer_id, catalog.next_producer_id);
        prop_assert_eq!(again.topics().collect::<Vec<_>>(), catalog.topics().collect::<Vec<_>>());
        prop_assert_eq!(again.acls().iter().collect::<Vec<_>>(), catalog.acls().iter().collect::<Vec<_>>());
        prop_assert_eq!(again.scopes().collect::<Vec<_>>(), catalog.scopes().collect::<Vec<_>>());
        prop_assert_eq!(again.quotas().iter().collect::<Vec<_>>(), catalog.quotas().iter().collect::<Vec<_>>());
        prop_assert_eq!(again.feature("a"), catalog.feature("a"));
    }
}

#[test]
fn a_nodes_default_reaches_topics_that_say_nothing_else() {
    let mut catalog = with(&["a", "b"]);
    let own = BTreeMap::from([("max.message.bytes".to_owned(), "7".to_owned())]);
    catalog.apply(&catalog.configure("b", own).unwrap());
    let set = |catalog: &mut Catalog, configs: &[(&str, &str)]| {
        let configs = configs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let change = catalog
            .configure_scope(&Scope::Cluster, configs.collect())
            .unwrap();
        catalog.apply(&change);
    };
    set(&mut catalog, &[("message.max.bytes", "99")]);
    let most = |catalog: &Catalog, name| catalog.topic(name).unwrap().settings.max_message_bytes;
    assert_eq!((most(&catalog, "a"), most(&catalog, "b")), (99, 7));
    catalog.apply(&catalog.create("c", id(3), 1, BTreeMap::new()).unwrap());
    assert_eq!(most(&catalog, "c"), 99);
    set(&mut catalog, &[]);
    assert_eq!((most(&catalog, "a"), most(&catalog, "b")), (1_048_588, 7));
}
