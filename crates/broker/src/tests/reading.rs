//! Fetch, ListOffsets, and the views of the console.

use super::*;

#[tokio::test]
async fn fetch_waits_for_data_and_is_woken_by_it() {
    let bench = Bench::new();
    bench.topic("t", 1, &[]).await;
    let begun = std::time::Instant::now();
    assert!(
        bench
            .get("t", 0, 1000, 50)
            .await
            .unwrap()
            .batches
            .is_empty()
    );
    assert!(begun.elapsed() >= Duration::from_millis(50));
    let (fetched, _) = tokio::join!(bench.get("t", 0, 1000, 60_000), async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        bench.put("t", batch(&[1])).await.unwrap();
    });
    assert_eq!(fetched.unwrap().state.durable_end, 1);
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn limits_cut_between_batches_but_the_first_batch_always_comes() {
    let bench = Bench::new();
    bench.topic("t", 1, &[]).await;
    for _ in 0..5 {
        bench.put("t", batch(&[1, 2])).await.unwrap();
    }
    let one = batch(&[1, 2]).len();
    let count = async |max_bytes| bench.get("t", 0, max_bytes, 0).await.unwrap().batches.len();
    assert_eq!(count(1).await, 1);
    assert_eq!(count(one).await, 1);
    assert_eq!(count(2 * one).await, 2);
    assert_eq!(count(2 * one + 1).await, 2);
    assert_eq!(count(1_000_000).await, 5);
    let middle = bench.get("t", 3, one, 0).await.unwrap();
    assert_eq!(
        headwater_record::BatchHeader::parse(&middle.batches[0])
            .unwrap()
            .base_offset,
        2,
        "the batch that holds it"
    );
}

#[tokio::test]
async fn offsets_outside_are_errors_at_once() {
    let bench = Bench::new();
    bench.topic("t", 1, &[]).await;
    bench.put("t", batch(&[1, 2, 3])).await.unwrap();
    assert_eq!(
        bench.broker.delete_records("t", 0, 2, at_once()).await,
        Ok(2)
    );
    for offset in [-1, 0, 1, 4] {
        let refused = bench.get("t", offset, 1000, 60_000).await;
        assert!(
            matches!(
                refused,
                Err(BrokerError::OffsetOutOfRange {
                    start: 2,
                    end: 3,
                    ..
                })
            ),
            "{offset}"
        );
    }
    assert!(
        bench
            .broker
            .delete_records("t", 0, 4, at_once())
            .await
            .is_err()
    );
    assert_eq!(
        bench.broker.delete_records("t", 0, -1, at_once()).await,
        Ok(3)
    );
    assert!(bench.get("t", 3, 1000, 0).await.unwrap().batches.is_empty());
}

#[tokio::test]
async fn times_are_found_exact_to_the_record() {
    let bench = Bench::new();
    bench.topic("t", 1, &[]).await;
    let find = async |spec| {
        let found = bench
            .broker
            .list_offset(&named("t"), 0, -1, spec, false)
            .await
            .unwrap();
        (found.offset, found.timestamp_ms)
    };
    assert_eq!(find(OffsetSpec::MaxTimestamp).await, (-1, -1));
    bench.put("t", batch(&[1_000, 2_000, 3_000])).await.unwrap();
    bench.put("t", batch(&[9_000, 5_000])).await.unwrap();
    bench.put("t", batch(&[4_000])).await.unwrap();
    assert_eq!(find(OffsetSpec::Earliest).await.0, 0);
    assert_eq!(find(OffsetSpec::Latest).await.0, 6);
    assert_eq!(find(OffsetSpec::Time(0)).await, (0, 1_000));
    assert_eq!(find(OffsetSpec::Time(1_001)).await, (1, 2_000));
    assert_eq!(find(OffsetSpec::Time(3_001)).await, (3, 9_000));
    assert_eq!(find(OffsetSpec::Time(9_001)).await, (-1, -1));
    assert_eq!(find(OffsetSpec::MaxTimestamp).await, (3, 9_000));
}

#[tokio::test]
async fn the_newest_records_and_the_flow_are_shown() {
    let bench = Bench::new();
    bench.topic("t", 1, &[]).await;
    for timestamp in 0..50 {
        bench
            .put("t", batch(&[timestamp, timestamp]))
            .await
            .unwrap();
    }
    let newest = bench.broker.newest_records("t", 3).await.unwrap();
    let offsets: Vec<i64> = newest.iter().map(|placed| placed.record.offset).collect();
    assert_eq!(offsets, [99, 98, 97]);
    bench.get("t", 0, 1_000_000, 0).await.unwrap();
    let view = &bench.broker.topic_views()[0];
    assert_eq!(
        (view.records(), view.flow.records_in, view.flow.records_out),
        (100, 100, 100)
    );
    assert_eq!(view.flow.bytes_in, view.flow.bytes_out);
}

#[tokio::test]
async fn answers_from_the_cache_share_the_memory_for_answers() {
    let bench = Bench::new();
    bench.topic("t", 2, &[]).await;
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(1, None, Some(&vec![7; 50_000]));
    let large = builder.build();
    for partition in [0, 0, 1] {
        let ticket = bench
            .broker
            .produce(&named("t"), partition, Some(large.clone()));
        ticket.unwrap().settle().await.unwrap();
    }
    let fetch = async || {
        let item = |partition| FetchItem {
            topic: named("t"),
            partition,
            offset: 0,
            max_bytes: 1 << 20,
            leader_epoch: -1,
        };
        let request = FetchRequest {
            max_wait: Duration::ZERO,
            min_bytes: 1,
            max_bytes: 1 << 20,
            committed: false,
            partitions: vec![item(0), item(1)],
        };
        let out = bench.broker.fetch(request).await;
        let count = |fetched: &Result<Fetched, _>| fetched.as_ref().unwrap().batches.len();
        let counts: Vec<usize> = out.partitions.iter().map(count).collect();
        (counts, out.memory)
    };
    let (counts, memory) = fetch().await;
    assert_eq!(counts, [2, 1]);
    assert_eq!(memory.unwrap().num_permits(), 3 * large.len());
    let budget = Arc::clone(&bench.broker.fetch_budget);
    let others = budget.available_permits() as u32 - 100_000;
    let taken = budget.acquire_many_owned(others).await.unwrap();
    let (counts, memory) = fetch().await;
    assert_eq!((counts, memory.is_none()), (vec![1, 0], true));
    drop(taken);
    assert_eq!(fetch().await.0, [2, 1]);
}
