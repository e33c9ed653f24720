//! What surrounds a run: topics made before, a trimmer meanwhile, and at the end a whole read of everything.

use std::time::Duration;

use headwater_record::fuzz::Mutator;
use headwater_wire::messages as m;
use headwater_wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use headwater_wire::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};

use super::{Settings, places};
use crate::client::conn::Conn;
use crate::client::group::Member;
use crate::client::producer::KEYED;
use crate::client::reader::{fetch, note, reset};
use crate::client::{Field, pause};
use crate::history::{AUDIT, Event, Isolation, Place};
use crate::node::Node;

/// The topic that a pipeline reads, of which retention and deletions would like to have everything.
pub const KEPT: &str = "kept";
/// Longest that open transactions may hold the audit up: their time-out, and some.
const PATIENCE: Duration = Duration::from_secs(180);

/// Makes the topics.
pub async fn make_topics(field: &Field, topics: &[(&str, i32)]) {
    let topic = |(name, partitions): &(&str, i32)| CreatableTopic {
        name: (*name).to_owned().into(),
        num_partitions: *partitions,
        replication_factor: 1,
        configs: match *name {
            KEYED => compacted(),
            KEPT => configs(&[("retention.bytes", "20000")]),
            _ => Vec::new(),
        },
        ..Default::default()
    };
    let request = m::CreateTopicsRequestData {
        topics: topics.iter().map(topic).collect(),
        timeout_ms: 5_000,
        ..Default::default()
    };
    let mut conn = Conn::new(field.network.clone(), "maker");
    while conn.call(5, &request).await.is_err() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What makes compaction work all the time.
fn compacted() -> Vec<CreatableTopicConfig> {
    configs(&[
        ("cleanup.policy", "compact"),
        ("segment.ms", "100"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("delete.retention.ms", "100"),
    ])
}

fn configs(all: &[(&str, &str)]) -> Vec<CreatableTopicConfig> {
    let config = |(name, value): &(&str, &str)| CreatableTopicConfig {
        name: (*name).to_owned().into(),
        value: Some((*value).to_owned().into()),
        ..Default::default()
    };
    all.iter().map(config).collect()
}

/// From now on nothing goes from the kept topic, and what is gone is told.
pub async fn settle_kept(field: &Field, node: &Node) {
    let at = places(KEPT, 1).remove(0);
    node.keep(&at, 0);
    // A round of cleaning that had begun ends meanwhile.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let mut conn = Conn::new(field.network.clone(), AUDIT);
    let before = reset(field, &mut conn, &at).await;
    field.note(Event::Trimmed { at, before });
}

/// Deletes records from the front now and then.
pub async fn trim(field: Field, at: Place, seed: u64) {
    let mut rng = Mutator::new(seed);
    let mut conn = Conn::new(field.network.clone(), "trimmer");
    while !field.has_ended() {
        pause(&mut rng, 4_000).await;
        let start = reset(&field, &mut conn, &at).await;
        let partition = DeleteRecordsPartition {
            partition_index: at.1,
            offset: start + rng.below(40) as i64,
            ..Default::default()
        };
        let topic = DeleteRecordsTopic {
            name: at.0.clone().into(),
            partitions: vec![partition],
            ..Default::default()
        };
        let request = m::DeleteRecordsRequestData {
            topics: vec![topic],
            timeout_ms: 5_000,
            ..Default::default()
        };
        // An answer may get lost on its way: it is asked again until it is known what was deleted.
        let done = loop {
            let answer = conn.call(2, &request).await;
            let first = |answer: m::DeleteRecordsResponseData| {
                Some(answer.topics.first()?.partitions.first()?.clone())
            };
            match answer.ok().and_then(first) {
                Some(done) => break done,
                None => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        };
        if done.error_code == 0 {
            let (at, before) = (at.clone(), done.low_watermark);
            field.note(Event::Trimmed { at, before });
        }
    }
}

/// Reads every partition from front to end, in both isolations. Waits for open transactions to run out of time.
pub async fn read_all(field: &Field, all: &[Place]) -> Vec<String> {
    let mut conn = Conn::new(field.network.clone(), AUDIT);
    let mut findings = Vec::new();
    for isolation in [Isolation::Committed, Isolation::Uncommitted] {
        for at in all {
            let start = reset(field, &mut conn, at).await;
            let read =
                tokio::time::timeout(PATIENCE, read_one(field, &mut conn, isolation, at, start));
            if read.await.is_err() {
                findings.push(format!("{at:?} cannot be read to its end, {isolation:?}"));
                // It was given up in the middle of a question.
                conn.close();
            }
        }
    }
    findings
}

async fn read_one(
    field: &Field,
    conn: &mut Conn,
    isolation: Isolation,
    at: &Place,
    mut position: i64,
) {
    loop {
        let since = field.clock.elapsed_us();
        let asked = [(at.clone(), position)];
        match fetch(conn, &asked, isolation, 100_000, 50)
            .await
            .map(|mut all| all.pop())
        {
            Ok(Some((_, from, Ok(fetched)))) => {
                note(field, AUDIT, since, isolation, at, from, &fetched);
                position = fetched.next;
                if position >= fetched.high {
                    return;
                }
            }
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
        if isolation == Isolation::Committed {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Asks where the groups stand.
pub async fn positions(field: &Field, settings: Settings) -> Vec<String> {
    let mut groups = vec![
        ("readers", places("plain", 3)),
        ("members", places("plain", 3)),
    ];
    if settings.transactions {
        groups.push(("copiers", places("in", 2)));
    }
    let mut findings = Vec::new();
    for (group, places) in groups {
        let mut member = Member::new(field, group, AUDIT, places.clone(), 0);
        let mut tries = 0;
        while member.positions(&places).await.is_err() {
            tokio::time::sleep(Duration::from_millis(200)).await;
            tries += 1;
            if tries == 500 {
                findings.push(format!("the committed offsets of {group} cannot be read"));
                break;
            }
        }
    }
    findings
}
