//! Compaction of topics: what stays, when, and over restarts.

use headwater_log::Log;

use super::*;
use crate::tests::sequenced;

const EAGER: [(&str, &str); 3] = [
    ("cleanup.policy", "compact"),
    ("segment.ms", "100"),
    ("min.cleanable.dirty.ratio", "0.01"),
];

fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    EAGER.iter().chain(more).copied().collect()
}

#[tokio::test]
async fn each_key_keeps_its_last_value_and_the_end_stays() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1, &EAGER).await;
    let id = topic.partition(0).unwrap();
    let old = now() - HOUR_MS;
    for n in 0..10 {
        let (a, b) = (format!("a{n}"), format!("b{n}"));
        bench
            .put("t", keyed(old, &[("a", Some(&a)), ("b", Some(&b))]))
            .await
            .unwrap();
    }
    bench
        .put("t", keyed(now(), &[("c", Some("c"))]))
        .await
        .unwrap();
    let before = bench.broker.partition_state(id);
    let round = bench.broker.clean_now(now()).await;
    assert_eq!((round.compactions, round.failures), (1, 0));
    let after = bench.broker.partition_state(id);
    assert_eq!((after.start, after.durable_end), (0, before.durable_end));
    assert_eq!(round.compacted_bytes, before.bytes - after.bytes);
    let left = [(18, "a", "a9"), (19, "b", "b9"), (20, "c", "c")];
    let left = left.map(|(offset, key, value)| (offset, key.to_owned(), Some(value.to_owned())));
    assert_eq!(shown(&all(&bench, "t").await), left);
    // Nothing is dirty: another round does nothing, over a restart, too.
    assert_eq!(bench.broker.clean_now(now() + 1).await.compactions, 0);
    let bench = bench.restart();
    assert_eq!(bench.broker.clean_now(now() + 2).await.compactions, 0);
    assert_eq!(shown(&all(&bench, "t").await), left);
    let found = bench
        .broker
        .list_offset(&named("t"), 0, -1, OffsetSpec::Time(old), false)
        .await;
    assert_eq!(found.unwrap().offset, 18);
}

#[tokio::test]
async fn tombstones_stay_readable_for_their_time_over_a_restart() {
    let bench = Bench::new();
    bench
        .topic("t", 1, &with(&[("delete.retention.ms", "3600000")]))
        .await;
    let (start, old) = (now(), now() - HOUR_MS);
    bench
        .put("t", keyed(old, &[("a", Some("1")), ("b", Some("1"))]))
        .await
        .unwrap();
    bench.put("t", keyed(old, &[("a", None)])).await.unwrap();
    bench
        .put("t", keyed(start, &[("z", Some("z"))]))
        .await
        .unwrap();
    bench.broker.clean_now(start).await;
    let keys = |records: &[Record]| {
        shown(records)
            .into_iter()
            .map(|(offset, ..)| offset)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        keys(&all(&bench, "t").await),
        [1, 2, 3],
        "the tombstone stays"
    );
    let bench = bench.restart();
    bench.broker.clean_now(start + HOUR_MS - 1_000).await;
    assert_eq!(keys(&all(&bench, "t").await), [1, 2, 3]);
    bench.broker.clean_now(start + HOUR_MS + 1_000).await;
    assert_eq!(
        keys(&all(&bench, "t").await),
        [1, 3],
        "and goes without a write"
    );
}

#[tokio::test]
async fn what_is_young_or_at_the_end_is_left_alone() {
    let bench = Bench::new();
    bench
        .topic("lag", 1, &with(&[("min.compaction.lag.ms", "7200000")]))
        .await;
    let lazy = [
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0.01"),
    ];
    bench.topic("segment", 1, &lazy).await;
    let lag = [
        lazy[0],
        ("max.compaction.lag.ms", "1800000"),
        ("min.cleanable.dirty.ratio", "1"),
    ];
    bench.topic("max", 1, &lag).await;
    let (start, old) = (now(), now() - HOUR_MS);
    for topic in ["lag", "segment", "max"] {
        for _ in 0..5 {
            bench
                .put(topic, keyed(old, &[("a", Some("1"))]))
                .await
                .unwrap();
        }
    }
    bench.broker.clean_now(start).await;
    assert_eq!(all(&bench, "lag").await.len(), 5);
    assert_eq!(all(&bench, "segment").await.len(), 5);
    assert_eq!(
        all(&bench, "max").await.len(),
        2,
        "the newest batch always stays"
    );
    bench.broker.clean_now(start + 2 * HOUR_MS).await;
    assert_eq!(all(&bench, "lag").await.len(), 2);
    bench.broker.clean_now(start + 8 * 24 * HOUR_MS).await;
    assert_eq!(all(&bench, "segment").await.len(), 2);
}

#[tokio::test]
async fn the_dirty_ratio_decides_when() {
    let bench = Bench::new();
    bench
        .topic(
            "t",
            1,
            &[EAGER[0], EAGER[1], ("min.cleanable.dirty.ratio", "0.6")],
        )
        .await;
    let old = now() - HOUR_MS;
    let put = async |n: usize| {
        for i in 0..n {
            let key = format!("{i}");
            bench
                .put("t", keyed(old, &[(&key, Some("1"))]))
                .await
                .unwrap();
        }
    };
    put(20).await;
    assert_eq!(bench.broker.clean_now(now()).await.compactions, 1);
    put(10).await;
    assert_eq!(
        bench.broker.clean_now(now() + 70_000).await.compactions,
        0,
        "a third is dirty"
    );
    put(30).await;
    assert_eq!(bench.broker.clean_now(now() + 140_000).await.compactions, 1);
}

#[tokio::test]
async fn a_policy_changed_live_is_followed_and_keyless_records_go() {
    let bench = Bench::new();
    bench
        .topic("t", 1, &[EAGER[1], EAGER[2], ("retention.ms", "-1")])
        .await;
    let old = now() - HOUR_MS;
    let mut keyless = BatchBuilder::new(Codec::Gzip);
    keyless.push(old, None, Some(b"v"));
    bench.put("t", keyless.build()).await.unwrap();
    for n in ["1", "2", "3"] {
        bench.put("t", keyed(old, &[("a", Some(n))])).await.unwrap();
    }
    assert_eq!(bench.broker.clean_now(now()).await.compactions, 0);
    bench.set("t", "cleanup.policy", "compact,delete").await;
    assert_eq!(bench.broker.clean_now(now()).await.compactions, 1);
    let left = shown(&all(&bench, "t").await);
    assert_eq!(left.iter().map(|one| one.0).collect::<Vec<_>>(), [2, 3]);
}

#[tokio::test]
async fn more_keys_than_the_map_holds_take_several_runs() {
    let log = Arc::new(headwater_log::MemoryLog::new(1));
    let config = BrokerConfig {
        cleaner_map_bytes_max: 60 * 10,
        ..BrokerConfig::default()
    };
    let clock = Arc::new(headwater_base::SystemClock);
    let broker = Broker::open(log.clone() as Arc<dyn Log>, clock, config).unwrap();
    let bench = Bench { log, broker };
    bench.topic("t", 1, &EAGER).await;
    let old = now() - HOUR_MS;
    for round in 0..3 {
        for n in 0..100 {
            let (key, value) = (format!("{n}"), format!("{round}"));
            bench
                .put("t", keyed(old, &[(&key, Some(&value))]))
                .await
                .unwrap();
        }
    }
    bench
        .put("t", keyed(now(), &[("z", Some("z"))]))
        .await
        .unwrap();
    assert_eq!(bench.broker.clean_now(now()).await.compactions, 1);
    let left = shown(&all(&bench, "t").await);
    assert_eq!(left.len(), 101);
    assert!(
        left[..100]
            .iter()
            .all(|(_, _, value)| value.as_deref() == Some("2"))
    );
}

#[tokio::test]
async fn an_idle_producer_is_known_after_its_records_were_superseded_and_a_restart() {
    let bench = Bench::new();
    bench.topic("t", 1, &EAGER).await;
    let one = |id: i64, sequence: i32| {
        let mut builder = BatchBuilder::new(Codec::None).producer(id, 0, sequence);
        builder.push(now() - HOUR_MS, Some(b"k"), Some(b"v"));
        builder.build()
    };
    for sequence in 0..3 {
        bench.put("t", one(4, sequence)).await.unwrap();
    }
    for sequence in 0..3 {
        bench.put("t", one(5, sequence)).await.unwrap();
    }
    assert_eq!(bench.broker.clean_now(now()).await.compactions, 1);
    assert_eq!(all(&bench, "t").await.len(), 2);
    let bench = bench.restart();
    let gap = bench.put("t", sequenced_key(4, 5)).await;
    assert_eq!(
        gap,
        Err(BrokerError::OutOfOrderSequence {
            expected: 3,
            got: 5
        })
    );
    assert!(bench.put("t", sequenced_key(4, 3)).await.is_ok());
    assert!(bench.put("t", sequenced_key(5, 3)).await.is_ok());
}

#[tokio::test]
async fn what_a_pipeline_may_read_again_is_left_alone() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1, &EAGER).await;
    let id = topic.partition(0).unwrap();
    let expiring = [("retention.ms", "1000")];
    let other = bench.topic("r", 1, &expiring).await.partition(0).unwrap();
    let old = now() - HOUR_MS;
    for n in ["1", "2", "3", "4", "5"] {
        for name in ["t", "r"] {
            let one = keyed(old, &[("a", Some(n))]);
            bench.put(name, one).await.unwrap();
        }
    }
    bench.broker.holds.set("p", vec![(id, 2), (other, 2)]);
    bench.broker.clean_now(now()).await;
    let offsets = |records: &[Record]| {
        let offsets = records.iter().map(|record| record.offset);
        offsets.collect::<Vec<_>>()
    };
    assert_eq!(offsets(&all(&bench, "t").await), [1, 2, 3, 4]);
    assert_eq!(offsets(&all(&bench, "r").await), [2, 3, 4]);
    bench.broker.holds.set("p", Vec::new());
    bench.broker.clean_now(now() + 70_000).await;
    assert_eq!(offsets(&all(&bench, "t").await), [3, 4]);
    assert_eq!(bench.broker.partition_state(other).start, 5);
}

fn sequenced_key(id: i64, sequence: i32) -> bytes::Bytes {
    let mut builder = BatchBuilder::new(Codec::None).producer(id, 0, sequence);
    builder.push(now(), Some(b"k"), Some(b"v"));
    let batch = builder.build();
    assert_ne!(batch, sequenced(id, 0, sequence, 1));
    batch
}
