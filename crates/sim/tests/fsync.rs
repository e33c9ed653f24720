//! A failed fsync stops the node from acking, for good, with a clear message, even when the disk recovers.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use headwater_record::fuzz::Mutator;
use headwater_sim::client::Field;
use headwater_sim::client::conn::Conn;
use headwater_sim::client::producer::{
    Batch, Identity, Outcome, PRODUCE_V1, Pen, outcome, produce,
};
use headwater_sim::history::Place;
use headwater_sim::node::{Ending, Network, Node, SimClock};
use headwater_wire::messages as m;
use headwater_wire::messages::create_topics_request::CreatableTopic;

async fn answer(conn: &mut Conn, batch: &Batch) -> Option<Outcome> {
    let answer = conn.call(PRODUCE_V1, &produce(batch, None)).await;
    answer.ok().map(|answer| outcome(&answer))
}

async fn make_topic(conn: &mut Conn) {
    let topic = CreatableTopic {
        name: "t".to_owned().into(),
        num_partitions: 1,
        replication_factor: 1,
        ..Default::default()
    };
    let request = m::CreateTopicsRequestData {
        topics: vec![topic],
        timeout_ms: 5_000,
        ..Default::default()
    };
    conn.call(5, &request).await.unwrap();
}

#[test]
fn a_failed_fsync_stops_acks_until_a_restart() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let clock = Arc::new(SimClock::new());
        let node = Node::new(7, Arc::clone(&clock));
        node.start().unwrap();
        let field = Field::new(Network::new(7, node.clone()), clock);
        let mut conn = Conn::new(field.network.clone(), "client");
        make_topic(&mut conn).await;
        let (mut rng, at) = (Mutator::new(7), Place("t".into(), 0));
        let mut pen = Pen::new("p", Identity { id: -1, epoch: -1 }, 0);
        let mut batch = || pen.batch(&field, &at, None, &[None], &mut rng);
        assert_eq!(
            answer(&mut conn, &batch()).await,
            Some(Outcome::Acked(Some(0)))
        );

        node.disk().fail_sync();
        let failed = answer(&mut conn, &batch()).await;
        assert!(
            !matches!(failed, Some(Outcome::Acked(_))),
            "acked by a failed fsync: {failed:?}"
        );
        let message = node.failure().unwrap();
        assert!(
            message.contains("cannot be written any more") && message.contains("restart the node"),
            "{message}"
        );

        node.disk().mend_sync();
        for _ in 0..20 {
            let later = answer(&mut conn, &batch()).await;
            assert!(
                !matches!(later, Some(Outcome::Acked(_))),
                "acked after a failed fsync: {later:?}"
            );
            tokio::time::sleep(Duration::from_secs(60)).await;
        }

        node.end(Ending::PowerCut).await;
        node.start().unwrap();
        conn.close();
        assert!(matches!(
            answer(&mut conn, &batch()).await,
            Some(Outcome::Acked(Some(_)))
        ));
    });
}
