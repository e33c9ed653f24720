//! DescribeConfigs, v1-4, of topics and of this node.
//!
//! v1 adds sources and synonyms; v3 types and documentation; v4 is flexible.

use headwater_broker::configs::{self, ConfigKind};
use headwater_broker::{BrokerError, Topic, TopicRef};
use headwater_wire::Versions;
use headwater_wire::messages::describe_configs_request::DescribeConfigsResource;
use headwater_wire::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use headwater_wire::messages::{DescribeConfigsRequestData, DescribeConfigsResponseData};

use crate::apis::shared::{
    RESOURCE_BROKER, RESOURCE_TOPIC, SOURCE_DEFAULT, SOURCE_STATIC_BROKER, SOURCE_TOPIC,
};
use crate::call::{Call, Handle, plain, text};
use crate::codes::{code_of, message_of};

/// Kafka's `ConfigType`.
const BOOLEAN: i8 = 1;
const STRING: i8 = 2;
const INT: i8 = 3;
const LONG: i8 = 5;
const DOUBLE: i8 = 6;
const LIST: i8 = 7;

/// One config as it is in force.
pub(crate) struct ConfigLine {
    pub name: String,
    pub value: String,
    pub source: i8,
    kind: i8,
    read_only: bool,
    doc: &'static str,
    /// The value if nobody had set one.
    default: Option<&'static str>,
}

impl Handle for DescribeConfigsRequestData {
    const VERSIONS: Versions = Versions::new(1, 4);

    async fn answer(self, call: Call) -> DescribeConfigsResponseData {
        let (synonyms, documentation) = (self.include_synonyms, self.include_documentation);
        let one = |resource: DescribeConfigsResource| {
            let outcome = lines(&call, &resource);
            let wanted = |line: &ConfigLine| {
                let keys = resource.configuration_keys.as_ref();
                keys.is_none_or(|keys| keys.iter().any(|key| key.as_str() == line.name))
            };
            let (error_code, error_message) = (code_of(&outcome), message_of(&outcome));
            let shown = outcome.unwrap_or_default().into_iter().filter(wanted);
            DescribeConfigsResult {
                error_code,
                error_message,
                configs: shown
                    .map(|line| respond(line, synonyms, documentation))
                    .collect(),
                resource_type: resource.resource_type,
                resource_name: resource.resource_name.clone(),
                ..Default::default()
            }
        };
        DescribeConfigsResponseData {
            results: self.resources.into_iter().map(one).collect(),
            ..Default::default()
        }
    }
}

fn lines(call: &Call, resource: &DescribeConfigsResource) -> Result<Vec<ConfigLine>, BrokerError> {
    let name = plain(&resource.resource_name);
    match resource.resource_type {
        RESOURCE_TOPIC => {
            Ok(topic_configs(&*call.broker().find_topic(&TopicRef::Name(name))?).collect())
        }
        RESOURCE_BROKER if name.is_empty() => Ok(Vec::new()),
        RESOURCE_BROKER if name == call.node.id().to_string() => Ok(node_configs(call)),
        RESOURCE_BROKER => Err(BrokerError::InvalidRequest(format!(
            "the only node is {}, not {name}",
            call.node.id()
        ))),
        other => Err(BrokerError::InvalidRequest(format!(
            "resources of type {other} have no configs here"
        ))),
    }
}

/// All configs of a topic, defaults included.
pub(crate) fn topic_configs(topic: &Topic) -> impl Iterator<Item = ConfigLine> + '_ {
    configs::TOPIC_CONFIGS.iter().map(|def| {
        let set = topic.configs.get(def.name);
        ConfigLine {
            name: def.name.to_owned(),
            value: set.map_or(def.default, String::as_str).to_owned(),
            source: if set.is_some() {
                SOURCE_TOPIC
            } else {
                SOURCE_DEFAULT
            },
            kind: kind_of(def.kind),
            read_only: false,
            doc: def.doc,
            default: Some(def.default),
        }
    })
}

const fn kind_of(kind: ConfigKind) -> i8 {
    match kind {
        ConfigKind::Boolean => BOOLEAN,
        ConfigKind::Int { .. } => INT,
        ConfigKind::Long { .. } => LONG,
        ConfigKind::Double { .. } => DOUBLE,
        ConfigKind::Choice(_) => STRING,
        ConfigKind::List(_) => LIST,
    }
}

/// A config of the node: Kafka's name for it, its type, where its value is, and one sentence for people.
type NodeConfig = (&'static str, i8, fn(&Call) -> String, &'static str);

#[rustfmt::skip]
const NODE_CONFIGS: &[NodeConfig] = &[
    ("node.id", INT, |call| call.node.id().to_string(), "The id of this node."),
    ("advertised.listeners", STRING, listener, "Where clients connect to."),
    ("log.dirs", STRING, |call| call.node.config.log_dir.clone(), "Where the log lives."),
    ("auto.create.topics.enable", BOOLEAN, |call| call.broker().config().auto_create_topics.to_string(), "Whether unknown topics are made when clients ask for them."),
    ("num.partitions", INT, |call| call.broker().config().default_partitions.to_string(), "Partitions of a topic made without a number."),
    ("default.replication.factor", INT, |_| "1".into(), "Copies of each partition."),
    ("min.insync.replicas", INT, |_| "1".into(), "Copies that must have a record before it is acknowledged."),
    ("message.max.bytes", INT, |_| configs::TopicSettings::default().max_message_bytes.to_string(), "Largest record batch unless a topic says otherwise."),
    ("fetch.max.bytes", INT, |call| call.broker().config().fetch_bytes_max.to_string(), "Most bytes of one fetch answer."),
    ("queued.max.request.bytes", LONG, |call| call.node.config.request_bytes_max.to_string(), "Bytes of requests that may be in memory at once."),
    ("max.connections", INT, |call| call.node.config.connections_max.to_string(), "Connections that may be open at once."),
    ("offset.metadata.max.bytes", INT, |call| call.broker().config().offset_metadata_bytes_max.to_string(), "Longest metadata of a committed offset."),
    ("group.initial.rebalance.delay.ms", INT, |call| call.broker().config().initial_rebalance_delay_ms.to_string(), "How long a new group waits for more members."),
    ("group.min.session.timeout.ms", INT, |call| call.broker().config().session_timeout_ms_min.to_string(), "Shortest session timeout of a group's member."),
    ("group.max.session.timeout.ms", INT, |call| call.broker().config().session_timeout_ms_max.to_string(), "Longest session timeout of a group's member."),
    ("group.max.size", INT, |call| call.broker().config().group_members_max.to_string(), "Most members of a group."),
];

fn listener(call: &Call) -> String {
    let config = &call.node.config;
    format!(
        "PLAINTEXT://{}:{}",
        config.advertised_host, config.advertised_port
    )
}

/// What this node was started with. Read-only.
fn node_configs(call: &Call) -> Vec<ConfigLine> {
    let line = |(name, kind, value, doc): &NodeConfig| ConfigLine {
        name: (*name).to_owned(),
        value: value(call),
        source: SOURCE_STATIC_BROKER,
        kind: *kind,
        read_only: true,
        doc,
        default: None,
    };
    NODE_CONFIGS.iter().map(line).collect()
}

fn respond(line: ConfigLine, synonyms: bool, documentation: bool) -> DescribeConfigsResourceResult {
    let synonym = |value: &str, source| DescribeConfigsSynonym {
        name: text(line.name.clone()),
        value: Some(text(value)),
        source,
        ..Default::default()
    };
    let mut known_as = Vec::new();
    if synonyms {
        known_as.push(synonym(&line.value, line.source));
        known_as.extend(
            line.default
                .filter(|_| line.source != SOURCE_DEFAULT)
                .map(|default| synonym(default, SOURCE_DEFAULT)),
        );
    }
    DescribeConfigsResourceResult {
        name: text(line.name),
        value: Some(text(line.value)),
        read_only: line.read_only,
        config_source: line.source,
        synonyms: known_as,
        config_type: line.kind,
        documentation: documentation.then(|| text(line.doc)),
        ..Default::default()
    }
}
