//! Kafka's topic configs with their defaults (Kafka 4.1, `TopicConfig` and `LogConfig`), for DescribeConfigs and validation.

use crate::configs::ConfigDef;
use crate::configs::ConfigKind::{self, Boolean, Choice, Double, Int, List, Long};

const fn def(
    name: &'static str,
    kind: ConfigKind,
    default: &'static str,
    doc: &'static str,
    broker_name: Option<&'static str>,
) -> ConfigDef {
    ConfigDef {
        name,
        kind,
        default,
        doc,
        broker_name,
    }
}

/// Every config that a topic can have, by name.
#[rustfmt::skip]
pub const TOPIC_CONFIGS: &[ConfigDef] = &[
    def("cleanup.policy", List(&["compact", "delete"]), "delete", "What becomes of old data: deleted after the retention time or size, or compacted to the latest record per key.", Some("log.cleanup.policy")),
    def("compression.gzip.level", Int { min: -1, max: 9 }, "-1", "Level used when the broker recompresses with gzip.", Some("compression.gzip.level")),
    def("compression.lz4.level", Int { min: 1, max: 17 }, "9", "Accepted; the broker's lz4 has one level.", Some("compression.lz4.level")),
    def("compression.type", Choice(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), "producer", "Final compression of a topic; 'producer' keeps what the producer sent.", Some("compression.type")),
    def("compression.zstd.level", Int { min: -131_072, max: 22 }, "3", "Level used when the broker recompresses with zstd.", Some("compression.zstd.level")),
    def("delete.retention.ms", Long { min: 0, max: i64::MAX }, "86400000", "How long tombstones of compacted topics are kept.", Some("log.cleaner.delete.retention.ms")),
    def("file.delete.delay.ms", Long { min: 0, max: i64::MAX }, "60000", "Accepted; space is given back in chunks of the log, not in files of a topic.", Some("log.segment.delete.delay.ms")),
    def("flush.messages", Long { min: 1, max: i64::MAX }, "9223372036854775807", "Records between forced flushes; every acknowledged record is synced anyway.", Some("log.flush.interval.messages")),
    def("flush.ms", Long { min: 0, max: i64::MAX }, "9223372036854775807", "Time between forced flushes; every acknowledged record is synced anyway.", Some("log.flush.interval.ms")),
    def("follower.replication.throttled.replicas", List(&[]), "", "Replicas whose replication is throttled on the follower side.", None),
    def("index.interval.bytes", Int { min: 0, max: i32::MAX }, "4096", "Accepted; every batch is in the index.", Some("log.index.interval.bytes")),
    def("leader.replication.throttled.replicas", List(&[]), "", "Replicas whose replication is throttled on the leader side.", None),
    def("local.retention.bytes", Long { min: -2, max: i64::MAX }, "-2", "Bytes of a partition kept locally with tiered storage.", Some("log.local.retention.bytes")),
    def("local.retention.ms", Long { min: -2, max: i64::MAX }, "-2", "Time that segments are kept locally with tiered storage.", Some("log.local.retention.ms")),
    def("max.compaction.lag.ms", Long { min: 1, max: i64::MAX }, "9223372036854775807", "Longest time a record stays uncompacted.", Some("log.cleaner.max.compaction.lag.ms")),
    def("max.message.bytes", Int { min: 0, max: i32::MAX }, "1048588", "Largest record batch, after compression.", Some("message.max.bytes")),
    def("message.timestamp.after.max.ms", Long { min: 0, max: i64::MAX }, "3600000", "How far a producer's timestamp may lie ahead of the broker's clock.", Some("log.message.timestamp.after.max.ms")),
    def("message.timestamp.before.max.ms", Long { min: 0, max: i64::MAX }, "9223372036854775807", "How far a producer's timestamp may lie behind the broker's clock.", Some("log.message.timestamp.before.max.ms")),
    def("message.timestamp.type", Choice(&["CreateTime", "LogAppendTime"]), "CreateTime", "Whether timestamps are the producer's or the broker's.", Some("log.message.timestamp.type")),
    def("min.cleanable.dirty.ratio", Double { min: 0.0, max: 1.0 }, "0.5", "How dirty a log must be before it is compacted.", Some("log.cleaner.min.cleanable.ratio")),
    def("min.compaction.lag.ms", Long { min: 0, max: i64::MAX }, "0", "Shortest time a record stays uncompacted.", Some("log.cleaner.min.compaction.lag.ms")),
    def("min.insync.replicas", Int { min: 1, max: i32::MAX }, "1", "Replicas that must have a record before acks=all is answered.", Some("min.insync.replicas")),
    def("preallocate", Boolean, "false", "Accepted; the log is always preallocated.", Some("log.preallocate")),
    def("remote.log.copy.disable", Boolean, "false", "Whether tiered data becomes read-only.", None),
    def("remote.log.delete.on.disable", Boolean, "false", "Whether tiered data is deleted when tiering is switched off.", None),
    def("remote.storage.enable", Boolean, "false", "Whether tiered storage is on.", None),
    def("retention.bytes", Long { min: i64::MIN, max: i64::MAX }, "-1", "Bytes a partition may grow to before old data is deleted.", Some("log.retention.bytes")),
    def("retention.ms", Long { min: -1, max: i64::MAX }, "604800000", "How long data is kept.", Some("log.retention.ms")),
    def("segment.bytes", Int { min: 1_048_576, max: i32::MAX }, "1073741824", "Bytes at the end of a partition that compaction leaves alone while they are younger than segment.ms.", Some("log.segment.bytes")),
    def("segment.index.bytes", Int { min: 4, max: i32::MAX }, "10485760", "Accepted; indexes are not files of their own.", Some("log.index.size.max.bytes")),
    def("segment.jitter.ms", Long { min: 0, max: i64::MAX }, "0", "Accepted; there are no segments that all partitions could roll at once.", Some("log.roll.jitter.ms")),
    def("segment.ms", Long { min: 1, max: i64::MAX }, "604800000", "Age from which records may be compacted even if segment.bytes have not been written since.", Some("log.roll.ms")),
    def("unclean.leader.election.enable", Boolean, "false", "Whether replicas out of sync may be elected leader.", Some("unclean.leader.election.enable")),
];
