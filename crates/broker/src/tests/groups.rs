//! Groups: the timers and the waiting that the state machine leaves to its host.

use headwater_coord::groups::{Committer, GroupError, Heartbeat, Join, Protocol, State, Sync};

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
        .commit_offsets("g", &by, vec![item.clone()])
        .await
        .unwrap();
    let stranger = Committer {
        generation: joined.generation + 1,
        ..by.clone()
    };
    assert_eq!(
        bench
            .broker
            .commit_offsets("g", &stranger, vec![item])
            .await,
        Err(GroupError::IllegalGeneration)
    );
    let lag = &bench.broker.group_lags()[0];
    assert_eq!((lag.state, lag.partitions[0].committed), (State::Stable, 3));
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
    assert_eq!(bench.broker.list_groups()[0].state, State::Empty);
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
