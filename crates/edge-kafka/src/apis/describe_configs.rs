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

/// What this node was started with, under Kafka's names. Read-only.
fn node_configs(call: &Call) -> Vec<ConfigLine> {
    let (config, edge) = (call.broker().config(), &call.node.config);
    let listener = format!(
        "PLAINTEXT://{}:{}",
        edge.advertised_host, edge.advertised_port
    );
    let line = |name: &str, value: String, kind, doc| ConfigLine {
        name: name.to_owned(),
        value,
        source: SOURCE_STATIC_BROKER,
        kind,
        read_only: true,
        doc,
        default: None,
    };
    vec![
        line(
            "node.id",
            config.node_id.to_string(),
            INT,
            "The id of this node.",
        ),
        line(
            "advertised.listeners",
            listener,
            STRING,
            "Where clients connect to.",
        ),
        line(
            "log.dirs",
            edge.log_dir.clone(),
            STRING,
            "Where the log lives.",
        ),
        line(
            "auto.create.topics.enable",
            config.auto_create_topics.to_string(),
            BOOLEAN,
            "Whether unknown topics are made when clients ask for them.",
        ),
        line(
            "num.partitions",
            config.default_partitions.to_string(),
            INT,
            "Partitions of a topic made without a number.",
        ),
        line(
            "default.replication.factor",
            "1".into(),
            INT,
            "Copies of each partition.",
        ),
        line(
            "min.insync.replicas",
            "1".into(),
            INT,
            "Copies that must have a record before it is acknowledged.",
        ),
        line(
            "message.max.bytes",
            configs::TopicSettings::default()
                .max_message_bytes
                .to_string(),
            INT,
            "Largest record batch unless a topic says otherwise.",
        ),
        line(
            "fetch.max.bytes",
            config.fetch_bytes_max.to_string(),
            INT,
            "Most bytes of one fetch answer.",
        ),
        line(
            "queued.max.request.bytes",
            edge.request_bytes_max.to_string(),
            LONG,
            "Bytes of requests that may be in memory at once.",
        ),
        line(
            "max.connections",
            edge.connections_max.to_string(),
            INT,
            "Connections that may be open at once.",
        ),
        line(
            "offset.metadata.max.bytes",
            config.offset_metadata_bytes_max.to_string(),
            INT,
            "Longest metadata of a committed offset.",
        ),
        line(
            "group.initial.rebalance.delay.ms",
            config.initial_rebalance_delay_ms.to_string(),
            INT,
            "How long a new group waits for more members.",
        ),
        line(
            "group.min.session.timeout.ms",
            config.session_timeout_ms_min.to_string(),
            INT,
            "Shortest session timeout of a group's member.",
        ),
        line(
            "group.max.session.timeout.ms",
            config.session_timeout_ms_max.to_string(),
            INT,
            "Longest session timeout of a group's member.",
        ),
        line(
            "group.max.size",
            config.group_members_max.to_string(),
            INT,
            "Most members of a group.",
        ),
    ]
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
