//! What an operator decides about the broker, with its defaults.

/// Settings of a broker. The names in the comments are Kafka's.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// `node.id`
    pub node_id: i32,
    /// `auto.create.topics.enable`
    pub auto_create_topics: bool,
    /// `num.partitions`: of a topic made without a number.
    pub default_partitions: i32,
    /// Most bytes of one fetch answer (`fetch.max.bytes`); one batch may exceed it.
    pub fetch_bytes_max: usize,
    /// Most bytes that fetch answers from disk may hold in memory at once, all connections together.
    pub fetch_buffer_bytes_max: usize,
    /// Longest metadata text of a committed offset (`offset.metadata.max.bytes`).
    pub offset_metadata_bytes_max: usize,
    /// `group.initial.rebalance.delay.ms`
    pub initial_rebalance_delay_ms: i64,
    /// `group.min.session.timeout.ms`
    pub session_timeout_ms_min: i32,
    /// `group.max.session.timeout.ms`
    pub session_timeout_ms_max: i32,
    /// Most members of one group (`group.max.size`).
    pub group_members_max: usize,
    /// `log.retention.check.interval.ms`: the longest time between two checks of a topic's retention.
    pub retention_check_ms: i64,
    /// `producer.id.expiration.ms`: silence after which a producer is forgotten.
    pub producer_expiration_ms: i64,
    /// `log.cleaner.dedupe.buffer.size`: bytes that the keys of one run of compaction may take; more keys take more runs.
    pub cleaner_map_bytes_max: usize,
    /// `log.cleaner.io.max.bytes.per.second`: bytes that compaction reads a second.
    pub cleaner_bytes_per_second: u64,
    /// Most members of one group of the consumer protocol (`group.consumer.max.size`).
    pub consumer_group_members_max: usize,
    /// `group.consumer.session.timeout.ms`
    pub consumer_session_ms: i32,
    /// `group.consumer.heartbeat.interval.ms`
    pub consumer_heartbeat_ms: i32,
    /// How long offsets are kept of groups that nobody is in (`offsets.retention.minutes`, here in ms).
    pub offsets_retention_ms: i64,
    /// How often they are looked through (`offsets.retention.check.interval.ms`).
    pub offsets_check_ms: i64,
    /// `super.users`: principals that no ACL binds, such as `User:admin`.
    pub super_users: Vec<String>,
    /// Longest time-out that a transactional producer may ask for (`transaction.max.timeout.ms`).
    pub transaction_timeout_ms_max: i32,
    /// Silence after which a transactional id is forgotten (`transactional.id.expiration.ms`).
    pub transactional_id_expiration_ms: i64,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            node_id: 1,
            auto_create_topics: true,
            default_partitions: 1,
            fetch_bytes_max: 32 * 1024 * 1024,
            fetch_buffer_bytes_max: 64 * 1024 * 1024,
            offset_metadata_bytes_max: 4096,
            initial_rebalance_delay_ms: 100,
            session_timeout_ms_min: 1_000,
            session_timeout_ms_max: 1_800_000,
            group_members_max: 10_000,
            retention_check_ms: 300_000,
            producer_expiration_ms: 24 * 3_600_000,
            cleaner_map_bytes_max: 64 * 1024 * 1024,
            cleaner_bytes_per_second: 32 * 1024 * 1024,
            consumer_group_members_max: i32::MAX as usize,
            consumer_session_ms: 45_000,
            consumer_heartbeat_ms: 5_000,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1_000,
            offsets_check_ms: 600_000,
            transaction_timeout_ms_max: 900_000,
            transactional_id_expiration_ms: 7 * 24 * 3600 * 1000,
            super_users: Vec::new(),
        }
    }
}
