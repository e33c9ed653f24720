//! DescribeConfigs, v1-4, of topics, this node, all nodes, groups and client metrics.
//!
//! v1 adds sources and synonyms; v3 types and documentation; v4 is flexible.

use headwater_broker::configs::ConfigKind;
use headwater_broker::{ConfigEntry, ConfigSource, Synonym};
use headwater_wire::Versions;
use headwater_wire::messages::describe_configs_request::DescribeConfigsResource;
use headwater_wire::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use headwater_wire::messages::{DescribeConfigsRequestData, DescribeConfigsResponseData};

use crate::apis::config_resources::permit;
use crate::apis::shared::{
    RESOURCE_BROKER, RESOURCE_CLIENT_METRICS, RESOURCE_GROUP, RESOURCE_LOGGER, RESOURCE_TOPIC,
};
use crate::authorize::Operation;
use crate::call::{Call, Handle, text};
use crate::codes::{Refusal, code_of, message_of};
use crate::loggers;
use crate::started::started_with;

impl Handle for DescribeConfigsRequestData {
    const VERSIONS: Versions = Versions::new(1, 4);

    async fn answer(self, call: Call) -> DescribeConfigsResponseData {
        let (synonyms, documentation) = (self.include_synonyms, self.include_documentation);
        let one = |resource: DescribeConfigsResource| {
            let outcome = entries(&call, &resource);
            let wanted = |entry: &ConfigEntry| {
                let keys = resource.configuration_keys.as_ref();
                keys.is_none_or(|keys| {
                    keys.is_empty() || keys.iter().any(|key| key.as_str() == entry.name)
                })
            };
            let (error_code, error_message) = (code_of(&outcome), message_of(&outcome));
            let shown = outcome.unwrap_or_default().into_iter().filter(wanted);
            DescribeConfigsResult {
                error_code,
                error_message,
                configs: shown
                    .map(|entry| respond(entry, synonyms, documentation))
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

fn entries(call: &Call, resource: &DescribeConfigsResource) -> Result<Vec<ConfigEntry>, Refusal> {
    let (kind, name) = (resource.resource_type, resource.resource_name.as_str());
    permit(call, Operation::DescribeConfigs, kind, name)?;
    let (broker, started) = (call.broker(), started_with(call));
    let not_empty = |what: &str| match name.is_empty() {
        true => Err(Refusal::request(format!("{what} must not be empty"))),
        false => Ok(()),
    };
    match kind {
        RESOURCE_TOPIC => {
            let topic = broker.topic_to_describe(name)?;
            Ok(broker.topic_configs(&topic, &started))
        }
        RESOURCE_BROKER if name.is_empty() => Ok(broker.cluster_configs()),
        RESOURCE_BROKER => {
            check_node(call, name, ", expected {} or empty string, but received ")?;
            Ok(broker.node_configs(&started))
        }
        RESOURCE_LOGGER => {
            not_empty("Broker id")?;
            check_node(call, name, ", expected {} but received ")?;
            Ok(loggers::entries())
        }
        RESOURCE_GROUP => {
            not_empty("Group name")?;
            Ok(broker.group_configs(name, &started))
        }
        RESOURCE_CLIENT_METRICS => {
            not_empty("Client metrics subscription name")?;
            Ok(broker.client_metrics_configs(name))
        }
        other => Err(Refusal::request(format!("Unknown resource type {other}"))),
    }
}

fn check_node(call: &Call, name: &str, text: &str) -> Result<(), Refusal> {
    let this = call.node.id().to_string();
    if name.parse::<i32>().is_err() {
        return Err(Refusal::request(format!(
            "Broker id must be an integer, but it is: {name}"
        )));
    }
    match name == this {
        true => Ok(()),
        false => Err(Refusal::request(format!(
            "Unexpected broker id{}{name}",
            text.replace("{}", &this)
        ))),
    }
}

/// Kafka's `ConfigType`.
const fn kind_code(kind: Option<ConfigKind>) -> i8 {
    match kind {
        None => 0,
        Some(ConfigKind::Boolean) => 1,
        Some(ConfigKind::Choice(_) | ConfigKind::Text) => 2,
        Some(ConfigKind::Int { .. }) => 3,
        Some(ConfigKind::Short) => 4,
        Some(ConfigKind::Long { .. }) => 5,
        Some(ConfigKind::Double { .. }) => 6,
        Some(ConfigKind::List(_)) => 7,
        Some(ConfigKind::Class) => 8,
        Some(ConfigKind::Password) => 9,
    }
}

/// Kafka's `ConfigSource`.
pub(crate) const fn source_code(source: ConfigSource) -> i8 {
    match source {
        ConfigSource::Topic => 1,
        ConfigSource::Node => 2,
        ConfigSource::Cluster => 3,
        ConfigSource::Static => 4,
        ConfigSource::Default => 5,
        ConfigSource::Logger => 6,
        ConfigSource::ClientMetrics => 7,
        ConfigSource::Group => 8,
    }
}

fn respond(
    entry: ConfigEntry,
    synonyms: bool,
    documentation: bool,
) -> DescribeConfigsResourceResult {
    let synonym = |synonym: Synonym| DescribeConfigsSynonym {
        name: text(synonym.name),
        value: Some(text(synonym.value)),
        source: source_code(synonym.source),
        ..Default::default()
    };
    DescribeConfigsResourceResult {
        name: text(entry.name),
        value: entry.value.map(text),
        read_only: entry.read_only,
        config_source: source_code(entry.source),
        is_sensitive: entry.sensitive,
        synonyms: match synonyms {
            true => entry.synonyms.into_iter().map(synonym).collect(),
            false => Vec::new(),
        },
        config_type: kind_code(entry.kind),
        documentation: documentation.then(|| text(entry.doc)),
        ..Default::default()
    }
}
