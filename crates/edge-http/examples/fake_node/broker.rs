//! Invented topics, records and groups.

use futures::FutureExt;
use headwater_edge_http::dto::{
    Group, GroupMember, GroupPartition, PartitionInfo, RecordHeader, RecordsQuery, Topic,
    TopicDetail, TopicRecord,
};
use headwater_edge_http::payload::Payload;
use headwater_edge_http::{Answer, ApiError, Streams};

use crate::world::World;

/// Name, partitions, records a second, bytes a record.
const TOPICS: [(&str, u32, f64, f64); 8] = [
    ("flights", 6, 13_900.0, 262.0),
    ("weather", 3, 1_090.0, 181.0),
    ("planes", 1, 0.0, 140.0),
    ("airlines", 1, 0.0, 48.0),
    ("airports", 1, 0.0, 120.0),
    ("delays_by_airport", 3, 210.0, 96.0),
    ("late.flights", 3, 1_320.0, 220.0),
    ("__headwater_steps", 1, 310.0, 900.0),
];

/// What must never be rendered as markup.
const HOSTILE: &str = r#"{"carrier":"<img src=x onerror='window.__xss=1'>","flight":"<script>window.__xss=1</script>"}"#;

impl World {
    fn topic_now(&self, at: usize) -> Topic {
        let (name, partitions, rate, size) = TOPICS[at];
        let records = if rate > 0.0 {
            self.total(rate, at as f64)
        } else {
            1_458 + 300 * at as u64
        };
        Topic {
            name: name.into(),
            internal: name.starts_with("__"),
            partitions,
            records,
            bytes: (records as f64 * size) as u64,
            records_in_total: records,
            bytes_in_total: Some((records as f64 * size) as u64),
            ..Topic::default()
        }
    }

    fn detail(&self, name: &str) -> Result<TopicDetail, ApiError> {
        let at = TOPICS.iter().position(|topic| topic.0 == name);
        let topic = self.topic_now(
            at.ok_or_else(|| ApiError::not_found(format!("there is no topic '{name}'")))?,
        );
        let count = i64::from(topic.partitions);
        let partition = |n: i64| PartitionInfo {
            partition: n as i32,
            start: 0,
            end: topic.records as i64 / count + n * 7,
            bytes: topic.bytes / count as u64,
            leader: 1,
        };
        let config = [("cleanup.policy", "delete"), ("retention.ms", "604800000")];
        Ok(TopicDetail {
            partitions: (0..count).map(partition).collect(),
            config: config.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            read_by: vec![name.replace('.', "_")],
            topic,
        })
    }

    fn newest(&self, topic: &Topic, query: &RecordsQuery) -> Vec<TopicRecord> {
        let per_partition = topic.records as i64 / i64::from(topic.partitions);
        let record = |n: usize| {
            let spread = (n * 7 % topic.partitions as usize) as i32;
            let partition = query.partition.unwrap_or(spread);
            self.record(
                n,
                partition,
                per_partition - (n / topic.partitions as usize) as i64,
            )
        };
        (0..query.limit.min(topic.records as usize))
            .map(record)
            .collect()
    }

    fn record(&self, n: usize, partition: i32, offset: i64) -> TopicRecord {
        let carrier = ["UA", "B6", "EV", "DL", "AA", "MQ"][(offset as usize + n) % 6];
        let value = match n {
            3 => Some(HOSTILE.to_owned()),
            6 => None,
            9 => Some("plain text, <b>not bold</b>".to_owned()),
            _ => Some(self.flight(carrier, offset)),
        };
        TopicRecord {
            partition,
            offset,
            timestamp_ms: self.now_ms() - n as i64 * 13,
            key: Some(Payload::decode(carrier.as_bytes())),
            value: match n {
                12 => Some(Payload::decode(&[0, 1, 2, 0xfe, 0xff, 0x80])),
                _ => value.map(|text| Payload::decode(text.as_bytes())),
            },
            headers: vec![RecordHeader {
                name: "source".into(),
                value: Some(Payload::decode(b"flights.csv")),
            }],
        }
    }

    fn flight(&self, carrier: &str, offset: i64) -> String {
        format!(
            r#"{{"carrier":"{carrier}","flight":{},"origin":"{}","dest":"ORD","dep_delay":{},"tailnum":"N{}UA","id":9007199254740993}}"#,
            1_000 + offset % 900,
            ["EWR", "JFK", "LGA"][(offset % 3) as usize],
            offset % 70 - 12,
            10_000 + offset % 80_000,
        )
    }

    fn groups_now(&self) -> Vec<Group> {
        let member = |n: usize| GroupMember {
            id: format!("rdkafka-{n}-5f0c8f0e-8a0e-4a51-9f2c-{n:012}"),
            client_id: "billing".into(),
            host: "127.0.0.1".into(),
            assigned: (0..3).map(|p| format!("flights/{}", n * 3 + p)).collect(),
        };
        let partition = |n: i32| {
            let end = (self.total(13_900.0, 0.0) / 6) as i64;
            let lag = self.level(900.0, f64::from(n));
            GroupPartition {
                topic: "flights".into(),
                partition: n,
                committed: (n != 5).then_some(end - lag as i64),
                end,
                lag: if n == 5 { end as u64 } else { lag },
                member: Some(format!(
                    "rdkafka-{}-5f0c8f0e-8a0e-4a51-9f2c-{:012}",
                    n / 3,
                    n / 3
                )),
            }
        };
        let partitions: Vec<_> = (0..6).map(partition).collect();
        let lag_total = partitions.iter().map(|p| p.lag).sum();
        let billing = Group {
            name: "billing".into(),
            state: "Stable".into(),
            protocol: "range".into(),
            members: (0..2).map(member).collect(),
            partitions,
            lag_total,
        };
        let idle = Group {
            name: "nightly-export".into(),
            state: "Empty".into(),
            ..Group::default()
        };
        vec![billing, idle]
    }
}

impl Streams for World {
    fn topics(&self) -> Answer<'_, Vec<Topic>> {
        async { Ok((0..TOPICS.len()).map(|at| self.topic_now(at)).collect()) }.boxed()
    }

    fn topic(&self, name: String) -> Answer<'_, TopicDetail> {
        async move { self.detail(&name) }.boxed()
    }

    fn records(&self, topic: String, query: RecordsQuery) -> Answer<'_, Vec<TopicRecord>> {
        async move { Ok(self.newest(&self.detail(&topic)?.topic, &query)) }.boxed()
    }

    fn groups(&self) -> Answer<'_, Vec<Group>> {
        async { Ok(self.groups_now()) }.boxed()
    }
}
