//! The configs of a node with Kafka's names, types and defaults (Kafka 4.1), of those that mean something here or that tools set.
//!
//! What a node was started with is told by whoever started it; these are the definitions.

use crate::configs::ConfigKind::{self, Boolean, Choice, Double, Int, List, Long, Text};

/// One config that a node, or all nodes of the cluster, can have.
#[derive(Clone, Copy, Debug)]
pub struct NodeConfigDef {
    pub name: &'static str,
    pub kind: ConfigKind,
    /// Kafka's default; none where there is nothing by default.
    pub default: Option<&'static str>,
    /// It can be set while the node runs.
    pub dynamic: bool,
    /// One sentence for people.
    pub doc: &'static str,
}

const fn def(
    name: &'static str,
    kind: ConfigKind,
    default: Option<&'static str>,
    dynamic: bool,
    doc: &'static str,
) -> NodeConfigDef {
    NodeConfigDef {
        name,
        kind,
        default,
        dynamic,
        doc,
    }
}

/// By name.
#[rustfmt::skip]
pub const NODE_CONFIGS: &[NodeConfigDef] = &[
    def("advertised.listeners", Text, None, false, "Where clients are told to connect to."),
    def("allow.everyone.if.no.acl.found", Text, None, false, "What no ACL is about is open to everybody."),
    def("auto.create.topics.enable", Boolean, Some("true"), false, "Whether unknown topics are made when clients ask for them."),
    def("background.threads", Int { min: 0, max: i32::MAX }, Some("10"), true, "Kept for tools; this node sizes itself."),
    def("broker.id", Int { min: 0, max: i32::MAX }, None, false, "The id of this node."),
    def("broker.rack", Text, None, false, "Where this node stands."),
    def("compression.gzip.level", Int { min: -1, max: 9 }, Some("-1"), true, "Default of topics' compression.gzip.level."),
    def("compression.lz4.level", Int { min: 1, max: 17 }, Some("9"), true, "Default of topics' compression.lz4.level."),
    def("compression.type", Choice(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), Some("producer"), true, "Default of topics' compression.type."),
    def("compression.zstd.level", Int { min: -131_072, max: 22 }, Some("3"), true, "Default of topics' compression.zstd.level."),
    def("connections.max.idle.ms", Long { min: 0, max: i64::MAX }, Some("600000"), false, "How long a connection may be silent before it is closed."),
    def("default.replication.factor", Int { min: 0, max: i32::MAX }, Some("1"), false, "Copies of each partition."),
    def("delete.topic.enable", Boolean, Some("true"), false, "Whether topics can be deleted."),
    def("fetch.max.bytes", Int { min: 0, max: i32::MAX }, Some("57671680"), false, "Most bytes of one fetch answer."),
    def("group.consumer.assignors", List(&[]), Some("uniform,range"), false, "How partitions are spread over the members of a consumer group."),
    def("group.consumer.heartbeat.interval.ms", Int { min: 0, max: i32::MAX }, Some("5000"), false, "How often members of consumer groups report."),
    def("group.consumer.max.heartbeat.interval.ms", Int { min: 0, max: i32::MAX }, Some("15000"), false, "The longest interval a group may set."),
    def("group.consumer.max.session.timeout.ms", Int { min: 0, max: i32::MAX }, Some("60000"), false, "The longest session timeout a group may set."),
    def("group.consumer.max.size", Int { min: 0, max: i32::MAX }, Some("2147483647"), false, "Most members of a consumer group."),
    def("group.consumer.migration.policy", Text, Some("bidirectional"), false, "Whether groups may change between the two protocols."),
    def("group.consumer.min.heartbeat.interval.ms", Int { min: 0, max: i32::MAX }, Some("5000"), false, "The shortest interval a group may set."),
    def("group.consumer.min.session.timeout.ms", Int { min: 0, max: i32::MAX }, Some("45000"), false, "The shortest session timeout a group may set."),
    def("group.consumer.session.timeout.ms", Int { min: 0, max: i32::MAX }, Some("45000"), false, "How long a silent member of a consumer group is waited for."),
    def("group.initial.rebalance.delay.ms", Int { min: 0, max: i32::MAX }, Some("3000"), false, "How long a new group waits for more members."),
    def("group.max.session.timeout.ms", Int { min: 0, max: i32::MAX }, Some("1800000"), false, "Longest session timeout of a member of a classic group."),
    def("group.max.size", Int { min: 0, max: i32::MAX }, Some("2147483647"), false, "Most members of a classic group."),
    def("group.min.session.timeout.ms", Int { min: 0, max: i32::MAX }, Some("6000"), false, "Shortest session timeout of a member of a classic group."),
    def("listener.security.protocol.map", Text, None, false, "The protocol of each listener."),
    def("listeners", Text, None, false, "Where this node listens."),
    def("log.cleaner.dedupe.buffer.size", Long { min: 0, max: i64::MAX }, Some("134217728"), false, "Bytes that the keys of one run of compaction may take."),
    def("log.cleaner.delete.retention.ms", Long { min: 0, max: i64::MAX }, Some("86400000"), true, "Default of topics' delete.retention.ms."),
    def("log.cleaner.enable", Boolean, Some("true"), false, "Whether compacted topics are compacted."),
    def("log.cleaner.io.max.bytes.per.second", Double { min: 0.0, max: f64::MAX }, Some("1.7976931348623157E308"), false, "Bytes that compaction reads a second."),
    def("log.cleaner.max.compaction.lag.ms", Long { min: 1, max: i64::MAX }, Some("9223372036854775807"), true, "Default of topics' max.compaction.lag.ms."),
    def("log.cleaner.min.cleanable.ratio", Double { min: 0.0, max: 1.0 }, Some("0.5"), true, "Default of topics' min.cleanable.dirty.ratio."),
    def("log.cleaner.min.compaction.lag.ms", Long { min: 0, max: i64::MAX }, Some("0"), true, "Default of topics' min.compaction.lag.ms."),
    def("log.cleaner.threads", Int { min: 0, max: i32::MAX }, Some("1"), true, "Kept for tools; this node sizes itself."),
    def("log.cleanup.policy", List(&["compact", "delete"]), Some("delete"), true, "Default of topics' cleanup.policy."),
    def("log.dir", Text, None, false, "Where the log lives."),
    def("log.dirs", Text, None, false, "Where the log lives."),
    def("log.flush.interval.messages", Long { min: 1, max: i64::MAX }, Some("9223372036854775807"), true, "Default of topics' flush.messages."),
    def("log.flush.interval.ms", Long { min: 0, max: i64::MAX }, None, true, "Default of topics' flush.ms."),
    def("log.index.interval.bytes", Int { min: 0, max: i32::MAX }, Some("4096"), true, "Default of topics' index.interval.bytes."),
    def("log.index.size.max.bytes", Int { min: 4, max: i32::MAX }, Some("10485760"), true, "Default of topics' segment.index.bytes."),
    def("log.local.retention.bytes", Long { min: -2, max: i64::MAX }, Some("-2"), true, "Default of topics' local.retention.bytes."),
    def("log.local.retention.ms", Long { min: -2, max: i64::MAX }, Some("-2"), true, "Default of topics' local.retention.ms."),
    def("log.message.timestamp.after.max.ms", Long { min: 0, max: i64::MAX }, Some("3600000"), true, "Default of topics' message.timestamp.after.max.ms."),
    def("log.message.timestamp.before.max.ms", Long { min: 0, max: i64::MAX }, Some("9223372036854775807"), true, "Default of topics' message.timestamp.before.max.ms."),
    def("log.message.timestamp.type", Choice(&["CreateTime", "LogAppendTime"]), Some("CreateTime"), true, "Default of topics' message.timestamp.type."),
    def("log.preallocate", Boolean, Some("false"), true, "Default of topics' preallocate."),
    def("log.retention.bytes", Long { min: i64::MIN, max: i64::MAX }, Some("-1"), true, "Default of topics' retention.bytes."),
    def("log.retention.check.interval.ms", Long { min: 0, max: i64::MAX }, Some("300000"), false, "How often old data is looked for."),
    def("log.retention.hours", Int { min: 0, max: i32::MAX }, Some("168"), false, "How long data is kept, in hours, unless it is given in milliseconds."),
    def("log.retention.minutes", Int { min: 0, max: i32::MAX }, None, false, "How long data is kept, in minutes, unless it is given in milliseconds."),
    def("log.retention.ms", Long { min: -1, max: i64::MAX }, None, true, "Default of topics' retention.ms."),
    def("log.roll.hours", Int { min: 0, max: i32::MAX }, Some("168"), false, "Time after which a segment is rolled, in hours."),
    def("log.roll.jitter.hours", Int { min: 0, max: i32::MAX }, Some("0"), false, "Largest random delay of a segment roll, in hours."),
    def("log.roll.jitter.ms", Long { min: 0, max: i64::MAX }, None, true, "Default of topics' segment.jitter.ms."),
    def("log.roll.ms", Long { min: 1, max: i64::MAX }, None, true, "Default of topics' segment.ms."),
    def("log.segment.bytes", Int { min: 1_048_576, max: i32::MAX }, Some("1073741824"), true, "Default of topics' segment.bytes."),
    def("log.segment.delete.delay.ms", Long { min: 0, max: i64::MAX }, Some("60000"), true, "Default of topics' file.delete.delay.ms."),
    def("max.connection.creation.rate", Int { min: 0, max: i32::MAX }, Some("2147483647"), true, "Kept for tools; connections are bounded by their number."),
    def("max.connections", Int { min: 0, max: i32::MAX }, Some("2147483647"), false, "Connections that may be open at once."),
    def("max.connections.per.ip", Int { min: 0, max: i32::MAX }, Some("2147483647"), true, "Kept for tools; connections are bounded by their number."),
    def("max.incremental.fetch.session.cache.slots", Int { min: 0, max: i32::MAX }, Some("1000"), false, "Fetch sessions that are kept."),
    def("max.request.partition.size.limit", Int { min: 0, max: i32::MAX }, Some("2000"), false, "Most partitions of one answer to DescribeTopicPartitions."),
    def("message.max.bytes", Int { min: 0, max: i32::MAX }, Some("1048588"), true, "Default of topics' max.message.bytes."),
    def("min.insync.replicas", Int { min: 1, max: i32::MAX }, Some("1"), true, "Default of topics' min.insync.replicas."),
    def("node.id", Int { min: 0, max: i32::MAX }, None, false, "The id of this node."),
    def("num.io.threads", Int { min: 1, max: i32::MAX }, Some("8"), true, "Kept for tools; this node sizes itself."),
    def("num.network.threads", Int { min: 1, max: i32::MAX }, Some("3"), true, "Kept for tools; this node sizes itself."),
    def("num.partitions", Int { min: 0, max: i32::MAX }, Some("1"), false, "Partitions of a topic made without a number."),
    def("num.recovery.threads.per.data.dir", Int { min: 0, max: i32::MAX }, Some("2"), true, "Kept for tools; this node sizes itself."),
    def("offset.metadata.max.bytes", Int { min: 0, max: i32::MAX }, Some("4096"), false, "Longest metadata of a committed offset."),
    def("offsets.retention.minutes", Int { min: 0, max: i32::MAX }, Some("10080"), false, "How long the offsets of an empty group are kept."),
    def("process.roles", List(&[]), None, false, "What this node is."),
    def("producer.id.expiration.ms", Int { min: 1, max: i32::MAX }, Some("86400000"), true, "How long the state of an idle producer is kept."),
    def("queued.max.request.bytes", Long { min: 0, max: i64::MAX }, Some("-1"), false, "Bytes of requests that may be in memory at once."),
    def("socket.request.max.bytes", Int { min: 0, max: i32::MAX }, Some("104857600"), false, "Largest request."),
    def("super.users", Text, None, false, "Principals that no ACL binds."),
    def("transaction.max.timeout.ms", Int { min: 0, max: i32::MAX }, Some("900000"), false, "Longest time-out that a transactional producer may ask for."),
    def("transaction.two.phase.commit.enable", Boolean, Some("false"), false, "Whether transactions can be prepared and committed later."),
    def("transactional.id.expiration.ms", Int { min: 0, max: i32::MAX }, Some("604800000"), false, "How long the state of an unused transactional id is kept."),
    def("unclean.leader.election.enable", Boolean, Some("false"), true, "Default of topics' unclean.leader.election.enable."),
];
