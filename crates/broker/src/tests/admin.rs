//! Rights, users, quotas and configs: in force at once, and after a restart.

use super::*;
use crate::{
    Acl, AclFilter, ConfigOp, ConfigSource, ConfigTarget, Operation, PatternType, Permission,
    QuotaEdit, QuotaFilter, QuotaType, ResourceType, Rule, Scope, ScramUpsertion, Who,
};

const ME: Who<'static> = Who {
    principal: "User:ANONYMOUS",
    host: "127.0.0.1",
};

fn deny_writing(topic: &str) -> Acl {
    Acl {
        resource: ResourceType::Topic,
        name: topic.into(),
        pattern: PatternType::Literal,
        rule: Rule {
            principal: ME.principal.into(),
            host: "*".into(),
            operation: Operation::Write,
            permission: Permission::Deny,
        },
    }
}

fn may_write(bench: &Bench, topic: &str) -> bool {
    bench
        .broker
        .may(ME, Operation::Write, ResourceType::Topic, topic)
}

#[tokio::test]
async fn rights_are_in_force_at_once_and_after_a_restart() {
    let bench = Bench::new();
    assert!(may_write(&bench, "t"));
    let bad = Acl {
        name: String::new(),
        ..deny_writing("t")
    };
    let added = bench.broker.add_acls(vec![bad, deny_writing("t")]).await;
    assert!(added[0].is_err() && added[1].is_ok());
    assert!(!may_write(&bench, "t"));
    let bench = bench.restart();
    assert!(!may_write(&bench, "t"));
    let removed = bench.broker.remove_acls(&[AclFilter::ANY]).await.unwrap();
    assert_eq!(removed, [vec![deny_writing("t")]]);
    assert!(may_write(&bench, "t"));
    assert!(may_write(&bench.restart(), "t"));
}

#[tokio::test]
async fn users_and_quotas_survive_a_restart() {
    let bench = Bench::new();
    let user = ScramUpsertion {
        user: "bob".into(),
        mechanism: 1,
        iterations: 4096,
        salt: vec![1],
        salted_password: vec![2; 32],
    };
    let outcomes = bench.broker.alter_scram_users(&[], &[user]).await;
    assert!(outcomes.iter().all(|(_, outcome)| outcome.is_ok()));
    let entity = [(QuotaType::User, None)].into();
    let edit = QuotaEdit {
        key: "request_percentage".into(),
        value: Some(2.5),
    };
    let broker = &bench.broker;
    broker.alter_quotas(&entity, &[edit], false).await.unwrap();
    broker.set_features(&[("f".into(), 3)]).await.unwrap();
    let bench = bench.restart();
    assert!(bench.broker.scram_users().user("bob").is_some());
    let quotas = bench.broker.quotas();
    let filter = QuotaFilter::default();
    let values: Vec<_> = quotas.picked(&filter).map(|(_, values)| values).collect();
    assert_eq!(values[0].get("request_percentage"), Some(&2.5));
    assert_eq!(bench.broker.feature("f"), Some(3));
}

#[tokio::test]
async fn a_value_says_where_it_comes_from() {
    let bench = Bench::new();
    bench.topic("t", 1, &[]).await;
    let source = |bench: &Bench| {
        let topic = bench.broker.topic("t").unwrap();
        let all = bench.broker.topic_configs(&topic, &Default::default());
        let entry = all.into_iter().find(|one| one.name == "retention.ms");
        let entry = entry.unwrap();
        (entry.value.unwrap(), entry.source, entry.synonyms.len())
    };
    let default = ("604800000".to_owned(), ConfigSource::Default, 0);
    assert_eq!(source(&bench), default);
    let set = |name: &str, value: &str| [(name.to_owned(), ConfigOp::Set(value.into()))];
    let cluster = ConfigTarget::Scope(Scope::Cluster);
    let node = ConfigTarget::Scope(Scope::Node(1));
    let topic = ConfigTarget::Topic("t".into());
    for (target, name, value, expected) in [
        (&cluster, "log.retention.ms", "5", ConfigSource::Cluster),
        (&node, "log.retention.ms", "6", ConfigSource::Node),
        (&topic, "retention.ms", "7", ConfigSource::Topic),
    ] {
        let ops = set(name, value);
        let changed = bench.broker.alter_configs(target, &ops, false);
        changed.await.unwrap();
        let (now, from, _) = source(&bench);
        assert_eq!((now.as_str(), from), (value, expected));
    }
    let bench = bench.restart();
    assert_eq!(source(&bench), ("7".to_owned(), ConfigSource::Topic, 3));
    for (target, name) in [
        (topic, "retention.ms"),
        (node, "log.retention.ms"),
        (cluster, "log.retention.ms"),
    ] {
        let delete = [(name.to_owned(), ConfigOp::Delete)];
        bench
            .broker
            .alter_configs(&target, &delete, false)
            .await
            .unwrap();
    }
    assert_eq!(source(&bench), default);
}

#[tokio::test]
async fn what_is_only_checked_is_not_changed_and_what_is_wrong_neither() {
    let bench = Bench::new();
    bench.topic("t", 1, &[]).await;
    let topic = ConfigTarget::Topic("t".into());
    let alter = |name: &str, op: ConfigOp, validate_only: bool| {
        let ops = [(name.to_owned(), op)];
        let (broker, topic) = (bench.broker.clone(), topic.clone());
        async move { broker.alter_configs(&topic, &ops, validate_only).await }
    };
    let set = |value: &str| ConfigOp::Set(value.into());
    alter("retention.ms", set("5"), true).await.unwrap();
    assert!(alter("retention.ms", set("x"), false).await.is_err());
    assert!(
        alter("retention.ms", ConfigOp::Append("5".into()), false)
            .await
            .is_err()
    );
    assert!(alter("no.such", set("x"), false).await.is_err());
    assert!(bench.broker.topic("t").unwrap().configs.is_empty());
    alter("cleanup.policy", ConfigOp::Append("compact".into()), false)
        .await
        .unwrap();
    let configs = &bench.broker.topic("t").unwrap().configs;
    assert_eq!(
        configs.get("cleanup.policy").map(String::as_str),
        Some("delete,compact")
    );
}

#[tokio::test]
async fn min_insync_replicas_is_the_clusters_from_the_first_day() {
    let bench = Bench::new();
    bench.topic("t", 1, &[]).await;
    let of_topic = |bench: &Bench| {
        let topic = bench.broker.topic("t").unwrap();
        let all = bench.broker.topic_configs(&topic, &Default::default());
        let entry = all
            .into_iter()
            .find(|one| one.name == "min.insync.replicas");
        let entry = entry.unwrap();
        (entry.value.unwrap(), entry.source)
    };
    assert_eq!(of_topic(&bench), ("1".to_owned(), ConfigSource::Cluster));
    let all = bench.broker.cluster_configs();
    assert_eq!(
        all.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(),
        ["min.insync.replicas"]
    );
    let alter = |scope: Scope, op: ConfigOp| {
        let ops = [("min.insync.replicas".to_owned(), op)];
        let broker = bench.broker.clone();
        async move {
            let target = ConfigTarget::Scope(scope);
            broker.alter_configs(&target, &ops, false).await
        }
    };
    let set = |value: &str| ConfigOp::Set(value.into());
    alter(Scope::Cluster, set("2")).await.unwrap();
    assert_eq!(of_topic(&bench), ("2".to_owned(), ConfigSource::Cluster));
    assert!(alter(Scope::Cluster, ConfigOp::Delete).await.is_err());
    assert!(alter(Scope::Node(1), set("3")).await.is_err());
    let broker = &bench.broker;
    let off = [("eligible.leader.replicas.version".to_owned(), 0)];
    broker.set_features(&off).await.unwrap();
    alter(Scope::Cluster, ConfigOp::Delete).await.unwrap();
    assert_eq!(of_topic(&bench), ("1".to_owned(), ConfigSource::Default));
}
