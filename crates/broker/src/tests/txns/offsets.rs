//! Offsets that are committed with a transaction.

use headwater_coord::groups::Committer;

use super::*;

async fn commit(stage: &Stage, by: Producer, offset: i64, v2: bool) {
    if !v2 {
        let groups = vec!["g".to_owned()];
        let added = stage.broker.add_to_txn("x", by, Vec::new(), groups, false);
        added.await.unwrap();
    }
    let taken = stage
        .broker
        .commit_txn_offsets(request(by, offset, v2))
        .await;
    assert_eq!(taken, Ok(vec![Ok(())]));
}

fn request(by: Producer, offset: i64, v2: bool) -> TxnOffsets {
    TxnOffsets {
        transactional_id: "x".into(),
        by,
        group: "g".into(),
        committer: Committer {
            member_id: String::new(),
            instance_id: None,
            generation: -1,
        },
        items: vec![CommitItem {
            topic: "t".into(),
            partition: 0,
            offset,
            leader_epoch: 0,
            metadata: String::new(),
        }],
        adds: v2,
        knows_abortable: v2,
    }
}

async fn committed(stage: &Stage) -> Option<i64> {
    let offsets = stage.broker.fetch_offsets("g").await.unwrap();
    offsets.get(&("t".to_owned(), 0)).map(|one| one.offset)
}

#[tokio::test]
async fn offsets_are_committed_with_the_transaction_and_not_before() {
    for (shards, v2) in [(1, false), (1, true), (4, false), (4, true)] {
        let stage = Stage::in_memory(shards);
        stage.topic("t", 1).await;
        let me = stage.init("x").await;
        commit(&stage, me, 5, v2).await;
        assert_eq!(committed(&stage).await, None);
        let stage = stage.restart();
        assert_eq!(stage.broker.pending_offsets("g").len(), 1);
        assert!(stage.broker.pending_offsets("h").is_empty());
        let view = stage.broker.describe_txn("x").unwrap();
        assert!(view.topics.contains_key("__consumer_offsets"));
        let me = stage.end("x", me, true, v2).await.unwrap();
        assert_eq!(committed(&stage).await, Some(5));
        assert!(stage.broker.pending_offsets("g").is_empty());
        commit(&stage, me, 9, v2).await;
        stage.end("x", me, false, v2).await.unwrap();
        let stage = stage.restart();
        assert_eq!(committed(&stage).await, Some(5));
        assert!(stage.broker.pending_offsets("g").is_empty());
    }
}

#[tokio::test]
async fn who_is_not_in_the_transaction_or_not_in_the_group_commits_nothing() {
    let stage = Stage::in_memory(1);
    stage.topic("t", 1).await;
    let me = stage.init("x").await;
    let refused = |request| stage.broker.commit_txn_offsets(request);
    assert_eq!(
        refused(request(me, 1, false)).await,
        Err(BrokerError::InvalidTransaction.into())
    );
    let zombie = Producer { epoch: -1, ..me };
    assert_eq!(
        refused(request(zombie, 1, true)).await,
        Err(BrokerError::FencedProducer.into())
    );
    let mut stranger = request(me, 1, true);
    stranger.committer.generation = 3;
    stranger.committer.member_id = "m".into();
    assert!(matches!(
        refused(stranger).await,
        Err(OffsetsRefused::Group(_))
    ));
    let mut nowhere = request(me, 1, true);
    nowhere.items[0].partition = 7;
    assert_eq!(
        refused(nowhere).await,
        Ok(vec![Err(BrokerError::UnknownTopicOrPartition)])
    );
}

#[tokio::test]
async fn of_a_plain_commit_and_a_transactions_the_later_counts_whatever_the_clock_says() {
    let plain = async |stage: &Stage, offset: i64| {
        let request = request(Producer { id: 0, epoch: 0 }, offset, true);
        let (by, mode) = (request.committer, CommitMode::default());
        let taken = stage.broker.commit_offsets("g", &by, mode, request.items);
        assert_eq!(taken.await, Ok(vec![Ok(())]));
    };
    for back_ms in [0, 50_000] {
        let stage = Stage::in_memory(1);
        stage.topic("t", 1).await;
        let me = stage.init("x").await;
        // The plain one was sent last.
        commit(&stage, me, 5, true).await;
        stage.clock.advance(-back_ms);
        plain(&stage, 7).await;
        let me = stage.end("x", me, true, true).await.unwrap();
        assert_eq!(committed(&stage).await, Some(7), "back {back_ms}");
        // That of the transaction was sent last.
        plain(&stage, 8).await;
        stage.clock.advance(-back_ms);
        commit(&stage, me, 9, true).await;
        stage.end("x", me, true, true).await.unwrap();
        assert_eq!(committed(&stage).await, Some(9), "back {back_ms}");
        assert_eq!(committed(&stage.restart()).await, Some(9));
    }
}
