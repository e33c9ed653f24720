//! What classic consumers put into a group's opaque bytes (Kafka's `ConsumerProtocol`), read and written as far as anybody here
//! wants to know it. Garbage reads as little or nothing, never as an error: the bytes are the members' own affair.
//!
//! ```text
//! subscription: version i16 | topics | user data bytes | v1: places | v2: generation i32 | v3: rack
//! assignment:   version i16 | places | user data bytes
//! topics: count i32 | (name string)*         places: count i32 | (name string | count i32 | (partition i32)*)*
//! string: length i16 | bytes                 bytes: length i32 (-1: none) | bytes
//! ```

use bytes::{Buf, BufMut, Bytes};

/// Partitions by topic, in the order of the bytes.
pub type Places = Vec<(String, Vec<i32>)>;

/// A member's subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    pub version: i16,
    pub topics: Vec<String>,
    /// What the member still owns (version 1 and later; KIP-429).
    pub owned: Places,
}

impl Subscription {
    /// Reads as much as there is.
    pub fn read(metadata: &[u8]) -> Self {
        let mut rest = metadata;
        let mut out = Self::default();
        let (Ok(version), Ok(count)) = (rest.try_get_i16(), rest.try_get_i32()) else {
            return out;
        };
        out.version = version;
        for _ in 0..count {
            let Some(topic) = string(&mut rest) else {
                return out;
            };
            out.topics.push(topic);
        }
        if version >= 1 && skip_bytes(&mut rest).is_some() {
            out.owned = places(&mut rest);
        }
        out
    }
}

/// The topics of a subscription; `None` when they cannot be read to the end.
pub fn read_topics(metadata: &[u8]) -> Option<Vec<String>> {
    let mut rest = metadata;
    let _version = rest.try_get_i16().ok()?;
    let count = rest.try_get_i32().ok()?;
    (0..count).map(|_| string(&mut rest)).collect()
}

/// The partitions of an assignment.
pub fn read_assignment(assignment: &[u8]) -> Places {
    let mut rest = assignment;
    match rest.try_get_i16() {
        Ok(_version) => places(&mut rest),
        Err(_) => Places::new(),
    }
}

/// An assignment in the version of the member's subscription.
pub fn write_assignment(version: i16, places: &[(String, Vec<i32>)]) -> Bytes {
    let mut out = Vec::new();
    out.put_i16(version.clamp(0, 3));
    put_count(&mut out, places.len());
    for (topic, partitions) in places {
        out.put_i16(i16::try_from(topic.len()).unwrap_or(i16::MAX));
        out.put_slice(topic.as_bytes());
        put_count(&mut out, partitions.len());
        partitions.iter().for_each(|index| out.put_i32(*index));
    }
    out.put_i32(-1);
    out.into()
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.put_i32(i32::try_from(count).unwrap_or(i32::MAX));
}

fn places(rest: &mut &[u8]) -> Places {
    let mut out = Places::new();
    let count = rest.try_get_i32().unwrap_or(0);
    for _ in 0..count {
        let (Some(topic), Ok(many)) = (string(rest), rest.try_get_i32()) else {
            break;
        };
        let mut partitions = Vec::new();
        for _ in 0..many {
            let Ok(partition) = rest.try_get_i32() else {
                break;
            };
            partitions.push(partition);
        }
        out.push((topic, partitions));
    }
    out
}

fn skip_bytes(rest: &mut &[u8]) -> Option<()> {
    let length = rest.try_get_i32().ok()?;
    let (_, after) = rest.split_at_checked(usize::try_from(length.max(0)).ok()?)?;
    *rest = after;
    Some(())
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
        let bytes =
            b"\0\x01\0\0\0\x02\0\x01a\0\x02bc\xff\xff\xff\xff\0\0\0\x01\0\x01a\0\0\0\x01\0\0\0\x07";
        let read = Subscription::read(bytes);
        assert_eq!((read.version, read.topics.len()), (1, 2));
        assert_eq!(read.owned, [("a".to_owned(), vec![7])]);
        assert_eq!(read_topics(bytes), Some(read.topics));
        for cut in 0..bytes.len() {
            assert!(Subscription::read(&bytes[..cut]).topics.len() <= 2);
            assert_eq!(read_topics(&bytes[..cut]).is_some(), cut >= 13, "{cut}");
        }
        assert!(
            Subscription::read(b"\0\0\x7f\xff\xff\xff")
                .topics
                .is_empty()
        );
    }

    #[test]
    fn assignments_survive_their_encoding_and_garbage_is_none() {
        let places = vec![("a".to_owned(), vec![0, 3]), ("b".to_owned(), vec![1])];
        let bytes = write_assignment(1, &places);
        assert_eq!(read_assignment(&bytes), places);
        for cut in 0..bytes.len() {
            assert!(read_assignment(&bytes[..cut]).len() <= 2);
        }
        assert!(
            read_assignment(b"\0\0\0\0\0\x01\0\x01a\x7f\xff\xff\xff")[0]
                .1
                .is_empty()
        );
    }
}
