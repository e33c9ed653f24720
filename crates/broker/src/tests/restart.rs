//! What a restart keeps, and that the broker's own partitions stay short.

use headwater_coord::groups::Committer;
use headwater_log::Log;

use super::*;
use crate::journal::{COMMITTED, METADATA};

fn simple() -> Committer {
    Committer {
        member_id: String::new(),
        instance_id: None,
        generation: -1,
    }
}

async fn commit(bench: &Bench, group: &str, topic: &str, offset: i64) {
    let item = CommitItem {
        topic: topic.into(),
        partition: 0,
        offset,
        leader_epoch: 0,
        metadata: "m".into(),
    };
    let outcomes = bench
        .broker
        .commit_offsets(group, &simple(), CommitMode::default(), vec![item])
        .await
        .unwrap();
    assert_eq!(outcomes, [Ok(())]);
}

async fn committed(bench: &Bench, group: &str, topic: &str) -> Option<i64> {
    let offsets = bench.broker.fetch_offsets(group).await.unwrap();
    offsets
        .get(&(topic.to_owned(), 0))
        .map(|committed| committed.offset)
}

#[tokio::test]
async fn topics_configs_cluster_id_and_records_are_kept() {
    let bench = Bench::new();
    let topic = bench.topic("t", 2, &[("retention.ms", "7")]).await;
    bench.topic("gone", 1, &[]).await;
    bench.put("gone", batch(&[1])).await.unwrap();
    bench.broker.delete_topic(&named("gone")).await.unwrap();
    let more = crate::MorePartitions {
        topic: "t".into(),
        partitions: 3,
        assignments: None,
    };
    let grown = bench.broker.create_partitions(&[more], false).await;
    assert_eq!(grown, [Ok(())]);
    bench.put("t", batch(&[1])).await.unwrap();
    let cluster = bench.broker.cluster_id();
    let bench = bench.restart();
    let after = bench.broker.find_topic(&named("t")).unwrap();
    assert_eq!((after.id, after.partitions), (topic.id, 3));
    assert_eq!(after.configs["retention.ms"], "7");
    assert_eq!(bench.broker.cluster_id(), cluster);
    assert!(bench.broker.find_topic(&named("gone")).is_err());
    assert_eq!(
        bench.get("t", 0, 1000, 0).await.unwrap().state.durable_end,
        1
    );
}

#[tokio::test]
async fn a_duplicate_is_known_after_a_restart() {
    let bench = Bench::new();
    bench.topic("t", 1, &[]).await;
    for sequence in 0..8 {
        bench.put("t", sequenced(4, 0, sequence, 1)).await.unwrap();
    }
    let bench = bench.restart();
    assert_eq!(
        bench
            .put("t", sequenced(4, 0, 7, 1))
            .await
            .unwrap()
            .base_offset,
        7
    );
    assert_eq!(
        bench
            .put("t", sequenced(4, 0, 3, 1))
            .await
            .unwrap()
            .base_offset,
        3
    );
    assert!(bench.put("t", sequenced(4, 0, 9, 1)).await.is_err());
    assert_eq!(
        bench
            .put("t", sequenced(4, 0, 8, 1))
            .await
            .unwrap()
            .base_offset,
        8
    );
    assert_eq!(
        bench
            .put("t", sequenced(5, 0, 77, 1))
            .await
            .unwrap()
            .base_offset,
        9,
        "an unknown producer may go on"
    );
}

#[tokio::test]
async fn producer_ids_are_never_given_twice() {
    let mut bench = Bench::new();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..3 {
        for _ in 0..1_500 {
            assert!(seen.insert(bench.broker.init_producer().await.unwrap().0));
        }
        bench = bench.restart();
    }
}

#[tokio::test]
async fn committed_offsets_are_kept_and_go_with_their_topic_or_group() {
    let bench = Bench::new();
    bench.topic("t", 1, &[]).await;
    bench.topic("u", 1, &[]).await;
    commit(&bench, "g", "t", 5).await;
    commit(&bench, "g", "t", 6).await;
    commit(&bench, "g", "u", 1).await;
    commit(&bench, "h", "t", 9).await;
    let bench = bench.restart();
    assert_eq!(committed(&bench, "g", "t").await, Some(6));
    bench.broker.delete_topic(&named("t")).await.unwrap();
    bench.topic("t", 1, &[]).await;
    assert_eq!(committed(&bench, "g", "t").await, None);
    assert_eq!(committed(&bench, "g", "u").await, Some(1));
    bench.broker.delete_group("g").await.unwrap();
    assert_eq!(
        bench.broker.delete_group("g").await,
        Err(BrokerError::GroupNotFound)
    );
    let bench = bench.restart();
    assert!(bench.broker.list_groups().is_empty());
}

#[tokio::test]
async fn offsets_of_unknown_partitions_and_long_metadata_are_refused_alone() {
    let bench = Bench::new();
    bench.topic("t", 1, &[]).await;
    let item = |topic: &str, metadata: String| CommitItem {
        topic: topic.into(),
        partition: 0,
        offset: 1,
        leader_epoch: 0,
        metadata,
    };
    let items = vec![
        item("none", String::new()),
        item("t", "x".repeat(5_000)),
        item("t", String::new()),
    ];
    let outcomes = bench
        .broker
        .commit_offsets("g", &simple(), CommitMode::default(), items)
        .await
        .unwrap();
    assert_eq!(outcomes[0], Err(BrokerError::UnknownTopicOrPartition));
    assert!(matches!(
        outcomes[1],
        Err(BrokerError::OffsetMetadataTooLarge { .. })
    ));
    assert_eq!(outcomes[2], Ok(()));
}

#[tokio::test]
async fn the_brokers_own_partitions_stay_short() {
    let bench = Bench::new();
    bench.topic("t", 1, &[]).await;
    for offset in 0..21_000 {
        commit(&bench, "g", "t", offset).await;
    }
    for n in 0..2_100 {
        let target = crate::ConfigTarget::Topic("t".into());
        let set = (
            "retention.ms".to_owned(),
            crate::ConfigOp::Set(n.to_string()),
        );
        bench
            .broker
            .alter_configs(&target, &[set], false)
            .await
            .unwrap();
    }
    for (partition, max) in [(COMMITTED, 11_000), (METADATA, 1_100)] {
        let state = bench.log.state(partition);
        assert!(
            state.durable_end - state.start < max,
            "{partition}: {state:?}"
        );
    }
    let bench = bench.restart();
    assert_eq!(committed(&bench, "g", "t").await, Some(20_999));
    assert_eq!(
        bench.broker.find_topic(&named("t")).unwrap().configs["retention.ms"],
        "2099"
    );
}

#[tokio::test]
async fn offsets_of_a_deleted_topic_that_a_crash_has_left_are_forgotten_at_the_next_start() {
    let bench = Bench::new();
    bench.topic("t", 1, &[]).await;
    commit(&bench, "g", "t", 5).await;
    // What a crash between the two commits of a deletion leaves.
    let plan = |catalog: &headwater_meta::Catalog| {
        Ok(crate::catalog::Plan {
            changes: vec![catalog.delete("t")?],
            drops: Vec::new(),
        })
    };
    let durables = bench.broker.catalog.change(plan).unwrap();
    crate::catalog::settle(durables).await.unwrap();
    let bench = bench.restart();
    bench.topic("t", 1, &[]).await;
    assert_eq!(committed(&bench, "g", "t").await, None);
    let bench = bench.restart();
    assert_eq!(committed(&bench, "g", "t").await, None);
}

#[tokio::test]
async fn a_deletion_is_told_when_the_offsets_are_gone_for_good() {
    let bench = Bench::new();
    bench.topic("t", 1, &[]).await;
    commit(&bench, "g", "t", 5).await;
    bench.log.hold();
    let topic = named("t");
    let deletion = bench.broker.delete_topic(&topic);
    let release = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let state = bench.log.state(COMMITTED);
        assert!(state.submitted_end > state.durable_end);
        bench.log.release();
        state.submitted_end
    };
    let (deleted, end) = tokio::join!(
        async {
            deletion.await.unwrap();
            bench.log.state(COMMITTED).durable_end
        },
        release
    );
    assert_eq!(deleted, end);
}
