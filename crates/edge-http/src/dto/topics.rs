//! `GET /api/topics`, `/api/topics/{t}`, `/api/topics/{t}/records`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::payload::Payload;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Topic {
    pub name: String,
    /// Of the engine or the broker itself; hidden by the page unless asked for.
    pub internal: bool,
    pub partitions: u32,
    /// Held now: end less start, summed.
    pub records: u64,
    /// Held now.
    pub bytes: u64,
    /// Ever appended (the ends, summed): what rates are derived from.
    pub records_in_total: u64,
    /// Appended since the node's start, if counted.
    pub bytes_in_total: Option<u64>,
    #[serde(default)]
    pub records_in_per_s: Option<f64>,
    #[serde(default)]
    pub bytes_in_per_s: Option<f64>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TopicDetail {
    pub topic: Topic,
    pub partitions: Vec<PartitionInfo>,
    /// As DescribeConfigs would say, or the part of it that is set.
    pub config: BTreeMap<String, String>,
    /// Sources and tables declared over it.
    pub read_by: Vec<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PartitionInfo {
    pub partition: i32,
    /// Log start offset.
    pub start: i64,
    /// Last stable offset: what readers see.
    pub end: i64,
    pub bytes: u64,
    pub leader: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordsQuery {
    /// 1 to [`crate::limits::RECORDS_MAX`].
    pub limit: usize,
    pub partition: Option<i32>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TopicRecord {
    pub partition: i32,
    pub offset: i64,
    pub timestamp_ms: i64,
    pub key: Option<Payload>,
    /// `None` is a tombstone.
    pub value: Option<Payload>,
    pub headers: Vec<RecordHeader>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RecordHeader {
    pub name: String,
    pub value: Option<Payload>,
}
