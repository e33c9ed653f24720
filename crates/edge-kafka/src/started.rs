//! What this node was started with, under Kafka's names: the part of its configs that nobody can change while it runs.

use headwater_broker::Configs;

use crate::call::Call;

/// Only what differs from Kafka's default, or has none: everything else is told as a default.
pub(crate) fn started_with(call: &Call) -> Configs {
    let (broker, edge) = (call.broker().config(), &call.node.config);
    let listener = format!(
        "PLAINTEXT://{}:{}",
        edge.advertised_host, edge.advertised_port
    );
    let values = [
        ("node.id", broker.node_id.to_string()),
        ("broker.id", broker.node_id.to_string()),
        ("process.roles", "broker,controller".to_owned()),
        ("listeners", listener.clone()),
        ("advertised.listeners", listener),
        (
            "listener.security.protocol.map",
            "PLAINTEXT:PLAINTEXT".to_owned(),
        ),
        ("log.dir", edge.log_dir.clone()),
        ("log.dirs", edge.log_dir.clone()),
        (
            "auto.create.topics.enable",
            broker.auto_create_topics.to_string(),
        ),
        ("num.partitions", broker.default_partitions.to_string()),
        ("fetch.max.bytes", broker.fetch_bytes_max.to_string()),
        (
            "queued.max.request.bytes",
            edge.request_bytes_max.to_string(),
        ),
        ("max.connections", edge.connections_max.to_string()),
        (
            "offset.metadata.max.bytes",
            broker.offset_metadata_bytes_max.to_string(),
        ),
        (
            "group.initial.rebalance.delay.ms",
            broker.initial_rebalance_delay_ms.to_string(),
        ),
        (
            "group.min.session.timeout.ms",
            broker.session_timeout_ms_min.to_string(),
        ),
        (
            "group.max.session.timeout.ms",
            broker.session_timeout_ms_max.to_string(),
        ),
        ("group.max.size", broker.group_members_max.to_string()),
        (
            "group.consumer.max.size",
            broker.consumer_group_members_max.to_string(),
        ),
        (
            "group.consumer.session.timeout.ms",
            broker.consumer_session_ms.to_string(),
        ),
        (
            "group.consumer.heartbeat.interval.ms",
            broker.consumer_heartbeat_ms.to_string(),
        ),
        (
            "offsets.retention.minutes",
            (broker.offsets_retention_ms / 60_000).to_string(),
        ),
        (
            "log.retention.check.interval.ms",
            broker.retention_check_ms.to_string(),
        ),
        (
            "producer.id.expiration.ms",
            broker.producer_expiration_ms.to_string(),
        ),
        (
            "log.cleaner.dedupe.buffer.size",
            broker.cleaner_map_bytes_max.to_string(),
        ),
        (
            "log.cleaner.io.max.bytes.per.second",
            broker.cleaner_bytes_per_second.to_string(),
        ),
        // What tools look at to know that there are ACLs.
        (
            "authorizer.class.name",
            "org.apache.kafka.metadata.authorizer.StandardAuthorizer".to_owned(),
        ),
        ("inter.broker.listener.name", "PLAINTEXT".to_owned()),
        ("offsets.topic.num.partitions", "1".to_owned()),
        ("offsets.topic.replication.factor", "1".to_owned()),
        ("transaction.state.log.min.isr", "1".to_owned()),
        ("transaction.state.log.num.partitions", "1".to_owned()),
        ("transaction.state.log.replication.factor", "1".to_owned()),
        ("super.users", broker.super_users.join(";")),
        ("allow.everyone.if.no.acl.found", "true".to_owned()),
    ];
    let by_default = |name: &str, value: &str| {
        headwater_broker::node_defs::NODE_CONFIGS
            .iter()
            .any(|def| def.name == name && def.default == Some(value))
    };
    let told = values
        .into_iter()
        .filter(|(name, value)| !by_default(name, value));
    told.map(|(name, value)| (name.to_owned(), value)).collect()
}
