//! What consumers put into a group's opaque bytes (Kafka's `ConsumerProtocol`), as far as anybody here wants to know it.
//!
//! ```text
//! subscription: version i16 | count i32 | (topic string)* | ...
//! assignment:   version i16 | count i32 | (topic string | count i32 | (partition i32)*)* | ...
//! string:       length i16 | bytes
//! ```

use bytes::Buf;

/// The topics of a subscription, as far as it can be read.
pub(crate) fn subscribed_topics(metadata: &[u8]) -> Vec<String> {
    let mut rest = metadata;
    let mut topics = Vec::new();
    let (Ok(_version), Ok(count)) = (rest.try_get_i16(), rest.try_get_i32()) else {
        return topics;
    };
    for _ in 0..count {
        let Some(topic) = string(&mut rest) else {
            break;
        };
        topics.push(topic);
    }
    topics
}

/// The partitions of an assignment as `topic/partition`, as far as it can be read.
pub(crate) fn assigned_partitions(assignment: &[u8]) -> Vec<String> {
    let mut rest = assignment;
    let mut partitions = Vec::new();
    let (Ok(_version), Ok(count)) = (rest.try_get_i16(), rest.try_get_i32()) else {
        return partitions;
    };
    for _ in 0..count {
        let (Some(topic), Ok(many)) = (string(&mut rest), rest.try_get_i32()) else {
            break;
        };
        for _ in 0..many {
            let Ok(partition) = rest.try_get_i32() else {
                break;
            };
            partitions.push(format!("{topic}/{partition}"));
        }
    }
    partitions
}

fn string(rest: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(rest.try_get_i16().ok()?).ok()?;
    let (text, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscriptions_are_read_and_garbage_is_none() {
        let subscription = b"\0\x01\0\0\0\x02\0\x01a\0\x02bc\xff\xff\xff\xff";
        assert_eq!(subscribed_topics(subscription), ["a", "bc"]);
        for cut in 0..subscription.len() {
            assert!(subscribed_topics(&subscription[..cut]).len() <= 2);
        }
        assert!(subscribed_topics(b"\0\0\x7f\xff\xff\xff").is_empty());
    }

    #[test]
    fn assignments_are_read_and_garbage_is_none() {
        let assignment = b"\0\x01\0\0\0\x01\0\x01a\0\0\0\x02\0\0\0\0\0\0\0\x03";
        assert_eq!(assigned_partitions(assignment), ["a/0", "a/3"]);
        for cut in 0..assignment.len() {
            assert!(assigned_partitions(&assignment[..cut]).len() <= 2);
        }
        assert!(assigned_partitions(b"\0\0\0\0\0\x01\0\x01a\x7f\xff\xff\xff").is_empty());
    }
}
