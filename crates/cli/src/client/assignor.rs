//! The consumer protocol inside the group protocol: subscriptions, assignments, and Kafka's range assignor.
//!
//! Range: of each topic, the members subscribed to it (in order of their ids) get consecutive partitions, the first ones one more.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use headwater_wire::messages::consumer_protocol_assignment::{
    ConsumerProtocolAssignmentData, TopicPartition,
};
use headwater_wire::messages::consumer_protocol_subscription::ConsumerProtocolSubscriptionData;

pub(super) const RANGE: &str = "range";
pub(super) const CONSUMER: &str = "consumer";
/// The version we write; readers accept any up to it.
const VERSION: i16 = 1;

/// Partitions by topic.
pub(super) type Assignment = BTreeMap<String, Vec<i32>>;

pub(super) fn subscription(topics: &[String]) -> Bytes {
    let topics = topics.iter().map(|topic| topic.clone().into()).collect();
    let data = ConsumerProtocolSubscriptionData {
        topics,
        ..ConsumerProtocolSubscriptionData::default()
    };
    let mut out = BytesMut::new();
    out.put_i16(VERSION);
    // Names of topics fit their lengths, or the node would not know them.
    let _ = data.write(&mut out, VERSION);
    out.freeze()
}

/// The topics of a subscription; `None` when it is not one.
pub(super) fn read_subscription(bytes: &Bytes) -> Option<Vec<String>> {
    let (version, mut body) = versioned(bytes)?;
    let data = ConsumerProtocolSubscriptionData::read(&mut body, version.min(3)).ok()?;
    Some(
        data.topics
            .iter()
            .map(|topic| topic.as_str().to_owned())
            .collect(),
    )
}

pub(super) fn write_assignment(assignment: &Assignment) -> Bytes {
    let topic = |(topic, partitions): (&String, &Vec<i32>)| TopicPartition {
        topic: topic.clone().into(),
        partitions: partitions.clone(),
        ..TopicPartition::default()
    };
    let assigned_partitions = assignment.iter().map(topic).collect();
    let data = ConsumerProtocolAssignmentData {
        assigned_partitions,
        ..ConsumerProtocolAssignmentData::default()
    };
    let mut out = BytesMut::new();
    out.put_i16(VERSION);
    let _ = data.write(&mut out, VERSION);
    out.freeze()
}

/// The partitions of an assignment; an empty one has none, `None` when it is not one.
pub(super) fn read_assignment(bytes: &Bytes) -> Option<Assignment> {
    if bytes.is_empty() {
        return Some(Assignment::new());
    }
    let (version, mut body) = versioned(bytes)?;
    let data = ConsumerProtocolAssignmentData::read(&mut body, version.min(3)).ok()?;
    let entries = data
        .assigned_partitions
        .into_iter()
        .map(|topic| (topic.topic.as_str().to_owned(), topic.partitions));
    Some(entries.collect())
}

fn versioned(bytes: &Bytes) -> Option<(i16, Bytes)> {
    let version = i16::from_be_bytes(*bytes.first_chunk::<2>()?);
    (version >= 0).then(|| (version, bytes.slice(2..)))
}

/// Who reads what: `members` are ids and their topics, `partitions` how many each topic has.
pub(super) fn range(
    members: &BTreeMap<String, Vec<String>>,
    partitions: &BTreeMap<String, i32>,
) -> BTreeMap<String, Assignment> {
    let mut plan: BTreeMap<String, Assignment> = members
        .keys()
        .map(|id| (id.clone(), Assignment::new()))
        .collect();
    for (topic, count) in partitions {
        let readers: Vec<&String> = members
            .iter()
            .filter(|(_, topics)| topics.contains(topic))
            .map(|(id, _)| id)
            .collect();
        let Ok(reader_count) = i32::try_from(readers.len()) else {
            continue;
        };
        if reader_count == 0 {
            continue;
        }
        let (each, extra) = (count / reader_count, count % reader_count);
        let mut from = 0;
        for (at, id) in (0..).zip(readers) {
            let take = each + i32::from(at < extra);
            if take > 0 {
                plan.entry(id.clone())
                    .or_default()
                    .insert(topic.clone(), (from..from + take).collect());
            }
            from += take;
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn range_gives_every_partition_once_and_the_first_members_one_more() {
        let topics = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        let members = BTreeMap::from([
            ("a".to_owned(), topics(&["x", "y"])),
            ("b".to_owned(), topics(&["x"])),
        ]);
        let plan = range(
            &members,
            &BTreeMap::from([
                ("x".to_owned(), 3),
                ("y".to_owned(), 2),
                ("z".to_owned(), 1),
            ]),
        );
        assert_eq!(
            plan["a"],
            BTreeMap::from([("x".to_owned(), vec![0, 1]), ("y".to_owned(), vec![0, 1])])
        );
        assert_eq!(plan["b"], BTreeMap::from([("x".to_owned(), vec![2])]));
    }

    #[test]
    fn subscriptions_and_assignments_are_read_back() {
        let topics = vec!["x".to_owned(), "y".to_owned()];
        assert_eq!(read_subscription(&subscription(&topics)).unwrap(), topics);
        let assignment = Assignment::from([("x".to_owned(), vec![0, 2])]);
        assert_eq!(
            read_assignment(&write_assignment(&assignment)).unwrap(),
            assignment
        );
        assert_eq!(read_assignment(&Bytes::new()).unwrap(), Assignment::new());
        assert_eq!(read_subscription(&Bytes::from_static(&[0])), None);
    }
}
