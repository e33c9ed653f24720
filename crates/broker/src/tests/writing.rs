//! Produce: what is taken, what is refused, and when it is answered.

use futures::FutureExt;
use headwater_base::Clock;
use headwater_log::Log;
use headwater_record::{BatchError, records};

use super::*;

#[tokio::test]
async fn offsets_count_up_and_nothing_is_answered_before_it_is_durable() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1, &[]).await;
    assert_eq!(
        bench.put("t", batch(&[1, 2, 3])).await.unwrap().base_offset,
        0
    );
    bench.log.hold();
    let tickets: Vec<Ticket> = (0..3)
        .map(|_| {
            bench
                .broker
                .produce(&named("t"), 0, Some(batch(&[4])))
                .unwrap()
        })
        .collect();
    assert_eq!(
        bench.log.state(topic.partition(0).unwrap()).submitted_end,
        6,
        "all three are on their way"
    );
    let mut settling: Vec<_> = tickets
        .into_iter()
        .map(|ticket| Box::pin(ticket.settle()))
        .collect();
    assert!(
        settling
            .iter_mut()
            .all(|one| one.as_mut().now_or_never().is_none())
    );
    assert_eq!(
        bench.get("t", 3, 1000, 0).await.unwrap().batches.len(),
        0,
        "not shown either"
    );
    bench.log.release();
    let offsets: Vec<i64> = futures::future::join_all(settling)
        .await
        .into_iter()
        .map(|one| one.unwrap().base_offset)
        .collect();
    assert_eq!(offsets, [3, 4, 5]);
}

#[tokio::test]
async fn a_duplicate_gets_the_first_ones_offset_but_not_before_that_one_is_durable() {
    let bench = Bench::new();
    bench.topic("t", 1, &[]).await;
    bench.log.hold();
    let first = bench
        .broker
        .produce(&named("t"), 0, Some(sequenced(9, 0, 0, 2)))
        .unwrap();
    let again = bench
        .broker
        .produce(&named("t"), 0, Some(sequenced(9, 0, 0, 2)))
        .unwrap();
    let mut again = Box::pin(again.settle());
    assert!(again.as_mut().now_or_never().is_none());
    bench.log.release();
    assert_eq!(first.settle().await.unwrap().base_offset, 0);
    assert_eq!(again.await.unwrap().base_offset, 0);
    assert_eq!(
        bench
            .put("t", sequenced(9, 0, 2, 1))
            .await
            .unwrap()
            .base_offset,
        2
    );
    let gap = bench.put("t", sequenced(9, 0, 5, 1)).await;
    assert_eq!(
        gap,
        Err(BrokerError::OutOfOrderSequence {
            expected: 3,
            got: 5
        })
    );
}

#[tokio::test]
async fn what_is_no_acceptable_batch_is_refused_and_leaves_no_trace() {
    let bench = Bench::new();
    bench.topic("t", 1, &[("max.message.bytes", "200")]).await;
    bench
        .topic("keyed", 1, &[("cleanup.policy", "compact")])
        .await;
    let mut broken = batch(&[1]).to_vec();
    let last = broken.len() - 1;
    broken[last] ^= 1;
    assert!(matches!(
        bench.put("t", broken.into()).await,
        Err(BrokerError::Batch(BatchError::Corrupt(_)))
    ));
    let mut old = batch(&[1]).to_vec();
    old[16] = 1;
    assert!(matches!(
        bench.put("t", old.into()).await,
        Err(BrokerError::NotABatch(_))
    ));
    let elsewhere = headwater_record::with_place(batch(&[1]), 7, 0);
    assert!(matches!(
        bench.put("t", elsewhere).await,
        Err(BrokerError::InvalidRecord(_))
    ));
    let two = [batch(&[1]), batch(&[2])].concat();
    assert!(matches!(
        bench.put("t", two.into()).await,
        Err(BrokerError::NotABatch(_))
    ));
    assert!(matches!(
        bench.put("t", batch(&[1; 100])).await,
        Err(BrokerError::BatchTooLarge { max_bytes: 200, .. })
    ));
    let far = SystemClock.now_ms() + 7_200_000;
    assert!(matches!(
        bench.put("t", batch(&[far])).await,
        Err(BrokerError::BadRecords { untimely: true, .. })
    ));
    let transactional = BatchBuilder::new(Codec::None)
        .producer(1, 0, 0)
        .transactional();
    let mut transactional = transactional;
    transactional.push(1, None, None);
    assert_eq!(
        bench.put("t", transactional.build()).await,
        Err(BrokerError::InvalidTransaction)
    );
    let mut keyless = BatchBuilder::new(Codec::None);
    keyless.push(1, None, Some(b"v"));
    assert!(matches!(
        bench.put("keyed", keyless.build()).await,
        Err(BrokerError::BadRecords {
            untimely: false,
            ..
        })
    ));
    assert!(matches!(
        bench.put("t", Bytes::new()).await,
        Err(BrokerError::NotABatch(_))
    ));
    assert_eq!(
        bench.put("none", batch(&[1])).await,
        Err(BrokerError::UnknownTopicOrPartition)
    );
    let state = bench.get("t", 0, 1000, 0).await.unwrap().state;
    assert_eq!((state.submitted_end, state.bytes), (0, 0));
}

#[tokio::test]
async fn log_append_time_replaces_the_producers() {
    let bench = Bench::new();
    bench
        .topic("t", 1, &[("message.timestamp.type", "LogAppendTime")])
        .await;
    let appended = bench.put("t", batch(&[1, 2])).await.unwrap();
    let stamp = appended.log_append_time_ms.unwrap();
    assert!(stamp > 1_600_000_000_000);
    let fetched = bench.get("t", 0, 1000, 0).await.unwrap();
    headwater_record::validate(&fetched.batches[0]).unwrap();
    assert!(
        records(&fetched.batches[0])
            .unwrap()
            .all(|record| record.unwrap().timestamp == stamp)
    );
}

#[tokio::test]
async fn clients_cannot_write_internal_topics_but_the_engine_can() {
    use headwater_connect::step_log::{Step, StepLog};
    let bench = Bench::new();
    let info = bench
        .broker
        .ensure_topic("__headwater_steps", 1)
        .await
        .unwrap();
    assert_eq!(
        bench
            .broker
            .ensure_topic("__headwater_steps", 5)
            .await
            .unwrap(),
        info,
        "it is there already"
    );
    assert_eq!(
        bench.put("__headwater_steps", batch(&[1])).await,
        Err(BrokerError::InternalTopic("__headwater_steps".into()))
    );
    let step = Step {
        appends: vec![(info.partition(0), batch(&[1, 2]))],
        trims: Vec::new(),
    };
    let (offsets, durable) = StepLog::commit(&*bench.broker, step).unwrap();
    durable.await.unwrap();
    assert_eq!(offsets, [0]);
    let read = bench
        .broker
        .read_committed(
            info.partition(0),
            0,
            1000,
            headwater_connect::step_log::Visibility::Durable,
        )
        .unwrap();
    assert_eq!((read.batches.len(), read.next, read.end), (1, 2, 2));
    assert_eq!(bench.broker.topic_views()[0].flow.records_in, 2);
}

#[tokio::test]
async fn a_failed_disk_is_a_storage_error_for_good() {
    let bench = Bench::new();
    bench.topic("t", 1, &[]).await;
    bench.log.hold();
    let ticket = bench
        .broker
        .produce(&named("t"), 0, Some(batch(&[1])))
        .unwrap();
    bench.log.fail("I/O error");
    assert!(matches!(
        ticket.settle().await,
        Err(BrokerError::Storage(_))
    ));
    assert!(matches!(
        bench.put("t", batch(&[1])).await,
        Err(BrokerError::Storage(_))
    ));
    assert!(bench.get("t", 0, 1000, 0).await.is_ok(), "reading goes on");
}
