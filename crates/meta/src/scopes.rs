//! Configs of everything but topics: the node's and the cluster's, groups' (KIP-848), client metrics' (KIP-714).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::configs::{ConfigKind, TOPIC_CONFIGS, check_config};
use crate::node_defs::{NODE_CONFIGS, NodeConfigDef};

/// Values by name, as somebody has set them.
pub type Configs = BTreeMap<String, String>;

/// What configs can be set on, besides topics.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "of", content = "name", rename_all = "snake_case")]
pub enum Scope {
    /// All nodes that say nothing else themselves.
    Cluster,
    /// The node with this id.
    Node(i32),
    Group(String),
    /// A subscription of client metrics.
    ClientMetrics(String),
}

/// Why configs of a scope are refused. The texts are Kafka's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// The request makes no sense.
    #[error("{0}")]
    Request(String),
    /// The config does not exist, or its value is not allowed.
    #[error("{0}")]
    Config(String),
}

/// A config of groups or of client metrics.
#[derive(Clone, Copy, Debug)]
pub struct ScopeConfigDef {
    pub name: &'static str,
    pub kind: ConfigKind,
    pub default: &'static str,
    pub doc: &'static str,
    /// The config of the node with its default.
    pub node_name: Option<&'static str>,
}

/// What consumer groups can set. Those of share and streams groups come with these kinds of group.
pub const GROUP_CONFIGS: &[ScopeConfigDef] = &[
    ScopeConfigDef {
        name: "consumer.heartbeat.interval.ms",
        kind: ConfigKind::Int {
            min: 1,
            max: i32::MAX,
        },
        default: "5000",
        doc: "How often members of the group report.",
        node_name: Some("group.consumer.heartbeat.interval.ms"),
    },
    ScopeConfigDef {
        name: "consumer.session.timeout.ms",
        kind: ConfigKind::Int {
            min: 1,
            max: i32::MAX,
        },
        default: "45000",
        doc: "How long a silent member of the group is waited for.",
        node_name: Some("group.consumer.session.timeout.ms"),
    },
];

/// What a subscription of client metrics says.
pub const CLIENT_METRICS_CONFIGS: &[ScopeConfigDef] = &[
    ScopeConfigDef {
        name: "interval.ms",
        kind: ConfigKind::Int {
            min: i32::MIN,
            max: i32::MAX,
        },
        default: "300000",
        doc: "How often clients send their metrics.",
        node_name: None,
    },
    ScopeConfigDef {
        name: "match",
        kind: ConfigKind::List(&[]),
        default: "",
        doc: "Which clients: key=pattern.",
        node_name: None,
    },
    ScopeConfigDef {
        name: "metrics",
        kind: ConfigKind::List(&[]),
        default: "",
        doc: "Prefixes of the names of the metrics that are wanted.",
        node_name: None,
    },
];

/// What a client can be matched by.
const MATCH_KEYS: &[&str] = &[
    "client_id",
    "client_instance_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
];
const METRICS_INTERVAL_MS_MIN: i32 = 100;
const METRICS_INTERVAL_MS_MAX: i32 = 3_600_000;

/// The definition of a config of a node.
pub fn find_node_config(name: &str) -> Option<&'static NodeConfigDef> {
    NODE_CONFIGS.iter().find(|def| def.name == name)
}

/// The kind of a config of a scope, if it is known.
pub fn kind_of(scope: &Scope, name: &str) -> Option<ConfigKind> {
    let of = |defs: &[ScopeConfigDef]| defs.iter().find(|def| def.name == name).map(|def| def.kind);
    match scope {
        Scope::Cluster | Scope::Node(_) => find_node_config(name).map(|def| def.kind),
        Scope::Group(_) => of(GROUP_CONFIGS),
        Scope::ClientMetrics(_) => of(CLIENT_METRICS_CONFIGS),
    }
}

/// The defaults of topics that follow from what is set on nodes, by the topics' names for them.
pub fn topic_defaults(cluster: Option<&Configs>, node: Option<&Configs>) -> Configs {
    let set = |name: &str| {
        node.and_then(|c| c.get(name))
            .or_else(|| cluster.and_then(|c| c.get(name)))
    };
    let default =
        |def: &crate::ConfigDef| Some((def.name.to_owned(), set(def.broker_name?)?.clone()));
    TOPIC_CONFIGS.iter().filter_map(default).collect()
}

/// # Errors
/// Something is unknown, cannot be set while the node runs, or has an illegal value.
pub fn check(scope: &Scope, configs: &Configs) -> Result<(), ScopeError> {
    match scope {
        Scope::Cluster => {
            check_node(configs)?;
            refuse_any(configs, of_one_node, OF_ONE_NODE)
        }
        Scope::Node(_) => check_node(configs),
        Scope::Group(_) => check_known(GROUP_CONFIGS, configs, |name| {
            ScopeError::Config(format!("Unknown group config name: {name}"))
        }),
        Scope::ClientMetrics(_) => check_client_metrics(configs),
    }
}

/// Kafka keeps names it does not know, for plugins.
fn check_node(configs: &Configs) -> Result<(), ScopeError> {
    for (name, value) in configs {
        let Some(def) = find_node_config(name) else {
            continue;
        };
        if !def.dynamic {
            let text = format!("Cannot update these configs dynamically: Set({name})");
            return Err(ScopeError::Request(text));
        }
        check_config(name, def.kind, value).map_err(ScopeError::Request)?;
    }
    refuse_any(configs, of_one_listener, OF_ONE_LISTENER)
}

const OF_ONE_NODE: &str =
    "Cannot update these configs at default cluster level, broker id must be specified";
const OF_ONE_LISTENER: &str =
    "These security configs can be dynamically updated only per-listener using the listener prefix";

/// TLS, SASL and who a connection is may differ from node to node.
fn of_one_node(name: &str) -> bool {
    name.starts_with("ssl.") || name.starts_with("sasl.") || name == "principal.builder.class"
}

/// Key and trust stores, as Kafka's `SslConfigs.RECONFIGURABLE_CONFIGS`.
fn of_one_listener(name: &str) -> bool {
    ["ssl.keystore.", "ssl.truststore."]
        .iter()
        .any(|prefix| name.starts_with(prefix))
        || name == "ssl.key.password"
}

fn refuse_any(configs: &Configs, which: fn(&str) -> bool, why: &str) -> Result<(), ScopeError> {
    match configs.keys().find(|name| which(name)) {
        Some(name) => Err(ScopeError::Request(format!("{why}: Set({name})"))),
        None => Ok(()),
    }
}

fn check_known(
    defs: &[ScopeConfigDef],
    configs: &Configs,
    unknown: impl Fn(&str) -> ScopeError,
) -> Result<(), ScopeError> {
    for (name, value) in configs {
        let def = defs
            .iter()
            .find(|def| def.name == name)
            .ok_or_else(|| unknown(name))?;
        check_config(name, def.kind, value).map_err(ScopeError::Config)?;
    }
    Ok(())
}

fn check_client_metrics(configs: &Configs) -> Result<(), ScopeError> {
    check_known(CLIENT_METRICS_CONFIGS, configs, |name| {
        ScopeError::Request(format!("Unknown client metrics configuration: {name}"))
    })?;
    let interval = configs
        .get("interval.ms")
        .and_then(|value| value.trim().parse::<i32>().ok());
    if let Some(value) = interval
        && !(METRICS_INTERVAL_MS_MIN..=METRICS_INTERVAL_MS_MAX).contains(&value)
    {
        return Err(ScopeError::Request(format!(
            "Invalid value {value} for interval.ms, interval must be between {METRICS_INTERVAL_MS_MIN} and {METRICS_INTERVAL_MS_MAX} (1 hour)"
        )));
    }
    let patterns = configs.get("match").map_or("", String::as_str);
    let mut patterns = patterns
        .split(',')
        .map(str::trim)
        .filter(|text| !text.is_empty());
    match patterns.find(|pattern| !is_pattern(pattern)) {
        Some(bad) => Err(ScopeError::Config(format!(
            "Illegal client matching pattern: {bad}"
        ))),
        None => Ok(()),
    }
}

fn is_pattern(text: &str) -> bool {
    let (key, pattern) = text.split_once('=').unwrap_or((text, ""));
    MATCH_KEYS.contains(&key.trim()) && !pattern.trim().is_empty()
}

/// Bounds of what a group may set, in milliseconds; the node's.
#[derive(Clone, Copy, Debug)]
pub struct GroupBounds {
    pub heartbeat: (i32, i32),
    pub session: (i32, i32),
}

/// Whether what a group sets keeps to the bounds of the node.
///
/// # Errors
/// The first value that does not.
pub fn check_group_bounds(configs: &Configs, bounds: GroupBounds) -> Result<(), ScopeError> {
    let one = |name: &str, (min, max): (i32, i32)| {
        let Some(value) = configs
            .get(name)
            .and_then(|value| value.trim().parse::<i32>().ok())
        else {
            return Ok(());
        };
        let kind = name.trim_start_matches("consumer.");
        if value < min {
            let text = format!("{name} must be greater than or equal to group.consumer.min.{kind}");
            return Err(ScopeError::Config(text));
        }
        if value > max {
            let text = format!("{name} must be less than or equal to group.consumer.max.{kind}");
            return Err(ScopeError::Config(text));
        }
        Ok(())
    };
    one("consumer.heartbeat.interval.ms", bounds.heartbeat)?;
    one("consumer.session.timeout.ms", bounds.session)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configs::check_value;

    fn set(name: &str, value: &str) -> Configs {
        Configs::from([(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn defaults_are_legal_and_names_are_there_once_in_order() {
        assert!(
            NODE_CONFIGS
                .windows(2)
                .all(|pair| pair[0].name < pair[1].name)
        );
        for def in NODE_CONFIGS {
            if let Some(default) = def.default.filter(|default| *default != "-1") {
                assert_eq!(check_value(def.kind, default), Ok(()), "{}", def.name);
            }
        }
        for def in GROUP_CONFIGS.iter().chain(CLIENT_METRICS_CONFIGS) {
            assert_eq!(check_value(def.kind, def.default), Ok(()), "{}", def.name);
            assert!(
                def.node_name
                    .is_none_or(|name| find_node_config(name).is_some())
            );
        }
        for name in TOPIC_CONFIGS.iter().filter_map(|def| def.broker_name) {
            assert!(
                find_node_config(name).is_some_and(|def| def.dynamic),
                "{name}"
            );
        }
    }

    #[test]
    fn what_a_node_was_started_with_stays_and_values_are_checked() {
        let request = |text: &str| Err(ScopeError::Request(text.into()));
        assert_eq!(
            check(&Scope::Cluster, &set("num.partitions", "5")),
            request("Cannot update these configs dynamically: Set(num.partitions)")
        );
        assert_eq!(
            check(&Scope::Node(1), &set("log.retention.ms", "x")),
            request(
                "Invalid value x for configuration log.retention.ms: Not a number of type LONG"
            )
        );
        assert_eq!(
            check(&Scope::Node(1), &set("log.retention.ms", "5")),
            Ok(())
        );
        assert_eq!(
            check(&Scope::Node(1), &set("a.plugins.config", "x")),
            Ok(())
        );
    }

    #[test]
    fn configs_of_security_belong_to_a_node_or_to_a_listener() {
        let relogin = set("sasl.kerberos.min.time.before.relogin", "58000");
        assert_eq!(check(&Scope::Node(1), &relogin), Ok(()));
        assert!(check(&Scope::Cluster, &relogin).is_err());
        let store = set("ssl.keystore.location", "/x");
        assert!(check(&Scope::Node(1), &store).is_err());
        let store = set("listener.name.internal.ssl.keystore.location", "/x");
        assert_eq!(check(&Scope::Node(1), &store), Ok(()));
    }

    #[test]
    fn groups_keep_to_the_bounds_of_the_node() {
        let bounds = GroupBounds {
            heartbeat: (5_000, 15_000),
            session: (45_000, 60_000),
        };
        let group = Scope::Group("g".into());
        assert!(check(&group, &set("x", "1")).is_err());
        let ok = |name: &str, value: &str| check_group_bounds(&set(name, value), bounds).is_ok();
        assert!(ok("consumer.session.timeout.ms", "50000"));
        assert!(!ok("consumer.session.timeout.ms", "44999"));
        assert!(!ok("consumer.session.timeout.ms", "60001"));
        assert!(!ok("consumer.heartbeat.interval.ms", "4999"));
    }

    #[test]
    fn subscriptions_of_client_metrics_are_checked() {
        let ok = |name: &str, value: &str| {
            check(&Scope::ClientMetrics("m".into()), &set(name, value)).is_ok()
        };
        assert!(ok("interval.ms", "100"));
        assert!(!ok("interval.ms", "99"));
        assert!(ok("match", "client_id=a.*, client_source_port=9"));
        assert!(!ok("match", "zzz"));
        assert!(!ok("match", "foo=a"));
        assert!(!ok("other", "1"));
    }

    #[test]
    fn a_nodes_own_value_goes_before_the_clusters() {
        let (cluster, node) = (set("log.retention.ms", "1"), set("log.retention.ms", "2"));
        let default = |c, n| topic_defaults(c, n).remove("retention.ms");
        assert_eq!(default(Some(&cluster), None).as_deref(), Some("1"));
        assert_eq!(default(Some(&cluster), Some(&node)).as_deref(), Some("2"));
        assert_eq!(default(None, None), None);
    }
}
