//! Groups: the timers and the waiting that the state machine leaves to its host.

use headwater_coord::consumer_groups as modern;
use headwater_coord::groups::{Committer, GroupError, Heartbeat, Join, Protocol, Sync};

use super::*;

fn join(member_id: &str) -> Join {
    Join {
        member_id: member_id.into(),
        fresh_member_id: String::new(),
        instance_id: None,
        client_id: "c".into(),
        client_host: "/h".into(),
        session_timeout_ms: 1_000,
        rebalance_timeout_ms: 1_000,
        protocol_type: "consumer".into(),
        protocols: vec![Protocol {
            name: "range".into(),
            metadata: Bytes::from_static(b"\0\0\0\0\0\x01\0\x01t"),
        }],
        needs_known_id: false,
        can_skip_assignment: false,
    }
}

fn sync(member_id: &str, generation: i32) -> Sync {
    Sync {
        member_id: member_id.into(),
        instance_id: None,
        generation,
        protocol_type: None,
        protocol: None,
        assignments: vec![(
            member_id.into(),
            Bytes::from_static(b"\0\0\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\0"),
        )],
    }
}

#[tokio::test]
async fn a_member_joins_commits_and_is_expired_by_its_timer() {
    let bench = Bench::new();
    bench.topic("t", 1, &[]).await;
    let joined = bench.broker.join_group("g", join("")).await.unwrap();
    assert_eq!(joined.leader, joined.member_id);
    bench
        .broker
        .sync_group("g", sync(&joined.member_id, joined.generation))
        .await
        .unwrap();
    let by = Committer {
        member_id: joined.member_id.clone(),
        instance_id: None,
        generation: joined.generation,
    };
    let item = CommitItem {
        topic: "t".into(),
        partition: 0,
        offset: 3,
        leader_epoch: 0,
        metadata: String::new(),
    };
    bench
        .broker
        .commit_offsets("g", &by, CommitMode::default(), vec![item.clone()])
        .await
        .unwrap();
    let stranger = Committer {
        generation: joined.generation + 1,
        ..by.clone()
    };
    assert_eq!(
        bench
            .broker
            .commit_offsets("g", &stranger, CommitMode::default(), vec![item])
            .await,
        Err(CommitRefusal::Group(GroupError::IllegalGeneration))
    );
    let lag = &bench.broker.group_lags()[0];
    assert_eq!(
        (lag.state.name(), lag.partitions[0].committed),
        ("Stable", 3)
    );
    assert_eq!(lag.members[0].assigned, ["t/0"]);
    let held = bench
        .broker
        .delete_offsets("g", vec![("t".into(), 0)])
        .await
        .unwrap();
    assert_eq!(held, [Err(BrokerError::GroupSubscribed)]);
    assert_eq!(
        bench.broker.delete_group("g").await,
        Err(BrokerError::NonEmptyGroup)
    );
    tokio::time::sleep(Duration::from_millis(1_300)).await;
    let beat = Heartbeat {
        member_id: joined.member_id,
        instance_id: None,
        generation: joined.generation,
    };
    assert_eq!(
        bench.broker.heartbeat("g", beat).await,
        Err(GroupError::UnknownMemberId)
    );
    assert_eq!(bench.broker.list_groups()[0].state.name(), "Empty");
    bench.broker.delete_group("g").await.unwrap();
    assert_eq!(bench.broker.describe_group("g"), GroupView::Unknown);
}

#[tokio::test]
async fn a_second_member_makes_the_first_rebalance() {
    let bench = Bench::new();
    let first = bench.broker.join_group("g", join("")).await.unwrap();
    bench
        .broker
        .sync_group("g", sync(&first.member_id, first.generation))
        .await
        .unwrap();
    let again = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let beat = Heartbeat {
            member_id: first.member_id.clone(),
            instance_id: None,
            generation: first.generation,
        };
        assert_eq!(
            bench.broker.heartbeat("g", beat).await,
            Err(GroupError::RebalanceInProgress)
        );
        bench
            .broker
            .join_group("g", join(&first.member_id))
            .await
            .unwrap()
    };
    let (second, again) = tokio::join!(bench.broker.join_group("g", join("")), again);
    let second = second.unwrap();
    assert_eq!((second.generation, again.generation), (2, 2));
    assert_eq!(
        second.members.len() + again.members.len(),
        2,
        "the leader alone is told of both"
    );
}

#[tokio::test]
async fn groups_in_which_nothing_happens_are_not_kept() {
    let bench = Bench::new();
    for n in 0..100 {
        let strange = bench
            .broker
            .join_group(&format!("g{n}"), join("nobody"))
            .await;
        assert_eq!(strange.unwrap_err().error, GroupError::UnknownMemberId);
    }
    assert!(bench.broker.list_groups().is_empty());
}

/// A heartbeat that says everything.
fn modern(member: &str, epoch: i32, owned: modern::Partitions) -> modern::Heartbeat {
    modern::Heartbeat {
        member_id: member.into(),
        epoch,
        client_id: "c".into(),
        client_host: "/h".into(),
        rebalance_timeout_ms: 60_000,
        topic_names: Some(vec!["t".into()]),
        owned: Some(owned),
        ..modern::Heartbeat::default()
    }
}

fn all(_topic: &str) -> bool {
    true
}

fn simple() -> Committer {
    Committer {
        member_id: String::new(),
        instance_id: None,
        generation: -1,
    }
}

fn offset(topic: &str) -> CommitItem {
    CommitItem {
        topic: topic.into(),
        partition: 0,
        offset: 3,
        leader_epoch: 0,
        metadata: String::new(),
    }
}

#[tokio::test]
async fn a_restart_keeps_members_generations_and_epochs() {
    let bench = Bench::new();
    bench.topic("t", 2, &[]).await;
    let joined = bench.broker.join_group("old", join("")).await.unwrap();
    let sync = sync(&joined.member_id, joined.generation);
    bench.broker.sync_group("old", sync).await.unwrap();
    let hello = modern("m", modern::JOINING, modern::Partitions::new());
    let beat = bench
        .broker
        .consumer_heartbeat("new", hello, all)
        .await
        .unwrap();
    let owned = beat.assignment.unwrap();
    assert_eq!((beat.epoch, owned.values().next().unwrap().len()), (1, 2));
    let bench = bench.restart();
    let again = Heartbeat {
        member_id: joined.member_id.clone(),
        instance_id: None,
        generation: joined.generation,
    };
    assert_eq!(bench.broker.heartbeat("old", again).await, Ok(()));
    let lag = &bench.broker.group_lags()[1];
    assert_eq!(
        (lag.state.name(), lag.members[0].assigned.len()),
        ("Stable", 1)
    );
    let next = bench
        .broker
        .consumer_heartbeat("new", modern("m", 1, owned), all);
    assert_eq!(next.await.unwrap().epoch, 1, "nothing is assigned anew");
    let types: Vec<_> = bench
        .broker
        .list_groups()
        .into_iter()
        .map(|one| one.group_type)
        .collect();
    assert_eq!(types, [GroupType::Consumer, GroupType::Classic]);
    // Both are empty and deleted, and stay so.
    let leave = modern("m", modern::LEAVING, modern::Partitions::new());
    bench
        .broker
        .consumer_heartbeat("new", leave, all)
        .await
        .unwrap();
    bench.broker.delete_group("new").await.unwrap();
    let bench = bench.restart();
    assert_eq!(bench.broker.describe_group("new"), GroupView::Unknown);
    assert_eq!(
        bench.broker.delete_group("old").await,
        Err(BrokerError::NonEmptyGroup)
    );
}

#[tokio::test]
async fn a_classic_group_is_upgraded_and_downgraded_while_it_is_used() {
    let bench = Bench::new();
    bench.topic("t", 2, &[]).await;
    let first = bench.broker.join_group("g", join("")).await.unwrap();
    let sync_first = sync(&first.member_id, first.generation);
    bench.broker.sync_group("g", sync_first).await.unwrap();
    let hello = modern("m", modern::JOINING, modern::Partitions::new());
    let beat = bench
        .broker
        .consumer_heartbeat("g", hello, all)
        .await
        .unwrap();
    assert_eq!(beat.epoch, 2);
    assert!(matches!(
        bench.broker.describe_group("g"),
        GroupView::Consumer(_)
    ));
    let old = |generation| Heartbeat {
        member_id: first.member_id.clone(),
        instance_id: None,
        generation,
    };
    let told = bench.broker.heartbeat("g", old(1)).await;
    assert_eq!(told, Err(GroupError::RebalanceInProgress));
    let joined = bench
        .broker
        .join_group("g", join(&first.member_id))
        .await
        .unwrap();
    assert_eq!((joined.generation, joined.members.len()), (2, 0));
    bench
        .broker
        .sync_group("g", sync(&first.member_id, 2))
        .await
        .unwrap();
    let bench = bench.restart();
    assert_eq!(bench.broker.heartbeat("g", old(2)).await, Ok(()));
    let stale = modern("m", 1, modern::Partitions::new());
    let refused = bench.broker.consumer_heartbeat("g", stale, all).await;
    assert!(
        matches!(refused, Err(ConsumerRefusal::FencedEpoch { .. })),
        "{refused:?}"
    );
    let leave = modern("m", modern::LEAVING, modern::Partitions::new());
    bench
        .broker
        .consumer_heartbeat("g", leave, all)
        .await
        .unwrap();
    let told = bench.broker.heartbeat("g", old(3)).await;
    assert_eq!(told, Err(GroupError::RebalanceInProgress));
    assert!(matches!(
        bench.broker.describe_group("g"),
        GroupView::Known(_)
    ));
    let joined = bench
        .broker
        .join_group("g", join(&first.member_id))
        .await
        .unwrap();
    assert_eq!(
        (joined.generation, joined.leader),
        (4, first.member_id.clone())
    );
}

#[tokio::test]
async fn commits_of_members_are_checked_by_epoch() {
    let bench = Bench::new();
    bench.topic("t", 1, &[]).await;
    let hello = modern("m", modern::JOINING, modern::Partitions::new());
    bench
        .broker
        .consumer_heartbeat("g", hello, all)
        .await
        .unwrap();
    let by = |generation| Committer {
        member_id: "m".into(),
        instance_id: None,
        generation,
    };
    let mode = CommitMode {
        knows_epochs: true,
        ..CommitMode::default()
    };
    let commit = |epoch, mode| {
        let by = by(epoch);
        let broker = &bench.broker;
        async move {
            broker
                .commit_offsets("g", &by, mode, vec![offset("t")])
                .await
        }
    };
    assert_eq!(commit(1, mode).await, Ok(vec![Ok(())]));
    assert!(matches!(
        commit(0, mode).await,
        Err(CommitRefusal::Member(_))
    ));
    assert!(
        commit(1, CommitMode::default()).await.is_err(),
        "an old version"
    );
    let txn = CommitMode {
        transactional: true,
        ..mode
    };
    let stale = CommitRefusal::Group(GroupError::IllegalGeneration);
    assert_eq!(commit(2, txn).await, Err(stale));
    let reader = |epoch| OffsetReader {
        member_id: Some("m".into()),
        epoch,
    };
    assert_eq!(bench.broker.check_offset_reader("g", &reader(1)), Ok(()));
    assert!(bench.broker.check_offset_reader("g", &reader(2)).is_err());
    let member = by(1);
    let stranger = bench
        .broker
        .commit_offsets("nowhere", &member, mode, vec![offset("t")]);
    assert_eq!(stranger.await, Err(CommitRefusal::NoGroup));
}

#[tokio::test]
async fn an_expression_finds_topics_that_come_later_and_not_those_it_may_not_see() {
    let bench = Bench::new();
    bench.topic("ta", 1, &[]).await;
    let mut hello = modern("m", modern::JOINING, modern::Partitions::new());
    (hello.topic_names, hello.topic_regex) = (None, Some("t[ab]".into()));
    let first = bench
        .broker
        .consumer_heartbeat("g", hello, all)
        .await
        .unwrap();
    assert_eq!(first.assignment.unwrap().len(), 1);
    bench.topic("tb", 1, &[]).await;
    bench.topic("tc", 1, &[]).await;
    let quiet = |epoch| modern::Heartbeat {
        rebalance_timeout_ms: -1,
        topic_names: None,
        ..modern("m", epoch, modern::Partitions::new())
    };
    let next = bench
        .broker
        .consumer_heartbeat("g", quiet(1), all)
        .await
        .unwrap();
    assert_eq!((next.epoch, next.assignment.unwrap().len()), (2, 2));
    let mut bad = quiet(2);
    bad.topic_regex = Some("(".into());
    let refused = bench.broker.consumer_heartbeat("g", bad, all).await;
    assert!(matches!(refused, Err(ConsumerRefusal::InvalidRegex { .. })));
    let mut hello = modern("n", modern::JOINING, modern::Partitions::new());
    (hello.topic_names, hello.topic_regex) = (None, Some("t.".into()));
    let blind = bench
        .broker
        .consumer_heartbeat("h", hello, |topic: &str| topic == "tc");
    assert_eq!(blind.await.unwrap().assignment.unwrap().len(), 1);
}

#[tokio::test]
async fn old_offsets_go_and_groups_without_any_are_forgotten() {
    let bench = Bench::new();
    bench.topic("t", 1, &[]).await;
    let week_ms = bench.broker.config().offsets_retention_ms;
    let now_ms = bench.broker.world().now_ms();
    let commit = |group: &'static str, mode| {
        let broker = &bench.broker;
        async move {
            broker
                .commit_offsets(group, &simple(), mode, vec![offset("t")])
                .await
        }
    };
    commit("lone", CommitMode::default()).await.unwrap();
    let short = CommitMode {
        retention_ms: Some(1_000),
        ..CommitMode::default()
    };
    commit("short", short).await.unwrap();
    let hello = modern("m", modern::JOINING, modern::Partitions::new());
    bench
        .broker
        .consumer_heartbeat("used", hello, all)
        .await
        .unwrap();
    let by = Committer {
        member_id: "m".into(),
        instance_id: None,
        generation: 1,
    };
    let mode = CommitMode {
        knows_epochs: true,
        ..CommitMode::default()
    };
    let used = bench
        .broker
        .commit_offsets("used", &by, mode, vec![offset("t")]);
    used.await.unwrap();
    let joined = bench.broker.join_group("joined", join("")).await.unwrap();
    let leaver = headwater_coord::groups::Leaver {
        member_id: joined.member_id,
        instance_id: None,
    };
    let leave = headwater_coord::groups::Leave {
        leavers: vec![leaver],
    };
    bench.broker.leave_group("joined", leave).await.unwrap();
    let ids = || -> Vec<String> {
        let groups = bench.broker.list_groups();
        groups.into_iter().map(|group| group.id).collect()
    };
    assert_eq!(ids(), ["joined", "lone", "short", "used"]);
    bench.broker.expire_offsets(now_ms + 10_000);
    assert_eq!(ids(), ["lone", "used"]);
    bench.broker.expire_offsets(now_ms + week_ms + 10_000);
    assert_eq!(
        ids(),
        ["used"],
        "its offsets are those of a topic that is read"
    );
    assert_eq!(bench.broker.fetch_offsets("used").await.unwrap().len(), 1);
    let bench = bench.restart();
    assert_eq!(bench.broker.list_groups().len(), 1);
}

#[tokio::test]
async fn who_asks_a_group_that_is_not_there_is_told_so() {
    let bench = Bench::new();
    let leave = || headwater_coord::groups::Leave {
        leavers: vec![headwater_coord::groups::Leaver {
            member_id: "m".into(),
            instance_id: None,
        }],
    };
    let outcomes = bench.broker.leave_group("nowhere", leave()).await.unwrap();
    assert_eq!(outcomes[0].outcome, Err(GroupError::UnknownMemberId));
    let unnamed = bench.broker.leave_group("", leave()).await;
    assert_eq!(unnamed, Err(GroupError::InvalidGroupId));
    let deleted = bench.broker.delete_offsets("", vec![("t".into(), 0)]).await;
    assert_eq!(deleted, Err(BrokerError::InvalidGroupId));
}
