//! Retention and DeleteRecords, and that producers survive both.

use super::*;
use crate::tests::{at_once, sequenced};

#[tokio::test]
async fn what_is_older_than_the_retention_goes_and_the_rest_stays() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1, &[("retention.ms", "3600000")]).await;
    let id = topic.partition(0).unwrap();
    let now = now();
    for age_ms in [3 * HOUR_MS, 2 * HOUR_MS, 0] {
        bench
            .put("t", keyed(now - age_ms, &[("k", Some("v")), ("l", None)]))
            .await
            .unwrap();
    }
    let round = bench.broker.clean_now(now).await;
    assert_eq!((round.trims, round.failures), (1, 0));
    assert!(round.trimmed_bytes > 0);
    assert_eq!(bench.broker.partition_state(id).start, 4);
    let earliest = bench
        .broker
        .list_offset(&named("t"), 0, -1, OffsetSpec::Earliest, false)
        .await;
    assert_eq!(earliest.unwrap().offset, 4);
    assert!(matches!(
        bench.get("t", 3, 1000, 0).await,
        Err(BrokerError::OffsetOutOfRange { start: 4, .. })
    ));
    // All of it, once it is old; the end stays where it is.
    bench.broker.clean_now(now + 2 * HOUR_MS).await;
    let state = bench.broker.partition_state(id);
    assert_eq!((state.start, state.durable_end, state.bytes), (6, 6, 0));
}

#[tokio::test]
async fn a_topic_is_not_checked_before_its_period_has_passed_once() {
    let bench = Bench::new();
    let (short, usual) = (
        bench
            .topic("short", 1, &[("retention.ms", "1000")])
            .await
            .id,
        bench.topic("usual", 1, &[]).await.id,
    );
    let due = |topic, retention_ms, at_ms| {
        let cleaning = &bench.broker.cleaning;
        cleaning.is_due_by_time(topic, retention_ms, at_ms)
    };
    assert!(!due(short, 1_000, 0) && !due(usual, 7 * 24 * HOUR_MS, 0));
    assert!(due(short, 1_000, 1_000) && !due(usual, 7 * 24 * HOUR_MS, 299_999));
    assert!(!due(short, 1_000, 1_999) && due(usual, 7 * 24 * HOUR_MS, 300_000));
    assert!(due(short, 1_000, 2_000));
}

#[tokio::test]
async fn retention_by_size_keeps_at_least_that_much() {
    let bench = Bench::new();
    let one = keyed(now(), &[("k", Some("v"))]);
    let bytes = one.len().to_string();
    let topic = bench
        .topic(
            "t",
            1,
            &[("retention.bytes", &bytes), ("retention.ms", "-1")],
        )
        .await;
    let id = topic.partition(0).unwrap();
    for _ in 0..5 {
        bench.put("t", one.clone()).await.unwrap();
    }
    bench.broker.clean_now(now()).await;
    assert_eq!(bench.broker.partition_state(id).start, 4);
    bench.broker.clean_now(now() + 9_000 * HOUR_MS).await;
    assert_eq!(bench.broker.partition_state(id).start, 4, "for ever");
}

#[tokio::test]
async fn a_changed_retention_counts_at_once_and_compacted_topics_are_not_cut() {
    let bench = Bench::new();
    let forever = [("retention.ms", "-1")];
    let (t, c) = (
        bench.topic("t", 1, &forever).await,
        bench
            .topic(
                "c",
                1,
                &[("cleanup.policy", "compact"), ("retention.ms", "1")],
            )
            .await,
    );
    let old = now() - 5 * HOUR_MS;
    for name in ["t", "c"] {
        bench
            .put(name, keyed(old, &[("k", Some("v"))]))
            .await
            .unwrap();
    }
    let start = |topic: &Topic| {
        bench
            .broker
            .partition_state(topic.partition(0).unwrap())
            .start
    };
    bench.broker.clean_now(now()).await;
    assert_eq!((start(&t), start(&c)), (0, 0));
    bench.set("t", "retention.ms", "1000").await;
    bench.set("c", "cleanup.policy", "compact,delete").await;
    bench.broker.clean_now(now()).await;
    assert_eq!((start(&t), start(&c)), (1, 1));
}

#[tokio::test]
async fn the_nodes_own_topics_are_cut_only_when_somebody_says_so() {
    let bench = Bench::new();
    let mut ids = Vec::new();
    for name in ["__headwater_steps_p", "headwater-dead-letters"] {
        let change = |catalog: &headwater_meta::Catalog| {
            let id = headwater_base::TopicId([name.len() as u8; 16]);
            let change = catalog.create_any(name, id, 1, Default::default())?;
            Ok(crate::catalog::Plan {
                changes: vec![change],
                drops: Vec::new(),
            })
        };
        crate::catalog::settle(bench.broker.catalog.change(change).unwrap())
            .await
            .unwrap();
        let id = bench.broker.topic(name).unwrap().partition(0).unwrap();
        let commit = headwater_log::Commit {
            appends: vec![headwater_log::Append {
                partition: id,
                batch: keyed(1, &[("k", Some("v"))]),
            }],
            ..Default::default()
        };
        bench.log.submit(commit).unwrap();
        ids.push(id);
    }
    bench.broker.clean_now(now()).await;
    let starts = || ids.iter().map(|id| bench.broker.partition_state(*id).start);
    assert_eq!(starts().collect::<Vec<_>>(), [0, 0]);
    bench
        .set("headwater-dead-letters", "retention.ms", "1000")
        .await;
    bench.broker.clean_now(now()).await;
    assert_eq!(starts().collect::<Vec<_>>(), [0, 1]);
}

#[tokio::test]
async fn a_producer_is_known_after_its_batches_are_gone_and_a_restart() {
    let bench = Bench::new();
    bench.topic("t", 1, &[("retention.ms", "1000")]).await;
    for sequence in 0..4 {
        bench.put("t", sequenced(4, 2, sequence, 1)).await.unwrap();
    }
    bench.put("t", sequenced(5, 0, 0, 1)).await.unwrap();
    bench.broker.clean_now(now()).await;
    let bench = bench.restart();
    let again = bench.put("t", sequenced(4, 2, 9, 1)).await;
    assert_eq!(
        again,
        Err(BrokerError::OutOfOrderSequence {
            expected: 4,
            got: 9
        })
    );
    assert!(matches!(
        bench.put("t", sequenced(4, 1, 4, 1)).await,
        Err(BrokerError::InvalidProducerEpoch { .. })
    ));
    // What was in flight may come again, and is told where it was.
    for sequence in 0..4 {
        let again = bench.put("t", sequenced(4, 2, sequence, 1)).await.unwrap();
        assert_eq!(again.base_offset, i64::from(sequence));
    }
    let next = bench.put("t", sequenced(4, 2, 4, 1)).await.unwrap();
    assert_eq!(next.base_offset, 5);
    // What came later counts more than what was noted.
    let bench = bench.restart();
    let next = bench.put("t", sequenced(4, 2, 5, 1)).await.unwrap();
    assert_eq!(next.base_offset, 6);
    bench
        .broker
        .delete_records("t", 0, -1, at_once())
        .await
        .unwrap();
    let bench = bench.restart();
    assert!(bench.put("t", sequenced(4, 2, 5, 2)).await.is_err());
    assert!(bench.put("t", sequenced(4, 2, 6, 1)).await.is_ok());
    assert!(bench.put("t", sequenced(5, 0, 3, 1)).await.is_err());
}

#[tokio::test]
async fn silent_producers_are_forgotten_and_deleted_topics_too() {
    let bench = Bench::new();
    bench.topic("t", 1, &[("retention.ms", "1000")]).await;
    bench.put("t", sequenced(4, 0, 0, 1)).await.unwrap();
    bench.broker.clean_now(now()).await;
    assert_eq!(bench.broker.cleaning.journal.producers().len(), 1);
    bench.broker.clean_now(now() + 25 * HOUR_MS).await;
    assert_eq!(bench.broker.cleaning.journal.producers().len(), 0);
    assert!(
        bench.put("t", sequenced(4, 0, 77, 1)).await.is_ok(),
        "as a new one"
    );
}

#[tokio::test]
async fn records_are_deleted_up_to_the_high_watermark_and_not_in_compacted_topics() {
    let bench = Bench::new();
    bench.topic("t", 1, &[]).await;
    bench.topic("c", 1, &[("cleanup.policy", "compact")]).await;
    bench
        .topic("cd", 1, &[("cleanup.policy", "compact,delete")])
        .await;
    for topic in ["t", "c", "cd"] {
        for _ in 0..3 {
            let batch = keyed(now(), &[("k", Some("v"))]);
            bench.put(topic, batch).await.unwrap();
        }
    }
    let delete =
        |topic: &'static str, before| bench.broker.delete_records(topic, 0, before, at_once());
    assert_eq!(delete("t", 2).await, Ok(2));
    assert_eq!(delete("t", 1).await, Ok(2), "below the start");
    assert_eq!(delete("t", 3).await, Ok(3));
    assert_eq!(delete("cd", -1).await, Ok(3));
    for wrong in [4, -2, i64::MIN, i64::MAX] {
        let refused = delete("t", wrong).await;
        assert!(
            matches!(refused, Err(BrokerError::OffsetOutOfRange { end: 3, .. })),
            "{wrong}"
        );
    }
    let refused = delete("c", 1).await;
    assert!(matches!(refused, Err(BrokerError::PolicyViolation(_))));
    assert_eq!(
        delete("none", 1).await,
        Err(BrokerError::UnknownTopicOrPartition)
    );
    assert_eq!(
        bench.broker.delete_records("t", 1, 1, at_once()).await,
        Err(BrokerError::UnknownTopicOrPartition)
    );
}

#[tokio::test]
async fn records_that_a_pipeline_may_have_to_read_again_are_deleted_when_it_lets_go() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1, &[]).await;
    let id = topic.partition(0).unwrap();
    for _ in 0..6 {
        let batch = keyed(now(), &[("k", Some("v"))]);
        bench.put("t", batch).await.unwrap();
    }
    let broker = &bench.broker;
    broker.holds.set("p", vec![(id, 2)]);
    let refused = broker.delete_records("t", 0, 4, at_once()).await;
    let in_use = BrokerError::RecordsInUse {
        wanted: 4,
        needed: 2,
    };
    assert_eq!(refused, Err(in_use));
    assert_eq!(broker.partition_state(id).start, 2, "as far as it may");
    assert!(broker.holds.take_wanted("p"), "the pipeline has been asked");
    // Nobody waits any more: it is done all the same, as far as it may.
    broker.holds.set("p", vec![(id, 3)]);
    broker.clean_now(now()).await;
    assert_eq!(broker.partition_state(id).start, 3);
    broker.holds.set("p", vec![(id, 5)]);
    broker.clean_now(now()).await;
    assert_eq!(broker.partition_state(id).start, 4);
    broker.clean_now(now()).await;
    assert!(broker.holds.postponed().is_empty());
    // Somebody waits, and the pipeline lets go meanwhile.
    let late = at_once() + std::time::Duration::from_secs(60);
    let (deleted, ()) = tokio::join!(broker.delete_records("t", 0, 6, late), async {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        broker.holds.set("p", vec![(id, 6)]);
    });
    assert_eq!(deleted, Ok(6));
    assert!(broker.holds.postponed().is_empty());
}
